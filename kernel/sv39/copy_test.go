package sv39_test

import (
	"bytes"
	"fmt"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// pattern returns n bytes that repeat only after a prime.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// TestCopy moves data of every awkward size and offset into a space, across to
// another, and out again. Frames are mapped in descending order, so neighbours
// in the space are none in memory.
func TestCopy(t *testing.T) {
	m := newMachine(t, 64)
	a, b := m.space(t), m.space(t)
	const va, vb = abi.HeapBase + mega - 2*page, abi.StackTop - 4*page
	for i := uint64(4); i > 0; i-- {
		m.own(t, a, va+(i-1)*page, rw, 0)
		m.own(t, b, vb+(i-1)*page, rw, 0)
	}
	for _, n := range []int{0, 1, 7, 8, 64, page - 1, page, page + 1, 2*page + 5, abi.MaxMessage, 3 * page} {
		for _, off := range []uint64{0, 1, 63, page - 8, page - 1} {
			if uint64(n)+off > 4*page {
				continue
			}
			t.Run(fmt.Sprintf("%d+%d", off, n), func(t *testing.T) {
				want := pattern(n)
				back := page - 1 - off
				if uint64(n)+back > 4*page {
					back = 0
				}
				got := make([]byte, n)
				if !a.CopyOut(va+off, want) || !sv39.CopyAcross(b, vb+back, a, va+off, n) || !b.CopyIn(got, vb+back) {
					t.Fatal("copy failed")
				}
				if !bytes.Equal(got, want) {
					t.Error("data differ")
				}
				clear(got)
				if !a.CopyIn(got, va+off) || !bytes.Equal(got, want) {
					t.Error("data in the first space differ")
				}
			})
		}
	}
}

// TestCopyStopsAtItsEnds looks at the bytes around a copy.
func TestCopyStopsAtItsEnds(t *testing.T) {
	m := newMachine(t, 32)
	a, b := m.space(t), m.space(t)
	const va = abi.HeapBase
	for i := range uint64(3) {
		m.own(t, a, va+i*page, rw, 0xaa)
		m.own(t, b, va+i*page, rw, 0xbb)
	}
	if !sv39.CopyAcross(b, va+100, a, va+3000, 2*page) {
		t.Fatal("copy failed")
	}
	got := make([]byte, 3*page)
	if !b.CopyIn(got, va) {
		t.Fatal("copy in failed")
	}
	for i, x := range got {
		want := byte(0xbb)
		if i >= 100 && i < 100+2*page {
			want = 0xaa
		}
		if x != want {
			t.Fatalf("byte %d is %#x, want %#x", i, x, want)
		}
	}
}

func TestRejectCopy(t *testing.T) {
	m := newMachine(t, 64)
	s, good := m.space(t), m.space(t)
	const (
		va     = abi.HeapBase
		hole   = va + 4*page
		roPage = hole + page
		rxPage = roPage + page
		xoPage = rxPage + page
		last   = abi.UserEnd - page
	)
	for i := range uint64(4) {
		m.own(t, s, va+i*page, rw, 1)
		m.own(t, good, va+i*page, rw, 2)
	}
	m.own(t, s, roPage, ro, 3)
	m.own(t, s, rxPage, rx, 4)
	m.own(t, s, xoPage, xo, 5)
	m.own(t, s, last, rw, 6)

	for _, c := range []struct {
		name        string
		va          uint64
		n           int
		read, write bool
	}{
		{"good", va + 3, 3 * page, true, true},
		{"last byte", abi.UserEnd - 1, 1, true, true},
		{"nothing, nowhere", 12345, 0, true, true},
		{"nothing, in a hole", hole, 0, true, true},
		{"hole", hole, 1, false, false},
		{"into a hole", hole - 1, 2, false, false},
		{"read-only", roPage, page, true, false},
		{"text", rxPage + 1, 10, true, false},
		{"execute-only", xoPage, 1, false, false},
		{"from text to execute-only", xoPage - 1, 2, false, false},
		{"kernel memory", 2 * giga, 8, false, false},
		{"from kernel to user", abi.UserBase - 8, 16, false, false},
		{"beyond the end", abi.UserEnd - 8, 9, false, false},
		{"at the end", abi.UserEnd, 1, false, false},
		{"wraps around", ^uint64(0) - 3, 8, false, false},
		{"upper half", 0xffff_ffc0_8000_0000, 8, false, false},
		{"not canonical, with valid low bits", va | 1<<40, 8, false, false},
		{"no table", abi.MapBase, 8, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			buf := make([]byte, c.n)
			if got := s.CopyIn(buf, c.va); got != c.read {
				t.Errorf("copy in: %v", got)
			}
			if got := s.CopyOut(c.va, buf); got != c.write {
				t.Errorf("copy out: %v", got)
			}
			if got := sv39.CopyAcross(good, va, s, c.va, c.n); got != c.read {
				t.Errorf("copy across from it: %v", got)
			}
			if got := sv39.CopyAcross(s, c.va, good, va, c.n); got != c.write {
				t.Errorf("copy across to it: %v", got)
			}
			if c.n > 0 && sv39.UserRange(c.va, uint64(c.n)) != (c.va >= abi.UserBase && c.va < abi.UserEnd && c.va+uint64(c.n) <= abi.UserEnd) {
				t.Error("user range")
			}
		})
	}
	for _, n := range []int{-1, -1 << 63, 1<<63 - 1} {
		if sv39.CopyAcross(good, va, s, va, n) {
			t.Errorf("copied %d bytes", n)
		}
	}
	if sv39.UserRange(va, ^uint64(0)) || sv39.UserRange(va, -va&(1<<64-1)) {
		t.Error("range that wraps is in user space")
	}
	for pa, want := range map[uint64]byte{roPage: 3, rxPage: 4, xoPage: 5} {
		f := mem.Bytes(s.Lookup(pa).Addr(), page)
		if f[0] != want || f[page-1] != want {
			t.Errorf("page at %#x was written", pa)
		}
	}
}

