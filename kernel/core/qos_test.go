package core

import (
	"testing"

	"nexus.internal/ipc/abi"
)

// spawnAs makes a child of the root process with a QoS.
func (s *sim) spawnAs(c abi.Class, share uint16, harts uint32) proc {
	s.tb.Helper()
	q, h := s.spawn()
	s.root.must(abi.SysProcessQoS, h, uint64(abi.NewQoS(c, share, harts)))
	return q
}

// run lets time pass in small steps, with every interrupt that is due, for so long, and
// returns how much of it each process had a hart.
func (s *sim) run(ns int64, ps ...proc) []int64 {
	const step = 10_000
	got := make([]int64, len(ps))
	for end := s.clock + ns; s.clock < end; {
		for i := range s.numHarts {
			for n := 0; s.underWay(i) && n < 8; n++ {
				s.timerOr(i)
			}
		}
		for i, p := range ps {
			if p.in(threadRunning) {
				got[i] += step
			}
		}
		s.clock += step
	}
	s.check()
	return got
}

func TestClassesAndShares(t *testing.T) {
	s := newSim(t)
	low := s.spawnAs(abi.Idle, 100, abi.AllHarts)
	a := s.spawnAs(abi.Normal, 100, abi.AllHarts)
	b := s.spawnAs(abi.Normal, 300, abi.AllHarts)
	c := s.spawnAs(abi.Normal, 10, abi.AllHarts)
	s.root.wait(0, 0)
	const all = 2_000_000_000
	got := s.run(all, low, a, b, c)
	if got[0] < all/100 || got[0] > all*3/100 {
		t.Errorf("a lower class had %d of %d ns, want 2 %%", got[0], int64(all))
	}
	for i, want := range []int64{1: 100, 2: 300, 3: 10} {
		if part := all * 98 / 100 * want / 410; i > 0 && (got[i] < part*9/10 || got[i] > part*11/10) {
			t.Errorf("share %d had %d ns, want %d", want, got[i], part)
		}
	}
}

// No class starves: each has a slice within the bound, whoever spins above it, and
// however large their shares are.
func TestNoClassStarves(t *testing.T) {
	s := newSim(t)
	var ps []proc
	for c := range abi.Class(abi.Classes) {
		ps = append(ps, s.spawnAs(c, abi.MaxShare, abi.AllHarts))
	}
	second := s.spawnAs(abi.PerfBurst, abi.MaxShare, abi.AllHarts)
	s.root.wait(0, 0)
	const bound = starveNS + 33*sliceNS
	s.run(bound, ps...)
	for range 10 {
		for c, got := range s.run(bound, ps...) {
			if got < sliceNS*9/10 && c < abi.Classes-1 || got == 0 {
				t.Errorf("class %v had %d ns of %d", abi.Class(c), got, int64(bound))
			}
			if c < abi.Classes-1 && got > 3*sliceNS {
				t.Errorf("class %v had %d ns beside a higher one", abi.Class(c), got)
			}
		}
	}
	if second.waits() {
		t.Fatal("it only spins")
	}
}

// A process does not get more of a hart with more threads.
func TestThreadsShareTheTurn(t *testing.T) {
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	many := []proc{a}
	for range 4 {
		n, _ := a.thread()
		many = append(many, n)
	}
	s.root.wait(0, 0)
	const all = 500_000_000
	got := s.run(all, append(many, b)...)
	if one := got[len(got)-1]; one < all*45/100 || one > all*55/100 {
		t.Errorf("one thread beside a process with five had %d of %d ns", one, int64(all))
	}
}

