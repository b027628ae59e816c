package core

import (
	"math"
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/sv39"
)

// startHarts starts n harts, all of them idle but the one that runs the root process.
func (s *sim) startHarts(n int) {
	s.Kernel.interrupt = func(int) {}
	for i := 1; i < n; i++ {
		s.Online(i)
	}
}

// spawnOn makes a child of the root process that runs on hart i.
func (s *sim) spawnOn(i int) proc {
	s.tb.Helper()
	s.On(0)
	s.Idle(i)
	q, _ := s.spawn()
	s.enter(i, q)
	return q
}

// enter makes hart i, which was interrupted, run q, which is in its queue.
func (s *sim) enter(i int, q proc) {
	s.tb.Helper()
	s.On(i)
	s.Interrupted(false)
	s.Awake(i)
	s.Tick()
	if s.h.cur != q.main {
		s.tb.Fatalf("hart %d does not run pid %d", i, q.pid)
	}
}

// migrate makes q, which runs, wait and go on on hart i. The root process wakes it.
func (s *sim) migrate(q proc, i int) {
	s.tb.Helper()
	s.On(int(q.main.hart))
	h := q.must(abi.SysNotificationCreate, 1)
	mine := s.give(q, h, abi.RightSignal, 0, s.root)
	q.wait(0, 0)
	s.On(0)
	s.Idle(i)
	s.root.must(abi.SysNotify, mine, 1)
	s.enter(i, q)
}

// A fence goes to the harts that may have cached what changed, and to no other: those
// that the process ran on, in this life of its address-space identifier.
func TestFenceHarts(t *testing.T) {
	const pages = fencePagesMax + 1
	const size = pages * abi.PageSize
	s := newSim(t)
	s.startHarts(4)
	a := s.spawnOn(1)
	h := a.must(abi.SysVMOCreate, size)
	one := a.must(abi.SysVMOMap, h, 0, 0, size, rw)
	two := a.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, ro)
	b := s.spawnOn(2)
	theirs := b.must(abi.SysVMOMap, s.give(a, h, abi.RightRead, 0, b), 0, 0, size, ro)
	touchAll := func(q proc, va uint64, need sv39.Perm) {
		s.On(int(q.main.hart))
		for at := va; at < va+size; at += abi.PageSize {
			if !q.access(at, need) {
				t.Fatalf("pid %d cannot touch %#x", q.pid, at)
			}
		}
	}
	touchAll(a, one, sv39.W)
	touchAll(b, theirs, sv39.R)
	s.migrate(a, 3)
	touchAll(a, one, sv39.W)
	a.access(two, sv39.R)
	expect := func(what string, want ...fence) {
		t.Helper()
		if !slices.Equal(s.fences, want) {
			t.Errorf("%s: fences %x, want %x", what, s.fences, want)
		}
		s.checkTLBs()
		s.fences = nil
	}
	s.fences = nil

	// Another process, on a hart of its own, takes a's right to write. What b may do
	// with its mapping does not change.
	write := s.give(a, h, abi.RightWrite, 0, s.root)
	s.On(0)
	s.root.must(abi.SysVMOSeal, write)
	expect("seal", fence{1<<1 | 1<<3, 0, math.MaxUint64, a.asid})
	touchAll(a, one, sv39.R)
	s.fences = nil
	// a itself needs no fence on another hart but on those that it left.
	a.must(abi.SysUnmap, two, abi.PageSize)
	expect("unmap a page", fence{1 << 1, two, abi.PageSize, a.asid})
	a.must(abi.SysUnmap, one, size)
	expect("unmap", fence{1 << 1, 0, math.MaxUint64, a.asid})
	a.sys(abi.SysExit, 0)
	expect("end", fence{1 << 1, 0, math.MaxUint64, a.asid})
	s.On(2)
	b.must(abi.SysUnmap, theirs, size)
	expect("unmap where nobody else ran")
}

// An address-space identifier is used again when its process has ended, and no hart
// translates for the new process what it had cached for the old one.
func TestReuseASID(t *testing.T) {
	s := newSim(t)
	s.startHarts(4)
	last := uint64(0)
	for round := range 12 {
		i := 1 + round%3
		s.On(0)
		s.Idle(i)
		q, h := s.spawn()
		s.enter(i, q)
		if last != 0 && q.asid != last {
			t.Fatalf("ASID %d, want %d again", q.asid, last)
		}
		last = q.asid
		for page := range uint64(3) {
			q.access(scratchVA+page*abi.PageSize, sv39.W)
		}
		if round%2 != 0 {
			s.migrate(q, 1+(round+1)%3)
			q.access(scratchVA, sv39.R)
		}
		q.sys(abi.SysExit, 0)
		s.checkTLBs()
		s.On(0)
		s.root.must(abi.SysCapClose, h)
	}
}
