package sv39_test

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

func TestNewSpaceSharesTheKernel(t *testing.T) {
	m := newMachine(t, 4)
	s := m.space(t)
	root, kernel := mem.Words(s.Root), mem.Words(m.kernel)
	for i, e := range root {
		want := uint64(0)
		if i < 4 {
			want = kernel[i]
		}
		if e != want {
			t.Errorf("root entry %d is %#x, want %#x", i, e, want)
		}
	}
	if kernel[2] == 0 {
		t.Fatal("test kernel maps nothing")
	}
	if m.acct.Used() != 1 {
		t.Errorf("a new space costs %d frames, want 1", m.acct.Used())
	}
	s.Destroy(m.pool)
	s.Destroy(m.pool)
	if m.acct.Used() != 0 || s.Root != 0 {
		t.Errorf("after destroy: used %d, root %#x", m.acct.Used(), uint64(s.Root))
	}
}

func TestMap(t *testing.T) {
	m := newMachine(t, 64)
	s := m.space(t)
	for _, c := range []struct {
		va   uint64
		perm sv39.Perm
	}{
		{abi.UserBase, ro},
		{abi.UserBase + page, rw},
		{abi.UserBase + mega, rx},
		{abi.UserBase + giga, xo},
		{abi.UserEnd - page, rw},
	} {
		for _, pa := range []mem.PA{0x1000, 1<<56 - page} {
			if errno := s.Map(m.pool, c.va, pa, c.perm); errno != abi.OK {
				t.Fatalf("map %#x: errno %d", c.va, errno)
			}
			e := s.Lookup(c.va + 123)
			if e.Addr() != pa || e.Perm() != c.perm || e&sv39.Owned != 0 {
				t.Errorf("lookup %#x: %#x", c.va, uint64(e))
			}
			if got, pte, ok := hardware(s.Root, c.va+123); !ok || got != uint64(pa)+123 || pte != uint64(e) {
				t.Errorf("hardware at %#x: %#x %v", c.va, got, ok)
			}
			if n := s.Unmap(m.pool, c.va, 1); n != 1 {
				t.Errorf("unmap %#x removed %d", c.va, n)
			}
			if e := s.Lookup(c.va); e != 0 {
				t.Errorf("after unmap: %#x", uint64(e))
			}
		}
	}
}

func TestRejectMap(t *testing.T) {
	m := newMachine(t, 64)
	s := m.space(t)
	const va, pa = abi.HeapBase, 0x8000_0000
	if errno := s.Map(m.pool, va+page, pa, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	used := m.acct.Used()
	for _, c := range []struct {
		name string
		va   uint64
		pa   mem.PA
		perm sv39.Perm
		want abi.Errno
	}{
		{"writable and executable", va, pa, rw | sv39.X, abi.EWX},
		{"the same without read", va, pa, sv39.U | sv39.W | sv39.X, abi.EWX},
		{"the same, unaligned", va + 1, pa, rw | sv39.X, abi.EWX},
		{"unaligned address", va + 8, pa, rw, abi.EINVAL},
		{"unaligned frame", va, pa + 8, rw, abi.EINVAL},
		{"frame beyond 56 bits", va, 1 << 56, rw, abi.EINVAL},
		{"address 0", 0, pa, rw, abi.EINVAL},
		{"kernel address", abi.UserBase - page, pa, rw, abi.EINVAL},
		{"end of user space", abi.UserEnd, pa, rw, abi.EINVAL},
		{"upper half", 0xffff_ffc0_0000_0000, pa, rw, abi.EINVAL},
		{"not canonical, with valid low bits", va | 1<<40, pa, rw, abi.EINVAL},
		{"last page there is", ^uint64(0) &^ (page - 1), pa, rw, abi.EINVAL},
		{"no access", va, pa, sv39.U, abi.EINVAL},
		{"writable but not readable", va, pa, sv39.U | sv39.W, abi.EINVAL},
		{"supervisor", va, pa, sv39.R | sv39.W, abi.EINVAL},
		{"global", va, pa, rw | sv39.G, abi.EINVAL},
		{"valid bit as permission", va, pa, rw | sv39.V, abi.EINVAL},
		{"owned bit as permission", va, pa, rw | sv39.Owned, abi.EINVAL},
		{"high bit as permission", va, pa, rw | 1<<63, abi.EINVAL},
		{"mapped", va + page, pa, rw, abi.EOVERLAP},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range []func(*mem.Pool, uint64, mem.PA, sv39.Perm) abi.Errno{s.Map, s.MapOwned} {
				if got := f(m.pool, c.va, c.pa, c.perm); got != c.want {
					t.Errorf("errno %d, want %d", got, c.want)
				}
			}
			if m.acct.Used() != used {
				t.Errorf("used %d, was %d", m.acct.Used(), used)
			}
			if s.Lookup(va) != 0 {
				t.Error("something was mapped")
			}
		})
	}
}

