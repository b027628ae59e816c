package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// Every way in which a call can end without a reply.

func (q proc) callDue(ep, cookie uint64, due int64) {
	q.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, cookie, uint64(due)}})
}

func TestCallDeadline(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	s.root.wait(0, 0)
	// In the queue, the caller waits.
	c.callDue(ep, 1, s.clock+1000)
	c.mustWait()
	s.advance(999)
	c.mustWait()
	s.check()
	if due := s.Alarm(); due != s.clock+1 && due != s.h.sliceEnd {
		t.Errorf("alarm %d, now %d", due, s.clock)
	}
	s.advance(1)
	c.reply(1, abi.ETIMEDOUT)
	s.check()
	// Taken, the caller waits: the server is told the deadline and of the end.
	v.wait(recv, 7)
	due := s.clock + 500
	c.callDue(ep, 2, due)
	e := v.request(7)
	if e.due != uint64(due) {
		t.Errorf("server was told %d, want %d", e.due, due)
	}
	s.advance(500)
	c.reply(2, abi.ETIMEDOUT)
	if n := v.poll(); n.kind != abi.EventCancel || n.cookie != 7 || n.right != e.right {
		t.Errorf("event %+v", n)
	}
	if errno := v.answer(e.right, 0); errno != abi.ENOENT {
		t.Errorf("late reply: %v", errno)
	}
	s.check()
	// The caller does not wait: the event is there when it does.
	v.wait(recv, 8)
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 3, uint64(s.clock + 10)}})
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 4, uint64(s.clock + 5)}})
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 5}})
	e = v.request(8)
	v.wait(0, 0)
	s.advance(9)
	v.mustWait()
	s.advance(1)
	if n := v.event(); n.kind != abi.EventCancel || n.right != e.right {
		t.Errorf("event %+v", n)
	}
	for _, want := range []uint64{4, 3} {
		if e := c.poll(); e.cookie != want || e.a2 != uint64(abi.ETIMEDOUT) {
			t.Errorf("event %+v, want the end of %d", e, want)
		}
	}
	if e := c.poll(); e.kind != abi.EventNone || c.outstanding() != 1 {
		t.Errorf("event %+v, %d outstanding", e, c.outstanding())
	}
	s.check()
	// A deadline in the past, and one before time began, end the call at the next
	// timer interrupt, which is due at once.
	for i, due := range []int64{s.clock - 1, -5, -1 << 63} {
		c.callDue(ep, uint64(10+i), due)
		if a := s.Alarm(); a <= 0 || a > s.clock {
			t.Errorf("deadline %d: alarm at %d, now %d", due, a, s.clock)
		}
		s.interrupt()
		c.reply(uint64(10+i), abi.ETIMEDOUT)
		s.check()
	}
	// A reply in time: nothing is left to come up.
	v.wait(recv, 9)
	if e := v.request(9); v.answer(e.right, 0) != abi.OK {
		t.Error("reply refused")
	}
	c.callDue(ep, 20, s.clock+100)
	v.wait(recv, 9)
	v.answer(v.request(9).right, 0)
	s.advance(1000)
	if e := c.event(); e.kind != abi.EventReply || e.a2 != 0 {
		t.Errorf("event %+v", e)
	}
	s.check()
}

func TestWaitDeadline(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	s.root.wait(0, 0)
	wait := func(due int64) { c.trap(abi.SysWait, &regs{A: [7]uint64{3: uint64(due)}}) }
	wait(s.clock + 100)
	c.mustWait()
	s.advance(99)
	c.mustWait()
	s.advance(1)
	if e := c.event(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	// Past deadlines.
	for _, due := range []int64{s.clock, 1, -1, -1 << 63} {
		wait(due)
		s.interrupt()
		if e := c.event(); e.kind != abi.EventNone {
			t.Errorf("event %+v", e)
		}
		s.check()
	}
	// The wait of a call ends; the call goes on.
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 5}, S10: uint64(s.clock + 50)})
	s.advance(50)
	if e := c.event(); e.kind != abi.EventNone || c.outstanding() != 1 {
		t.Errorf("event %+v", e)
	}
	// The wait of a reply ends.
	v.wait(recv, 1)
	v.trap(abi.SysReply, &regs{A: [7]uint64{v.request(1).right, 8, 0, uint64(s.clock + 70)}})
	v.mustWait()
	wait(0)
	c.reply(5, abi.OK)
	s.advance(70)
	if e := v.event(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	// Ever later deadlines cost one entry.
	for i := range int64(20) {
		wait(s.clock + 1000 + i)
		v.must(abi.SysNop)
		s.check()
		if c.waits() {
			s.Kernel.wake(c.main, abi.EventNone)
		}
	}
	s.advance(5000)
	s.check()
}

