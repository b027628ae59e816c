package mem_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"pgregory.net/rapid"
)

const frame = mem.FrameSize

// mustPanic runs f, which must panic.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// counts checks what p says about itself.
func counts(t *testing.T, p *mem.Pool, free, unreserved int) {
	t.Helper()
	if p.Free() != free || p.Unreserved() != unreserved {
		t.Fatalf("free %d, unreserved %d; want %d, %d", p.Free(), p.Unreserved(), free, unreserved)
	}
}

func TestRejectRanges(t *testing.T) {
	r := memtest.Arena(t, 64)
	at := func(first, last int) mem.Range {
		return mem.Range{Start: r.Start + mem.PA(first*frame), End: r.Start + mem.PA(last*frame)}
	}
	for _, c := range []struct {
		name   string
		ranges []mem.Range
		want   error
	}{
		{"none", nil, mem.ErrNoRange},
		{"empty", []mem.Range{at(3, 3)}, mem.ErrEmpty},
		{"backwards", []mem.Range{at(4, 3)}, mem.ErrEmpty},
		{"unaligned start", []mem.Range{{r.Start + 8, r.End}}, mem.ErrUnaligned},
		{"unaligned end", []mem.Range{{r.Start, r.End - 1}}, mem.ErrUnaligned},
		{"frame 0", []mem.Range{{0, r.End}}, mem.ErrAddress},
		{"beyond the frame numbers", []mem.Range{at(0, 8), {1<<56 - frame, 1<<56 + frame}}, mem.ErrAddress},
		{"descending", []mem.Range{at(8, 16), at(0, 8)}, mem.ErrOrder},
		{"overlapping", []mem.Range{at(0, 9), at(8, 16)}, mem.ErrOrder},
		{"twice", []mem.Range{at(0, 8), at(0, 8)}, mem.ErrOrder},
		{"too far apart", []mem.Range{at(0, 8), {1<<56 - frame, 1 << 56}}, mem.ErrSpread},
		{"no room for tables", []mem.Range{at(0, 1), at(1, 64)}, mem.ErrTooSmall},
		{"no room for the bits of a hole", []mem.Range{at(0, 8), {1 << 40, 1<<40 + frame}}, mem.ErrTooSmall},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := mem.NewPool(c.ranges); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestPoolHandsOutItsRanges takes every frame of a pool with a hole and a seam
// and compares them with the ranges.
func TestPoolHandsOutItsRanges(t *testing.T) {
	r := memtest.Arena(t, 300)
	at := func(n int) mem.PA { return r.Start + mem.PA(n*frame) }
	for i, dirt := 0, mem.Bytes(r.Start, 300*frame); i < len(dirt); i++ {
		dirt[i] = 0xff // memory holds anything at power-on
	}
	p, err := mem.NewPool([]mem.Range{{at(1), at(100)}, {at(100), at(120)}, {at(290), at(300)}})
	if err != nil {
		t.Fatal(err)
	}
	const tables = 1 // of 129 frames: 516 bytes, and 40 of bits
	want := []mem.PA{}
	for n := 1 + tables; n < 120; n++ {
		want = append(want, at(n))
	}
	for n := 290; n < 300; n++ {
		want = append(want, at(n))
	}
	if p.Total() != len(want) {
		t.Fatalf("total %d, want %d", p.Total(), len(want))
	}
	var a mem.Account
	if !p.Open(&a, len(want)) {
		t.Fatal("whole pool not available")
	}
	for i, w := range want {
		pa, ok := p.Take(&a)
		if !ok || pa != w {
			t.Fatalf("frame %d: %#x %v, want %#x", i, uint64(pa), ok, uint64(w))
		}
		b := mem.Bytes(pa, frame) // the pool's tables must survive this
		for j := range b {
			b[j] = 0xa5
		}
	}
	if pa, ok := p.Take(&a); ok {
		t.Fatalf("took %#x beyond the last frame", uint64(pa))
	}
	counts(t, p, 0, 0)
	for n := range 300 {
		if pa := at(n); !slices.Contains(want, pa) {
			mustPanic(t, "frame in a hole or of the tables", func() { p.Give(&a, pa) })
		}
	}
	for _, pa := range want {
		p.Give(&a, pa)
	}
	p.Close(&a)
	counts(t, p, len(want), len(want))
}

func TestAccountLife(t *testing.T) {
	p := memtest.Pool(t, 33)
	total := p.Total()
	var a, b mem.Account
	if _, ok := p.Take(&a); ok {
		t.Fatal("took a frame with a closed account")
	}
	if !p.Open(&a, 20) {
		t.Fatal("20 frames not available")
	}
	counts(t, p, total, total-20)
	if a.Limit() != 20 || a.Used() != 0 {
		t.Fatalf("limit %d, used %d", a.Limit(), a.Used())
	}

	// A budget is a claim: b gets what is left, although a has taken nothing.
	if p.Open(&b, total-19) {
		t.Fatal("opened more than is unreserved")
	}
	if !p.Open(&b, total-20) {
		t.Fatal("the rest is not available")
	}
	counts(t, p, total, 0)

	var pas []mem.PA
	for range 5 {
		pa, ok := p.Take(&a)
		if !ok {
			t.Fatal("frame within the budget not available")
		}
		pas = append(pas, pa)
	}
	counts(t, p, total-5, 0)
	p.Give(&a, pas[0]) // still reserved for a
	counts(t, p, total-4, 0)
	if a.Used() != 4 {
		t.Fatalf("used %d, want 4", a.Used())
	}

	p.Close(&a)
	p.Close(&a)
	counts(t, p, total-4, 16)
	if _, ok := p.Take(&a); ok {
		t.Fatal("took a frame after close")
	}
	mustPanic(t, "open with frames of the last life", func() { p.Open(&a, 1) })
	for i, pa := range pas[1:] {
		p.Give(&a, pa)
		counts(t, p, total-3+i, 17+i)
	}
	if !p.Open(&a, 20) {
		t.Fatal("cannot open again")
	}
	mustPanic(t, "open twice", func() { p.Open(&a, 1) })
}

func TestMove(t *testing.T) {
	p := memtest.Pool(t, 40)
	total := p.Total()
	var a, b mem.Account
	p.Open(&a, 10)
	pa, _ := p.Take(&a)
	for _, n := range []int{-1, 10, 1 << 40} {
		if p.Move(&a, &b, n) || p.Move(&b, &a, max(n, 1)) {
			t.Errorf("moved %d frames", n)
		}
	}
	if !p.Move(&a, &b, 9) || a.Limit() != 1 || b.Limit() != 9 {
		t.Fatalf("limits %d and %d, want 1 and 9", a.Limit(), b.Limit())
	}
	counts(t, p, total-1, total-10)
	if _, ok := p.Take(&a); ok {
		t.Error("took a frame beyond what is left")
	}
	pb, ok := p.Take(&b)
	if !ok {
		t.Fatal("took no frame of the moved budget")
	}
	p.Close(&a)
	if p.Move(&a, &b, 1) {
		t.Error("moved budget of a closed account")
	}
	mustPanic(t, "move to a closed account in use", func() { p.Move(&b, &a, 1) })
	p.Give(&a, pa)
	counts(t, p, total-1, total-9)
	p.Give(&b, pb)
	if !p.Move(&b, &a, 9) || b.Limit() != 0 || a.Limit() != 9 {
		t.Fatalf("limits %d and %d, want 9 and 0", a.Limit(), b.Limit())
	}
	p.Close(&a)
	p.Close(&b)
	counts(t, p, total, total)
}

func TestRejectOpen(t *testing.T) {
	p := memtest.Pool(t, 16)
	for _, n := range []int{0, -1, -1 << 40, p.Total() + 1, 1 << 40} {
		var a mem.Account
		if p.Open(&a, n) {
			t.Errorf("opened a budget of %d frames", n)
		}
		if a.Limit() != 0 || p.Unreserved() != p.Total() {
			t.Errorf("a refused budget of %d left a trace", n)
		}
	}
}

func TestRejectGive(t *testing.T) {
	p := memtest.Pool(t, 64)
	var a, empty mem.Account
	if !p.Open(&a, 8) || !p.Open(&empty, 8) {
		t.Fatal("open")
	}
	pa, _ := p.Take(&a)
	keep, _ := p.Take(&a)
	p.Give(&a, pa)
	for _, c := range []struct {
		name string
		a    *mem.Account
		pa   mem.PA
	}{
		{"twice", &a, pa},
		{"never taken", &a, memtest.Base + 40*frame},
		{"inside a frame", &a, keep + 8},
		{"tables of the pool", &a, memtest.Base},
		{"below the pool", &a, memtest.Base - frame},
		{"above the pool", &a, memtest.Base + 64*frame},
		{"none", &a, 0},
		{"far away", &a, ^mem.PA(0) &^ (frame - 1)},
		{"account without frames", &empty, keep},
	} {
		free, used := p.Free(), c.a.Used()
		mustPanic(t, c.name, func() { p.Give(c.a, c.pa) })
		if p.Free() != free || c.a.Used() != used {
			t.Errorf("%s: refused frame changed a count", c.name)
		}
	}
}

// TestPoolModel drives several accounts at random and compares with a model
// that counts in the open. An action that does not apply does nothing: it must not
// skip, because the library ends a sequence that skips often.
func TestPoolModel(t *testing.T) {
	r := memtest.Arena(t, 80)
	rapid.Check(t, func(t *rapid.T) {
		hole := mem.PA(rapid.IntRange(0, 70).Draw(t, "hole")) * frame
		p, err := mem.NewPool([]mem.Range{{r.Start, r.Start + 4*frame}, {r.Start + 5*frame + hole, r.End}})
		if err != nil {
			t.Fatal(err)
		}
		var accounts [4]struct {
			mem.Account
			open bool
			left int // may still be taken
			held []mem.PA
		}
		owner := map[mem.PA]int{}
		pick := rapid.IntRange(0, len(accounts)-1)
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				a := &accounts[pick.Draw(t, "account")]
				if a.open || len(a.held) > 0 {
					return
				}
				n := rapid.IntRange(-1, 40).Draw(t, "frames")
				want := n > 0 && n <= p.Unreserved()
				if got := p.Open(&a.Account, n); got != want {
					t.Fatalf("open %d of %d: %v", n, p.Unreserved(), got)
				}
				if want {
					a.open, a.left = true, n
				}
			},
			"take": func(t *rapid.T) {
				i := pick.Draw(t, "account")
				a := &accounts[i]
				pa, ok := p.Take(&a.Account)
				if ok != (a.left > 0) {
					t.Fatalf("take with %d left: %v", a.left, ok)
				}
				if !ok {
					return
				}
				if o, held := owner[pa]; held {
					t.Fatalf("%#x belongs to %d", uint64(pa), o)
				}
				owner[pa] = i
				a.left--
				a.held = append(a.held, pa)
			},
			"give": func(t *rapid.T) {
				a := &accounts[pick.Draw(t, "account")]
				if len(a.held) == 0 {
					return
				}
				i := rapid.IntRange(0, len(a.held)-1).Draw(t, "which")
				pa := a.held[i]
				p.Give(&a.Account, pa)
				delete(owner, pa)
				a.held = append(a.held[:i], a.held[i+1:]...)
				if a.open {
					a.left++
				}
			},
			"move": func(t *rapid.T) {
				from, to := &accounts[pick.Draw(t, "from")], &accounts[pick.Draw(t, "to")]
				if !to.open && len(to.held) > 0 {
					return
				}
				n := rapid.IntRange(-1, 20).Draw(t, "frames")
				want := n >= 0 && n <= from.left
				if got := p.Move(&from.Account, &to.Account, n); got != want {
					t.Fatalf("move %d of %d: %v", n, from.left, got)
				}
				if want {
					from.left -= n
					to.left += n
				}
				from.open, to.open = from.Limit() > 0, to.Limit() > 0
			},
			"close": func(t *rapid.T) {
				a := &accounts[pick.Draw(t, "account")]
				p.Close(&a.Account)
				a.open, a.left = false, 0
			},
			"": func(t *rapid.T) {
				left := 0
				for i := range accounts {
					a := &accounts[i]
					left += a.left
					if a.Used() != len(a.held) {
						t.Fatalf("account %d: used %d, want %d", i, a.Used(), len(a.held))
					}
				}
				if p.Free() != p.Total()-len(owner) {
					t.Fatalf("free %d of %d, %d taken", p.Free(), p.Total(), len(owner))
				}
				if p.Unreserved() != p.Free()-left {
					t.Fatalf("unreserved %d, want %d", p.Unreserved(), p.Free()-left)
				}
			},
		})
	})
}

