package core

import (
	"fmt"
	"testing"

	"nexus.internal/ipc/abi"
)

// With FlagDropGrant a capability arrives without the right to be given away, by
// every way that one can take.
func TestDropGrant(t *testing.T) {
	for _, flags := range []uint64{0, abi.FlagDropGrant} {
		want := abi.RightSignal | abi.RightGrant
		if flags != 0 {
			want = abi.RightSignal
		}
		for _, way := range []string{"call, handed over", "call, queued", "send, handed over", "send, queued", "reply"} {
			t.Run(fmt.Sprintf("%s %#x", way, flags), func(t *testing.T) {
				s := newSim(t)
				c, v, ep, recv := s.pair()
				note := c.must(abi.SysNotificationCreate, 9)
				n := c.must(abi.SysCapCopy, note, uint64(abi.RightSignal|abi.RightGrant))
				below := c.must(abi.SysCapCopy, n, uint64(abi.RightSignal|abi.RightGrant))
				holder, got := v, uint64(0)
				switch way {
				case "call, handed over":
					v.wait(recv, 1)
					c.callCap(ep, 5, n, flags)
					got = v.request(1).moved
				case "call, queued":
					c.callCap(ep, 5, n, flags|abi.FlagNoWait)
					s.check()
					v.wait(recv, 1)
					got = v.request(1).moved
				case "send, handed over":
					v.wait(recv, 1)
					c.must(abi.SysSend, ep, 8|flags, 0, 0, n)
					got = v.request(1).moved
				case "send, queued":
					c.must(abi.SysSend, ep, 8|flags, 0, 0, n)
					s.check()
					v.wait(recv, 1)
					got = v.request(1).moved
				case "reply":
					v.wait(recv, 1)
					c.callCap(ep, 5, n, 0)
					e := v.request(1)
					v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8 | flags | abi.FlagNoWait, 0, 0, e.moved}})
					holder, got = c, c.reply(5, abi.OK).moved
				}
				if kind, rights, _ := holder.info(got); kind != abi.KindNotification || rights != want {
					t.Fatalf("arrived with kind %d, rights %#x, want %#x", kind, rights, want)
				}
				s.check()
				holder.must(abi.SysNotify, got, 1)
				if flags != 0 {
					holder.fails(abi.EPERM, abi.SysCapCopy, got, uint64(abi.RightSignal))
					out := s.give(v, recv, abi.RightSend, 3, holder)
					if errno := holder.callCap(out, 6, got, abi.FlagNoWait); errno != abi.EPERM {
						t.Errorf("passed on: %v", errno)
					}
				}
				// What was derived from it before is what it was, and its own.
				if _, rights, _ := c.info(below); rights != abi.RightSignal|abi.RightGrant {
					t.Errorf("the one derived from it has rights %#x", rights)
				}
				if n := c.must(abi.SysCapRevoke, note); n != 2 {
					t.Errorf("%d revoked", n)
				}
				s.check()
			})
		}
	}
}

// A message that comes back brings its capability as it was.
func TestDropGrantComesBack(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	n := c.must(abi.SysCapCopy, c.must(abi.SysNotificationCreate, 9), uint64(abi.RightSignal|abi.RightGrant))
	whole := func(how string) {
		t.Helper()
		if _, rights, _ := c.info(n); rights != abi.RightSignal|abi.RightGrant {
			t.Errorf("%s: rights %#x", how, rights)
		}
		s.check()
	}
	c.callCap(ep, 1, n, abi.FlagDropGrant|abi.FlagNoWait)
	c.must(abi.SysCancel, 0, 0, 1)
	whole("cancelled")
	c.poll()
	c.callCap(ep, 2, n, abi.FlagDropGrant|abi.FlagNoWait)
	v.must(abi.SysCapClose, recv)
	whole("closed")
	c.poll()
	if errno := c.callCap(ep, 3, n, abi.FlagDropGrant); errno != abi.ECLOSED {
		t.Errorf("closed endpoint: %v", errno)
	}
	whole("refused")
}

func TestDropGrantWithoutCapability(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	c.callCap(ep, 1, 0, abi.FlagDropGrant)
	e := v.request(1)
	if e.moved != 0 || e.length&abi.MetaLen != 8 {
		t.Errorf("request %+v", e)
	}
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8 | abi.FlagDropGrant, recv, 0, 0, 0, recvVA}, S10: 2})
	if r := c.reply(1, abi.OK); r.moved != 0 || r.length != 8 {
		t.Errorf("reply %+v", r)
	}
	// A length with other bits above it is a length over the limit.
	c.fails(abi.EMSGSIZE, abi.SysSend, ep, 8|abi.FlagDropGrant<<1)
	s.check()
}

// A reply without waiting returns 0 and leaves every event where it is, even if
// there is one; the endpoint that it accepts is armed.
func TestReplyNoWait(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	d, _ := s.spawn()
	ep2 := s.give(v, recv, abi.RightSend, 2, d)
	note := v.must(abi.SysNotificationCreate, 9)
	v.wait(recv, 1)
	c.call(ep, 1)
	e := v.request(1)
	d.call(ep2, 2) // queued
	d.mustWait()
	v.must(abi.SysNotify, note, 4)
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8 | abi.FlagNoWait, recv, 0, 0, 0, recvVA}, S10: 7})
	if got := v.event(); got.kind != abi.EventNone || s.Current() != v.main {
		t.Errorf("a reply without waiting returns %+v", got)
	}
	s.check()
	c.reply(1, abi.OK)
	// Both are still there, and nothing has to be armed again.
	var kinds [2]event
	for i := range kinds {
		kinds[i] = v.poll()
	}
	if kinds[0].kind != abi.EventNotify {
		kinds[0], kinds[1] = kinds[1], kinds[0]
	}
	if kinds[0].kind != abi.EventNotify || kinds[0].a2 != 4 || kinds[1].kind != abi.EventRequest || kinds[1].cookie != 7 || kinds[1].a2 != 2 {
		t.Errorf("events %+v", kinds)
	}
	s.check()
	// One that is refused leaves them too, and arms nothing.
	v.must(abi.SysNotify, note, 1)
	if errno := v.answer(e.right, 1); errno != abi.ENOENT {
		t.Errorf("second reply: %v", errno)
	}
	if got := v.poll(); got.kind != abi.EventNotify {
		t.Errorf("event %+v", got)
	}
	s.check()
}

// A call without waiting returns 0, or the reply if the server answered at once.
func TestCallNoWaitMayReturnItsReply(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	v.wait(recv, 1)
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 7}, Data: [8]uint64{7}})
	e := v.request(1)
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8, recv, 0, 0, 0, recvVA}, S10: 1, Data: [8]uint64{8}})
	v.mustWait()
	c.schedule()
	if got := c.event(); got.cookie != 7 || got.kind != abi.EventReply || got.data[0] != 8 {
		t.Errorf("event %+v", got)
	}
	s.check()
}