func TestCancel(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	c.fails(abi.ENOENT, abi.SysCancel, 0, 0, 1)
	c.post(ep, 1)
	c.must(abi.SysCancel, 0, 0, 1)
	c.fails(abi.ENOENT, abi.SysCancel, 0, 0, 1)
	s.check()
	if e := c.poll(); e.cookie != 1 || e.a2 != uint64(abi.ECANCELED) {
		t.Errorf("event %+v", e)
	}
	v.wait(recv, 4) // nothing of it reached the server
	v.mustWait()
	c.post(ep, 2)
	e := v.request(4)
	c.must(abi.SysCancel, 0, 0, 2)
	if e := c.poll(); e.cookie != 2 || e.a2 != uint64(abi.ECANCELED) {
		t.Errorf("event %+v", e)
	}
	if n := v.poll(); n.kind != abi.EventCancel || n.cookie != 4 || n.right != e.right || n.a2|n.sid|n.length|n.moved|n.due != 0 {
		t.Errorf("event %+v", n)
	}
	s.check()
	// A waiting server is woken by the note.
	v.wait(recv, 5)
	c.post(ep, 3)
	v.request(5)
	v.wait(0, 0)
	c.must(abi.SysCancel, 0, 0, 3)
	if n := v.event(); n.kind != abi.EventCancel || n.cookie != 5 {
		t.Errorf("event %+v", n)
	}
	c.poll()
	// An ended call cannot be cancelled.
	v.wait(recv, 6)
	c.post(ep, 4)
	v.answer(v.request(6).right, 0)
	c.fails(abi.ENOENT, abi.SysCancel, 0, 0, 4)
	s.check()
}

// A server that does not collect its notes loses those beyond the limit, and
// nothing else.
func TestRejectNotes(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	d, _ := s.spawn()
	dep := s.give(v, recv, abi.RightSend, 0, d)
	const each = notesPerServer/2 + 3
	last := uint64(0)
	for i := range uint64(2 * each) {
		v.wait(recv, i)
		if i%2 == 0 {
			c.post(ep, i)
		} else {
			d.post(dep, i)
		}
		last = v.request(i).right
	}
	for i := range uint64(2 * each) {
		p := c
		if i%2 != 0 {
			p = d
		}
		p.must(abi.SysCancel, 0, 0, i)
		if e := p.poll(); e.cookie != i || e.a2 != uint64(abi.ECANCELED) {
			t.Fatalf("event %+v", e)
		}
		s.check()
	}
	if errno := v.answer(last, 0); errno != abi.ENOENT {
		t.Errorf("reply after a dropped note: %v", errno)
	}
	for i := range uint64(notesPerServer) {
		if n := v.poll(); n.kind != abi.EventCancel || n.cookie != i {
			t.Errorf("event %+v", n)
		}
	}
	if n := v.poll(); n.kind != abi.EventNone {
		t.Errorf("event %+v", n)
	}
	s.check()
}

// ends are the ways in which a process can end.
var ends = []struct {
	name string
	end  func(s *sim, q proc, h uint64)
}{
	{"exit", func(s *sim, q proc, h uint64) { q.sys(abi.SysExit, 3) }},
	{"kill", func(s *sim, q proc, h uint64) { s.root.must(abi.SysProcessKill, h) }},
	{"fault", func(s *sim, q proc, h uint64) { q.fault(hart.CauseLoadPage, 8) }},
}