func TestNoAllocation(t *testing.T) {
	p := memtest.Pool(t, 64)
	n := testing.AllocsPerRun(100, func() {
		var a mem.Account
		p.Open(&a, 10)
		pa, _ := p.Take(&a)
		mem.Zero(pa)
		p.Give(&a, pa)
		p.Close(&a)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestZeroAndCopy(t *testing.T) {
	r := memtest.Arena(t, 3)
	all := mem.Bytes(r.Start, 3*frame)
	for i := range all {
		all[i] = byte(i%251) + 1
	}
	mem.Zero(r.Start + frame)
	for i, b := range all {
		if zero := i/frame == 1; (b == 0) != zero {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	mem.Copy(r.Start+frame+5, r.Start+1, 10)
	if got, want := string(all[frame+4:frame+16]), "\x00"+string(all[1:11])+"\x00"; got != want {
		t.Errorf("copied %q, want %q", got, want)
	}
	mem.Words(r.Start)[1] = 0x0102030405060708
	if mem.Lines(r.Start)[0][1] != 0x0102030405060708 || all[8] != 8 {
		t.Error("words, lines and bytes differ")
	}
}

// TestCopyModel copies ranges at all alignments, shorter and longer than the blocks
// that Copy moves, and sees that nothing else changes.
func TestCopyModel(t *testing.T) {
	r := memtest.Arena(t, 4)
	all := mem.Bytes(r.Start, 4*frame)
	rapid.Check(t, func(t *rapid.T) {
		for i := range all {
			all[i] = byte(i*7 + i/251)
		}
		n := rapid.OneOf(rapid.IntRange(0, frame), rapid.SampledFrom([]int{0, 511, 512, 513, frame})).Draw(t, "bytes")
		at := rapid.OneOf(rapid.IntRange(0, frame), rapid.Map(rapid.IntRange(0, frame/8), func(w int) int { return 8 * w }))
		src, dst := at.Draw(t, "source"), 2*frame+at.Draw(t, "destination")
		want := slices.Clone(all)
		copy(want[dst:dst+n], all[src:])
		mem.Copy(r.Start+mem.PA(dst), r.Start+mem.PA(src), n)
		if !bytes.Equal(all, want) {
			t.Fatalf("%d bytes from %d to %d", n, src, dst)
		}
	})
}

func BenchmarkTakeGive(b *testing.B) {
	p := memtest.Pool(b, 1024)
	var a mem.Account
	p.Open(&a, 10)
	for b.Loop() {
		pa, _ := p.Take(&a)
		p.Give(&a, pa)
	}
}
