package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// This file holds the two hand-offs that make up nearly all of the traffic: a
// call to a server that waits for it, and a reply to a client that waits for it,
// with messages in registers. They do what sysCall and sysReply do in that case
// and no more; whenever anything is unusual they change nothing and return nil.
// A test holds this path, that of carry.go and the general one against each other.
//
// They call no function and check no index, so that they need no stack: pointers lead
// from one table to the next where an index is checked elsewhere, and what an index is
// needed for has a table of a power of two. Each pointer was put in its place by code
// that checked what it stands for; what can change since is compared here.
//
// Length is that of the message. Whoever calls them has seen that nothing has to be done
// for it but to load it from the registers of its sender ([Thread.Plain]), or does the
// rest.
//
// The second result is not 0 if a deadline came with the call or the wait, which
// [Kernel.ArmDue] arms then.

// Plain reports whether the message of t is in registers alone and asks for nothing else.
func (t *Thread) Plain() bool { return t.Frame.X[hart.A1] <= abi.MaxInline && t.Frame.X[hart.A4] == 0 }

// CallDirect hands the request of t, which runs on a hart, to its waiting server.
//
// Cost: see bench ipc_call_64 in docs/performance.md.
//
//go:nosplit
func (k *Kernel) CallDirect(on *Hart, t *Thread, length uint64) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	c, h, lane := p.freeCalls, x[hart.A0], p.lane
	if c == nil || p.waiter != 0 || p.pending != 0 || p.donors>>laneBits >= lane {
		return nil, 0
	}
	entry := &p.handle[uint8(h)]
	if entry.word != h {
		return nil, 0
	}
	n := entry.node
	e := n.send
	if e == nil || e.armed != n.gen {
		return nil, 0
	}
	s := e.taker
	if s.state != threadWaiting {
		return nil, 0
	}
	reply := x[hart.A6]
	if reply != p.buffer {
		if reply != 0 && !isBuffer(reply) {
			return nil, 0
		}
		p.buffer = reply
	}
	p.freeCalls = c.free
	right := c.right ^ void
	c.right, c.state = right, callTaken
	c.caller, c.server, c.reply = t, e.owner, reply
	accept, deadline := e.cookie, x[hart.A3]
	c.cookie, c.accept, c.deadline = x[hart.A2], accept, int64(deadline)
	e.armed = 0
	q := s.proc
	c.lane = lane
	q.donors += lane

	y := &s.Frame.X
	y[hart.A0], y[hart.A1], y[hart.A2], y[hart.A3] = abi.EventRequest, accept, n.badge, p.sid
	y[hart.A4], y[hart.A5], y[hart.A6], y[hart.A7] = right, length|p.pid<<32, 0, deadline

	q.waiter, p.waiter = 0, t.id
	t.state, s.state = threadWaiting, threadRunning
	wait := x[hart.S10]
	t.waitDue = int64(wait)
	on.run(s, t.calls)
	return s, wait | deadline
}

// ReplyDirect hands the reply of t, which runs on a hart, to its waiting client and arms
// the endpoint that its process serves.
//
// Cost: see bench ipc_call_64 in docs/performance.md.
//
//go:nosplit
func (k *Kernel) ReplyDirect(on *Hart, t *Thread, length uint64) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	if p.waiter != 0 || p.pending != 0 {
		return nil, 0
	}
	right, h := x[hart.A0], x[hart.A2]
	c, entry := &k.byRight[right<<rightGen>>rightGen], &p.handle[uint8(h)]
	lane := c.lane
	if c.right != right || lane != on.lane || c.server != p.id || entry.word != h {
		return nil, 0
	}
	e := entry.node.recv
	if e == nil || e.queue.head != 0 {
		return nil, 0
	}
	s := c.caller
	if s.state != threadWaiting {
		return nil, 0
	}
	buffer := x[hart.A6]
	if buffer != p.buffer {
		if buffer != 0 && !isBuffer(buffer) {
			return nil, 0
		}
		p.buffer = buffer
	}
	y := &s.Frame.X
	y[hart.A0], y[hart.A1], y[hart.A2], y[hart.A3] = abi.EventReply, c.cookie, 0, 0
	y[hart.A4], y[hart.A5], y[hart.A6], y[hart.A7] = 0, length, 0, 0

	q := s.proc
	c.right = (right + nextRight) ^ void
	c.state = callFree
	c.free, q.freeCalls = q.freeCalls, c
	p.donors -= lane
	e.armed, e.taker = e.gen, t
	e.cookie, e.buffer = x[hart.S10], buffer

	q.waiter, p.waiter = 0, t.id
	t.state, s.state = threadWaiting, threadRunning
	wait := x[hart.A3]
	t.waitDue = int64(wait)
	on.run(s, t.replies)
	return s, wait
}

// canWait reports whether a thread of p that waits for an event would be the only one, and
// none is there.
func (p *Process) canWait() bool { return p.waiter == 0 && p.pending == 0 }

// run makes the hart run t, which has got it by an event with another thread.
func (h *Hart) run(t *Thread, event abi.FlightEvent) {
	h.cur = t
	h.flight.put(event | abi.FlightEvent(t.id))
}

// ArmDue arms the deadlines that came with a CALL or REPLY of t that went the direct
// path, and returns the hart, whose alarm may be earlier now.
func (k *Kernel) ArmDue(t *Thread) *Hart {
	if t.Frame.X[hart.A7] == abi.SysCall {
		k.callDueAt(t.proc, int64(t.Frame.X[hart.A3]))
	}
	if t.waitDue != 0 {
		k.dueAt(t.id, t.waitDue)
	}
	return k.h
}