func TestServerEnds(t *testing.T) {
	for _, how := range ends {
		t.Run(how.name, func(t *testing.T) {
			s := newSim(t)
			c, _ := s.spawn()
			d, _ := s.spawn()
			v, h := s.spawn()
			recv := v.must(abi.SysEndpointCreate, 8, 64)
			ep := s.give(v, recv, abi.RightSend|abi.RightGrant, 0, c)
			ep2 := s.give(v, recv, abi.RightSend, 0, d)
			v.wait(recv, 1)
			c.call(ep, 10) // taken, its client waits
			right := v.request(1).right
			d.post(ep2, 20) // queued, its client runs
			d.sys(abi.SysSend, ep2, 8)
			s.check()
			how.end(s, v, h)
			s.check()
			c.reply(10, abi.ECLOSED)
			if e := d.poll(); e.cookie != 20 || e.a2 != uint64(abi.ECLOSED) {
				t.Errorf("event %+v", e)
			}
			if errno := d.post(ep2, 21); errno != abi.ECLOSED {
				t.Errorf("call: %v", errno)
			}
			d.fails(abi.ECLOSED, abi.SysSend, ep2, 8)
			// The next process in the same table entry has nothing to do with it.
			s.root.must(abi.SysCapClose, h)
			w, _ := s.spawn()
			if w.id != v.id {
				t.Fatalf("entry %d used, want %d", w.id, v.id)
			}
			w.must(abi.SysEndpointCreate, 8, 64)
			if errno := d.post(ep2, 22); errno != abi.ECLOSED {
				t.Errorf("call reaches the next process: %v", errno)
			}
			if errno := w.answer(right, 1); errno != abi.EBADF && errno != abi.ENOENT {
				t.Errorf("next process answers: %v", errno)
			}
			if got := c.must(abi.SysCapInfo, ep); got != uint64(abi.KindEndpoint) {
				t.Errorf("kind %d", got)
			}
			s.check()
		})
	}
}

func TestServerDiesWaiting(t *testing.T) {
	s := newSim(t)
	c, _ := s.spawn()
	v, h := s.spawn()
	recv := v.must(abi.SysEndpointCreate, 8, 64)
	ep := s.give(v, recv, abi.RightSend, 0, c)
	v.wait(recv, 1)
	s.root.must(abi.SysProcessKill, h)
	s.check()
	if errno := c.post(ep, 1); errno != abi.ECLOSED {
		t.Error(errno)
	}
	s.check()
}

func TestClientEnds(t *testing.T) {
	for _, how := range ends {
		t.Run(how.name, func(t *testing.T) {
			s := newSim(t)
			v, _ := s.spawn()
			c, h := s.spawn()
			recv := v.must(abi.SysEndpointCreate, 8, 64)
			ep := s.give(v, recv, abi.RightSend|abi.RightGrant, 0, c)
			moved := c.must(abi.SysNotificationCreate, 1)
			moved = c.must(abi.SysCapCopy, moved, uint64(abi.RightSignal|abi.RightGrant))
			for i := range uint64(3) { // two taken, one queued and with a capability
				v.wait(recv, i)
				if i < 2 {
					c.post(ep, i)
					v.request(i)
				}
			}
			v.mustWait()
			c.must(abi.SysSend, ep, 8)
			v.request(2)
			c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 5, 0, moved}})
			v.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: recv}, S10: 3})
			v.request(3)
			c.post(ep, 6)
			s.check()
			how.end(s, c, h)
			s.check()
			v.wait(recv, 4)
			told := map[uint64]int{}
			for range 3 {
				if e := v.event(); e.kind == abi.EventCancel {
					told[e.cookie]++
				}
				v.wait(0, 0)
			}
			if told[0] != 1 || told[1] != 1 || told[3] != 1 {
				t.Errorf("notes for %v", told)
			}
			v.mustWait() // the queued one is gone
			s.root.must(abi.SysCapClose, h)
			s.check()
		})
	}
}

