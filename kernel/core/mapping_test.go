package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

const ro = uint64(abi.RightRead)

// A mapping gets the rights that its holder asks for, at once and everywhere.
func TestProtect(t *testing.T) {
	for _, pages := range []uint64{1, fencePagesMax, fencePagesMax + 1} {
		s := newSim(t)
		v, _ := s.spawn()
		size := pages * abi.PageSize
		h := v.must(abi.SysVMOCreate, size)
		va := v.must(abi.SysVMOMap, h, 0, 0, size, rw)
		for at := va; at < va+size; at += abi.PageSize {
			v.access(at, sv39.W)
		}
		v.must(abi.SysVMOProtect, h, ro, va, size)
		if len(s.tlbOf(v)) != 0 {
			t.Errorf("%d pages in the TLB", len(s.tlbOf(v)))
		}
		s.check()
		if !v.access(va, sv39.R) {
			t.Fatal("read-only memory cannot be read")
		}
		// The kernel does not write there for it either.
		v.fails(abi.EFAULT, abi.SysVMORead, h, 0, va, 1)
		// Wider again, within the rights of the capability that asks.
		narrow := v.must(abi.SysCapCopy, h, ro)
		v.fails(abi.EPERM, abi.SysVMOProtect, narrow, rw, va, size)
		v.must(abi.SysVMOProtect, h, rw, va, size)
		for at := va; at < va+size; at += abi.PageSize {
			if !v.access(at, sv39.W) {
				t.Fatal("writable memory cannot be written")
			}
		}
		s.check()
		v.must(abi.SysVMOProtect, narrow, ro, va, size)
		s.check()
		if v.access(va, sv39.W) || v.alive() {
			t.Error("read-only memory was written")
		}
		s.check()
	}
}

// A mapping that was made with a capability that is gone cannot be widened.
func TestRejectProtectAfterRevoke(t *testing.T) {
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	h := a.must(abi.SysVMOCreate, abi.PageSize)
	bh := s.give(a, h, abi.RightRead|abi.RightWrite, 0, b)
	va := b.must(abi.SysVMOMap, bh, 0, 0, abi.PageSize, ro)
	a.must(abi.SysCapRevoke, h)
	b.fails(abi.EBADF, abi.SysVMOProtect, bh, rw, va, abi.PageSize)
	s.check()
}

// Two mappings of one object are two: changing one leaves the other.
func TestProtectOneOfTwo(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	h := v.must(abi.SysVMOCreate, abi.PageSize)
	one := v.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, rw)
	two := v.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, rw)
	v.access(one, sv39.W)
	v.access(two, sv39.W)
	v.must(abi.SysVMOProtect, h, ro, one, abi.PageSize)
	s.check()
	if !v.access(two, sv39.W) {
		t.Error("the other mapping lost its right")
	}
	if v.access(one, sv39.W) {
		t.Error("read-only memory was written")
	}
}

