package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// leaves counts the leaves of p in [start, end) by their level.
func (s *sim) leaves(p *Process, start, end uint64) (n [3]int) {
	sv39.Audit(p.space.Root, func(va uint64, level int, e sv39.PTE) {
		if e.IsLeaf() && va >= start && va < end {
			n[level]++
		}
	})
	return n
}

// dirty fills the free frames that no budget has a claim on, the highest first, so
// that whoever forgets to zero one is found out.
func (s *sim) dirty() {
	s.pool.Open(&s.hog, s.pool.Unreserved())
	var frames []mem.PA
	for n := s.hog.Limit(); n > 0; n /= 2 {
		for run, ok := s.pool.TakeRun(&s.hog, n, 1); ok; run, ok = s.pool.TakeRun(&s.hog, n, 1) {
			for pa := run; pa < run+mem.PA(n)*abi.PageSize; pa += abi.PageSize {
				words := mem.Words(pa)
				for i := range words {
					words[i] = 0x5a5a_5a5a_5a5a_5a5a
				}
				frames = append(frames, pa)
			}
		}
	}
	for _, pa := range frames {
		s.pool.Give(&s.hog, pa)
	}
	s.pool.Close(&s.hog)
}

func (s *sim) isZero(q proc, va, length uint64) {
	s.tb.Helper()
	for at := va; at < va+length; at += abi.PageSize {
		for _, b := range q.read(at, abi.PageSize) {
			if b != 0 {
				s.tb.Fatalf("the page at %#x is not zero", at)
			}
		}
	}
}

// Pages of 4 KiB come zeroed, of a heap and of an object, whatever their frames held.
func TestPagesAreZero(t *testing.T) {
	s := newSim(t)
	s.dirty()
	q := s.root
	shared := q.must(abi.SysVMOMap, q.must(abi.SysVMOCreate, 3*abi.PageSize), 0, 0, 3*abi.PageSize, rw)
	for _, va := range []uint64{abi.HeapBase, shared} {
		for at := va; at < va+3*abi.PageSize; at += abi.PageSize {
			if !q.access(at, sv39.W) {
				t.Fatalf("%#x cannot be written", at)
			}
		}
		s.isZero(q, va, 3*abi.PageSize)
	}
	s.check()
}

// A large object gets its memory by 2 MiB, zeroed, where a mapping can show it by one
// leaf, and everything else that is done with objects works with it.
func TestRuns(t *testing.T) {
	const size = 2*runBytes + abi.PageSize // two runs and a page
	s := newSim(t)
	s.dirty()
	q := s.root
	h := q.must(abi.SysVMOCreate, size)
	va := q.must(abi.SysVMOMap, h, 0, 0, size, rw)
	if va%runBytes != 0 {
		t.Errorf("mapped at %#x", va)
	}
	v := &s.vmos[s.caps[s.lookup(q.Process, h)].obj]
	if !q.access(va+5*abi.PageSize, sv39.W) {
		t.Fatal("cannot be written")
	}
	s.check()
	if n := s.leaves(q.Process, va, va+size); n != [3]int{0, 1, 0} || v.account.Used() != 1+1+pagesPerTable {
		t.Errorf("leaves of each size %v, object of %d frames", n, v.account.Used())
	}
	s.isZero(q, va, runBytes)
	q.access(va+size-1, sv39.W) // the rest is less than a run
	q.access(va+runBytes, sv39.R)
	s.check()
	if n := s.leaves(q.Process, va, va+size); n != [3]int{1, 2, 0} {
		t.Errorf("leaves of each size %v", n)
	}
	s.isZero(q, va, size)
	for at := uint64(0); at < size; at += abi.PageSize {
		q.write(va+at, []byte{byte(at / abi.PageSize), 1 + byte(at>>20)})
	}

	// Another process sees the same: at once by leaves where it can be, else by pages.
	b, _ := s.spawn()
	bh := s.give(q, h, abi.RightRead|abi.RightWrite, 0, b)
	for _, c := range []struct {
		va, off uint64
		want    [3]int
	}{
		{abi.MapBase + runBytes, 0, [3]int{0, 2, 0}},
		{abi.MapBase + 4*runBytes + abi.PageSize, abi.PageSize, [3]int{1, 1, 0}},
		{abi.MapBase + 9*runBytes + abi.PageSize, 0, [3]int{pagesPerTable, 0, 0}},
	} {
		length := 2*runBytes - c.off
		b.must(abi.SysVMOMap, bh, c.va, c.off, length, rw)
		if n := s.leaves(b.Process, c.va, c.va+length); c.off == 0 && n != c.want {
			t.Errorf("mapped at %#x from %#x on: leaves of each size %v, want %v", c.va, c.off, n, c.want)
		}
		for at := uint64(0); at < length; at += abi.PageSize {
			if got := b.read(c.va+at, 2); got[0] != byte((c.off+at)/abi.PageSize) || got[1] != 1+byte((c.off+at)>>20) {
				t.Fatalf("%x at %#x from %#x on", got, c.va+at, c.off)
			}
		}
		s.check()
	}
	b.access(abi.MapBase+runBytes, sv39.W)
	q.must(abi.SysVMOSeal, h)
	s.check()
	q.must(abi.SysUnmap, va, size)
	s.check()
	if b.access(abi.MapBase+runBytes+abi.PageSize, sv39.W) {
		t.Error("a sealed object can be written through a leaf of 2 MiB")
	}
	s.root.must(abi.SysCapClose, h)
	s.check()
}

