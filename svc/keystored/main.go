package keystored

import (
	"context"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
)

// Partition is the one that holds the keys.
const Partition = "keys"

// errNoDisk is why there are no keys on a machine without a disk.
var errNoDisk = errors.New("the machine has no disk")

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	v, err := openDisk(ctx, env)
	for _, passes := range []error{ipc.ErrClosed, ipc.StatusUnavailable, blk.StatusBroken, blk.StatusStale} {
		if errors.Is(err, passes) {
			return fmt.Errorf("disk: %w", err) // the next attempt is after a restart
		}
	}
	return serve(ctx, env, v, err)
}

// openDisk opens the keys on the disk.
func openDisk(ctx context.Context, env *svc.Env) (*vault, error) {
	c, err := env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return nil, err
	}
	d, err := blk.Open(ctx, c, Partition)
	if errors.Is(err, blk.StatusNoDisk) {
		return nil, errNoDisk
	}
	if err != nil {
		return nil, err
	}
	return openVault(blk.Block{Disk: d})
}
