package mem_test

import (
	"testing"

	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"pgregory.net/rapid"
)

func TestTakeRun(t *testing.T) {
	p := memtest.Pool(t, 64)
	total := p.Total()
	var a, b mem.Account
	p.Open(&a, total-4)
	p.Open(&b, 4)
	top := memtest.Base + 64*frame
	run, ok := p.TakeRun(&a, 8, 1)
	if !ok || run != top-8*frame || a.Used() != 8 {
		t.Fatalf("run at %#x %v, used %d; want the highest 8 frames", uint64(run), ok, a.Used())
	}
	counts(t, p, total-8, 0)
	aligned, ok := p.TakeRun(&a, 4, 16)
	if !ok || aligned/frame%16 != 0 {
		t.Fatalf("aligned run at %#x %v", uint64(aligned), ok)
	}
	// Nobody gets a frame of them.
	seen := map[mem.PA]bool{}
	for _, from := range []*mem.Account{&a, &b} {
		for pa, ok := p.Take(from); ok; pa, ok = p.Take(from) {
			if pa >= run || pa >= aligned && pa < aligned+4*frame || seen[pa] {
				t.Fatalf("frame %#x was given out twice", uint64(pa))
			}
			seen[pa] = true
		}
	}
	counts(t, p, 0, 0)
	for i := range mem.PA(8) {
		p.Give(&a, run+(7-i)*frame)
	}
	for i := range mem.PA(4) {
		p.Give(&a, aligned+i*frame)
	}
	counts(t, p, 12, 0)
	if again, ok := p.TakeRun(&a, 8, 1); !ok || again != run {
		t.Errorf("the run cannot be had again: %#x %v", uint64(again), ok)
	}
}

func TestRejectTakeRun(t *testing.T) {
	p := memtest.Pool(t, 64)
	var a, closed mem.Account
	p.Open(&a, 32)
	for _, c := range []struct {
		name     string
		a        *mem.Account
		n, align int
	}{
		{"none", &a, 0, 1},
		{"negative", &a, -1, 1},
		{"no alignment", &a, 1, 0},
		{"negative alignment", &a, 1, -1},
		{"no power of two", &a, 1, 3},
		{"over the budget", &a, 33, 1},
		{"far over the budget", &a, 1 << 40, 1},
		{"closed account", &closed, 1, 1},
		{"aligned beyond the pool", &a, 1, 1 << 30},
	} {
		if pa, ok := p.TakeRun(c.a, c.n, c.align); ok {
			t.Errorf("%s: %#x", c.name, uint64(pa))
		}
		if c.a.Used() != 0 {
			t.Errorf("%s: %d frames charged", c.name, c.a.Used())
		}
		counts(t, p, p.Total(), p.Total()-32)
	}
	// Spent, in part.
	for range 20 {
		p.Take(&a)
	}
	if _, ok := p.TakeRun(&a, 13, 1); ok {
		t.Error("13 frames of 12")
	}
	if _, ok := p.TakeRun(&a, 12, 1); !ok {
		t.Error("no 12 frames of 12")
	}
}

// Fragmentation: a budget does not promise that frames lie together. What broke
// the memory up heals when it comes back.
func TestRunFragmentation(t *testing.T) {
	p := memtest.Pool(t, 64)
	total := p.Total()
	var a, b mem.Account
	p.Open(&a, total-16)
	p.Open(&b, 16)
	var held []mem.PA
	for range total - 16 {
		pa, _ := p.Take(&a)
		held = append(held, pa)
	}
	for i := 0; i < len(held); i += 2 {
		p.Give(&a, held[i])
	}
	p.TakeRun(&b, 16, 1) // what nobody had touched
	// Half of the frames are free, and none beside another.
	for n := 2; n <= 16; n *= 2 {
		if pa, ok := p.TakeRun(&a, n, 1); ok {
			t.Fatalf("%d frames at %#x", n, uint64(pa))
		}
	}
	if _, ok := p.TakeRun(&a, 1, 1); !ok {
		t.Fatal("not even one")
	}
	for i := 1; i < len(held); i += 2 {
		p.Give(&a, held[i])
	}
	if _, ok := p.TakeRun(&a, 20, 1); !ok {
		t.Error("memory did not heal")
	}
}

// TestRunModel takes and gives runs and single frames at random, in pools with a
// hole, against a map of who has what. A run is found if and only if there is one.
func TestRunModel(t *testing.T) {
	r := memtest.Arena(t, 96)
	rapid.Check(t, func(t *rapid.T) {
		hole := mem.PA(rapid.IntRange(0, 40).Draw(t, "hole")) * frame
		ranges := []mem.Range{{Start: r.Start, End: r.Start + 40*frame}, {Start: r.Start + 41*frame + hole, End: r.End}}
		p, err := mem.NewPool(ranges)
		if err != nil {
			t.Fatal(err)
		}
		free := map[mem.PA]bool{}
		for i, rg := range ranges {
			for pa := rg.Start; pa < rg.End; pa += frame {
				free[pa] = true
			}
			if i == 0 {
				delete(free, rg.Start) // its tables
			}
		}
		if len(free) != p.Total() {
			t.Fatalf("%d frames, pool says %d", len(free), p.Total())
		}
		var a mem.Account
		p.Open(&a, p.Total()-5)
		var held []mem.PA
		t.Repeat(map[string]func(*rapid.T){
			"run": func(t *rapid.T) {
				n, align := rapid.IntRange(1, 24).Draw(t, "n"), 1<<rapid.IntRange(0, 4).Draw(t, "align")
				want := false
				if n <= a.Limit()-a.Used() {
					for pa := range free {
						fits := pa/frame%mem.PA(align) == 0
						for i := range mem.PA(n) {
							fits = fits && free[pa+i*frame]
						}
						want = want || fits
					}
				}
				pa, ok := p.TakeRun(&a, n, align)
				if ok != want {
					t.Fatalf("run of %d: %v, want %v", n, ok, want)
				}
				if !ok {
					return
				}
				if pa/frame%mem.PA(align) != 0 {
					t.Fatalf("%#x is not aligned to %d frames", uint64(pa), align)
				}
				for i := range mem.PA(n) {
					if !free[pa+i*frame] {
						t.Fatalf("frame %d of the run at %#x is not free", i, uint64(pa))
					}
					delete(free, pa+i*frame)
					held = append(held, pa+i*frame)
				}
			},
			"take": func(t *rapid.T) {
				pa, ok := p.Take(&a)
				if ok != (a.Used() <= a.Limit() && len(held) < a.Limit()) {
					t.Fatalf("take: %v with %d of %d", ok, len(held), a.Limit())
				}
				if !ok {
					return
				}
				if !free[pa] {
					t.Fatalf("%#x is not free", uint64(pa))
				}
				delete(free, pa)
				held = append(held, pa)
			},
			"give": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				p.Give(&a, held[i])
				free[held[i]] = true
				held = append(held[:i], held[i+1:]...)
			},
			"": func(t *rapid.T) {
				if p.Free() != len(free) || a.Used() != len(held) {
					t.Fatalf("free %d, want %d; used %d, want %d", p.Free(), len(free), a.Used(), len(held))
				}
			},
		})
	})
}

func TestRunNoAllocation(t *testing.T) {
	p := memtest.Pool(t, 64)
	var a mem.Account
	p.Open(&a, 10)
	n := testing.AllocsPerRun(100, func() {
		pa, _ := p.TakeRun(&a, 4, 1)
		for i := range mem.PA(4) {
			p.Give(&a, pa+i*frame)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
