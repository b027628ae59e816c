// Package cutload is a service that writes to its partition of the disk and says what it
// may rely on, for a test that cuts the power (test/powercut). Several writers have two
// sectors each and write the number of the write to one and the other by turns, each
// with a flush behind it. After a cut the higher number of the two is the one of the last
// write that was acknowledged, or of the one after it: less means that a flush was no
// flush.
package cutload

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
)

const (
	partition = "test"
	writers   = 8
	firstAt   = 8 << 20 // behind what the self-test has
)

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	c, err := env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return err
	}
	d, err := blk.Open(ctx, c, partition)
	if err != nil {
		return err
	}
	var at [writers]uint64
	for w := range at {
		for turn := range uint64(2) {
			n, err := read(ctx, d, place(w, turn))
			if err != nil {
				return fmt.Errorf("writer %d: %w", w, err)
			}
			at[w] = max(at[w], n)
		}
		env.Say("cut: found %d %d", w, at[w])
	}
	env.Say("cut: start")
	errs := make(chan error)
	for w := range at {
		go func() {
			for n := at[w] + 1; ; n++ {
				if err := errors.Join(write(ctx, d, place(w, n%2), n), d.Flush(ctx)); err != nil {
					errs <- err
					return
				}
				env.Say("cut: acked %d %d", w, n)
			}
		}()
	}
	return <-errs
}

// place is where a writer writes in a turn.
func place(writer int, turn uint64) int64 {
	return firstAt + int64(2*writer+int(turn))*blk.SectorSize
}

// write fills a sector with a number.
func write(ctx context.Context, d *blk.Disk, at int64, n uint64) error {
	return d.WriteAt(ctx, bytes.Repeat(binary.LittleEndian.AppendUint64(nil, n), blk.SectorSize/8), at)
}

// read returns the number that a sector is filled with.
func read(ctx context.Context, d *blk.Disk, at int64) (uint64, error) {
	var b [blk.SectorSize]byte
	if err := d.ReadAt(ctx, b[:], at); err != nil {
		return 0, err
	}
	if !bytes.Equal(b[8:], b[:len(b)-8]) {
		return 0, fmt.Errorf("a torn sector: %x", b)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
