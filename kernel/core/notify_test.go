package core

import (
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"pgregory.net/rapid"
)

func TestNotify(t *testing.T) {
	s := newSim(t)
	c, v, _, _ := s.pair()
	a, b := v.must(abi.SysNotificationCreate, 10), v.must(abi.SysNotificationCreate, 20)
	ca := s.give(v, a, abi.RightSignal, 0, c)
	cb := s.give(v, b, abi.RightSignal, 0, c)
	// Bits add up until they are collected; notifications come in order.
	c.must(abi.SysNotify, cb, 1)
	c.must(abi.SysNotify, ca, 2)
	c.must(abi.SysNotify, cb, 4)
	c.must(abi.SysNotify, cb, 0) // no bits, no event
	s.check()
	for _, want := range []event{{kind: abi.EventNotify, cookie: 20, a2: 5}, {kind: abi.EventNotify, cookie: 10, a2: 2}} {
		e := v.poll()
		e.data = [8]uint64{}
		if e != want {
			t.Errorf("event %+v, want %+v", e, want)
		}
	}
	if e := v.poll(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	// A waiting process is woken.
	v.wait(0, 0)
	c.must(abi.SysNotify, ca, 1<<63)
	if e := v.event(); e.kind != abi.EventNotify || e.cookie != 10 || e.a2 != 1<<63 {
		t.Errorf("event %+v", e)
	}
	// The receiver closes it, with bits in it.
	c.must(abi.SysNotify, ca, 1)
	c.must(abi.SysNotify, cb, 1)
	v.must(abi.SysCapClose, a)
	s.check()
	c.fails(abi.ECLOSED, abi.SysNotify, ca, 1)
	if e := v.poll(); e.cookie != 20 {
		t.Errorf("event %+v", e)
	}
	v.must(abi.SysNotificationCreate, 30) // in the same entry
	c.fails(abi.ECLOSED, abi.SysNotify, ca, 1)
	// The receiver ends.
	v.sys(abi.SysExit, 0)
	c.fails(abi.ECLOSED, abi.SysNotify, cb, 1)
	s.check()
}

// Notifications and endpoints leave the list of those that are ready from any
// place in it.
func TestReadyListsShrinkAnywhere(t *testing.T) {
	for gone := range 3 {
		s := newSim(t)
		c, v, _, _ := s.pair()
		var notes, eps [3]uint64
		for i := range notes {
			notes[i] = v.must(abi.SysNotificationCreate, uint64(10+i))
			v.must(abi.SysNotify, notes[i], 1)
		}
		v.must(abi.SysCapClose, notes[gone])
		s.check()
		for i := range notes {
			if i == gone {
				continue
			}
			if e := v.poll(); e.cookie != uint64(10+i) {
				t.Errorf("event %+v, want %d", e, 10+i)
			}
		}
		// Armed endpoints with a request each, listed because v has other events.
		for i := range eps {
			eps[i] = v.must(abi.SysEndpointCreate, 4, 64)
			c.post(s.give(v, eps[i], abi.RightSend, 0, c), uint64(i))
		}
		self := v.must(abi.SysNotificationCreate, 20)
		for i := range eps {
			v.must(abi.SysNotify, self, 1)
			v.preferEPs = false
			v.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: eps[i]}, S10: uint64(i)})
			if e := v.event(); e.cookie != 20 {
				t.Fatalf("event %+v", e)
			}
		}
		if gone%2 == 0 {
			c.trap(abi.SysCancel, &regs{A: [7]uint64{2: uint64(gone)}})
		} else {
			v.must(abi.SysCapClose, eps[gone])
		}
		s.check()
		for i := range eps {
			if i == gone {
				continue
			}
			if e := v.poll(); e.kind != abi.EventRequest || e.cookie != uint64(i) {
				t.Errorf("event %+v, want a request of %d", e, i)
			}
		}
		if e := v.poll(); e.kind != abi.EventNone {
			t.Errorf("event %+v", e)
		}
		s.check()
	}
}

