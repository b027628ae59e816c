package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"pgregory.net/rapid"
)

// info returns what cap_info tells about h.
func (q proc) info(h uint64) (kind abi.Kind, rights abi.Rights, badge uint64) {
	q.s.tb.Helper()
	k := q.must(abi.SysCapInfo, h)
	x := &q.main.Frame.X
	return abi.Kind(k), abi.Rights(x[hart.A1]), x[hart.A2]
}

// callCap makes a call that moves a capability.
func (q proc) callCap(ep, cookie, cap, flags uint64) abi.Errno {
	q.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | flags, cookie, 0, cap}})
	if q.waits() {
		return abi.OK
	}
	return refusal(q.main.Frame.X[hart.A0])
}

func TestCapMoves(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	note := c.must(abi.SysNotificationCreate, 9)
	n := c.must(abi.SysCapCopy, note, uint64(abi.RightSignal|abi.RightGrant))
	v.wait(recv, 1)
	c.callCap(ep, 5, n, 0)
	e := v.request(1)
	if e.moved == 0 {
		t.Fatal("no capability arrived")
	}
	if kind, rights, _ := v.info(e.moved); kind != abi.KindNotification || rights != abi.RightSignal|abi.RightGrant {
		t.Errorf("kind %d, rights %#x", kind, rights)
	}
	s.check()
	v.must(abi.SysNotify, e.moved, 4)
	c.fails(abi.EBADF, abi.SysNotify, n, 4) // the sender's handle is stale
	if got := c.event(); refusal(got.kind) != abi.EBADF {
		t.Errorf("event %+v", got)
	}
	// And back, with the reply.
	v.trap(abi.SysReply, &regs{A: [7]uint64{e.right, 8 | abi.FlagNoWait, 0, 0, e.moved}})
	v.fails(abi.EBADF, abi.SysCapInfo, e.moved)
	r := c.poll()
	if r.kind != abi.EventReply || r.moved == 0 || r.moved == n {
		t.Errorf("reply %+v", r)
	}
	c.must(abi.SysNotify, r.moved, 1)
	s.check()
	// It is still derived from the first one.
	if got := c.must(abi.SysCapRevoke, note); got != 1 {
		t.Errorf("%d revoked", got)
	}
	c.fails(abi.EBADF, abi.SysNotify, r.moved, 1)
	s.check()
}

// A capability without the right to pass it on moves neither to a server that waits nor
// into a queue, and stays where it is.
func TestRejectMoveWithoutGrant(t *testing.T) {
	for _, waits := range []bool{true, false} {
		s := newSim(t)
		c, v, ep, recv := s.pair()
		n := c.must(abi.SysCapCopy, c.must(abi.SysNotificationCreate, 9), uint64(abi.RightSignal))
		if waits {
			v.wait(recv, 1)
		}
		if errno := c.callCap(ep, 5, n, 0); errno != abi.EPERM {
			t.Errorf("server waits: %v; call: %v", waits, errno)
		}
		c.must(abi.SysNotify, n, 1)
		s.check()
	}
}

// While a message is queued its capability can be named by nobody, with no
// number; it comes back if the message does.
func TestCapInTransit(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	n := c.must(abi.SysCapCopy, c.must(abi.SysNotificationCreate, 9), uint64(abi.RightSignal|abi.RightGrant))
	c.callCap(ep, 1, n, abi.FlagNoWait)
	s.check()
	for _, h := range []uint64{n, n | 1<<63, n | 1<<62, n | 3<<62} {
		c.fails(abi.EBADF, abi.SysCapInfo, h)
		c.fails(abi.EBADF, abi.SysCapClose, h)
		c.fails(abi.EBADF, abi.SysCapRevoke, h)
		c.fails(abi.EBADF, abi.SysCapCopy, h, 0)
		c.fails(abi.EBADF, abi.SysNotify, h, 1)
		if errno := c.callCap(ep, 2, h, abi.FlagNoWait); errno != abi.EBADF {
			t.Errorf("moved again: %v", errno)
		}
	}
	c.must(abi.SysCancel, 0, 0, 1)
	c.must(abi.SysNotify, n, 1)
	s.check()
	// The endpoint closes.
	c.poll()
	c.poll()
	c.callCap(ep, 2, n, abi.FlagNoWait)
	v.must(abi.SysCapClose, recv)
	if e := c.poll(); e.a2 != uint64(abi.ECLOSED) {
		t.Errorf("event %+v", e)
	}
	c.must(abi.SysNotify, n, 1)
	s.check()
	// Moving the very capability that the call goes through.
	recv = v.must(abi.SysEndpointCreate, 4, 64)
	ep = s.give(v, recv, abi.RightSend|abi.RightGrant, 5, c)
	v.wait(recv, 1)
	c.callCap(ep, 3, ep, 0)
	if e := v.request(1); e.a2 != 5 {
		t.Errorf("request %+v", e)
	} else if kind, _, badge := v.info(e.moved); kind != abi.KindEndpoint || badge != 5 {
		t.Errorf("kind %d badge %d", kind, badge)
	}
	s.check()
}

