package sv39_test

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"nexus.internal/kernel/sv39"
)

const (
	megaPA  = 0x1_4000_0000
	entries = mega / page
)

// A leaf of 2 MiB maps all of its pages, to the hardware and to Lookup, costs no
// table, and is protected and unmapped whole, also between small pages.
func TestMapMega(t *testing.T) {
	m := newMachine(t, 16)
	s := m.space(t)
	const va = abi.MapBase + 4*mega
	for _, at := range []uint64{va - page, va + mega} {
		if errno := s.Map(m.pool, at, 0x8000_0000, rw); errno != abi.OK {
			t.Fatal(errno)
		}
	}
	used := m.acct.Used()
	if errno := s.MapMega(m.pool, va, megaPA, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	expect := func(perm sv39.Perm) {
		t.Helper()
		for at := uint64(0); at < mega; at += page {
			pa, pte, ok := hardware(s.Root, va+at+8)
			if e := s.Lookup(va + at + 8); !ok || pa != megaPA+at+8 || sv39.PTE(pte).Perm() != perm || e.Addr() != mem.PA(megaPA+at) || e.Perm() != perm {
				t.Fatalf("at %#x: hardware %#x %v, Lookup %#x", at, pa, ok, uint64(e))
			}
		}
		for _, at := range []uint64{va - page, va + mega} {
			if e := s.Lookup(at); e.Addr() != 0x8000_0000 || e.Perm() != perm {
				t.Errorf("its neighbour at %#x is %#x", at, uint64(e))
			}
		}
	}
	expect(rw)
	if m.acct.Used() != used {
		t.Errorf("cost %d frames", m.acct.Used()-used)
	}
	if !sv39.Maps(s.Root, va+mega-1) {
		t.Error("Maps does not see it")
	}
	if errno := s.Protect(va-page, entries+2, ro); errno != abi.OK {
		t.Fatal(errno)
	}
	expect(ro)
	if n := s.Unmap(m.pool, va-page, entries+2); n != entries+2 {
		t.Errorf("%d pages unmapped", n)
	}
	if s.Lookup(va) != 0 || s.Lookup(va+mega-page) != 0 {
		t.Error("still mapped")
	}
	// Destroying a space leaves the frames of the leaf to who has them.
	if errno := s.MapMega(m.pool, va, megaPA, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	s.Destroy(m.pool)
	if m.acct.Used() != 0 {
		t.Errorf("%d frames used", m.acct.Used())
	}
}

// The kernel copies through a leaf of 2 MiB to the right bytes.
func TestCopyThroughMega(t *testing.T) {
	r := memtest.Arena(t, 3*entries)
	pool, err := mem.NewPool([]mem.Range{r})
	if err != nil {
		t.Fatal(err)
	}
	var acct mem.Account
	pool.Open(&acct, 2*entries)
	kernel, _ := pool.Take(&acct)
	mem.Zero(kernel)
	s, _ := sv39.NewSpace(pool, &acct, kernel)
	run, ok := pool.TakeRun(&acct, entries, entries)
	if !ok || s.MapMega(pool, abi.HeapBase, run, rw) != abi.OK {
		t.Fatal("no leaf of 2 MiB")
	}
	want := []byte("over the seam of two pages")
	const at = 77*page - 10
	if !s.CopyOut(abi.HeapBase+at, want) || !bytes.Equal(mem.Bytes(run+at, len(want)), want) {
		t.Error("written elsewhere")
	}
	got := make([]byte, len(want))
	if !s.CopyIn(got, abi.HeapBase+at) || !bytes.Equal(got, want) {
		t.Errorf("read %q", got)
	}
}

func TestRejectMapMega(t *testing.T) {
	m := newMachine(t, 3)
	s := m.space(t)
	const va = abi.MapBase
	for _, c := range []struct {
		name string
		va   uint64
		pa   mem.PA
		perm sv39.Perm
		want abi.Errno
	}{
		{"writable and executable", va, megaPA, rw | sv39.X, abi.EWX},
		{"supervisor", va, megaPA, sv39.R, abi.EINVAL},
		{"unaligned", va + page, megaPA, rw, abi.EINVAL},
		{"unaligned frames", va, megaPA + page, rw, abi.EINVAL},
		{"kernel", abi.UserBase - mega, megaPA, rw, abi.EINVAL},
		{"over the end", abi.UserEnd &^ (mega - 1), megaPA, rw, abi.EINVAL},
		{"upper half", ^uint64(mega - 1), megaPA, rw, abi.EINVAL},
		{"beyond memory", va, 1 << 56, rw, abi.EINVAL},
	} {
		if errno := s.MapMega(m.pool, c.va, c.pa, c.perm); errno != c.want || m.acct.Used() != 1 {
			t.Errorf("%s: %v, want %v; %d frames used", c.name, errno, c.want, m.acct.Used())
		}
	}
	if errno := s.MapMega(m.pool, va, megaPA, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	for name, errno := range map[string]abi.Errno{
		"twice":       s.MapMega(m.pool, va, megaPA, rw),
		"a page":      s.Map(m.pool, va+5*page, 0x8000_0000, rw),
		"a run":       s.MapRun(m.pool, va+5*page, []uint64{0x8000_0000}, rw),
		"many frames": s.MapLinear(m.pool, va+5*page, 0x8000_0000, 3, rw),
	} {
		if errno != abi.EOVERLAP {
			t.Errorf("%s over a leaf: %v", name, errno)
		}
	}
	if e := s.Lookup(va + 5*page); e.Addr() != megaPA+5*page {
		t.Errorf("the leaf is %#x now", uint64(e))
	}
	// Where small pages are or were, there is a table.
	if errno := s.Map(m.pool, va+mega, 0x8000_0000, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	s.Unmap(m.pool, va+mega, 1)
	if errno := s.MapMega(m.pool, va+mega, megaPA, rw); errno != abi.EOVERLAP {
		t.Errorf("over a table: %v", errno)
	}
	if errno := s.MapMega(m.pool, abi.HeapBase, megaPA, rw); errno != abi.ENOMEM {
		t.Errorf("over the budget: %v", errno)
	}
}

// A leaf is never cut: the kernel stops instead.
func TestRejectCutMega(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	const va = abi.MapBase
	s.MapMega(m.pool, va, megaPA, rw)
	for _, c := range []struct {
		va uint64
		n  int
	}{{va, 1}, {va + page, 1}, {va + mega - page, 1}, {va, entries - 1}, {va + page, entries - 1}, {va - page, entries}, {va + page, entries}} {
		for name, f := range map[string]func(){
			"unmap":   func() { s.Unmap(m.pool, c.va, c.n) },
			"protect": func() { s.Protect(c.va, c.n, ro) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s of %d pages at %#x cuts a leaf", name, c.n, c.va)
					}
				}()
				f()
			}()
		}
	}
	if e := s.Lookup(va); e.Perm() != rw {
		t.Errorf("the leaf is %#x now", uint64(e))
	}
}