// TestRejectMapWithoutBudget lets the budget end at each table in turn.
func TestRejectMapWithoutBudget(t *testing.T) {
	m := newMachine(t, 8)
	var poor mem.Account
	if _, errno := sv39.NewSpace(m.pool, &poor, m.kernel); errno != abi.ENOMEM {
		t.Errorf("new space: errno %d, want ENOMEM", errno)
	}
	for budget := 1; budget <= 3; budget++ {
		free := m.pool.Free()
		if !m.pool.Open(&poor, budget) {
			t.Fatal("open")
		}
		s, errno := sv39.NewSpace(m.pool, &poor, m.kernel)
		if errno != abi.OK {
			t.Fatal(errno)
		}
		want := abi.ENOMEM
		if budget == 3 {
			want = abi.OK
		}
		for range 2 { // the same again, with what the first attempt left
			if got := s.Map(m.pool, abi.HeapBase, 0x8000_0000, rw); got != want {
				t.Errorf("budget %d: errno %d, want %d", budget, got, want)
			}
			if want == abi.OK {
				want = abi.EOVERLAP
			}
		}
		if poor.Used() != budget {
			t.Errorf("budget %d: used %d", budget, poor.Used())
		}
		s.Destroy(m.pool)
		m.pool.Close(&poor)
		if m.pool.Free() != free {
			t.Errorf("budget %d: free %d, was %d", budget, m.pool.Free(), free)
		}
	}
}

// TestUnmapOverHoles maps pages around the seams of tables and removes them
// with one call that starts and ends in the middle.
func TestUnmapOverHoles(t *testing.T) {
	m := newMachine(t, 64)
	s := m.space(t)
	const base = abi.HeapBase
	inside := []uint64{base + page, base + mega - page, base + mega, base + 3*mega + 7*page, base + giga, base + 3*giga - page}
	outside := []uint64{base, base + 3*giga, abi.UserBase, abi.UserEnd - page}
	for _, va := range append(inside, outside...) {
		m.own(t, s, va, rw, 1)
	}
	shared := m.frame(t, 2)
	if errno := s.Map(m.pool, base+2*page, shared, ro); errno != abi.OK {
		t.Fatal(errno)
	}
	used := m.acct.Used()
	if n := s.Unmap(m.pool, base+page, 3*giga/page-1); n != len(inside)+1 {
		t.Errorf("removed %d pages, want %d", n, len(inside)+1)
	}
	if got := used - m.acct.Used(); got != len(inside) {
		t.Errorf("%d frames came back, want %d: the shared one stays", got, len(inside))
	}
	for _, va := range append(inside, base+2*page) {
		if s.Lookup(va) != 0 {
			t.Errorf("%#x is still mapped", va)
		}
	}
	for _, va := range outside {
		if s.Lookup(va) == 0 {
			t.Errorf("%#x is gone", va)
		}
	}
	if n := s.Unmap(m.pool, abi.UserBase, (abi.UserEnd-abi.UserBase)/page); n != len(outside) {
		t.Errorf("removed %d of all, want %d", n, len(outside))
	}
	m.pool.Give(&m.acct, shared)
	s.Destroy(m.pool)
	if m.acct.Used() != 0 {
		t.Errorf("%d frames lost", m.acct.Used())
	}
}

// badRanges are no whole pages of user space.
var badRanges = []struct {
	va uint64
	n  int
}{
	{abi.HeapBase + 1, 1},
	{abi.HeapBase, -1},
	{abi.HeapBase, -1 << 63},
	{abi.HeapBase, 1<<63 - 1},
	{abi.HeapBase, 1<<52 + 1},
	{abi.HeapBase, (abi.UserEnd-abi.HeapBase)/page + 1},
	{abi.UserEnd, 1},
	{abi.UserEnd + page, 0},
	{abi.UserBase - page, 2},
	{0, 1},
	{0xffff_ffff_ffff_f000, 2},
}

func TestRejectUnmap(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	m.own(t, s, abi.HeapBase, rw, 1)
	kernel := *mem.Words(m.kernel)
	for _, c := range badRanges {
		if n := s.Unmap(m.pool, c.va, c.n); n != 0 {
			t.Errorf("%d pages at %#x: removed %d", c.n, c.va, n)
		}
	}
	if s.Lookup(abi.HeapBase) == 0 || *mem.Words(m.kernel) != kernel {
		t.Error("something was removed")
	}
}

