package blk

import (
	"context"
	"errors"
	"math/bits"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nexus.internal/svc/statefs"
)

var _ statefs.Block = Block{}

// Pieces of the buffer that are given out at a time have no byte in common, and are as
// long as what was asked for.
func TestMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := &Disk{mem: make([]byte, BufferSize)}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody waits here
		var out []Memory
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(out) > 0 && rapid.Bool().Draw(rt, "release") {
				i := rapid.IntRange(0, len(out)-1).Draw(rt, "which")
				out[i].Release()
				out = append(out[:i], out[i+1:]...)
				continue
			}
			n := rapid.IntRange(1, MaxMemory/SectorSize).Draw(rt, "sectors") * SectorSize
			m, err := d.Memory(ctx, n)
			if err != nil {
				if k := (n + unit - 1) / unit; run(^d.used, k) < 64 {
					rt.Fatalf("%d bytes: %v, with %b in use", n, err, d.used)
				}
				continue
			}
			if len(m.Bytes) != n || cap(m.Bytes) != n || &m.Bytes[0] != &d.mem[m.at] || bits.OnesCount64(m.units)*unit < n {
				rt.Fatalf("%d bytes are %+v", n, m)
			}
			for _, o := range out {
				if o.units&m.units != 0 || m.at < o.at+uint32(len(o.Bytes)) && o.at < m.at+uint32(n) {
					rt.Fatalf("%d at %d and %d at %d", n, m.at, len(o.Bytes), o.at)
				}
			}
			out = append(out, m)
		}
		for _, m := range out {
			m.Release()
		}
		if d.used != 0 {
			rt.Fatalf("%b are left in use", d.used)
		}
	})
}

// Who waits for memory gets it in its turn, and who gives up takes none.
func TestMemoryWaits(t *testing.T) {
	d := &Disk{mem: make([]byte, BufferSize)}
	ctx := context.Background()
	var all []Memory
	for range BufferSize / MaxMemory {
		m, err := d.Memory(ctx, MaxMemory)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	waiting := func(n int) {
		for {
			d.mu.Lock()
			there := len(d.waits)
			d.mu.Unlock()
			if there == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	soon, cancel := context.WithCancel(ctx)
	gaveUp := make(chan error)
	go func() { _, err := d.Memory(soon, SectorSize); gaveUp <- err }()
	waiting(1)
	order := make(chan int, 2)
	for i, n := range []int{MaxMemory, SectorSize} {
		go func() {
			if _, err := d.Memory(ctx, n); err != nil {
				t.Error(err)
			}
			order <- i
		}()
		waiting(i + 2)
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	all[0].Release()
	if first := <-order; first != 0 {
		t.Error("who came later was first")
	}
	all[1].Release()
	<-order
}

func TestRejectMemory(t *testing.T) {
	d := &Disk{mem: make([]byte, BufferSize)}
	for n, want := range map[int]error{0: StatusAlign, -SectorSize: StatusAlign, 100: StatusAlign, MaxMemory + SectorSize: StatusRange} {
		if _, err := d.Memory(context.Background(), n); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestInfo(t *testing.T) {
	for _, i := range []Info{{}, {1 << 40, 512, 0, true}, {5, 6, 7, false}} {
		var got Info
		if b := i.Append(nil); !got.Decode(b) || got != i || got.Decode(b[1:]) || got.Decode(append(b, 0)) {
			t.Errorf("%+v is %+v", i, got)
		}
	}
	if (&Info{}).Decode(append((&Info{}).Append(nil)[:16], 2)) {
		t.Error("a third kind of disk")
	}
}

func FuzzTransfer(f *testing.F) {
	f.Add((&Transfer{1, 2, 3}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Transfer
		if ok := r.Decode(b); ok != (len(b) == transferBytes) || ok && string(r.Append(nil)) != string(b) {
			t.Fatalf("%x is %+v", b, r)
		}
	})
}