// After a seal nothing changes what the readers of an object see: not its writers,
// by memory that they have mapped and hold in the TLB or by system call, and not the
// kernel in delivering to them.
func TestSealed(t *testing.T) {
	const size = 12 * abi.PageSize
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	c, _ := s.spawn()
	data := elftest.Pattern(5, size)
	h := a.must(abi.SysVMOCreate, size)
	bh := s.give(a, h, abi.RightRead|abi.RightWrite, 0, b)
	ch := s.give(a, h, abi.RightRead, 0, c)
	va := a.must(abi.SysVMOMap, h, 0, 0, size, rw)
	vb := b.must(abi.SysVMOMap, bh, 0, abi.PageSize, 2*abi.PageSize, rw)
	b2 := b.must(abi.SysVMOMap, bh, 0, 0, size, rw)
	vc := c.must(abi.SysVMOMap, ch, 0, 0, size, ro)
	a.write(va, data)
	for at := uint64(0); at < size; at += abi.PageSize {
		a.access(va+at, sv39.W)
		b.access(b2+at, sv39.W)
		c.access(vc+at, sv39.R)
	}
	b.access(vb, sv39.W)
	a.must(abi.SysCapInfo, h)
	if a.main.Frame.X[hart.A4] != 0 {
		t.Error("sealed from the beginning")
	}

	b.must(abi.SysVMOSeal, bh)
	s.check()
	for _, q := range []struct {
		proc
		h uint64
	}{{a, h}, {b, bh}, {c, ch}} {
		q.must(abi.SysCapInfo, q.h)
		if q.main.Frame.X[hart.A4] != 1 {
			t.Error("nobody is told of the seal")
		}
	}
	a.must(abi.SysVMOSeal, h) // again
	a.write(msgVA, []byte("other"))
	a.fails(abi.ESEALED, abi.SysVMOWrite, h, 0, msgVA, 5)
	b.fails(abi.ESEALED, abi.SysVMOMap, bh, 0, 0, size, rw)
	b.fails(abi.ESEALED, abi.SysVMOProtect, bh, rw, vb, 2*abi.PageSize)
	a.fails(abi.ESEALED, abi.SysVMOResize, h, size+1)
	a.fails(abi.ESEALED, abi.SysVMOResize, h, 1)
	a.fails(abi.EFAULT, abi.SysVMORead, h, 0, va, 5) // into itself
	if a.space.CopyOut(va, []byte("other")) || b.space.CopyOut(vb, []byte("other")) {
		t.Error("the kernel writes for a process what that cannot")
	}
	// Rights of before, copied after, are no way around it.
	again := a.must(abi.SysCapCopy, h, rw)
	a.fails(abi.ESEALED, abi.SysVMOMap, again, 0, 0, size, rw)
	a.must(abi.SysVMOMap, again, 0, 0, size, ro)
	s.check()
	if !bytes.Equal(c.read(vc, size), data) {
		t.Error("the reader sees something else")
	}
	for at := uint64(0); at < size; at += abi.PageSize {
		w, _ := s.spawn()
		wh := s.give(a, h, abi.RightRead|abi.RightGrant, 0, w)
		if at := w.must(abi.SysVMOMap, wh, 0, 0, size, ro) + at; w.access(at, sv39.W) || w.alive() {
			t.Fatal("a sealed object was written")
		}
	}
	if a.access(va, sv39.W) || b.access(vb, sv39.W) || a.alive() || b.alive() {
		t.Error("a sealed object was written")
	}
	s.check()
	if !bytes.Equal(c.read(vc, size), data) {
		t.Error("the reader sees something else")
	}
}

// A writer has its sealed object taken off while a reply is to be put there.
func TestSealedReplyBuffer(t *testing.T) {
	s := newSim(t)
	client, server, ep, recv := s.pair()
	h := client.must(abi.SysVMOCreate, 4*abi.PageSize)
	va := client.must(abi.SysVMOMap, h, 0, 0, 4*abi.PageSize, rw)
	client.access(va, sv39.W)
	server.wait(recv, 1)
	client.trap(abi.SysCall, &regs{A: [7]uint64{0: ep, 1: 8 | abi.FlagNoWait, 2: 9, 6: va}})
	right := server.request(1).right
	client.must(abi.SysVMOSeal, h)
	s.check()
	server.trap(abi.SysReply, &regs{A: [7]uint64{0: right, 1: 500 | abi.FlagNoWait, 5: msgVA}})
	if got := refusal(server.main.Frame.X[hart.A0]); got != abi.EMSGSIZE {
		t.Errorf("reply into sealed memory: %v", got)
	}
	s.check()
}