// A thread that another hart queues behind one that has its hart to itself gets it after
// a turn.
func TestTurnFromOtherHart(t *testing.T) {
	s := newSMP(t, 2)
	a, b := s.spawnAs(abi.Normal, 100, 2), s.spawnAs(abi.Normal, 100, 2)
	note := b.must(abi.SysNotificationCreate, 1)
	own := s.give(b, note, abi.RightSignal, 0, s.root)
	b.trap(abi.SysWait, &regs{})
	s.settle()
	for range 3 { // nothing is left of what was before
		s.advance(2 * sliceNS)
		s.settle()
	}
	if a.main.state != threadRunning || a.main.hart != 1 {
		t.Fatalf("the first thread is in state %d on hart %d", a.main.state, a.main.hart)
	}
	s.root.must(abi.SysNotify, own, 1)
	s.settle()
	if s.check(); b.main.state != threadReady {
		t.Fatalf("the second is in state %d", b.main.state)
	}
	for s.harts[1].Current() == a.main && s.clock < 1_000_000_000 {
		s.clock = max(s.clock, s.machine[1].armed)
		s.timer(1)
	}
	if s.check(); s.harts[1].Current() != b.main {
		t.Error("the second waits for the end of the first")
	}
}

// A middle class does not keep a low server from working for a high client: not when the
// call is handed over, not when it has to queue, and not along a chain.
func TestDonation(t *testing.T) {
	for _, how := range []string{"direct", "queued", "chain"} {
		s := newSim(t)
		client, server := s.spawnAs(abi.Interactive, 100, abi.AllHarts), s.spawnAs(abi.Idle, 100, abi.AllHarts)
		last := s.spawnAs(abi.Idle, 100, abi.AllHarts)
		low := s.spawnAs(abi.Idle, 100, abi.AllHarts)
		recv, recvLast := server.must(abi.SysEndpointCreate, 8, 64), last.must(abi.SysEndpointCreate, 8, 64)
		ep, epLow := s.give(server, recv, abi.RightSend, 0, client), s.give(server, recv, abi.RightSend, 0, low)
		epLast := s.give(last, recvLast, abi.RightSend, 0, server)
		last.wait(recvLast, 9)
		server.wait(recv, 5)
		client.schedule()
		worker := server
		if how != "direct" {
			low.call(epLow, 1) // the server works for somebody low
		}
		if how == "chain" {
			server.call(epLast, 2)
			worker = last
		}
		spinner := s.spawnAs(abi.Normal, 100, abi.AllHarts)
		s.root.wait(0, 0)
		client.schedule()
		client.call(ep, 3)
		s.check()
		got := s.run(20*sliceNS, worker, spinner)
		if got[0] < 18*sliceNS || got[1] > sliceNS {
			t.Errorf("%s: the server had %d ns, the spinner of a middle class %d", how, got[0], got[1])
		}
		// When the call ends, so does the donation.
		s.giveUp(client.outstandingCall(), abi.ECANCELED)
		client.wait(0, 0)
		s.check()
		got = s.run(20*sliceNS, worker, spinner)
		if got[0] > 2*sliceNS || got[1] < 17*sliceNS {
			t.Errorf("%s: after the call the server had %d ns, the spinner %d", how, got[0], got[1])
		}
	}
}

// outstandingCall returns the call that q waits for.
func (q proc) outstandingCall() uint32 {
	for i, end := callsOf(q.Process); i < end; i++ {
		if q.s.calls[i].outstanding() {
			return i
		}
	}
	q.s.tb.Fatal("no call is outstanding")
	return 0
}

// Two servers that wait for each other do not hold each other up when whoever raised them
// is gone.
func TestDonationInACircle(t *testing.T) {
	s := newSim(t)
	a, b := s.spawnAs(abi.Idle, 100, abi.AllHarts), s.spawnAs(abi.Idle, 100, abi.AllHarts)
	client := s.spawnAs(abi.PerfBurst, 100, abi.AllHarts)
	ra, rb := a.must(abi.SysEndpointCreate, 8, 64), b.must(abi.SysEndpointCreate, 8, 64)
	ab, ba, ca := s.give(b, rb, abi.RightSend, 0, a), s.give(a, ra, abi.RightSend, 0, b), s.give(a, ra, abi.RightSend, 0, client)
	if a.post(ab, 1) != abi.OK || b.post(ba, 2) != abi.OK {
		t.Fatal("calls refused")
	}
	client.call(ca, 3)
	s.check()
	if a.effective() != abi.PerfBurst || b.effective() != abi.PerfBurst {
		t.Fatalf("the servers run in %v and %v", a.effective(), b.effective())
	}
	s.giveUp(client.outstandingCall(), abi.ECANCELED)
	s.check()
	if a.effective() != abi.Idle || b.effective() != abi.Idle {
		t.Errorf("afterwards the servers run in %v and %v", a.effective(), b.effective())
	}
}

