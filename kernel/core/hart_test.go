package core

import (
	"testing"

	"nexus.internal/ipc/abi"
)

// A thread that kills its own process is gone, also while other harts run the rest of
// it, and the hart has something else to do.
func TestKillOwnProcess(t *testing.T) {
	s := newSMP(t, 2)
	q, h := s.spawn()
	own := s.give(s.root, h, abi.RightManage, 0, q)
	a, _ := q.thread()
	s.settle()
	for a.main.state != threadRunning || q.main.state != threadRunning {
		s.turn(0)
		s.turn(1)
	}
	q.trap(abi.SysProcessKill, &regs{A: [7]uint64{own}})
	if s.check(); !q.doomed || q.main.state != threadGone || a.main.state != threadRunning {
		t.Fatalf("doomed %v, the killer in state %d, the other thread in state %d", q.doomed, q.main.state, a.main.state)
	}
	s.settle()
	if s.check(); q.state == procLive {
		t.Error("the process lives")
	}
	s.root.must(abi.SysCapClose, h)
}

// A deadline that must come earlier moves to the hart that sets it, and is there once.
func TestDeadlineMoves(t *testing.T) {
	s := newSMP(t, 3)
	q, _ := s.spawn()
	s.settle()
	note := q.must(abi.SysNotificationCreate, 1)
	own := s.give(q, note, abi.RightSignal, 0, s.root)
	q.trap(abi.SysWait, &regs{A: [7]uint64{3: uint64(s.clock + 1000)}})
	first := s.dueHart[q.main.id]
	r, _ := s.spawn() // has the hart now where q was
	s.settle()
	s.root.must(abi.SysNotify, own, 1)
	s.settle()
	if q.main.hart == r.main.hart || q.event().kind != abi.EventNotify {
		t.Fatalf("both processes run on hart %d", r.main.hart)
	}
	q.trap(abi.SysWait, &regs{A: [7]uint64{3: uint64(s.clock + 500)}})
	if at := s.dueHart[q.main.id]; at == first || int(at) != s.Self()+1 {
		t.Fatalf("the deadline is on hart %d, and was on %d", at, first)
	}
	s.check()
	s.advance(499)
	q.mustWait()
	s.advance(1)
	if s.settle(); q.waits() || q.event().kind != abi.EventNone {
		t.Error("the wait goes on past its deadline")
	}
	s.advance(1000)
	s.check()
}