func TestProtect(t *testing.T) {
	m := newMachine(t, 16)
	s := m.space(t)
	const va = abi.MapBase + mega - page // two tables
	owned := m.own(t, s, va, rw, 1)
	other := m.frame(t, 2)
	if errno := s.Map(m.pool, va+2*page, other, ro); errno != abi.OK {
		t.Fatal(errno)
	}
	for _, perm := range []sv39.Perm{rx, rw, xo, ro} {
		if errno := s.Protect(va, 3, perm); errno != abi.OK {
			t.Fatalf("protect %#x: errno %d", uint64(perm), errno)
		}
		for _, w := range []struct {
			va    uint64
			pa    mem.PA
			owned sv39.PTE
		}{{va, owned, sv39.Owned}, {va + 2*page, other, 0}} {
			e := s.Lookup(w.va)
			if e.Addr() != w.pa || e.Perm() != perm || e&sv39.Owned != w.owned {
				t.Errorf("%#x with %#x: %#x", w.va, uint64(perm), uint64(e))
			}
			if _, _, ok := hardware(s.Root, w.va); !ok {
				t.Errorf("%#x with %#x: hardware would fault", w.va, uint64(perm))
			}
			if dirty := e&sv39.D != 0; dirty != (perm&sv39.W != 0) {
				t.Errorf("%#x with %#x: dirty %v", w.va, uint64(perm), dirty)
			}
		}
		if s.Lookup(va+page) != 0 {
			t.Error("protect mapped a hole")
		}
	}
}

func TestRejectProtect(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	m.own(t, s, abi.HeapBase, ro, 1)
	before := s.Lookup(abi.HeapBase)
	for _, c := range badRanges {
		if errno := s.Protect(c.va, c.n, rw); errno != abi.EINVAL {
			t.Errorf("%d pages at %#x: errno %d", c.n, c.va, errno)
		}
	}
	for perm, want := range map[sv39.Perm]abi.Errno{
		rw | sv39.X: abi.EWX, sv39.U | sv39.W: abi.EINVAL, sv39.R: abi.EINVAL, 0: abi.EINVAL, rw | sv39.G: abi.EINVAL,
	} {
		if errno := s.Protect(abi.HeapBase, 1, perm); errno != want {
			t.Errorf("perm %#x: errno %d, want %d", uint64(perm), errno, want)
		}
	}
	if s.Lookup(abi.HeapBase) != before {
		t.Error("a refusal changed the page")
	}
}

func TestDestroyKeepsWhatIsNotOwned(t *testing.T) {
	m := newMachine(t, 600)
	kernel := *mem.Words(m.kernel)
	s := m.space(t)
	for i := range uint64(20) { // all over the place
		m.own(t, s, abi.HeapBase+i*(giga+5*mega+37*page), rw, 1)
	}
	shared := m.frame(t, 7)
	for i := range uint64(3) {
		if errno := s.Map(m.pool, abi.ImageBase+i*mega, shared, ro); errno != abi.OK {
			t.Fatal(errno)
		}
	}
	s.Destroy(m.pool)
	if m.acct.Used() != 1 {
		t.Errorf("used %d, want the shared frame", m.acct.Used())
	}
	if b := mem.Bytes(shared, page); b[0] != 7 || b[page-1] != 7 {
		t.Error("shared frame changed")
	}
	if *mem.Words(m.kernel) != kernel {
		t.Error("kernel root changed")
	}
	m.pool.Give(&m.acct, shared)
}

func TestLookupOutsideUserSpace(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	for _, va := range []uint64{0, giga * 2, abi.UserBase - 1, abi.UserEnd, 0xffff_ffc0_8000_0000, abi.HeapBase | 1<<40} {
		if e := s.Lookup(va); e != 0 {
			t.Errorf("lookup %#x: %#x", va, uint64(e))
		}
	}
}

func TestNoAllocation(t *testing.T) {
	m := newMachine(t, 32)
	buf := make([]byte, 3*page)
	var s, other sv39.Space
	resolve := func(s *sv39.Space, va uint64, write bool) bool {
		pa, ok := m.pool.Take(&m.acct)
		if ok {
			mem.Zero(pa)
		}
		return ok && s.MapOwned(m.pool, va&^(page-1), pa, rw) == abi.OK
	}
	bad := abi.OK
	check := func(ok bool) {
		if !ok {
			bad = abi.EFAULT
		}
	}
	n := testing.AllocsPerRun(100, func() {
		var errno abi.Errno
		s, errno = sv39.NewSpace(m.pool, &m.acct, m.kernel)
		check(errno == abi.OK)
		other, errno = sv39.NewSpace(m.pool, &m.acct, m.kernel)
		check(errno == abi.OK)
		s.Resolve, other.Resolve = resolve, resolve
		check(s.CopyOut(abi.HeapBase+5, buf))
		check(s.CopyIn(buf, abi.HeapBase+5))
		check(sv39.CopyAcross(&other, abi.HeapBase+100, &s, abi.HeapBase+5, len(buf)))
		check(s.Map(m.pool, abi.ImageBase, m.kernel, ro) == abi.OK)
		check(s.Protect(abi.HeapBase, 4, ro) == abi.OK)
		check(s.Unmap(m.pool, abi.HeapBase, 2) == 2)
		_, wx := sv39.FindWX(s.Root)
		check(!wx)
		s.Destroy(m.pool)
		other.Destroy(m.pool)
	})
	if bad != abi.OK {
		t.Error("something failed")
	}
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if m.acct.Used() != 0 {
		t.Errorf("%d frames lost", m.acct.Used())
	}
}
