package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// One test for every limit in limits.go: what is within works, one more is
// refused, and giving one back makes room for one. Those of abi.go and the budget
// of frames are in other files.

// quota spends a quota of limit objects by make, checks that one more is refused
// with errno, and that closing one makes room.
func quota(t *testing.T, q proc, limit int, errno abi.Errno, num uint64, a ...uint64) {
	t.Helper()
	last := uint64(0)
	for range limit {
		last = q.must(num, a...)
	}
	q.fails(errno, num, a...)
	q.s.check()
	q.must(abi.SysCapClose, last)
	q.must(num, a...)
	q.fails(errno, num, a...)
	q.s.check()
	// It is this process that has spent its quota, nobody else.
	other, _ := q.s.spawn()
	if num != abi.SysTimerCreate && num != abi.SysCapCopy {
		other.must(num, a...)
	}
}

func TestRejectHandles(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	h := q.must(abi.SysEndpointCreate, 1, 1)
	quota(t, q, capsPerProcess-1, abi.ENOSPC, abi.SysCapCopy, h, uint64(abi.RightSend))
}

func TestRejectEndpoints(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	quota(t, q, endpointsPerProcess, abi.ENOSPC, abi.SysEndpointCreate, 1, 1)
}

func TestRejectNotifications(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	quota(t, q, notifsPerProcess, abi.ENOSPC, abi.SysNotificationCreate, 1)
}

func TestRejectTimers(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	quota(t, q, timersPerProcess, abi.ENOSPC, abi.SysTimerCreate, q.must(abi.SysNotificationCreate, 1), 1)
}

func TestRejectVMOs(t *testing.T) {
	s := newSim(t)
	sp := s.spec()
	sp.Frames = minFrames + 4*vmosPerProcess
	q := s.procOf(s.spawnSpec(sp))
	quota(t, q, vmosPerProcess, abi.ENOSPC, abi.SysVMOCreate, 1)
}

func TestRejectRegions(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	h := q.must(abi.SysVMOCreate, abi.PageSize)
	last := uint64(0)
	for q.numRegions < regionsPerProcess {
		last = q.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, rw)
	}
	q.fails(abi.ENOSPC, abi.SysVMOMap, h, 0, 0, abi.PageSize, rw)
	q.must(abi.SysUnmap, last, abi.PageSize)
	if got := q.must(abi.SysVMOMap, h, 0, 0, abi.PageSize, rw); got != last {
		t.Errorf("mapped at %#x, not in the hole at %#x", got, last)
	}
	s.check()
}

func TestRejectMapArea(t *testing.T) {
	s := newSim(t)
	h := s.root.must(abi.SysVMOCreate, abi.PageSize)
	v := &s.vmos[s.caps[s.lookup(s.root.Process, h)].obj]
	size := v.size
	v.size = abi.MapEnd - abi.MapBase + abi.PageSize // larger than any real object
	s.root.fails(abi.ENOSPC, abi.SysVMOMap, h, 0, 0, v.size, rw)
	s.root.fails(abi.ENOSPC, abi.SysVMOMap, h, 0, 0, v.size-abi.PageSize, rw) // initial files are there
	v.size = size
	s.check()
}

func TestRejectCalls(t *testing.T) {
	s := newSim(t)
	c, v, _, _ := s.pair()
	recv := v.must(abi.SysEndpointCreate, maxEndpointDepth, 64)
	ep := s.give(v, recv, abi.RightSend, 0, c)
	for i := range uint64(callsPerProcess) {
		if errno := c.post(ep, i); errno != abi.OK {
			t.Fatal(errno)
		}
	}
	if errno := c.post(ep, 99); errno != abi.ENOSPC {
		t.Errorf("one call more: %v", errno)
	}
	c.must(abi.SysSend, ep, 8) // one-way messages are the receiver's
	s.check()
	// An ended call counts until its event is collected.
	c.must(abi.SysCancel, 0, 0, 7)
	if errno := c.post(ep, 99); errno != abi.ENOSPC {
		t.Errorf("with an event there: %v", errno)
	}
	c.poll()
	if errno := c.post(ep, 99); errno != abi.OK {
		t.Errorf("after the event: %v", errno)
	}
	s.check()
}

func TestRejectQueue(t *testing.T) {
	s := newSim(t)
	c, v, _, _ := s.pair()
	var eps, recvs [2]uint64
	for i := range eps {
		recvs[i] = v.must(abi.SysEndpointCreate, maxEndpointDepth, 64)
		eps[i] = s.give(v, recvs[i], abi.RightSend, 0, c)
	}
	for i := range queuePerServer {
		c.must(abi.SysSend, eps[i%2], 8)
	}
	c.fails(abi.EAGAIN, abi.SysSend, eps[0], 8)
	c.fails(abi.EAGAIN, abi.SysSend, eps[1], 8)
	if errno := c.post(eps[0], 1); errno != abi.OK { // calls have places of their own
		t.Error(errno)
	}
	s.check()
	v.wait(recvs[1], 1)
	v.request(1)
	c.must(abi.SysSend, eps[0], 8)
	c.fails(abi.EAGAIN, abi.SysSend, eps[0], 8)
	s.check()
	v.must(abi.SysCapClose, recvs[0])
	c.must(abi.SysSend, eps[1], 8)
	s.check()
}

