package sv39_test

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// MapRun maps what Map would, over the ends of tables too, and leaves holes and
// what is there.
func TestMapRun(t *testing.T) {
	for _, va := range []uint64{abi.MapBase, abi.MapBase + mega - 2*page, abi.MapBase + giga - page} {
		m := newMachine(t, 64)
		s := m.space(t)
		frames := make([]uint64, 600)
		for i := range frames {
			if i%3 != 1 {
				frames[i] = uint64(0x8000_0000 + i*page)
			}
		}
		if errno := s.Map(m.pool, va+2*page, 0x1000, ro); errno != abi.OK {
			t.Fatal(errno)
		}
		if errno := s.MapRun(m.pool, va, frames, rw); errno != abi.OK {
			t.Fatal(errno)
		}
		for i, pa := range frames {
			e := s.Lookup(va + uint64(i)*page)
			switch {
			case i == 2:
				if e.Addr() != 0x1000 || e.Perm() != ro {
					t.Errorf("page %d, which was mapped, is %#x", i, uint64(e))
				}
			case pa == 0:
				if e != 0 {
					t.Errorf("page %d is %#x", i, uint64(e))
				}
			default:
				if got, pte, ok := hardware(s.Root, va+uint64(i)*page); !ok || got != pa || pte != uint64(e) || e.Perm() != rw || e&sv39.Owned != 0 {
					t.Fatalf("page %d is %#x, want %#x", i, uint64(e), pa)
				}
			}
		}
		if s.Lookup(va+600*page) != 0 || s.Lookup(va-page) != 0 {
			t.Error("mapped beyond its ends")
		}
		if _, wx := sv39.FindWX(s.Root); wx {
			t.Error("writable and executable")
		}
		s.Destroy(m.pool)
		if m.acct.Used() != 0 {
			t.Errorf("%d frames used", m.acct.Used())
		}
	}
}

// A run of holes costs no table.
func TestMapRunOfNothing(t *testing.T) {
	m := newMachine(t, 8)
	s := m.space(t)
	if errno := s.MapRun(m.pool, abi.MapBase, make([]uint64, 1000), rw); errno != abi.OK || m.acct.Used() != 1 {
		t.Errorf("%v, %d frames used", errno, m.acct.Used())
	}
}

// MapLinear maps frame after frame, over the ends of tables too, and leaves what is
// there.
func TestMapLinear(t *testing.T) {
	for _, va := range []uint64{abi.MapBase, abi.MapBase + mega - 2*page, abi.MapBase + giga - page} {
		m := newMachine(t, 64)
		s := m.space(t)
		if errno := s.Map(m.pool, va+2*page, 0x1000, ro); errno != abi.OK {
			t.Fatal(errno)
		}
		if errno := s.MapLinear(m.pool, va, 0x8000_0000, 600, rx); errno != abi.OK {
			t.Fatal(errno)
		}
		for i := range uint64(600) {
			got, pte, ok := hardware(s.Root, va+i*page)
			switch {
			case !ok:
				t.Fatalf("page %d is not mapped", i)
			case i == 2:
				if got != 0x1000 || sv39.PTE(pte).Perm() != ro {
					t.Errorf("page %d, which was mapped, is %#x", i, pte)
				}
			case got != 0x8000_0000+i*page || sv39.PTE(pte).Perm() != rx || sv39.PTE(pte)&sv39.Owned != 0:
				t.Fatalf("page %d is %#x", i, pte)
			}
		}
		if s.Lookup(va+600*page) != 0 || s.Lookup(va-page) != 0 {
			t.Error("mapped beyond its ends")
		}
		s.Destroy(m.pool)
		if m.acct.Used() != 0 {
			t.Errorf("%d frames used", m.acct.Used())
		}
	}
}

func TestRejectMapLinear(t *testing.T) {
	m := newMachine(t, 3)
	s := m.space(t)
	for _, c := range []struct {
		name string
		va   uint64
		pa   mem.PA
		n    int
		perm sv39.Perm
		want abi.Errno
	}{
		{"writable and executable", abi.MapBase, 0x8000_0000, 2, rw | sv39.X, abi.EWX},
		{"supervisor", abi.MapBase, 0x8000_0000, 2, sv39.R, abi.EINVAL},
		{"unaligned", abi.MapBase + 8, 0x8000_0000, 2, rw, abi.EINVAL},
		{"unaligned frame", abi.MapBase, 0x8000_0008, 2, rw, abi.EINVAL},
		{"kernel", abi.UserBase - page, 0x8000_0000, 2, rw, abi.EINVAL},
		{"over the end", abi.UserEnd - page, 0x8000_0000, 2, rw, abi.EINVAL},
		{"negative", abi.MapBase, 0x8000_0000, -1, rw, abi.EINVAL},
		{"over the end of memory", abi.MapBase, 1<<56 - page, 2, rw, abi.EINVAL},
	} {
		if errno := s.MapLinear(m.pool, c.va, c.pa, c.n, c.perm); errno != c.want || m.acct.Used() != 1 {
			t.Errorf("%s: %v, want %v; %d frames used", c.name, errno, c.want, m.acct.Used())
		}
	}
	if errno := s.MapLinear(m.pool, abi.MapBase+mega-page, 0x8000_0000, 2, rw); errno != abi.ENOMEM {
		t.Errorf("over the budget: %v", errno)
	}
	if s.Lookup(abi.MapBase+mega-page) == 0 || s.Lookup(abi.MapBase+mega) != 0 {
		t.Error("not what the budget paid for is mapped")
	}
}

func TestRejectMapRun(t *testing.T) {
	m := newMachine(t, 3)
	s := m.space(t)
	run := []uint64{0x8000_0000, 0x8000_1000}
	for _, c := range []struct {
		name string
		va   uint64
		perm sv39.Perm
		want abi.Errno
	}{
		{"writable and executable", abi.MapBase, rw | sv39.X, abi.EWX},
		{"no access", abi.MapBase, sv39.U, abi.EINVAL},
		{"supervisor", abi.MapBase, sv39.R, abi.EINVAL},
		{"global", abi.MapBase, rw | sv39.G, abi.EINVAL},
		{"unaligned", abi.MapBase + 8, rw, abi.EINVAL},
		{"kernel", abi.UserBase - page, rw, abi.EINVAL},
		{"over the end", abi.UserEnd - page, rw, abi.EINVAL},
		{"upper half", ^uint64(page - 1), rw, abi.EINVAL},
	} {
		if errno := s.MapRun(m.pool, c.va, run, c.perm); errno != c.want || m.acct.Used() != 1 {
			t.Errorf("%s: %v, want %v; %d frames used", c.name, errno, c.want, m.acct.Used())
		}
	}
	// Two tables are all that the account can pay for: the second page needs more.
	if errno := s.MapRun(m.pool, abi.MapBase+mega-page, run, rw); errno != abi.ENOMEM {
		t.Errorf("over the budget: %v", errno)
	}
	if s.Lookup(abi.MapBase+mega-page) == 0 || s.Lookup(abi.MapBase+mega) != 0 {
		t.Error("not what the budget paid for is mapped")
	}
}

func BenchmarkMapRun(b *testing.B) {
	m := newMachine(b, 64)
	s := m.space(b)
	frames := make([]uint64, 256)
	for i := range frames {
		frames[i] = uint64(0x8000_0000 + i*page)
	}
	for b.Loop() {
		s.MapRun(m.pool, abi.MapBase, frames, rw)
		s.Unmap(m.pool, abi.MapBase, len(frames))
	}
}