func TestEndpointCloses(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	c.post(ep, 1)
	right := v.request(1).right
	c.post(ep, 2)
	c.post(ep, 3)
	v.wait2(t, v.must(abi.SysEndpointCreate, 1, 0))
	v.must(abi.SysCapClose, recv)
	s.check()
	for _, want := range []uint64{2, 3} {
		if e := c.poll(); e.cookie != want || e.a2 != uint64(abi.ECLOSED) {
			t.Errorf("event %+v", e)
		}
	}
	if errno := c.post(ep, 4); errno != abi.ECLOSED {
		t.Error(errno)
	}
	if errno := v.answer(right, 5); errno != abi.OK { // what is taken can be answered
		t.Error(errno)
	}
	if e := c.poll(); e.cookie != 1 || e.a2 != 0 {
		t.Errorf("event %+v", e)
	}
	v.fails(abi.EBADF, abi.SysWait, 0, 0, recv)
	// The entry is used again; the old capability does not name the new endpoint.
	again := v.must(abi.SysEndpointCreate, 8, 64)
	v.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: again}})
	if errno := c.post(ep, 4); errno != abi.ECLOSED {
		t.Error(errno)
	}
	s.check()
}

// A process is killed in each state of its thread.
func TestKillInEveryState(t *testing.T) {
	s := newSim(t)
	_, h := s.spawn() // touches the memory that spawning needs
	s.root.must(abi.SysProcessKill, h)
	s.root.must(abi.SysCapClose, h)
	free := s.pool.Free()
	for _, state := range []string{"ready", "waiting", "waiting with deadlines", "handed", "self"} {
		v, h := s.spawn()
		switch state {
		case "ready":
			v.must(abi.SysNop)
			s.root.must(abi.SysYield)
		case "waiting":
			v.wait(0, 0)
		case "waiting with deadlines":
			ep := v.must(abi.SysEndpointCreate, 8, 64)
			v.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 1, uint64(s.clock + 100)}, S10: uint64(s.clock + 50)})
			v.mustWait()
		case "handed":
			n := s.give(v, v.must(abi.SysNotificationCreate, 1), abi.RightSignal, 0, s.root)
			v.wait(0, 0)
			s.root.must(abi.SysNotify, n, 1)
			s.root.must(abi.SysCapClose, n)
		case "self":
			hh := s.give(s.root, h, abi.RightManage|abi.RightRead, 0, v)
			v.trap(abi.SysProcessKill, &regs{A: [7]uint64{hh}})
		}
		if state != "self" {
			s.root.must(abi.SysProcessKill, h)
		}
		if v.alive() {
			t.Errorf("%s: alive", state)
		}
		s.check()
		s.root.fails(abi.ENOENT, abi.SysProcessKill, h)
		if live := s.root.must(abi.SysProcessInfo, h); live != 0 || int64(s.root.main.Frame.X[hart.A1]) != abi.ExitKilled || s.root.main.Frame.X[hart.A2] != v.life {
			t.Errorf("%s: info %d %d", state, live, int64(s.root.main.Frame.X[hart.A1]))
		}
		s.root.must(abi.SysCapClose, h)
		s.advance(1000)
		s.check()
	}
	if s.pool.Free() != free {
		t.Errorf("%d frames free, %d before", s.pool.Free(), free)
	}
}

// A process that holds the last capability to itself.
func TestEndsWithCapabilityToItself(t *testing.T) {
	s := newSim(t)
	v, h := s.spawn()
	s.give(s.root, h, abi.RightRead, 0, v)
	s.root.must(abi.SysCapClose, h)
	s.check()
	v.sys(abi.SysExit, 0)
	s.check()
	w, _ := s.spawn()
	x, _ := s.spawn()
	if w.id == x.id {
		t.Error("one table entry for two processes")
	}
	s.check()
}

// A deadline of a wait that ended by the direct path is no deadline of what the thread
// does then.
func TestDeadlineOfWaitThatIsOver(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 1}, S10: uint64(s.clock + 50)})
	v.trap(abi.SysReply, &regs{A: [7]uint64{v.request(1).right, 8, recv}, S10: 1})
	c.reply(1, abi.OK)
	c.main.Frame.X[hart.A0] = 77
	s.advance(60)
	if c.main.Frame.X[hart.A0] != 77 || s.Current() != c.main && c.main.state != threadReady {
		t.Errorf("a0 is %d, thread in state %d", c.main.Frame.X[hart.A0], c.main.state)
	}
	s.check()
}