func TestTimer(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	s.root.wait(0, 0)
	note := v.must(abi.SysNotificationCreate, 10)
	a, b := v.must(abi.SysTimerCreate, note, 1), v.must(abi.SysTimerCreate, note, 2)
	v.must(abi.SysTimerSet, a, uint64(s.clock+100))
	v.must(abi.SysTimerSet, b, uint64(s.clock+50))
	v.wait(0, 0)
	s.check()
	if due := s.Alarm(); due != s.clock+50 {
		t.Errorf("alarm in %d ns", due-s.clock)
	}
	s.advance(50)
	if e := v.event(); e.cookie != 10 || e.a2 != 2 {
		t.Errorf("event %+v", e)
	}
	v.must(abi.SysTimerSet, a, uint64(s.clock+500)) // later
	s.advance(100)
	if e := v.poll(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	v.must(abi.SysTimerSet, a, 0) // disarmed
	s.check()
	s.advance(1000)
	if e := v.poll(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	// Past and negative deadlines fire at once.
	for _, due := range []int64{1, s.clock, -1, -1 << 63} {
		v.must(abi.SysTimerSet, a, uint64(due))
		s.check()
		v.wait(0, 0)
		if at := s.Alarm(); at <= 0 || at > s.clock {
			t.Errorf("deadline %d: alarm at %d", due, at)
		}
		s.interrupt()
		if e := v.event(); e.a2 != 1 {
			t.Errorf("event %+v", e)
		}
	}
	// Closing takes it out of the heap; a timer of a dead notification is silent.
	v.must(abi.SysTimerSet, a, uint64(s.clock+10))
	v.must(abi.SysTimerSet, b, uint64(s.clock+10))
	v.must(abi.SysCapClose, a)
	s.check()
	v.must(abi.SysCapClose, note)
	s.advance(20)
	s.check()
	again := v.must(abi.SysNotificationCreate, 30)
	v.must(abi.SysTimerSet, b, uint64(s.clock+10))
	s.advance(20)
	if e := v.poll(); e.kind != abi.EventNone {
		t.Errorf("a timer fires into another notification: %+v", e)
	}
	v.must(abi.SysTimerSet, v.must(abi.SysTimerCreate, again, 1), uint64(s.clock+10))
	v.sys(abi.SysExit, 0)
	if s.Alarm() != Never {
		t.Errorf("alarm at %d with nobody left", s.Alarm())
	}
	s.advance(100)
	s.check()
}

func TestWatch(t *testing.T) {
	s := newSim(t)
	for _, how := range ends {
		v, h := s.spawn()
		note := s.root.must(abi.SysNotificationCreate, 5)
		s.root.must(abi.SysProcessWatch, h, note, 8)
		s.root.fails(abi.EBUSY, abi.SysProcessWatch, h, note, 8)
		s.check()
		how.end(s, v, h)
		s.check()
		if e := s.root.poll(); e.kind != abi.EventNotify || e.cookie != 5 || e.a2 != 8 {
			t.Errorf("%s: event %+v", how.name, e)
		}
		// It has ended: at once.
		s.root.must(abi.SysProcessWatch, h, note, 4)
		s.root.must(abi.SysProcessWatch, h, note, 2)
		if e := s.root.poll(); e.a2 != 6 {
			t.Errorf("%s: event %+v", how.name, e)
		}
		s.root.must(abi.SysCapClose, h)
		s.root.must(abi.SysCapClose, note)
		s.check()
	}
	// A watcher that is gone makes room for another one.
	v, h := s.spawn()
	w, _ := s.spawn()
	wh := s.give(s.root, h, abi.RightRead, 0, w)
	w.must(abi.SysProcessWatch, wh, w.must(abi.SysNotificationCreate, 1), 1)
	note := s.root.must(abi.SysNotificationCreate, 5)
	s.root.fails(abi.EBUSY, abi.SysProcessWatch, h, note, 8)
	w.sys(abi.SysExit, 0)
	s.root.must(abi.SysProcessWatch, h, note, 8)
	v.sys(abi.SysExit, 0)
	if e := s.root.poll(); e.a2 != 8 {
		t.Errorf("event %+v", e)
	}
	// A process that watches itself.
	v, h = s.spawn()
	self := s.give(s.root, h, abi.RightRead, 0, v)
	v.must(abi.SysProcessWatch, self, v.must(abi.SysNotificationCreate, 1), 1)
	v.sys(abi.SysExit, 9)
	s.check()
	if s.root.must(abi.SysProcessInfo, h) != 0 || s.root.main.Frame.X[hart.A1] != 9 {
		t.Error("exit status lost")
	}
}

// The heap of deadlines against a sorted list.
func TestPropertyDeadlines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var d deadlines
		d.update()
		model := map[uint32]int64{}
		for range rapid.IntRange(0, 200).Draw(rt, "steps") {
			id := rapid.Uint32Range(1, 40).Draw(rt, "id")
			switch rapid.IntRange(0, 3).Draw(rt, "op") {
			case 0, 1:
				when := rapid.Int64Range(-5, 100).Draw(rt, "when")
				d.arm(id, when)
				when = max(when, 1)
				if old, ok := model[id]; !ok || when < old {
					model[id] = when
				}
			case 2:
				d.drop(id)
				delete(model, id)
			case 3:
				if d.n > 0 {
					first := d.heap[0]
					d.drop(first)
					delete(model, first)
				}
			}
			if d.n != len(model) {
				rt.Fatalf("%d entries, want %d", d.n, len(model))
			}
			want := int64(Never)
			for id, when := range model {
				want = min(want, when)
				if at := d.pos[id]; at == 0 || d.heap[at-1] != id || d.key[id] != when {
					rt.Fatalf("entry %d: position %d, key %d, want %d", id, at, d.key[id], when)
				}
			}
			if d.first != want {
				rt.Fatalf("first %d, want %d", d.first, want)
			}
		}
		// Everything comes out in order.
		var got []int64
		for d.n > 0 {
			got = append(got, d.first)
			d.drop(d.heap[0])
		}
		if !slices.IsSorted(got) || len(got) != len(model) {
			rt.Fatalf("order %v", got)
		}
	})
}

