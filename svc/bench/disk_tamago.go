//go:build tamago && riscv64

package bench

import (
	"bytes"
	"context"
	"errors"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/raw"
)

// partition is the one that the benchmarks of the disk have.
const partition = "test"

// Disk is a service that measures the disk, in a system that is up. Its figures are
// instructions of all processes and of the kernel, without the time in which the hart
// waits for the disk.
func Disk(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	right, _, err := env.Control.Spawner(ctx)
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
	const n = 4096
	m, err := d.Memory(ctx, n)
	if err != nil {
		return err
	}
	spawnCap = right.Handle()
	pattern := bytes.Repeat([]byte{0xa5}, n)
	copy(m.Bytes, pattern)
	if err := errors.Join(m.Write(ctx, 0), d.Flush(ctx)); err != nil {
		return err
	}
	ctx = context.Background()
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	measureBusy("blk_read_4k", 1000, func() {
		m.Bytes[0], m.Bytes[n-1] = 0, 0
		must(m.Read(ctx, 0))
		if m.Bytes[0] != 0xa5 || m.Bytes[n-1] != 0xa5 {
			panic("bench: other bytes were read")
		}
	})
	measureBusy("blk_write_flush_4k", 500, func() {
		must(m.Write(ctx, 0))
		must(d.Flush(ctx))
	})
	return nil
}

// measureBusy reports what one of n operations costs without the time in which the hart
// has nothing to do.
func measureBusy(name string, n int, op func()) {
	for range 10 { // what happens only once
		op()
	}
	idle, from := rawIdle(uint64(spawnCap)), raw.Ticks()
	for range n {
		op()
	}
	to, idle2 := raw.Ticks(), rawIdle(uint64(spawnCap))
	report(name, ((to-from)*tickNS-(idle2-idle))/uint64(n))
}