// TestRejectSupervisorLeaf plants a leaf without U, which no method of Space
// would make.
func TestRejectSupervisorLeaf(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	pa := m.own(t, s, abi.HeapBase, rw, 1)
	e2 := mem.Words(s.Root)[abi.HeapBase>>30]
	e1 := mem.Words(sv39.PTE(e2).Addr())[0]
	e0 := &mem.Words(sv39.PTE(e1).Addr())[0]
	*e0 &^= sv39.U
	buf := make([]byte, 1)
	if s.CopyIn(buf, abi.HeapBase) || s.CopyOut(abi.HeapBase, buf) {
		t.Error("copied through a supervisor leaf")
	}
	*e0 |= sv39.U
	if !s.CopyIn(buf, abi.HeapBase) || s.Lookup(abi.HeapBase).Addr() != pa {
		t.Error("the leaf is not the one that was meant")
	}
}

func TestResolve(t *testing.T) {
	m := newMachine(t, 32)
	s := m.space(t)
	const va = abi.HeapBase
	type call struct {
		va    uint64
		write bool
	}
	var calls []call
	perm := sv39.Perm(rw)
	s.Resolve = func(got *sv39.Space, va uint64, write bool) bool {
		if got != s {
			t.Error("asked for another space")
		}
		calls = append(calls, call{va, write})
		if va >= abi.HeapBase+4*page {
			return false
		}
		pa := m.frame(t, 0)
		return s.MapOwned(m.pool, va&^(page-1), pa, perm) == abi.OK
	}
	expect := func(what string, ok, want bool, w ...call) {
		t.Helper()
		if ok != want || fmt.Sprint(calls) != fmt.Sprint(w) {
			t.Errorf("%s: %v, resolved %v; want %v, %v", what, ok, calls, want, w)
		}
		calls = nil
	}
	data := pattern(page + 10)
	expect("write", s.CopyOut(va+page-5, data), true, call{va + page - 5, true}, call{va + page, true}, call{va + 2*page, true})
	got := make([]byte, len(data))
	expect("read back", s.CopyIn(got, va+page-5), true)
	if !bytes.Equal(got, data) {
		t.Error("data differ")
	}
	expect("read a new page", s.CopyIn(got[:9], va+4*page-9), true, call{va + 4*page - 9, false})
	expect("refused", s.CopyIn(got[:9], va+4*page-4), false, call{va + 4*page, false})
	expect("outside", s.CopyIn(got[:9], abi.UserEnd-4), false)
	s.Unmap(m.pool, va, 1)
	perm = ro
	expect("resolved, but read-only", s.CopyOut(va, got[:1]), false, call{va, true})
	expect("present, but read-only", s.CopyOut(va, got[:1]), false)
	s.Unmap(m.pool, va, 1)
	s.Resolve = func(*sv39.Space, uint64, bool) bool { return true }
	expect("resolver that does nothing", s.CopyIn(got[:1], va), false)
}

func BenchmarkCopyAcross(b *testing.B) {
	for _, n := range []int{64, 4096, abi.MaxMessage} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newMachine(b, 64)
			x, y := m.space(b), m.space(b)
			for i := range uint64(4) {
				m.own(b, x, abi.HeapBase+i*page, rw, 1)
				m.own(b, y, abi.HeapBase+i*page, rw, 1)
			}
			b.SetBytes(int64(n))
			for b.Loop() {
				sv39.CopyAcross(y, abi.HeapBase+8, x, abi.HeapBase+200, n)
			}
		})
	}
}

func BenchmarkMapUnmap(b *testing.B) {
	m := newMachine(b, 64)
	s := m.space(b)
	s.Map(m.pool, abi.HeapBase, m.kernel, ro)
	for b.Loop() {
		pa, _ := m.pool.Take(&m.acct)
		s.MapOwned(m.pool, abi.HeapBase+page, pa, rw)
		s.Unmap(m.pool, abi.HeapBase+page, 1)
	}
}

func BenchmarkSpaceLife(b *testing.B) {
	m := newMachine(b, 64)
	for b.Loop() {
		s, _ := sv39.NewSpace(m.pool, &m.acct, m.kernel)
		for _, va := range [...]uint64{abi.ImageBase, abi.HeapBase, abi.StackTop - page, abi.StartPage} {
			s.Map(m.pool, va, m.kernel, ro)
		}
		s.Destroy(m.pool)
	}
}