func TestCapRevokedInTransit(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	note := v.must(abi.SysNotificationCreate, 9)
	n := s.give(v, note, abi.RightSignal|abi.RightGrant, 0, c)
	c.callCap(ep, 1, n, abi.FlagNoWait)
	if got := v.must(abi.SysCapRevoke, note); got != 1 {
		t.Errorf("%d revoked", got)
	}
	s.check()
	v.wait(recv, 1)
	if e := v.request(1); e.moved != 0 {
		t.Errorf("a revoked capability arrived: %+v", e)
	}
	c.fails(abi.EBADF, abi.SysCapInfo, n)
	s.check()
}

// fill spends the handles of q and returns one that can be closed.
func (q proc) fill() (last uint64) {
	h := q.must(abi.SysNotificationCreate, 1)
	for {
		v := q.sys(abi.SysCapCopy, h, uint64(abi.RightSignal))
		if refusal(v) == abi.ENOSPC {
			return last
		}
		last = v
	}
}

// A message that the receiver has no room for loses nothing on either side.
func TestRejectMoveIntoFullTable(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	n := c.must(abi.SysCapCopy, c.must(abi.SysNotificationCreate, 9), uint64(abi.RightSignal|abi.RightGrant))
	vn := v.must(abi.SysCapCopy, v.must(abi.SysNotificationCreate, 9), uint64(abi.RightSignal|abi.RightGrant))
	spare := v.fill()
	if errno := c.callCap(ep, 1, n, abi.FlagNoWait); errno != abi.OK {
		t.Fatal(errno)
	}
	v.wait(recv, 1)
	v.mustWait()
	if e := c.poll(); e.cookie != 1 || e.a2 != uint64(abi.EPEERNOSPACE) {
		t.Errorf("queued call: %+v", e)
	}
	s.check()
	c.callCap(ep, 2, n, 0)
	c.reply(2, abi.EPEERNOSPACE)
	v.mustWait()
	s.check()
	if got := refusal(c.sys(abi.SysSend, ep, 8, 0, 0, n)); got != abi.EPEERNOSPACE {
		t.Errorf("send: %v", got)
	}
	c.must(abi.SysNotify, n, 1)
	c.poll()
	s.check()
	c.call(ep, 3) // nothing moves: this one arrives
	v.answer(v.request(1).right, 0)

	// With one place free, a one-way message has it from when it is sent.
	v.must(abi.SysCapClose, spare)
	c.must(abi.SysSend, ep, 8, 0, 0, n)
	c.fails(abi.EBADF, abi.SysNotify, n, 1)
	s.check()
	v.fails(abi.ENOSPC, abi.SysNotificationCreate, 1)
	v.wait(recv, 2)
	e := v.request(2)
	if kind, rights, _ := v.info(e.moved); kind != abi.KindNotification || rights != abi.RightSignal|abi.RightGrant || e.right != 0 {
		t.Errorf("kind %d, rights %#x, right %#x", kind, rights, e.right)
	}
	s.check()

	// A reply: the refusal is the server's, the right is still good.
	c.fill()
	v.wait(recv, 3)
	c.call(ep, 4)
	right := v.request(3).right
	v.trap(abi.SysReply, &regs{A: [7]uint64{right, 8, recv, 0, vn}})
	if got := refusal(v.event().kind); got != abi.EPEERNOSPACE {
		t.Errorf("reply: %v", got)
	}
	c.mustWait()
	v.must(abi.SysNotify, vn, 1)
	s.check()
	if errno := v.answer(right, 0); errno != abi.OK {
		t.Errorf("reply: %v", errno)
	}
	c.reply(4, abi.OK)
	s.check()
}

