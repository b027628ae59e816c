//go:build !tamago

package blkd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
)

// What is written is at its place in the partition, on the disk after a flush, and read
// back, whole or in pieces, by many at a time.
func TestReadWrite(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		if d.Size() != 1000*sectorSize {
			t.Errorf("size %d", d.Size())
		}
		want := fill(600*sectorSize, 5) // more than the buffer
		if err := d.WriteAt(ctx, want, 300*sectorSize); err != nil {
			return err
		}
		if !bytes.Equal(m.content[500*sectorSize:1100*sectorSize], want) || bytes.Equal(m.durable[500*sectorSize:1100*sectorSize], want) {
			t.Error("not in its place, or flushed unasked")
		}
		if err := d.Flush(ctx); err != nil {
			return err
		}
		if !bytes.Equal(m.durable[500*sectorSize:1100*sectorSize], want) {
			t.Error("not flushed")
		}
		got := make([]byte, len(want))
		if err := d.ReadAt(ctx, got, 300*sectorSize); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read back: %v", err)
		}
		if err := d.Discard(ctx, 310*sectorSize, 5*sectorSize); err != nil || m.content[510*sectorSize] != 0xdd || m.content[515*sectorSize] == 0xdd {
			t.Errorf("discard: %v", err)
		}
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				at, b := int64(i*20*sectorSize), fill(20*sectorSize, byte(i))
				for range 20 {
					if err := d.WriteAt(ctx, b, at); err != nil {
						t.Error(err)
					}
					got := make([]byte, len(b))
					if err := d.ReadAt(ctx, got, at); err != nil || !bytes.Equal(got, b) {
						t.Errorf("client %d: %v", i, err)
					}
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(r.Console.Markers(), "blk: virtio-blk up") || m.acked == 0 {
		t.Errorf("%d interrupts acknowledged", m.acked)
	}
}

