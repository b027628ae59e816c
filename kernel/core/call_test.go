package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

func TestCallHandsOver(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 5)
	v.mustWait()
	c.call(ep, 42)
	if s.Current() != v.main {
		t.Fatal("the hart was not handed to the server")
	}
	e := v.request(5)
	if e.a2 != 0x77 || e.sid != c.sid || e.length != 8|c.pid<<32 || e.moved != 0 || e.due != 0 || e.data != [8]uint64{42, 1, 2, 3, 4, 5, 6, 7} {
		t.Errorf("request %+v", e)
	}
	if uint64(abi.ReplyBit)&e.right == 0 {
		t.Errorf("reply right %#x", e.right)
	}
	s.check()
	c.mustWait()
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 16, recv, 0, 0, 0, recvVA}, S10: 6, Data: [8]uint64{9, 8, 7}})
	if s.Current() != c.main {
		t.Fatal("the hart was not handed back")
	}
	v.mustWait()
	if e := c.reply(42, abi.OK); e.length != 16 || e.data != [8]uint64{9, 8, 7} || e.moved|e.sid|e.right|e.due != 0 {
		t.Errorf("reply %+v", e)
	}
	s.check()
	// The reply right is spent, and the endpoint is armed with the new cookie.
	c.call(ep, 43)
	e2 := v.request(6)
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8}})
	if got := refusal(v.event().kind); got != abi.ENOENT {
		t.Errorf("second reply: %v", got)
	}
	if v.answer(e2.right, 1) != abi.OK {
		t.Error("reply refused")
	}
	c.reply(43, abi.OK)
	s.check()
}

// The direct path and the general one must do the same; a length flag, a pending
// event, a queue or a capability selects the general one.
func TestCallQueued(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	for i := range uint64(3) {
		if errno := c.post(ep, 100+i); errno != abi.OK {
			t.Fatal(errno)
		}
		s.check()
	}
	if v.poll().kind != abi.EventNone {
		t.Error("an endpoint that is not armed delivers")
	}
	for i := range uint64(3) {
		v.wait(recv, i)
		e := v.request(i)
		if e.data[0] != 100+i {
			t.Errorf("request %d is the one with %d", i, e.data[0])
		}
		if v.poll().kind != abi.EventNone {
			t.Error("an endpoint armed once delivers twice")
		}
		if errno := v.answer(e.right, 200+i); errno != abi.OK {
			t.Error(errno)
		}
		s.check()
	}
	for i := range uint64(3) {
		if e := c.poll(); e.kind != abi.EventReply || e.cookie != 100+i || e.data[0] != 200+i {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	s.check()
}

func TestCallNoWaitReachesWaitingServer(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	if c.post(ep, 7) != abi.OK || c.main.state != threadReady || s.Current() != v.main {
		t.Fatal("the server that waited does not run, or the client does not go on")
	}
	s.check()
	e := v.request(1)
	c.wait(0, 0)
	c.mustWait()
	if v.answer(e.right, 1) != abi.OK || s.Current() != v.main {
		t.Fatal("a reply without waiting gave the hart away")
	}
	s.check()
	c.reply(7, abi.OK)
}

func TestCallReturnsOtherEventsFirst(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	n := c.must(abi.SysNotificationCreate, 55)
	c.post(ep, 1)
	c.must(abi.SysNotify, n, 3)
	c.call(ep, 2)
	if e := c.event(); e.kind != abi.EventNotify || e.cookie != 55 || e.a2 != 3 {
		t.Fatalf("event %+v", e)
	}
	s.check()
	v.wait(recv, 0)
	first := v.request(0)
	v.wait(recv, 0)
	second := v.request(0)
	// Replies come in the order in which they were given, not that of the calls.
	v.answer(second.right, 2)
	v.answer(first.right, 1)
	c.must(abi.SysNotify, n, 8)
	for _, want := range []uint64{2, 1} {
		if e := c.poll(); e.kind != abi.EventReply || e.cookie != want {
			t.Errorf("event %+v, want the reply to %d", e, want)
		}
	}
	if e := c.poll(); e.kind != abi.EventNotify || e.a2 != 8 {
		t.Errorf("event %+v", e)
	}
	if e := c.poll(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	s.check()
}

// A server with two endpoints and a notification serves all of them, however
// busy one is.
func TestEventsDoNotStarve(t *testing.T) {
	s := newSim(t)
	c, v, _, _ := s.pair()
	var eps, sends [3]uint64
	for i := range eps {
		eps[i] = v.must(abi.SysEndpointCreate, 64, 64)
		sends[i] = s.give(v, eps[i], abi.RightSend, 0, c)
	}
	var notes [3]uint64
	for i := range notes {
		notes[i] = v.must(abi.SysNotificationCreate, uint64(100+i))
	}
	for _, ep := range sends {
		for range 16 {
			if c.sys(abi.SysSend, ep, 8) != 0 {
				t.Fatal("send refused")
			}
		}
	}
	served := map[uint64]int{}
	arm := []uint64{0, 1, 2} // endpoints to arm: at first, and when their request is there
	for range 36 {           // fewer than there are requests
		for _, n := range notes {
			v.must(abi.SysNotify, n, 1)
		}
		r := regs{A: [7]uint64{1: abi.FlagNoWait}}
		if len(arm) > 0 {
			r.A[2], r.S10 = eps[arm[0]], arm[0]
			arm = arm[1:]
		}
		v.trap(abi.SysWait, &r)
		e := v.event()
		served[e.cookie]++
		if e.kind == abi.EventRequest {
			arm = append(arm, e.cookie)
		}
	}
	for _, cookie := range []uint64{0, 1, 2, 100, 101, 102} {
		if served[cookie] < 4 {
			t.Errorf("event source %d was served %d times of %v", cookie, served[cookie], served)
		}
	}
	s.check()
}

func TestLongMessages(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	for _, n := range []int{65, 4096, abi.MaxMessage} {
		msg := bytes.Repeat([]byte{byte(n), 1, 2}, n)[:n]
		c.write(msgVA+5, msg)
		v.wait(recv, 1) // recvVA is demand-zero memory that nobody touched
		c.trap(abi.SysCall, &regs{A: [7]uint64{ep, uint64(n), 9, 0, 0, msgVA + 5, recvVA + 3}})
		e := v.request(1)
		if e.length&abi.MetaLen != uint64(n) || !bytes.Equal(v.read(recvVA, n), msg) {
			t.Errorf("request of %d bytes arrived with %d", n, e.length)
		}
		back := bytes.Repeat([]byte{7, byte(n)}, n)[:n]
		v.write(msgVA+1, back)
		v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, uint64(n) | abi.FlagNoWait, 0, 0, 0, msgVA + 1}})
		if r := c.reply(9, abi.OK); r.length != uint64(n) || !bytes.Equal(c.read(recvVA+3, n), back) {
			t.Errorf("reply of %d bytes arrived with %d", n, r.length)
		}
		s.check()
	}
}