// A capability in a one-way message belongs to the receiver: it outlives the
// sender, and ends with the endpoint.
func TestCapInOneWayMessage(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	c, h := s.spawn()
	recv := v.must(abi.SysEndpointCreate, 8, 64)
	ep := s.give(v, recv, abi.RightSend, 0, c)
	note := v.must(abi.SysNotificationCreate, 9)
	n1 := s.give(v, note, abi.RightSignal|abi.RightGrant, 0, c)
	n2 := s.give(v, note, abi.RightSignal|abi.RightGrant, 0, c)
	c.must(abi.SysSend, ep, 8, 0, 0, n1)
	c.must(abi.SysSend, ep, 8, 0, 0, n2)
	s.root.must(abi.SysProcessKill, h)
	s.check()
	v.wait(recv, 1)
	if e := v.request(1); e.moved == 0 {
		t.Errorf("capability lost: %+v", e)
	} else {
		v.must(abi.SysNotify, e.moved, 1)
	}
	v.must(abi.SysCapClose, recv)
	if got := v.must(abi.SysCapRevoke, note); got != 1 {
		t.Errorf("%d revoked, want the one that arrived", got)
	}
	s.check()
}

func TestCapCopy(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	ep := v.must(abi.SysEndpointCreate, 8, 64)
	send := v.must(abi.SysCapCopy, ep, uint64(abi.RightSend|abi.RightGrant))
	badged := v.must(abi.SysCapCopy, send, uint64(abi.RightSend|abi.RightGrant), 7)
	plain := v.must(abi.SysCapCopy, send, uint64(abi.RightSend))
	none := v.must(abi.SysCapCopy, send, 0)
	note := v.must(abi.SysNotificationCreate, 1)
	tests := []struct {
		name             string
		h, rights, badge uint64
		want             abi.Errno
	}{
		{"no handle", 0, 0, 0, abi.EBADF},
		{"handle of nobody", 1 << 32, 0, 0, abi.EBADF},
		{"index out of range", 1<<32 | (capsPerProcess + 1), 0, 0, abi.EBADF},
		{"reply right", uint64(abi.ReplyBit) | 1, 0, 0, abi.EBADF},
		{"unknown right", send, uint64(abi.AllRights) + 1, 0, abi.EINVAL},
		{"all bits", send, ^uint64(0), 0, abi.EINVAL},
		{"wider", send, uint64(abi.RightSend | abi.RightManage), 0, abi.EPERM},
		{"receive right", ep, uint64(abi.RightRecv), 0, abi.EPERM},
		{"wait right", note, uint64(abi.RightWait), 0, abi.EPERM},
		{"no grant", plain, uint64(abi.RightSend), 0, abi.EPERM},
		{"no rights at all", none, 0, 0, abi.EPERM},
		{"badge over badge", badged, uint64(abi.RightSend), 8, abi.EINVAL},
		{"the same badge again", badged, uint64(abi.RightSend), 7, abi.EINVAL},
		{"badge on a notification", note, uint64(abi.RightSignal), 8, abi.EINVAL},
	}
	for _, tt := range tests {
		if got := refusal(v.sys(abi.SysCapCopy, tt.h, tt.rights, tt.badge)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		s.check()
	}
	if _, _, badge := v.info(v.must(abi.SysCapCopy, badged, uint64(abi.RightSend))); badge != 7 {
		t.Errorf("badge %d after a copy", badge)
	}
}

// Rights that tie an object to its process do not move either.
func TestCapDoesNotMove(t *testing.T) {
	s := newSim(t)
	c, _, ep, _ := s.pair()
	note := c.must(abi.SysNotificationCreate, 1)
	timer := c.must(abi.SysTimerCreate, note, 1)
	own := c.must(abi.SysEndpointCreate, 1, 1)
	ungranted := c.must(abi.SysCapCopy, ep, uint64(abi.RightSend))
	for _, h := range []uint64{note, timer, own, ungranted} {
		if errno := c.callCap(ep, 1, h, abi.FlagNoWait); errno != abi.EPERM {
			t.Errorf("%#x: %v", h, errno)
		}
		c.fails(abi.EPERM, abi.SysSend, ep, 8, 0, 0, h)
		s.check()
	}
}

func TestHandlesGoStale(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	h := v.must(abi.SysNotificationCreate, 1)
	v.must(abi.SysCapClose, h)
	again := v.must(abi.SysNotificationCreate, 1)
	if uint32(h) != uint32(again) || h == again {
		t.Errorf("handle %#x after %#x: want the same entry and another generation", again, h)
	}
	v.fails(abi.EBADF, abi.SysCapClose, h)
	v.must(abi.SysCapClose, again)
	// The last generation of an entry is never reused: the entry is lost.
	v.entry(uint32(h)).word |= maxGen << 32
	h = v.must(abi.SysNotificationCreate, 1)
	if h>>32 != maxGen {
		t.Errorf("handle %#x", h)
	}
	v.must(abi.SysCapClose, h)
	v.fails(abi.EBADF, abi.SysCapClose, h)
	n := 0
	first := v.must(abi.SysEndpointCreate, 1, 1)
	for refusal(v.sys(abi.SysCapCopy, first, uint64(abi.RightSend))) == abi.OK {
		n++
	}
	if n+1 != capsPerProcess-1 {
		t.Errorf("%d entries left of %d, one is used up", n+1, capsPerProcess)
	}
	s.check()
}

// Entries of endpoints and notifications whose generation is used up are not
// used again.
func TestObjectGenerationsEnd(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	ep := v.must(abi.SysEndpointCreate, 1, 1)
	note := v.must(abi.SysNotificationCreate, 1)
	ei, ni := s.caps[s.lookup(v.Process, ep)].obj, s.caps[s.lookup(v.Process, note)].obj
	s.endpoints[ei].gen, s.caps[s.lookup(v.Process, ep)].gen = maxObjectGen, maxObjectGen
	s.notifs[ni].gen, s.caps[s.lookup(v.Process, note)].gen = maxObjectGen, maxObjectGen
	v.must(abi.SysCapClose, ep)
	v.must(abi.SysCapClose, note)
	ep = v.must(abi.SysEndpointCreate, 1, 1)
	note = v.must(abi.SysNotificationCreate, 1)
	if s.caps[s.lookup(v.Process, ep)].obj == ei || s.caps[s.lookup(v.Process, note)].obj == ni {
		t.Error("an entry was used again with its last generation")
	}
}

// Closed endpoints and notifications that others still name cost their table
// nothing: nobody can spend it for the rest.
func TestClosedObjectsCostNothing(t *testing.T) {
	s := newSim(t)
	keep, _ := s.spawn()
	v, _ := s.spawn()
	for range capsPerProcess - 2 {
		ep := v.must(abi.SysEndpointCreate, 1, 1)
		s.give(v, ep, abi.RightSend, 0, keep)
		v.must(abi.SysCapClose, ep)
	}
	if n := freeList(s.freeEPs, func(i uint32) uint32 { return s.endpoints[i].next }); n != maxEndpoints {
		t.Errorf("%d endpoints free of %d", n, maxEndpoints)
	}
	s.check()
}

// model of one capability for the property below.
type modelCap struct {
	h      uint64
	owner  int
	rights abi.Rights
	badge  uint64
	parent int // index in the model, -1 for none
	gone   bool
}

// However capabilities are copied, moved, closed and revoked: rights never widen,
// badges never change, and a revocation removes exactly what was derived.
func TestPropertyDerivation(t *testing.T) {
	s := newSim(t)
	rapid.Check(t, func(rt *rapid.T) {
		var ps [3]proc
		var hs [3]uint64
		for i := range ps {
			ps[i], hs[i] = s.spawn()
		}
		var m []modelCap
		mailbox := [3]uint64{}
		for i, p := range ps {
			recv := p.must(abi.SysEndpointCreate, 8, 64)
			m = append(m, modelCap{recv, i, abi.RightSend | abi.RightRecv | abi.RightGrant, 0, -1, false})
			mailbox[i] = recv
		}
		alive := func() (l []int) {
			for i := range m {
				if !m[i].gone {
					l = append(l, i)
				}
			}
			return l
		}
		derived := func(i, from int) bool {
			for i = m[i].parent; i >= 0; i = m[i].parent {
				if i == from {
					return true
				}
			}
			return false
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			i := rapid.SampledFrom(alive()).Draw(rt, "cap")
			c := m[i]
			p := ps[c.owner]
			switch rapid.IntRange(0, 7).Draw(rt, "op") {
			case 0, 1, 2, 3:
				rights := abi.Rights(rapid.Uint32Range(0, uint32(abi.AllRights)).Draw(rt, "rights"))
				if rapid.Bool().Draw(rt, "subset") {
					rights &= c.rights &^ solitary
				}
				badge := uint64(rapid.IntRange(0, 2).Draw(rt, "badge"))
				ok := c.rights&abi.RightGrant != 0 && rights&^c.rights == 0 && rights&solitary == 0 && (badge == 0 || c.badge == 0)
				h := p.sys(abi.SysCapCopy, c.h, uint64(rights), badge)
				if (refusal(h) == abi.OK) != ok {
					rt.Fatalf("copy of %+v with %#x and badge %d: %v", c, rights, badge, refusal(h))
				}
				if ok {
					if badge == 0 {
						badge = c.badge
					}
					m = append(m, modelCap{h, c.owner, rights, badge, i, false})
				}
			case 4: // to another process, as the supervisor of both could
				to := rapid.IntRange(0, 2).Draw(rt, "to")
				rights := c.rights &^ solitary
				d, errno := s.derive(p.Process, c.h, uint64(rights), 0, ps[to].Process)
				if (errno == abi.OK) != (c.rights&abi.RightGrant != 0) {
					rt.Fatalf("derive from %+v: %v", c, errno)
				}
				if errno == abi.OK {
					m = append(m, modelCap{s.handleFor(d), to, rights, c.badge, i, false})
				}
			case 5: // moves in a message to the process itself
				errno := refusal(p.sys(abi.SysSend, mailbox[c.owner], 0, 0, 0, c.h))
				if (errno == abi.OK) != (c.rights&abi.RightGrant != 0 && c.rights&solitary == 0) {
					rt.Fatalf("move of %+v: %v", c, errno)
				}
				if errno == abi.OK {
					p.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: mailbox[c.owner]}})
					m[i].h = p.event().moved
				}
			case 6:
				if c.rights&abi.RightRecv != 0 {
					continue
				}
				p.must(abi.SysCapClose, c.h)
				m[i].gone = true
				for j := range m {
					if m[j].parent == i {
						m[j].parent = c.parent
					}
				}
			case 7:
				want := uint64(0)
				for _, j := range alive() {
					if derived(j, i) {
						m[j].gone = true
						want++
					}
				}
				if got := p.must(abi.SysCapRevoke, c.h); got != want {
					rt.Fatalf("%d revoked, want %d", got, want)
				}
			}
			for _, c := range m {
				if c.gone {
					ps[c.owner].fails(abi.EBADF, abi.SysCapInfo, c.h)
				} else if kind, rights, badge := ps[c.owner].info(c.h); kind != abi.KindEndpoint || rights != c.rights || badge != c.badge {
					rt.Fatalf("%+v has rights %#x and badge %d", c, rights, badge)
				}
			}
		}
		s.check()
		for _, h := range hs {
			s.root.must(abi.SysProcessKill, h)
			s.root.must(abi.SysCapClose, h)
		}
		s.check()
	})
}

// A long chain of copies is revoked in time that grows with its length.
func TestRevokeChain(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	first := v.must(abi.SysEndpointCreate, 1, 1)
	h := first
	for range capsPerProcess - 1 {
		h = v.must(abi.SysCapCopy, h, uint64(abi.RightSend|abi.RightGrant))
	}
	s.check()
	if got := v.must(abi.SysCapRevoke, first); got != capsPerProcess-1 {
		t.Errorf("%d revoked", got)
	}
	s.check()
}