// A thread is queued on no hart outside of its process's set, also when that changes.
func TestAffinity(t *testing.T) {
	s := newSMP(t, 3)
	q, h := s.spawn()
	s.root.wait(0, 0)
	for _, set := range []uint32{1, 2, 4, 6, 1} {
		s.root.main.Frame.X[0] = 0
		s.wake(s.root.main, 0)
		s.settle()
		s.root.must(abi.SysProcessQoS, h, uint64(abi.NewQoS(abi.Normal, 100, set)))
		s.root.wait(0, 0)
		s.settle()
		s.run(3*sliceNS, q)
		if !q.in(threadRunning) || set>>q.main.hart&1 == 0 {
			t.Errorf("harts %b: it runs on hart %d, state %d", set, q.main.hart, q.main.state)
		}
	}
}

// An interactive thread that wakes beside spinners of lower classes on every hart runs
// within a tick.
func TestWakeUpWithinATick(t *testing.T) {
	for harts := 1; harts <= 4; harts++ {
		s := newSMP(t, harts)
		q := s.spawnAs(abi.Interactive, 100, abi.AllHarts)
		for range 2*harts + 1 {
			s.spawnAs(abi.Normal, abi.MaxShare, abi.AllHarts)
		}
		s.root.wait(0, 0)
		for range 50 {
			due := s.clock + 5*sliceNS
			q.trap(abi.SysWait, &regs{A: [7]uint64{3: uint64(due)}})
			s.run(5*sliceNS, q)
			if q.waits() {
				s.run(sliceNS, q)
			}
			if !q.in(threadRunning) {
				t.Fatalf("%d harts: a tick after its deadline it is in state %d", harts, q.main.state)
			}
		}
	}
}

// wide returns two harts: the first runs several threads that may now run on the second
// as well, which runs one of a class.
func wide(t *testing.T, class abi.Class) (*sim, []proc, proc) {
	s := newSMP(t, 2)
	var ps []proc
	for range 4 {
		ps = append(ps, s.spawnAs(abi.Normal, 100, 1))
	}
	q := s.spawnAs(class, 100, 2)
	s.root.wait(0, 0)
	s.settle()
	s.run(5*sliceNS, ps...)
	for _, p := range ps {
		p.setQoS(abi.DefaultQoS)
	}
	return s, ps, q
}

func TestRejectStealAboveBound(t *testing.T) {
	s, _, q := wide(t, abi.Normal)
	s.harts[1].pullAt = Never
	before := s.stolen
	q.wait(0, 0)
	s.check()
	if s.stolen != before+1 || s.harts[1].waiting != 0 || s.harts[1].cur == nil {
		t.Errorf("a hart with nothing to do took %d threads", s.stolen-before)
	}
	// One that runs a thread takes one in a slice, and leaves one.
	s.run(sliceNS*3/2, q)
	if n := s.stolen - before; n != 2 {
		t.Errorf("%d threads taken in one slice more", n-1)
	}
}

func TestRejectStealHigherClass(t *testing.T) {
	s, ps, _ := wide(t, abi.Idle)
	s.run(20*sliceNS, ps...)
	if s.stolen != 0 {
		t.Errorf("a hart that runs a lower class took %d threads", s.stolen)
	}
	s, ps, _ = wide(t, abi.Normal)
	if s.run(20*sliceNS, ps...); s.stolen == 0 {
		t.Error("a hart that runs the same class took none")
	}
}