func TestRejectEndpointDepth(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	recv := v.must(abi.SysEndpointCreate, maxEndpointDepth, 64)
	v.fails(abi.EINVAL, abi.SysEndpointCreate, maxEndpointDepth+1, 64)
	for n := 0; n < maxEndpointDepth; {
		c, _ := s.spawn()
		ep := s.give(v, recv, abi.RightSend, 0, c)
		for i := range uint64(callsPerProcess) {
			if errno := c.post(ep, i); errno != abi.OK {
				t.Fatal(errno)
			}
			n++
		}
	}
	c, _ := s.spawn()
	ep := s.give(v, recv, abi.RightSend, 0, c)
	if errno := c.post(ep, 1); errno != abi.EAGAIN {
		t.Errorf("one call more: %v", errno)
	}
	c.fails(abi.EAGAIN, abi.SysSend, ep, 8)
	s.check()
	v.wait(recv, 1)
	if errno := c.post(ep, 1); errno != abi.OK {
		t.Error(errno)
	}
	s.check()
}

func TestRejectProcesses(t *testing.T) {
	s := newSim(t)
	spawn := func() uint64 {
		sp := s.spec()
		sp.Frames = minFrames
		return s.spawnSpec(sp)
	}
	h := uint64(0)
	for i := range maxProcesses - 1 {
		h = spawn()
		if e := refusal(h); e != abi.OK {
			t.Fatalf("process %d: %v", i, e)
		}
	}
	if e := refusal(spawn()); e != abi.ENOSPC {
		t.Errorf("one process more: %v", e)
	}
	s.check()
	s.root.must(abi.SysProcessKill, h)
	if e := refusal(spawn()); e != abi.ENOSPC { // it still has a name
		t.Errorf("with one dead: %v", e)
	}
	s.root.must(abi.SysCapClose, h)
	if e := refusal(spawn()); e != abi.OK {
		t.Errorf("with one gone: %v", e)
	}
	s.check()
}

func TestRejectBudget(t *testing.T) {
	s := newSim(t)
	sp := s.spec()
	for frames, want := range map[uint64]abi.Errno{
		0: abi.EINVAL, minFrames - 1: abi.EINVAL, maxBudget + 1: abi.EINVAL, 1 << 63: abi.EINVAL,
		uint64(s.pool.Unreserved()) + 1: abi.ENOMEM,
	} {
		sp.Frames = frames
		if e := refusal(s.spawnSpec(sp)); e != want {
			t.Errorf("%d frames: %v, want %v", frames, e, want)
		}
	}
	sp.Frames = uint64(s.pool.Unreserved())
	if e := refusal(s.spawnSpec(sp)); e != abi.OK {
		t.Errorf("all that is left: %v", e)
	}
	s.check()
	// Everyone still has what was promised.
	for va := uint64(abi.HeapBase); s.root.acct.Used() < s.root.acct.Limit()-8; va += abi.PageSize {
		if !s.root.access(va, sv39.W) {
			t.Fatal("reserved page refused")
		}
	}
	s.check()
}

func TestRejectVMOSize(t *testing.T) {
	s := newSim(t)
	for _, size := range []uint64{0, maxVMOBytes + 1, 1 << 62, ^uint64(0)} {
		s.root.fails(abi.EINVAL, abi.SysVMOCreate, size)
	}
	s.root.fails(abi.ENOMEM, abi.SysVMOCreate, maxVMOBytes)
	s.root.must(abi.SysVMOCreate, 1)
	s.check()
}

// A slice ends after sliceNS even if the thread never stops.
func TestRejectLongerSlice(t *testing.T) {
	s := newSim(t)
	a, _ := s.spawn()
	b, _ := s.spawn()
	s.root.wait(0, 0)
	ran := map[uint64]int64{}
	for range 100 {
		c := s.Current()
		ran[c.proc.pid] += sliceNS / 4
		c.Frame.X[hart.A7] = 0
		s.advance(sliceNS / 4)
	}
	if d := ran[a.pid] - ran[b.pid]; d > sliceNS || d < -sliceNS {
		t.Errorf("one ran %d ns longer than the other", d)
	}
}

// Two processes that hand the hart to each other, in whatever way, do so in their
// own time: a third one is not kept from running.
func TestHandOffsDoNotStarve(t *testing.T) {
	for _, how := range []string{"call and reply", "post", "post and reply without waiting"} {
		s := newSim(t)
		c, v, ep, recv := s.pair()
		other, _ := s.spawn()
		s.root.wait(0, 0)
		v.wait(recv, 1)
		ran := 0
		cookie := uint64(0)
		last := uint64(0)
		for range 10000 {
			s.clock += 1000
			if at := s.Alarm(); at <= s.clock {
				s.interrupt()
			}
			var r regs
			num := uint64(abi.SysNop)
			switch p := s.Current(); {
			case p == other.main:
				ran++
			case p == c.main:
				if how != "call and reply" && p.Frame.X[hart.A0] != abi.EventReply && c.outstanding() > 0 {
					num, r.A[1] = abi.SysWait, abi.FlagNoWait
					break
				}
				cookie++
				num, r.A = abi.SysCall, [7]uint64{ep, 8, cookie}
				if how != "call and reply" {
					r.A[1] |= abi.FlagNoWait
				}
			case p == v.main:
				if e := v.event(); e.kind == abi.EventRequest && e.right != last {
					last = e.right
					num, r.A = abi.SysReply, [7]uint64{e.right, 8, recv, 0, 0, 0, recvVA}
					if how == "post and reply without waiting" {
						r.A[1] |= abi.FlagNoWait
					}
				} else {
					num, r.A = abi.SysWait, [7]uint64{2: recv}
				}
			}
			s.life(s.Current().proc).trap(num, &r)
		}
		if ran < 2000 || cookie < 500 {
			t.Errorf("%s: the third process ran in %d of 10000 steps, %d calls", how, ran, cookie)
		}
		s.check()
	}
}