// As many requests as the device takes are under way at a time.
func TestInFlight(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.holds, m.most = true, 0
		m.mu.Unlock()
		var all sync.WaitGroup
		for i := range int64(minDepth) {
			all.Go(func() {
				if err := d.WriteAt(ctx, fill(sectorSize, byte(i)), i*sectorSize); err != nil {
					t.Error(err)
				}
			})
		}
		for n := 0; n < minDepth; {
			m.mu.Lock()
			n = m.most
			m.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		m.hold(false)
		m.release(nil)
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A service gets the partitions that the policy grants it, and no other.
func TestRejectOpen(t *testing.T) {
	r := boot(t, parted(t))
	for _, c := range []struct {
		who, what string
		want      error
	}{
		{"one", "keys", nil}, {"two", "state", nil}, {"one", "state", ipc.StatusDenied}, {"two", "keys", ipc.StatusDenied},
		{"three", "keys", ipc.StatusDenied}, {"three", "shared", ipc.StatusDenied}, {"one", "none", ipc.StatusNotFound},
		{"one", "", ipc.StatusNotFound}, {"one", "Odd name", ipc.StatusNotFound}, {"one", strings.Repeat("x", 100), ipc.StatusNotFound},
		{"one", "shared", nil}, {"two", "shared", ipc.StatusUnavailable}, {"one", "shared", nil},
	} {
		err := r.tell(c.who, func(ctx context.Context, env *svc.Env) error {
			_, err := open(ctx, env, c.what)
			return err
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s opens %q: %v, want %v", c.who, c.what, err, c.want)
		}
	}
}

// Nothing reaches the device that is not inside of the partition and the buffer.
func TestRejectRequest(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("one", func(ctx context.Context, env *svc.Env) error {
		p, err := raw(ctx, env, "keys") // 100 sectors
		if err != nil {
			return err
		}
		before := bytes.Clone(m.content)
		const last = blk.BufferSize - sectorSize
		for _, c := range []struct {
			op   uint16
			t    blk.Transfer
			want error
		}{
			{blk.OpRead, blk.Transfer{Sector: 99, Count: 1, Offset: last}, nil},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 100}, nil},
			{blk.OpRead, blk.Transfer{Sector: 100, Count: 1}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 99, Count: 2}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 101}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 1<<64 - 40, Count: 41}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 1 << 63, Count: 1}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 1<<32 - 1}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 0}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 1, Offset: 1}, blk.StatusAlign},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 1, Offset: blk.BufferSize}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 2, Offset: last}, blk.StatusRange},
			{blk.OpRead, blk.Transfer{Sector: 0, Count: 1, Offset: 1<<32 - sectorSize}, blk.StatusRange},
			{blk.OpWrite, blk.Transfer{Sector: 100, Count: 1}, blk.StatusRange},
			{blk.OpWrite, blk.Transfer{Sector: 0, Count: 1, Offset: blk.BufferSize}, blk.StatusRange},
			{blk.OpDiscard, blk.Transfer{Sector: 100, Count: 1}, blk.StatusRange},
			{blk.OpDiscard, blk.Transfer{Sector: 99, Count: 2}, blk.StatusRange},
			{blk.OpDiscard, blk.Transfer{Sector: 0, Count: 1, Offset: 512}, ipc.StatusInvalidArgs},
		} {
			if _, err := p.Call(ctx, c.op, c.t.Append(nil), nil); !errors.Is(err, c.want) {
				t.Errorf("operation %d of %+v: %v, want %v", c.op, c.t, err, c.want)
			}
		}
		for op, payload := range map[uint16][]byte{blk.OpRead: make([]byte, 15), blk.OpWrite: make([]byte, 17), blk.OpFlush: {1}, blk.OpDrain: {1}, blk.OpDiscard: nil} {
			if _, err := p.Call(ctx, op, payload, nil); !errors.Is(err, ipc.StatusMalformed) {
				t.Errorf("operation %d with %d bytes: %v", op, len(payload), err)
			}
		}
		for _, op := range []uint16{0, blk.OpOpen, 99} {
			if _, err := p.Call(ctx, op, nil, nil); !errors.Is(err, ipc.StatusUnsupported) {
				t.Errorf("operation %d: %v", op, err)
			}
		}
		if !bytes.Equal(before, m.content) {
			t.Error("something was written")
		}
		// One buffer, and whoever opens again ends what was.
		if _, err := p.Call(ctx, blk.OpBuffer, nil, nil); err != nil {
			t.Error(err)
		}
		if _, err := p.Call(ctx, blk.OpBuffer, nil, nil); !errors.Is(err, ipc.StatusInvalidArgs) {
			t.Errorf("a second buffer: %v", err)
		}
		if _, err := raw(ctx, env, "keys"); err != nil {
			t.Error(err)
		}
		for _, op := range []uint16{blk.OpFlush, blk.OpBuffer, blk.OpDrain} {
			if _, err := p.Call(ctx, op, nil, nil); !errors.Is(err, blk.StatusStale) {
				t.Errorf("operation %d of what was: %v", op, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Errors of the device, a disk that cannot be written, and one without a cache.
func TestDeviceErrors(t *testing.T) {
	m := parted(t)
	m.features = m.features&^(featureFlush|featureDiscard) | featureReadOnly
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.refuse = func(kind uint32, sector uint64) byte {
			if sector == 202 {
				return deviceIOError
			}
			return deviceOK
		}
		m.mu.Unlock()
		b := make([]byte, sectorSize)
		for _, c := range []struct {
			what string
			err  error
			want error
		}{
			{"a bad sector", d.ReadAt(ctx, b, 2*sectorSize), blk.StatusIO},
			{"the next one", d.ReadAt(ctx, b, 3*sectorSize), nil},
			{"a write", d.WriteAt(ctx, b, 0), blk.StatusReadOnly},
			{"a flush", d.Flush(ctx), nil},
			{"a discard", d.Discard(ctx, 0, sectorSize), blk.StatusUnsupported},
			{"half a sector", d.ReadAt(ctx, b[:100], 0), blk.StatusAlign},
			{"between sectors", d.ReadAt(ctx, b, 100), blk.StatusAlign},
			{"past the end", d.ReadAt(ctx, b, 1000*sectorSize), blk.StatusRange},
			{"before the start", d.ReadAt(ctx, b, -sectorSize), blk.StatusRange},
			{"nothing", d.ReadAt(ctx, nil, 0), nil},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
			}
		}
		if m.flushes != 0 {
			t.Error("a device without a cache was flushed")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A deadline ends a call, and the memory of the buffer is given to nobody else until the
// device is done with it.
func TestDeadline(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		m.hold(true)
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		for range blk.BufferSize / blk.MaxMemory {
			all.Go(func() {
				if err := d.ReadAt(short, make([]byte, blk.MaxMemory), 0); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a read that the device holds: %v", err)
				}
			})
		}
		all.Wait()
		// All of the buffer is in the hands of the device.
		soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := d.Memory(soon, sectorSize); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("memory that the device writes to is given out: %v", err)
		}
		m.hold(false)
		m.release(nil)
		got, want := make([]byte, sectorSize), fill(sectorSize, 3)
		if err := errors.Join(d.WriteAt(ctx, want, 0), d.ReadAt(ctx, got, 0)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("afterwards: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who is started again has its partition, when the device is done with what the one
// before had asked for, and finds nothing of that in the buffer.
func TestTakeover(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		m.hold(true)
		go d.WriteAt(ctx, fill(sectorSize, 77), 0)
		for n := 0; n == 0; {
			m.mu.Lock()
			n = len(m.held)
			m.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		return svc.Exit(3)
	})
	if exit := svc.Exit(0); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	err = r.tell("two", func(ctx context.Context, env *svc.Env) error {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := open(soon, env, "state"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("given on while the device writes from it: %v", err)
		}
		m.hold(false)
		m.release(nil)
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		mem, err := d.Memory(ctx, blk.MaxMemory)
		if err != nil {
			return err
		}
		if !bytes.Equal(mem.Bytes, make([]byte, blk.MaxMemory)) {
			t.Error("something is left in the buffer")
		}
		mem.Release()
		got := make([]byte, sectorSize)
		if err := d.ReadAt(ctx, got, 0); err != nil || !bytes.Equal(got, fill(sectorSize, 77)) {
			t.Errorf("what was under way: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A device that breaks its protocol ends blkd; the next one resets it and goes on.
func TestBrokenDevice(t *testing.T) {
	m := parted(t)
	r := boot(t, m)
	err := r.tell("two", func(ctx context.Context, env *svc.Env) error {
		d, err := open(ctx, env, "state")
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.lie = func(id, n uint32, s byte) (uint32, uint32, byte) { m.lie = nil; return id, n + 7, s }
		m.mu.Unlock()
		if err := d.Flush(ctx); !errors.Is(err, blk.StatusBroken) && !errors.Is(err, ipc.ErrClosed) {
			t.Errorf("a flush that the device lied about: %v", err)
		}
		for err = errors.New("first"); err != nil; { // blkd ends in its own time
			err = d.Flush(ctx)
			if errors.Is(err, ipc.ErrClosed) {
				break
			}
		}
		d, err = open(ctx, env, "state")
		for errors.Is(err, ipc.ErrClosed) || errors.Is(err, ipc.StatusUnavailable) {
			d, err = open(ctx, env, "state")
		}
		if err != nil {
			return fmt.Errorf("open again: %w", err)
		}
		return d.Flush(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Without a disk, and with one of no use, blkd says so and the system is up.
func TestRejectNoDisk(t *testing.T) {
	zeroes, bad := newModel(t, tableTest), parted(t)
	bad.refuse = func(uint32, uint64) byte { return deviceIOError }
	for name, c := range map[string]struct {
		m    *model
		said string
	}{
		"a device without the features": {nil, "blkd: no disk: virtio: features"},
		"no table":                      {zeroes, "blkd: no disk: blkd: no partition table"},
		"a table that cannot be read":   {bad, "blkd: no disk: sectors cannot be read: 34 at 0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, c.m)
			err := r.tell("one", func(ctx context.Context, env *svc.Env) error {
				_, err := open(ctx, env, "keys")
				return err
			})
			if !errors.Is(err, blk.StatusNoDisk) {
				t.Errorf("open: %v", err)
			}
			if !slices.ContainsFunc(r.Console.Lines(), func(l string) bool { return strings.HasPrefix(l, c.said) }) || slices.Contains(r.Console.Lines(), "blk: virtio-blk up") {
				t.Error("it does not say so")
			}
		})
	}
}

// FuzzRequest: what is let through is inside of the partition and of its buffer.
func FuzzRequest(f *testing.F) {
	for _, t := range []blk.Transfer{{Sector: 99, Count: 1}, {Count: 100, Offset: 512}, {Sector: 1<<64 - 1, Count: 2}} {
		f.Add(uint16(blk.OpRead), t.Append(nil))
		f.Add(uint16(blk.OpDiscard), t.Append(nil))
	}
	f.Fuzz(func(t *testing.T, op uint16, payload []byte) {
		const at = 1 << 32
		op = blk.OpRead + op%4
		v := &volume{partition: partition{"x", 40, 100}, buffer: memory{address: at}}
		d := &disk{maxSectors: 64, maxDiscard: 80, readOnly: len(payload)%2 == 1}
		var r request
		if prepare(v, d, op, payload, &r) != ipc.StatusOK || op == blk.OpFlush {
			return
		}
		if r.count == 0 || r.sector < 40 || r.sector > 139 || uint64(r.count) > 140-r.sector {
			t.Fatalf("operation %d reaches %d sectors at %d", op, r.count, r.sector)
		}
		if op == blk.OpDiscard {
			return
		}
		if n := uint64(r.count) * sectorSize; r.count > 64 || r.address < at || r.address > at+blk.BufferSize || n > at+blk.BufferSize-r.address {
			t.Fatalf("operation %d reaches %d bytes of the buffer at %#x", op, n, r.address)
		}
	})
}
