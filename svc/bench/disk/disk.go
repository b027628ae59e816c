// Package disk is a service that measures the disk and what is kept there, in a system that is up. Its figures
// are instructions of all processes and of the kernel, without the time in which the hart
// waits for the disk. It is not in the binary of the other benchmarks: there each service
// more costs the start of every process.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
)

// partition is the one that the benchmarks have.
const partition = "test"

// size is how many bytes an operation moves.
const size = 4096

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	kernel, _, err := env.Control.Spawner(ctx)
	if err != nil {
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
	m, err := d.Memory(ctx, size)
	if err != nil {
		return err
	}
	keep := newKeeper(env)
	copy(m.Bytes, bytes.Repeat([]byte{0xa5}, size))
	if err := errors.Join(m.Write(ctx, 0), d.Flush(ctx)); err != nil {
		return err
	}
	for range 1000 {
		// Meanwhile the services that have just started give memory back: that is no cost
		// of what is measured.
		if err := m.Read(ctx, 0); err != nil {
			return err
		}
	}
	for _, b := range []struct {
		name string
		n    int
		op   func() error
	}{
		{"blk_read_4k", 1000, func() error {
			m.Bytes[0], m.Bytes[size-1] = 0, 0
			if err := m.Read(ctx, 0); err != nil {
				return err
			}
			if m.Bytes[0] != 0xa5 || m.Bytes[size-1] != 0xa5 {
				return errors.New("other bytes were read")
			}
			return nil
		}},
		{"blk_write_flush_4k", 500, func() error {
			if err := m.Write(ctx, 0); err != nil {
				return err
			}
			return d.Flush(ctx)
		}},
		{"state_put_256", 500, keep.put},
		{"state_get_256", 1000, keep.get},
	} {
		insns, err := measure(env, kernel, b.n, b.op)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		env.Say("bench: %s %d insns", b.name, insns)
	}
	return nil
}

// measure returns what one of n operations costs.
func measure(env *svc.Env, kernel ipc.Spawner, n int, op func() error) (int64, error) {
	from := int64(0)
	for i := range 10 + n { // the first ten for what happens only once
		if i == 10 {
			var err error
			if from, err = busy(env, kernel); err != nil {
				return 0, err
			}
		}
		if err := op(); err != nil {
			return 0, err
		}
	}
	to, err := busy(env, kernel)
	return (to - from) / int64(n), err
}

// busy returns for how many nanoseconds the hart had something to do, which under -icount
// are instructions.
func busy(env *svc.Env, kernel ipc.Spawner) (int64, error) {
	info, err := kernel.SystemInfo()
	return env.Process.Now() - info.IdleNS, err
}