func TestResize(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	limit, unreserved := v.acct.Limit(), s.pool.Unreserved()
	h := v.must(abi.SysVMOCreate, 2*abi.PageSize)
	v.write(msgVA, []byte("kept"))
	v.must(abi.SysVMOWrite, h, abi.PageSize-2, msgVA, 4)
	size := func() uint64 { v.must(abi.SysCapInfo, h); return v.main.Frame.X[hart.A3] }
	was := uint64(2 * abi.PageSize)
	steps := []uint64{10*abi.PageSize - 7, 10 * abi.PageSize, 2 * abi.PageSize, 2*abi.PageSize + 1, 3 * abi.PageSize, 40 * abi.PageSize, 2 * abi.PageSize}
	for _, n := range steps {
		v.must(abi.SysVMOResize, h, n)
		s.check()
		if size() != pageUp(n) || limit-v.acct.Limit() != vmoFrames(pageUp(n)) {
			t.Fatalf("%d bytes: size %d, %d frames of budget", n, size(), limit-v.acct.Limit())
		}
		// Every page is there and paid for; new ones are zero, also in frames that were
		// the object's before.
		v.must(abi.SysVMORead, h, pageUp(n)-8, recvVA, 8)
		if pageUp(n) > was && !bytes.Equal(v.read(recvVA, 8), make([]byte, 8)) {
			t.Errorf("%d bytes: the last page is not zero", n)
		}
		was = pageUp(n)
		v.write(msgVA, bytes.Repeat([]byte{0xee}, abi.PageSize))
		for at := uint64(2); at < pageUp(n)/abi.PageSize; at++ {
			v.must(abi.SysVMOWrite, h, at*abi.PageSize, msgVA, abi.PageSize)
		}
		s.check()
	}
	v.must(abi.SysVMORead, h, abi.PageSize-2, recvVA, 4)
	if got := string(v.read(recvVA, 4)); got != "kept" {
		t.Errorf("read %q", got)
	}
	v.fails(abi.EINVAL, abi.SysVMORead, h, 2*abi.PageSize, recvVA, 1)
	v.must(abi.SysCapClose, h)
	if v.acct.Limit() != limit || s.pool.Unreserved() != unreserved {
		t.Errorf("budget %d after, %d before", v.acct.Limit(), limit)
	}
	s.check()
}

// What is mapped by anybody stays; what nobody maps can go.
func TestResizeMapped(t *testing.T) {
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	h := a.must(abi.SysVMOCreate, 6*abi.PageSize)
	bh := s.give(a, h, abi.RightRead, 0, b)
	va := a.must(abi.SysVMOMap, h, 0, 0, 2*abi.PageSize, rw)
	vb := b.must(abi.SysVMOMap, bh, 0, 3*abi.PageSize, abi.PageSize, ro)
	a.fails(abi.EBUSY, abi.SysVMOResize, h, 3*abi.PageSize)
	a.must(abi.SysVMOResize, h, 4*abi.PageSize)
	s.check()
	if !b.access(vb, sv39.R) {
		t.Error("a page that is mapped went away")
	}
	b.must(abi.SysUnmap, vb, abi.PageSize)
	a.must(abi.SysVMOResize, h, 2*abi.PageSize)
	s.check()
	a.fails(abi.EBUSY, abi.SysVMOResize, h, abi.PageSize)
	a.must(abi.SysVMOResize, h, 5*abi.PageSize) // a mapping does not grow with its object
	if a.access(va+2*abi.PageSize, sv39.R) {
		t.Error("access behind a mapping")
	}
	s.check()
}

// Objects with more than one table of pages come and go by whole tables.
func TestResizeTables(t *testing.T) {
	s := newSim(t)
	h := s.root.must(abi.SysVMOCreate, abi.PageSize)
	touch := func(page uint64) { s.root.must(abi.SysVMOWrite, h, page*abi.PageSize, scratchVA, 1) }
	for _, n := range []uint64{pagesPerTable + 1, pagesPerTable, pagesPerTable + 2, pagesPerTable - 1, 2*pagesPerTable + 1, 1} {
		s.root.must(abi.SysVMOResize, h, n*abi.PageSize)
		s.check()
		touch(n - 1)
		touch(n / 2)
		touch(0)
		s.check()
	}
	s.root.must(abi.SysCapClose, h)
	s.check()
}

// Memory that is there is mapped at once, within what a call may take.
func TestMapPresent(t *testing.T) {
	s := newSim(t)
	const pages = eagerPages + 40
	h := s.root.must(abi.SysVMOCreate, pages*abi.PageSize)
	for _, n := range []uint64{0, 1, 7, pagesPerTable - 1, pagesPerTable, pages - 1} {
		s.root.must(abi.SysVMOWrite, h, n*abi.PageSize, scratchVA, 1)
	}
	for _, off := range []uint64{0, 1, 7, 41} {
		va := s.root.must(abi.SysVMOMap, h, abi.MapBase+(pagesPerTable*4-3)*abi.PageSize, off*abi.PageSize, (pages-off)*abi.PageSize, rw)
		for n := off; n < pages; n++ {
			there := s.present(&s.vmos[s.caps[s.lookup(s.root.Process, h)].obj], n)
			leaf := s.root.space.Lookup(va + (n-off)*abi.PageSize)
			if eager := there != 0 && n-off < eagerPages; eager != (leaf != 0) || eager && leaf.Addr() != there {
				t.Fatalf("offset %d: page %d at %#x is mapped to %#x", off, n, there, uint64(leaf))
			}
		}
		s.check()
		s.root.must(abi.SysUnmap, va, (pages-off)*abi.PageSize)
		s.check()
	}
}

