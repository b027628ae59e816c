package sv39_test

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Registers of a device are the process's to read and write, never the kernel's:
// their addresses are none that it maps, and reading them has effects.
func TestRejectCopyOfRegisters(t *testing.T) {
	m := newMachine(t, 64)
	s, other := m.space(t), m.space(t)
	const va, registers = abi.MapBase, mem.PA(0x1000_1000) // no memory of the test is there
	if errno := s.MapDevice(m.pool, va, registers, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	m.own(t, s, va-page, rw, 1)
	m.own(t, s, va+page, rw, 1)
	m.own(t, other, va, rw, 2)
	check := func(when string) {
		t.Helper()
		e := s.Lookup(va)
		if e.Addr() != registers || e.Perm() != rw || !e.IsLeaf() || e&sv39.Owned != 0 {
			t.Fatalf("%s: leaf %#x", when, uint64(e))
		}
		buf := make([]byte, 8)
		for _, at := range []uint64{va, va + 1, va - 4, va + page - 4, va + page - 8} {
			if s.CopyIn(buf, at) || s.CopyOut(at, buf) {
				t.Errorf("%s: copied at %#x", when, at)
			}
			if sv39.CopyAcross(other, va, s, at, 8) || sv39.CopyAcross(s, at, other, va, 8) {
				t.Errorf("%s: copied across at %#x", when, at)
			}
		}
	}
	check("mapped")
	if errno := s.Protect(va, 1, ro); errno != abi.OK {
		t.Fatal(errno)
	}
	if errno := s.Protect(va, 1, rw); errno != abi.OK {
		t.Fatal(errno)
	}
	check("protected")
	for _, perm := range []sv39.Perm{rw | sv39.X, rw | sv39.G} {
		if errno := s.MapDevice(m.pool, va+2*page, registers, perm); errno == abi.OK {
			t.Errorf("mapped with %#x", uint64(perm))
		}
	}
	if errno := s.MapDevice(m.pool, va, registers, rw); errno != abi.EOVERLAP {
		t.Errorf("mapped over it: %v", errno)
	}
	used := s.Acct.Used()
	if n := s.Unmap(m.pool, va, 1); n != 1 || s.Acct.Used() != used || s.Lookup(va) != 0 {
		t.Errorf("unmapped %d pages, leaf %#x", n, uint64(s.Lookup(va)))
	}
	// A space that ends with registers mapped gives no frame back for them.
	s.MapDevice(m.pool, va, registers, rw)
	s.Destroy(m.pool)
}