// A run may be shrunk away in part and grow again, page by page then.
func TestResizeRun(t *testing.T) {
	s := newSim(t)
	q := s.root
	h := q.must(abi.SysVMOCreate, runBytes)
	va := q.must(abi.SysVMOMap, h, 0, 0, runBytes, rw)
	q.write(va, []byte("kept"))
	q.write(va+runBytes-abi.PageSize, []byte("gone"))
	q.fails(abi.EBUSY, abi.SysVMOResize, h, runBytes/2)
	q.must(abi.SysUnmap, va, runBytes)
	q.must(abi.SysVMOResize, h, runBytes/2)
	s.check()
	s.dirty()
	q.must(abi.SysVMOResize, h, runBytes)
	va = q.must(abi.SysVMOMap, h, 0, 0, runBytes, rw)
	s.check()
	if n := s.leaves(q.Process, va, va+runBytes); n != [3]int{pagesPerTable / 2, 0, 0} {
		t.Errorf("leaves of each size %v", n)
	}
	if string(q.read(va, 4)) != "kept" {
		t.Error("the first page is another")
	}
	s.isZero(q, va+runBytes/2, runBytes/2)
	s.check()
}

// Without a run in the machine, or where a mapping cannot show one, memory comes page
// by page.
func TestNoRun(t *testing.T) {
	s := newSim(t)
	q := s.root
	h := q.must(abi.SysVMOCreate, runBytes)
	small := q.must(abi.SysVMOMap, h, abi.MapBase+8*runBytes+abi.PageSize, 0, runBytes, rw)
	q.access(small, sv39.W)
	if n := s.leaves(q.Process, small, small+runBytes); n != [3]int{1, 0, 0} {
		t.Errorf("in a mapping between multiples of 2 MiB: leaves of each size %v", n)
	}
	q.must(abi.SysUnmap, small, runBytes)
	q.must(abi.SysCapClose, h)

	// One frame out of each run.
	s.pool.Open(&s.hog, s.pool.Unreserved())
	var held []mem.PA
	for pa, ok := s.pool.TakeRun(&s.hog, 1, pagesPerTable); ok; pa, ok = s.pool.TakeRun(&s.hog, 1, pagesPerTable) {
		held = append(held, pa)
	}
	h = q.must(abi.SysVMOCreate, runBytes)
	va := q.must(abi.SysVMOMap, h, 0, 0, runBytes, rw)
	q.access(va, sv39.W)
	q.access(va+runBytes-1, sv39.W)
	s.check()
	if n := s.leaves(q.Process, va, va+runBytes); n != [3]int{2, 0, 0} {
		t.Errorf("without a run: leaves of each size %v", n)
	}
	for _, pa := range held {
		s.pool.Give(&s.hog, pa)
	}
	s.pool.Close(&s.hog)

	// Where small pages were once, a run is mapped by pages, all at once.
	q.must(abi.SysUnmap, va, runBytes)
	h = q.must(abi.SysVMOCreate, runBytes)
	if again := q.must(abi.SysVMOMap, h, va, 0, runBytes, rw); again != va {
		t.Fatal(again)
	}
	q.access(va, sv39.W)
	s.check()
	if n := s.leaves(q.Process, va, va+runBytes); n != [3]int{pagesPerTable, 0, 0} {
		t.Errorf("over an old table: leaves of each size %v", n)
	}
}