// A request or a reply that cannot be copied is the sender's fault if its memory
// is not there, and too long for the receiver otherwise.
func TestLongMessageRefused(t *testing.T) {
	const hole = abi.MapBase + 0x100_0000
	s := newSim(t)
	c, v, ep, recv := s.pair()
	tests := []struct {
		name     string
		ptr, buf uint64
		want     abi.Errno
	}{
		{"no memory of the sender", hole, recvVA, abi.EFAULT},
		{"no buffer", msgVA, 0, abi.EMSGSIZE},
		{"buffer not mapped", msgVA, hole, abi.EMSGSIZE},
		{"buffer read-only", msgVA, abi.ImageBase + 0x1_1000, abi.EMSGSIZE},
	}
	for _, tt := range tests {
		v.trap(abi.SysWait, &regs{A: [7]uint64{2: recv, 6: tt.buf}, S10: 1})
		c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 100, 9, 0, 0, tt.ptr, recvVA}})
		c.reply(9, tt.want)
		v.mustWait() // the endpoint stays armed
		s.check()
		c.call(ep, 10)
		e := v.request(1)
		v.answer(e.right, 0)
		c.reply(10, abi.OK)
	}
	for _, tt := range tests {
		v.wait(recv, 1)
		c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 9, 0, 0, 0, tt.buf}})
		e := v.request(1)
		v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 100, recv, 0, 0, tt.ptr, recvVA}})
		if got := refusal(v.event().kind); got != tt.want {
			t.Errorf("reply, %s: %v, want %v", tt.name, got, tt.want)
		}
		s.check()
		if errno := v.answer(e.right, 3); errno != abi.OK { // the right is still good
			t.Errorf("reply after %s: %v", tt.name, errno)
		}
		c.reply(9, abi.OK)
	}
	s.check()
}

