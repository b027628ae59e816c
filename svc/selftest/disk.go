package selftest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
)

// ownPartition is the partition of this service by the policy.
const ownPartition = "test"

// Where things are in it: a mark that counts the boots, what a boot leaves for the next
// one, and room to work in.
const (
	markAt   = 0
	legacyAt = 1 << 20
	legacy   = 256 << 10 // bytes
	roomAt   = 2 << 20
	badAt    = 6 << 20 // sectors that cannot be read or written, on a disk that has some
	badSize  = 8 << 10
)

// errGoodDisk is the result of the proof that takes a disk with bad sectors, on any other.
// It is no proof, and nothing is said.
var errGoodDisk = errors.New("the disk has no bad sectors")

// diskProofs take blkd with a disk that has the partition.
var diskProofs = []proof{
	{"blk partition", blkPartition},
	{"blk partition denied", blkDenied},
	{"blk errors", blkErrors},
	{"blk persist", blkPersist},
	{"blk write", blkWrite},
}

// diskMark begins the mark.
var diskMark = [8]byte([]byte("selftest"))

func (t *tester) openDisk(ctx context.Context, name string) (*blk.Disk, error) {
	c, err := t.env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return nil, err
	}
	return blk.Open(ctx, c, name)
}

// blkPartition: who may have a partition gets it, and can read it.
func blkPartition(ctx context.Context, t *tester) (err error) {
	if t.disk, err = t.openDisk(ctx, ownPartition); err != nil {
		return err
	}
	if t.disk.Size() < roomAt+writers*blk.MaxMemory {
		return fmt.Errorf("%d bytes", t.disk.Size())
	}
	var b [blk.SectorSize]byte
	if err := t.disk.ReadAt(ctx, b[:], markAt); err != nil {
		return err
	}
	if [8]byte(b[:8]) == diskMark {
		t.boots = binary.LittleEndian.Uint64(b[8:])
	} else if b != [blk.SectorSize]byte{} {
		return fmt.Errorf("the mark is %x", b[:16])
	}
	return nil
}

// blkDenied: a partition that is somebody else's is denied, one that does not exist is
// not found, and what is not inside of the own one is refused.
func blkDenied(ctx context.Context, t *tester) error {
	for name, status := range map[string]ipc.Status{"keys": ipc.StatusDenied, "state": ipc.StatusDenied, "none": ipc.StatusNotFound, "": ipc.StatusNotFound} {
		if _, err := t.openDisk(ctx, name); !errors.Is(err, status) {
			return fmt.Errorf("partition %q: %v, want %v", name, err, status)
		}
	}
	b := make([]byte, 2*blk.SectorSize)
	for what, at := range map[string]int64{"the sector before": -blk.SectorSize, "the last sector and one more": t.disk.Size() - blk.SectorSize, "behind the end": t.disk.Size()} {
		if err := t.disk.ReadAt(ctx, b, at); !errors.Is(err, blk.StatusRange) {
			return fmt.Errorf("reading %s: %v", what, err)
		}
	}
	return t.disk.ReadAt(ctx, b[:blk.SectorSize], t.disk.Size()-blk.SectorSize)
}

// blkErrors: a sector that cannot be read or written is an error of those who ask for it,
// and says which; everything beside it works.
func blkErrors(ctx context.Context, t *tester) error {
	b := make([]byte, badSize)
	err := t.disk.ReadAt(ctx, b, badAt)
	if err == nil {
		return errGoodDisk
	}
	if !errors.Is(err, blk.StatusIO) {
		return fmt.Errorf("reading bad sectors: %v", err)
	}
	last := int64(badAt + badSize - blk.SectorSize)
	for what, err := range map[string]error{
		"writing the last bad sector":             t.disk.WriteAt(ctx, b[:blk.SectorSize], last),
		"reading into the bad sectors":            t.disk.ReadAt(ctx, b[:2*blk.SectorSize], badAt-blk.SectorSize),
		"reading on from the last bad sector":     t.disk.ReadAt(ctx, b[:2*blk.SectorSize], last),
		"writing on from the one before the last": t.disk.WriteAt(ctx, b[:4*blk.SectorSize], last-blk.SectorSize),
	} {
		if !errors.Is(err, blk.StatusIO) {
			return fmt.Errorf("%s: %v", what, err)
		}
	}
	got := make([]byte, badSize)
	for _, at := range []int64{badAt - badSize, badAt + badSize} {
		pattern(b, uint64(at))
		if err := errors.Join(t.disk.WriteAt(ctx, b, at), t.disk.Flush(ctx), t.disk.ReadAt(ctx, got, at)); err != nil || !bytes.Equal(b, got) {
			return fmt.Errorf("beside bad sectors, at %d: %w", at, err)
		}
	}
	return nil
}

// pattern fills b with what the boot of that number writes.
func pattern(b []byte, boot uint64) {
	r := rand.NewChaCha8([32]byte{byte(boot), byte(boot >> 8), 1})
	r.Read(b)
}

// blkPersist: what the boot before wrote is there after a reset of the machine.
func blkPersist(ctx context.Context, t *tester) error {
	if t.boots == 0 {
		return errFirstBoot
	}
	got, want := make([]byte, legacy), make([]byte, legacy)
	pattern(want, t.boots)
	if err := t.disk.ReadAt(ctx, got, legacyAt); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("boot %d has left something else", t.boots)
	}
	return nil
}

// writers write at the same time.
const writers = 32

// blkWrite: many write, each its own place, and find what they wrote; then it is left for
// the next boot.
func blkWrite(ctx context.Context, t *tester) error {
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			n := blk.SectorSize << (i % 8) // from one sector to what one piece of memory holds
			b, got := make([]byte, n), make([]byte, n)
			pattern(b, uint64(1000+i))
			at := roomAt + int64(i)*blk.MaxMemory
			if errs[i] = errors.Join(t.disk.WriteAt(ctx, b, at), t.disk.Flush(ctx), t.disk.ReadAt(ctx, got, at)); errs[i] == nil && !bytes.Equal(b, got) {
				errs[i] = fmt.Errorf("%d bytes at %d are others", n, at)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b := make([]byte, legacy)
	pattern(b, t.boots+1)
	if err := errors.Join(t.disk.WriteAt(ctx, b, legacyAt), t.disk.Flush(ctx)); err != nil {
		return err
	}
	mark := binary.LittleEndian.AppendUint64(diskMark[:], t.boots+1)
	return errors.Join(t.disk.WriteAt(ctx, append(mark, make([]byte, blk.SectorSize-len(mark))...), markAt), t.disk.Flush(ctx))
}