func TestTimeSlices(t *testing.T) {
	s := newSim(t)
	a, b := s.root, proc{}
	b, _ = s.spawn()
	a.schedule()
	if due := s.Alarm(); due != s.h.sliceEnd || due <= s.clock || due > s.clock+sliceNS {
		t.Errorf("alarm at %d, now %d", due, s.clock)
	}
	s.advance(s.h.sliceEnd - s.clock - 1)
	if s.Current() != a.main {
		t.Error("preempted early")
	}
	s.advance(1)
	if s.Current() != b.main {
		t.Error("not preempted")
	}
	s.check()
	s.advance(sliceNS)
	if s.Current() != a.main {
		t.Error("not preempted")
	}
	// A slice begins when somebody else is ready, however long the hart was free.
	note := s.give(b, b.must(abi.SysNotificationCreate, 1), abi.RightSignal, 0, a)
	b.wait(0, 0)
	a.schedule()
	s.advance(10 * sliceNS)
	a.must(abi.SysNotify, note, 1)
	s.advance(sliceNS - 1)
	if s.Current() != a.main {
		t.Error("preempted early")
	}
	s.advance(1)
	if s.Current() != b.main {
		t.Error("not preempted")
	}
	// Alone, nobody needs an interrupt.
	b.wait(0, 0)
	a.schedule()
	if due := s.Alarm(); due != Never {
		t.Errorf("alarm at %d", due)
	}
	a.must(abi.SysYield)
	if s.Current() != a.main {
		t.Error("nobody to yield to")
	}
	// All wait: the hart is idle until something is due.
	a.trap(abi.SysWait, &regs{A: [7]uint64{3: uint64(s.clock + 10)}})
	if s.Current() != nil {
		t.Error("not idle")
	}
	s.check()
	s.Idled(10)
	s.advance(10)
	if s.Current() != a.main {
		t.Error("not woken")
	}
	a.must(abi.SysSystemInfo, hSpawn)
	if got := a.main.Frame.X[hart.S2]; got != 10 {
		t.Errorf("idle for %d ns", got)
	}
}

// The floating-point registers of each thread are its own, whoever uses the unit
// in between.
func TestFloatingPoint(t *testing.T) {
	s := newSim(t)
	var ps []proc
	var hs []uint64
	for range 3 {
		p, h := s.spawn()
		ps, hs = append(ps, p), append(hs, h)
	}
	want := [3]uint64{}
	next := uint64(100)
	for i := range 60 {
		p := ps[i*7%3]
		if i%5 == 0 {
			ps[(i+1)%3].must(abi.SysNop) // a switch without use
		}
		next++
		if got := p.float(next); got != want[i*7%3] {
			t.Fatalf("step %d: register holds %d, want %d", i, got, want[i*7%3])
		}
		want[i*7%3] = next
		s.check()
	}
	// The next life starts from zero.
	for i, p := range ps {
		s.root.must(abi.SysProcessKill, hs[i])
		s.root.must(abi.SysCapClose, hs[i])
		s.check()
		q, h := s.spawn()
		if q.id != p.id {
			t.Fatal("another entry")
		}
		if got := q.float(5); got != 0 {
			t.Errorf("register holds %d of the process before", got)
		}
		hs[i] = h
		s.check()
	}
	// An illegal instruction with the unit on is one.
	q, _ := s.spawn()
	q.float(1)
	q.fault(hart.CauseIllegal, 0)
	if q.alive() {
		t.Error("illegal instruction survived")
	}
	r, h := s.spawn()
	r.fault(hart.CauseIllegal, 0)
	if !r.alive() || !r.main.fpOn() {
		t.Error("first use of the unit")
	}
	r.fault(hart.CauseIllegal, 0)
	if r.alive() {
		t.Error("illegal instruction survived")
	}
	s.root.must(abi.SysProcessInfo, h)
	if x := s.root.main.Frame.X; int64(x[hart.A1]) != abi.ExitFault || x[hart.A5] != hart.CauseIllegal {
		t.Errorf("status %d, cause %d", int64(x[hart.A1]), x[hart.A5])
	}
	s.check()
}
