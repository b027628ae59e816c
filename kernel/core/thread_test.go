package core

import (
	"encoding/binary"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// threadPC and threadSP are where a thread of a test starts.
const (
	threadPC = abi.ImageBase + 0x1000
	threadSP = scratchVA + 0x10000
	wordVA   = scratchVA + 0x20000 // a word to wait on
)

// thread starts another thread of q and returns it with its number.
func (q proc) thread() (proc, uint64) {
	q.s.tb.Helper()
	n := q.must(abi.SysThreadCreate, threadPC, threadSP, 1, 2)
	q.main = &q.s.threadsOf(q.Process)[uint32(n)]
	return q, n
}

// futex makes q wait on the word at an address, whose value it gives.
func (q proc) futex(va uint64, due int64) {
	v := binary.LittleEndian.Uint32(q.read(va, 4))
	q.trap(abi.SysFutexWait, &regs{A: [7]uint64{va, uint64(v), uint64(due)}})
}

func (q proc) in(state uint8) bool { return q.alive() && q.main.state == state }

// result returns what the last system call of q, which waited, ended with.
func (q proc) result() abi.Errno { return refusal(q.main.Frame.X[hart.A0]) }

func TestThreadStart(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	n := q.must(abi.SysThreadCreate, threadPC, threadSP, 11, 12)
	th := &s.threadsOf(q.Process)[n]
	x := &th.Frame.X
	if x[0] != threadPC || x[hart.SP] != threadSP || x[hart.A0] != 11 || x[hart.S11] != 12 || x[hart.RA] != 0 {
		t.Errorf("the thread starts with %x", *x)
	}
	if th.Frame.SATP != q.main.Frame.SATP {
		t.Error("the thread is in another address space")
	}
	other := q
	other.main = th
	if got := other.must(abi.SysThreadSelf); got != n {
		t.Errorf("thread %d thinks that it is %d", n, got)
	}
	if got := q.must(abi.SysThreadSelf); got != 0 {
		t.Errorf("the first thread thinks that it is %d", got)
	}
	s.check()
}

// A number stands for one thread, also when another has its place.
func TestThreadJoin(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	a, first := q.thread()
	b, _ := q.thread()
	for _, j := range []proc{q, b} {
		j.trap(abi.SysThreadJoin, &regs{A: [7]uint64{first}})
		if !j.in(threadJoining) {
			t.Fatalf("state %d, want that it waits for the end of a thread", j.main.state)
		}
	}
	s.check()
	q.write(wordVA, []byte{1, 0, 0, 0})
	c, _ := a.thread()
	c.futex(wordVA, 0)
	a.trap(abi.SysThreadExit, &regs{A: [7]uint64{wordVA}})
	s.check()
	for _, j := range []proc{q, b, c} {
		if j.main.state != threadReady && j.main.state != threadRunning || j.result() != abi.OK {
			t.Errorf("state %d and %v after the end of the thread", j.main.state, j.result())
		}
	}
	if w := q.read(wordVA, 4); w[0] != 0 {
		t.Errorf("the word is %x", w)
	}
	_, again := q.thread()
	if again == first || uint32(again) != uint32(first) {
		t.Errorf("number %#x after %#x in the same place", again, first)
	}
	if q.must(abi.SysThreadJoin, first) != 0 {
		t.Error("waits for a thread that has ended")
	}
	q.trap(abi.SysThreadJoin, &regs{A: [7]uint64{again, uint64(s.clock + 100)}})
	s.advance(100)
	if !q.in(threadRunning) && !q.in(threadReady) || q.result() != abi.ETIMEDOUT {
		t.Errorf("state %d, %v after the deadline", q.main.state, q.result())
	}
	s.check()
}

func TestThreadsWakeInOrder(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	stranger, _ := s.spawn()
	stranger.write(wordVA, make([]byte, 8))
	stranger.futex(wordVA, 0)
	q.write(wordVA, make([]byte, 8))
	var w [4]proc
	for i := range w {
		w[i], _ = q.thread()
	}
	for _, i := range []int{2, 0, 3, 1} {
		w[i].futex(wordVA, 0)
	}
	other, _ := q.thread()
	other.futex(wordVA+4, 0)
	s.check()
	for _, step := range []struct{ n, woken, first uint64 }{{0, 0, 2}, {1, 1, 2}, {2, 2, 0}, {9, 1, 1}, {1, 0, 0}} {
		if got := q.must(abi.SysFutexWake, wordVA, step.n); got != step.woken {
			t.Fatalf("%d of %d woken, want %d", got, step.n, step.woken)
		}
		if step.woken != 0 && w[step.first].in(threadFutex) {
			t.Errorf("thread %d is not among the %d that were woken", step.first, step.woken)
		}
		s.check()
	}
	if !other.in(threadFutex) || !stranger.in(threadFutex) {
		t.Error("a wake-up reached another word, or another process")
	}
	w[0].futex(wordVA, s.clock+50)
	s.advance(49)
	if !w[0].in(threadFutex) {
		t.Fatal("woken before its deadline")
	}
	if s.advance(1); w[0].result() != abi.ETIMEDOUT {
		t.Errorf("%v at the deadline", w[0].result())
	}
	if q.must(abi.SysFutexWake, wordVA, 9) != 0 {
		t.Error("somebody waits who gave up")
	}
	s.check()
}

func TestLastThreadEndsProcess(t *testing.T) {
	s := newSim(t)
	q, h := s.spawn()
	a, _ := q.thread()
	q.trap(abi.SysThreadExit, &regs{})
	if s.check(); q.state != procLive || q.numThreads != 1 {
		t.Fatal("the process ended with one of two threads")
	}
	a.trap(abi.SysThreadExit, &regs{})
	if s.check(); q.state == procLive {
		t.Fatal("the process outlives its threads")
	}
	if s.root.must(abi.SysProcessInfo, h); s.root.main.Frame.X[hart.A1] != 0 {
		t.Errorf("exit status %d", int64(s.root.main.Frame.X[hart.A1]))
	}
}

// A process ends with all of its threads, whatever they do.
func TestEndWithThreads(t *testing.T) {
	for _, how := range []string{"exit", "killed", "fault"} {
		s := newSim(t)
		_, h := s.spawn() // touches what the root process needs for it
		s.root.must(abi.SysProcessKill, h)
		s.root.must(abi.SysCapClose, h)
		free := s.pool.Free()
		q, h := s.spawn()
		q.write(wordVA, make([]byte, 4))
		waits, _ := q.thread()
		waits.wait(0, 0)
		sleeps, n := q.thread()
		sleeps.futex(wordVA, s.clock+1_000_000)
		joins, _ := q.thread()
		joins.trap(abi.SysThreadJoin, &regs{A: [7]uint64{n}})
		floats, _ := q.thread()
		floats.float(7)
		q.thread()
		s.check()
		switch how {
		case "exit":
			q.trap(abi.SysExit, &regs{A: [7]uint64{3}})
		case "killed":
			s.root.must(abi.SysProcessKill, h)
		case "fault":
			floats.fault(hart.CauseLoadPage, 8)
		}
		s.check()
		if q.state == procLive || q.numThreads != 0 {
			t.Errorf("%s: process state %d with %d threads", how, q.Process.state, q.numThreads)
		}
		s.root.must(abi.SysCapClose, h)
		if got := s.pool.Free(); got != free {
			t.Errorf("%s: %d frames free, %d before", how, got, free)
		}
	}
}

// One thread waits for events at a time, so that no event has two takers.
func TestRejectSecondWaiter(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	a, _ := c.thread()
	a.wait(0, 0)
	before := s.callsUsed()
	c.fails(abi.EBUSY, abi.SysWait)
	c.fails(abi.EBUSY, abi.SysCall, ep, 8, 42)
	if s.callsUsed() != before {
		t.Error("a refused call is under way")
	}
	v.wait(recv, 5)
	c.fails(abi.EBUSY, abi.SysCall, ep, 8, 42)
	v.mustWait()
	if e := c.post(ep, 43); e != abi.OK {
		t.Fatalf("a call without waiting: %v", e)
	}
	req := v.request(5)
	b, _ := v.thread()
	b.wait(0, 0)
	v.fails(abi.EBUSY, abi.SysReply, req.right, 8, recv)
	if e := v.answer(req.right, 44); e != abi.OK {
		t.Fatalf("a reply without waiting: %v", e)
	}
	a.reply(43, abi.OK)
	s.check()

	// The same with a client that waits for the reply.
	c, v, ep, recv = s.pair()
	v.wait(recv, 5)
	c.call(ep, 45)
	req = v.request(5)
	b, _ = v.thread()
	b.wait(0, 0)
	v.fails(abi.EBUSY, abi.SysReply, req.right, 8, recv)
	c.mustWait()
	if e := v.answer(req.right, 46); e != abi.OK {
		t.Fatalf("a reply without waiting: %v", e)
	}
	c.reply(45, abi.OK)
	s.check()
}

// Threads that other harts run are stopped by these, and the last one ends the
// process; who killed it goes on then.
func TestEndOnOtherHarts(t *testing.T) {
	s := newSim(t)
	poked := 0
	s.Kernel.interrupt = func(int) { poked++ }
	q, h := s.spawn()
	a, _ := q.thread()
	b, _ := q.thread()
	q.wait(0, 0)
	s.root.schedule()
	s.Online(1)
	s.Online(2)
	for i, th := range []*Thread{a.main, b.main} {
		s.dequeue(th)
		s.On(i + 1)
		s.switchTo(th)
	}
	s.On(0)
	root := s.root.main
	root.Frame.X[hart.A0], root.Frame.X[hart.A7] = h, abi.SysProcessKill
	root.Frame.Cause, root.Frame.Full = hart.CauseEcallU, 0
	poked = 0
	s.Trap(root)
	if poked != 2 || root.state != threadKilling || q.state != procLive || q.main.state != threadGone {
		t.Fatalf("%d harts told, killer in state %d, process state %d", poked, root.state, q.state)
	}
	if q.waiter != 0 {
		t.Error("a thread that is gone would be given the next event")
	}
	s.On(1)
	if !s.Doomed(a.main) || q.state != procLive || root.state != threadKilling {
		t.Fatal("the process ended while a thread of it runs")
	}
	s.On(2)
	if !s.Doomed(b.main) || q.state == procLive || root.state == threadKilling {
		t.Fatalf("process in state %d, killer in state %d", q.state, root.state)
	}
	if q.exit != abi.ExitKilled {
		t.Errorf("exit status %d", q.exit)
	}
}