// A budget that cannot pay for page tables does not refuse a mapping.
func TestMapPresentOverBudget(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	h := v.must(abi.SysVMOCreate, abi.PageSize)
	v.must(abi.SysVMOWrite, h, 0, msgVA, 1)
	for va := uint64(abi.HeapBase); v.acct.Used() < v.acct.Limit(); va += abi.PageSize {
		v.access(va, sv39.W)
	}
	v.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, ro)
	s.check()
}

// A mebibyte changes hands in two kernel entries: the call that moves its capability
// and the mapping. The receiver then reads it without another.
func TestZeroCopy(t *testing.T) {
	const size = 1 << 20
	s := newSim(t)
	server, _ := s.spawn()
	recv := server.must(abi.SysEndpointCreate, 1, 64)
	ep := s.give(server, recv, abi.RightSend, 0, s.root)
	data := elftest.Pattern(8, size)
	h := s.root.must(abi.SysVMOCreate, size)
	va := s.root.must(abi.SysVMOMap, h, 0, 0, size, rw)
	s.root.write(va, data)
	s.root.must(abi.SysVMOSeal, h)
	server.wait(recv, 1)
	s.traps = 0
	s.root.trap(abi.SysCall, &regs{A: [7]uint64{0: ep, 1: 8 | abi.FlagNoWait, 2: 3, 4: h}})
	got := server.request(1).moved
	at := server.must(abi.SysVMOMap, got, 0, 0, size, ro)
	for n := uint64(0); n < size; n += abi.PageSize {
		if !server.access(at+n, sv39.R) {
			t.Fatal("no access")
		}
	}
	if s.traps != 2 {
		t.Errorf("%d kernel entries", s.traps)
	}
	if !bytes.Equal(server.read(at, size), data) {
		t.Error("contents differ")
	}
	s.check()
}

// A region that takes the place of one that was unmapped is still found.
func TestSealAfterUnmap(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	h := v.must(abi.SysVMOCreate, abi.PageSize)
	var at [4]uint64
	for i := range at {
		at[i] = v.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, rw)
	}
	v.must(abi.SysUnmap, at[0], abi.PageSize)
	s.check()
	v.must(abi.SysUnmap, at[2], abi.PageSize)
	s.check()
	v.must(abi.SysVMOSeal, h)
	s.check()
	for _, va := range []uint64{at[1], at[3]} {
		if v.space.CopyOut(va, []byte{1}) {
			t.Errorf("a sealed object can be written at %#x", va)
		}
	}
}

// The first touch of a contiguous object maps what shares a table with the page: of
// the region, not more.
func TestTouchMapsAround(t *testing.T) {
	s := newSim(t)
	const table = pagesPerTable * abi.PageSize
	const inOne, inTwo = abi.MapBase + table, abi.MapBase + 2*table - abi.PageSize
	for _, va := range []uint64{inOne, inTwo} {
		for _, off := range []uint64{0, abi.PageSize} {
			size := 2*abi.PageSize - off
			s.root.must(abi.SysVMOMap, hFiles, va, off, size, ro)
			if !s.root.access(va, sv39.R) {
				t.Fatal("cannot be read")
			}
			s.check()
			mapped := uint64(0)
			for at := va - abi.PageSize; at < va+3*abi.PageSize; at += abi.PageSize {
				if s.root.space.Lookup(at) != 0 {
					mapped++
				}
			}
			want := size / abi.PageSize
			if va == inTwo {
				want = 1
			}
			if mapped != want {
				t.Errorf("%d pages from %#x on: %d mapped, want %d", size/abi.PageSize, va, mapped, want)
			}
			all := elftest.Pattern(9, 5000)
			if got := s.root.read(va, 5000-int(off)); !bytes.Equal(got, all[off:]) {
				t.Errorf("other bytes at %#x", va)
			}
			s.check()
			s.root.must(abi.SysUnmap, va, size)
			s.check()
		}
	}
}