// A message in a queue is read when it is delivered; then a bad pointer is an
// error and the next request is looked at.
func TestBadMessageInQueue(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	d, _ := s.spawn()
	ep2 := s.give(v, recv, abi.RightSend, 2, d)
	d.trap(abi.SysCall, &regs{A: [7]uint64{ep2, 100, 8, 0, 0, abi.MapBase, 0}})
	d.mustWait()
	c.post(ep, 9)
	v.wait(recv, 1)
	if e := v.request(1); e.a2 != 0x77 {
		t.Errorf("request %+v", e)
	}
	d.reply(8, abi.EFAULT)
	s.check()
}

// The one queued request of a process to itself is its own bad message: it must
// not sleep on the event that this makes.
func TestOwnBadMessageWakes(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	recv := v.must(abi.SysEndpointCreate, 4, abi.MaxMessage)
	v.trap(abi.SysCall, &regs{A: [7]uint64{recv, 100 | abi.FlagNoWait, 8, 0, 0, abi.MapBase, 0}})
	v.wait(recv, 1)
	v.reply(8, abi.EFAULT)
	s.check()
}

func TestSelfCall(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	recv := v.must(abi.SysEndpointCreate, 4, abi.MaxMessage)
	v.wait2(t, recv)
	v.call(recv, 3)
	e := v.request(1)
	s.check()
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8}, Data: [8]uint64{5}})
	if r := v.reply(3, abi.OK); r.data[0] != 5 {
		t.Errorf("reply %+v", r)
	}
	s.check()
	// Taken by itself and then given up: it learns both.
	v.call(recv, 4)
	v.mustWait()
	s.console = nil
	s.advance(1)
	n := v.outstanding()
	if n != 1 {
		t.Errorf("%d calls outstanding", n)
	}
	s.check()
}

// wait2 arms ep without waiting; nothing may be there.
func (q proc) wait2(t *testing.T, ep uint64) {
	t.Helper()
	q.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: ep, 6: recvVA}, S10: 1})
	if q.event().kind != abi.EventNone {
		t.Fatalf("event %+v", q.event())
	}
}

// outstanding counts the calls of q.
func (q proc) outstanding() (n int) {
	for i, end := callsOf(q.Process); i < end; i++ {
		if q.s.calls[i].state != callFree {
			n++
		}
	}
	return n
}

func TestReplyRights(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	thief, _ := s.spawn()
	v.wait(recv, 1)
	c.call(ep, 1)
	e := v.request(1)
	if errno := thief.answer(e.right, 6); errno != abi.EBADF {
		t.Errorf("another process answers: %v", errno)
	}
	for _, forged := range []uint64{0, 1, e.right &^ uint64(abi.ReplyBit), e.right | 1<<63, e.right + 1, uint64(abi.ReplyBit), uint64(abi.ReplyBit) | maxCalls, ^uint64(0)} {
		if errno := v.answer(forged, 6); errno != abi.EBADF && errno != abi.ENOENT {
			t.Errorf("right %#x: %v", forged, errno)
		}
	}
	if errno := v.answer(e.right+1<<32, 6); errno != abi.ENOENT {
		t.Errorf("right of another generation: %v", errno)
	}
	c.mustWait()
	s.check()
	if errno := v.answer(e.right, 6); errno != abi.OK {
		t.Error(errno)
	}
	c.reply(1, abi.OK)
	// A right that was never handed out: the call is still in the queue.
	c.post(ep, 2)
	i, _ := callsOf(c.Process)
	for s.calls[i].state == callFree {
		i++
	}
	if errno := v.answer(s.calls[i].right^void, 6); errno == abi.OK {
		t.Error("a request in the queue was answered")
	}
	s.check()
}

// What a system call leaves in the registers is its result and nothing of
// another process.
func TestNoRegisterLeaks(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	secret := uint64(0x5ec2e7)
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 0, secret, 0, 0, secret << 8, 0}, S10: 0})
	x := v.main.Frame.X
	for i, r := range x {
		if i != hart.A1 && (r == secret || r == secret<<8) {
			t.Errorf("x%d of the server holds the client's", i)
		}
	}
}
