package statefsd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/statefs"
)

// partition is what the store is on. Nobody else can have it.
const partition = "state"

// groupShare and groupKeys are what one namespace may have: a part of the partition's
// bytes, and keys.
const (
	groupShare = 8
	groupKeys  = statefs.MaxKeys / 8
)

// Main is the service, with the store on the partition of the system's disk.
func Main(ctx context.Context, env *svc.Env) error {
	remote := env.Dial("blkd", blk.Protocol)
	keys := keystore.Client{To: env.Dial("keystored", keystore.Protocol)}
	once := func(ctx context.Context) (*statefs.Store, error) {
		d, err := openPartition(ctx, remote)
		if err != nil {
			return nil, err
		}
		return open(ctx, blk.Block{Disk: d}, keys)
	}
	return Serve(ctx, env, func(ctx context.Context) (*statefs.Store, error) {
		s, err := once(ctx)
		if errors.Is(err, ipc.ErrClosed) {
			s, err = once(ctx) // with a blkd or keystored that was started again
		}
		return s, err
	})
}

// openPartition opens the partition through a connection, which is made again the next time
// if blkd is gone.
func openPartition(ctx context.Context, remote *svc.Remote) (*blk.Disk, error) {
	c, err := remote.Client(ctx)
	if err != nil {
		return nil, err
	}
	d, err := blk.Open(ctx, c, partition)
	if errors.Is(err, ipc.ErrClosed) {
		remote.Lost(c)
	}
	return d, err
}

// keyring is where the key of the store comes from, and where the number of its
// generations is kept, out of reach of whoever has the partition.
type keyring interface {
	Derive(ctx context.Context, label string) ([statefs.KeySize]byte, error)
	Epoch(ctx context.Context) (uint64, error)
	Advance(ctx context.Context, epoch uint64) error
}

// open opens the store on a device, and makes one if the device is blank and has never
// had one.
func open(ctx context.Context, dev statefs.Block, keys keyring) (*statefs.Store, error) {
	key, err := keys.Derive(ctx, keystore.LabelState)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer clear(key[:])
	epoch, err := keys.Epoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	opt := statefs.Options{Key: key, Random: rand.Reader, MinGeneration: epoch, GroupBytes: uint64(dev.Size()) / groupShare, GroupKeys: groupKeys}
	defer clear(opt.Key[:])
	s, err := statefs.Open(dev, opt)
	if err == statefs.ErrNoStore {
		if err := statefs.Format(dev, opt); err != nil {
			return nil, fmt.Errorf("format: %w", err)
		}
		s, err = statefs.Open(dev, opt)
	}
	if err != nil {
		return nil, err
	}
	// From here on an older copy is refused. If the power goes before, this one is as good.
	if err := keys.Advance(ctx, s.Generation()); err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	return s, nil
}
