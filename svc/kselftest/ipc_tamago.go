//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// queuePerServer is how many one-way messages wait for one process, callsPerClient
// how many calls one process may have outstanding: quotas of the kernel.
const (
	queuePerServer = 64
	callsPerClient = 32
	maxDepth       = 256
)

// send sends a one-way message with one word of payload.
func send(ep, payload uint64) abi.Errno {
	r := ipc.Regs{A: [8]uint64{0: ep, 1: 8}, Data: [8]uint64{payload}}
	raw.Trap(abi.SysSend, &r)
	return abi.Errno(-int64(r.A[0]))
}

// queueFull: an endpoint takes as many messages as it is deep, refuses the next and
// keeps what it has.
func queueFull(t *tester) {
	own := caller(self)
	for _, depth := range []uint64{1, 7} {
		ep := own.sys(abi.SysEndpointCreate, depth, 64)
		for round := range uint64(2) {
			for i := range depth {
				errno := send(ep, 100*round+i)
				check(errno == abi.OK, "depth %d: message %d: %v", depth, i, errno)
			}
			full := t.counts()
			errno := send(ep, 999)
			check(errno == abi.EAGAIN, "depth %d: one message more: %v", depth, errno)
			own.refuse(abi.EAGAIN, abi.SysCall, ep, 8|abi.FlagNoWait, 1)
			check(t.counts() == full, "a refused message left something behind: %+v, was %+v", t.counts(), full)
			for i := range depth {
				r := t.receive(ep, 0)
				check(r.Data[0] == 100*round+i && r.A[4] == 0 && r.A[5]&abi.MetaLen == 8, "depth %d: message %d arrived as %d", depth, i, r.Data[0])
			}
		}
		t.arm(ep, 1, 0)
		t.nothing("after all messages were received")
		closeAll(ep)
	}
	own.refuse(abi.EINVAL, abi.SysEndpointCreate, 0, 64)
	own.refuse(abi.EINVAL, abi.SysEndpointCreate, maxDepth+1, 64)
}

// bytesFull: a message that is longer than the kernel, the endpoint or the receiver
// takes is refused as a whole, and does not stand in the way of the next.
func bytesFull(t *tester) {
	own := caller(self)
	own.refuse(abi.EINVAL, abi.SysEndpointCreate, 1, abi.MaxMessage+1)
	for _, limit := range []uint64{0, 8, abi.MaxInline, 100, abi.MaxMessage} {
		ep := own.sys(abi.SysEndpointCreate, 4, limit)
		p := t.puppet(sendCap(ep))
		there := caller(p.call)
		// With a deadline that has passed, so that a call that is not refused ends.
		there.refuse(abi.EMSGSIZE, abi.SysCall, given(0), limit+1, 1, 1, 0, p.out())
		there.refuse(abi.EMSGSIZE, abi.SysSend, given(0), max(limit, abi.MaxInline)+1)
		there.refuse(abi.EMSGSIZE, abi.SysCall, given(0), abi.MetaLen, 1, 1, 0, p.out())
		p.do(opFillOut, limit, limit)
		call := ipc.Regs{A: [8]uint64{0: given(0), 1: limit, 2: 1, 5: p.out(), 6: p.in()}}
		for i := range call.Data {
			call.Data[i] = uint64(i) + limit
		}
		buf := new([2 * abi.PageSize]byte)
		if limit > abi.MaxInline {
			// No buffer to take it: refused. With one it arrives, and so does a reply
			// of that length, but none that is longer than any message.
			t.arm(ep, 77, 0)
			p.start(0, abi.SysCall, call)
			got := p.finish()
			check(abi.Errno(got.A[2]) == abi.EMSGSIZE, "%d bytes to a server without a buffer: %v", limit, abi.Errno(got.A[2]))
		}
		p.start(0, abi.SysCall, call)
		r := t.receive(ep, raw.AddressOf(buf))
		check(r.A[5]&abi.MetaLen == limit, "a message of %d bytes arrived with %d", limit, r.A[5]&abi.MetaLen)
		if limit > abi.MaxInline {
			check(hasPattern(buf[:limit], limit) && isZero(buf[limit:]), "a message of %d bytes arrived changed", limit)
		} else {
			check(r.Data == call.Data || limit < abi.MaxInline, "a message of %d bytes arrived changed", limit)
		}
		pattern(buf[:], 3)
		own.refuse(abi.EMSGSIZE, abi.SysReply, r.A[4], (abi.MaxMessage+1)|abi.FlagNoWait, 0, 0, 0, raw.AddressOf(buf))
		own.sys(abi.SysReply, r.A[4], abi.MaxMessage|abi.FlagNoWait, 0, 0, 0, raw.AddressOf(buf))
		got := p.finish()
		check(got.A[2] == 0 && got.A[5] == abi.MaxMessage && p.do(opCheckIn, abi.MaxMessage, 3)[0] == 1, "the longest reply arrived as event %d, %v, %d bytes", got.A[0], abi.Errno(got.A[2]), got.A[5])
		p.drop()
		closeAll(ep)
	}
}

// serverQuota: what waits for one server is bounded, over all of its endpoints, and
// does not take from what may wait for another.
func serverQuota(t *tester) {
	own := caller(self)
	p := t.puppet()
	e1, e2 := own.sys(abi.SysEndpointCreate, maxDepth, 64), own.sys(abi.SysEndpointCreate, maxDepth, 64)
	_, other := p.endpoint(maxDepth, 64)
	for round := range uint64(2) {
		calls := t.counts().calls
		for i := range uint64(queuePerServer) {
			errno := send([]uint64{e1, e2}[i%2], i)
			check(errno == abi.OK, "round %d: message %d: %v", round, i, errno)
		}
		for _, ep := range []uint64{e1, e2} {
			check(send(ep, 0) == abi.EAGAIN, "one message more than a server may have waiting was taken")
		}
		if round == 0 {
			for i := range uint64(queuePerServer) {
				errno := send(other, i)
				check(errno == abi.OK, "message %d to another server while one is full: %v", i, errno)
			}
			check(send(other, 0) == abi.EAGAIN, "the other server has no quota")
			check(t.counts().calls == calls+2*queuePerServer, "%d messages wait, want %d", t.counts().calls-calls, 2*queuePerServer)
			calls += queuePerServer
		}
		for i := range uint64(queuePerServer) {
			r := t.receive([]uint64{e1, e2}[i%2], 0)
			check(r.Data[0] == i, "message %d arrived as %d", i, r.Data[0])
		}
		check(t.counts().calls == calls, "%d messages left, %d before", t.counts().calls, calls)
	}
	closeAll(e1, e2, other)
}

// clientQuota: how many calls one process may have outstanding is bounded, and does
// not take from another process.
func clientQuota(t *tester) {
	own := caller(self)
	ep := own.sys(abi.SysEndpointCreate, maxDepth, 64)
	a, b := t.puppet(sendCap(ep)), t.puppet(sendCap(ep))
	for round := range 2 {
		calls := t.counts().calls
		for _, p := range []*process{a, b} {
			got := p.do(opCallAll, given(0), 1)
			check(got[0] == callsPerClient && abi.Errno(got[1]) == abi.ENOSPC, "round %d: %d calls, then %v", round, got[0], abi.Errno(got[1]))
		}
		// Each has given up one, and has one more now, which is that for orders.
		check(t.counts().calls == calls+2*(callsPerClient-1), "%d calls outstanding, want %d", t.counts().calls-calls, 2*(callsPerClient-1))
		for range 2 * (callsPerClient - 1) {
			own.sys(abi.SysReply, t.receive(ep, 0).A[4], abi.FlagNoWait)
		}
		for _, p := range []*process{a, b} {
			t.until("replies", func() bool { return p.page.nother == callsPerClient-1 })
			p.page.nother = 0
		}
		check(t.counts().calls == calls, "%d calls outstanding, %d before", t.counts().calls, calls)
	}
	closeAll(ep)
}

var orders3 = [][3]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}}

// recvFIFO: accepts that wait are served in the order in which their messages came,
// and notifications in the order in which they were set.
func recvFIFO(t *tester) {
	own := caller(self)
	var eps, notes [3]uint64
	for i := range eps {
		eps[i] = own.sys(abi.SysEndpointCreate, 4, 64)
		notes[i] = own.sys(abi.SysNotificationCreate, 40+uint64(i))
	}
	for _, order := range orders3 {
		for i, ep := range eps {
			t.arm(ep, 50+uint64(i), 0)
		}
		for _, i := range order { // this process does not wait in between, so they queue
			check(send(eps[i], uint64(i)) == abi.OK, "a message to oneself is refused")
		}
		for _, i := range order {
			r := t.expect(abi.EventRequest)
			check(r.A[1] == 50+uint64(i) && r.Data[0] == uint64(i), "messages in the order %v: one for %d comes with cookie %d", order, r.Data[0], r.A[1])
		}
		for _, i := range order {
			own.sys(abi.SysNotify, notes[i], 1<<i)
		}
		for _, i := range order {
			r := t.expect(abi.EventNotify)
			check(r.A[1] == 40+uint64(i) && r.A[2] == 1<<i, "notifications in the order %v: key %d with bits %#x", order, r.A[1], r.A[2])
		}
	}
	closeAll(eps[:]...)
	closeAll(notes[:]...)
}

// awaitCalls waits until n calls more than base are outstanding.
func (t *tester) awaitCalls(base, n uint64) {
	t.until("calls to be made", func() bool { return t.counts().calls == base+n })
}

// sendFIFO: processes that wait in a call are served in the order in which they
// called, one-way messages in between.
func sendFIFO(t *tester) {
	own := caller(self)
	ep := own.sys(abi.SysEndpointCreate, maxDepth, 64)
	var ps [3]*process
	for i := range ps {
		c := sendCap(ep)
		c.Badge = uint64(i) + 1
		ps[i] = t.puppet(c)
	}
	base := t.counts().calls
	for _, order := range orders3 {
		for n, i := range order {
			ps[i].order(abi.SysCall, given(0), 0, 1)
			t.awaitCalls(base, uint64(2*n+1))
			check(send(ep, 7) == abi.OK, "a one-way message between calls is refused")
		}
		for _, i := range order {
			r := t.receive(ep, 0)
			check(r.A[2] == uint64(i)+1 && r.A[3] == serviceID(ps[i].name) && r.A[5]>>32 == ps[i].pid, "served %d, want %d of %v", r.A[2], i+1, order)
			check(t.receive(ep, 0).A[2] == 0, "a one-way message lost its place")
			check(!ps[i].idle, "a call returned before its reply")
			own.sys(abi.SysReply, r.A[4], abi.FlagNoWait)
			ps[i].finish()
		}
	}
	closeAll(ep)
}

// sendUnblock: a process that waits in a call goes on with its reply and not before,
// and one that was refused for a full queue succeeds when there is room.
func sendUnblock(t *tester) {
	own := caller(self)
	ep := own.sys(abi.SysEndpointCreate, 1, 64)
	a, b := t.puppet(sendCap(ep)), t.puppet(sendCap(ep))
	base := t.counts().calls
	for range 3 {
		a.start(0, abi.SysCall, ipc.Regs{A: [8]uint64{0: given(0), 1: 8, 2: 1}, Data: [8]uint64{11}})
		t.awaitCalls(base, 1)
		_, errno := caller(b.call).try(abi.SysCall, given(0), 8, 2)
		check(errno == abi.EAGAIN, "call to a full queue: %v", errno)
		t.settle()
		check(!a.idle, "a call returned before it was received")
		ra := t.receive(ep, 0)
		check(ra.Data[0] == 11, "the message arrived as %d", ra.Data[0])
		// Received, so there is room.
		b.start(0, abi.SysCall, ipc.Regs{A: [8]uint64{0: given(0), 1: 8, 2: 2}, Data: [8]uint64{22}})
		rb := t.receive(ep, 0)
		check(rb.Data[0] == 22, "the message after a refused one arrived as %d", rb.Data[0])
		t.settle()
		check(!a.idle && !b.idle, "a call returned before its reply")
		for _, w := range []struct {
			p             *process
			right, answer uint64
			cookie        uint64
		}{{b, rb.A[4], 222, 2}, {a, ra.A[4], 111, 1}} {
			r := ipc.Regs{A: [8]uint64{0: w.right, 1: 8 | abi.FlagNoWait}, Data: [8]uint64{w.answer}}
			own.event(abi.SysReply, r)
			got := w.p.finish()
			check(got.A[0] == abi.EventReply && got.A[1] == w.cookie && got.A[2] == 0 && got.Data[0] == w.answer, "reply %d came as event %d with %d", w.answer, got.A[0], got.Data[0])
		}
	}
	closeAll(ep)
}

// endpointQuota: how many endpoints one process may have is bounded, the refusal
// costs nobody else one, and what is closed is there again.
func endpointQuota(t *tester) {
	p := t.puppet()
	fill := func(c caller) (held []uint64) {
		for {
			h, errno := c.try(abi.SysEndpointCreate, 1, 64)
			if errno == abi.OK {
				held = append(held, h)
				continue
			}
			check(errno == abi.ENOSPC, "endpoint %d: %v", len(held), errno)
			return held
		}
	}
	const quota = 80
	own, there := caller(self), caller(p.call)
	mine := fill(own)
	check(len(mine) == quota-1, "%d endpoints and the one of this process, want %d", len(mine), quota-1)
	theirs := fill(there)
	check(len(theirs) == quota, "%d endpoints of another process, want %d", len(theirs), quota)
	for range 3 {
		closeAll(mine[0])
		mine[0] = own.sys(abi.SysEndpointCreate, 1, 64)
		own.refuse(abi.ENOSPC, abi.SysEndpointCreate, 1, 64)
	}
	closeAll(mine...)
	for _, h := range theirs {
		there.sys(abi.SysCapClose, h)
	}
	closeAll(fill(own)...)
}

// closeWakes: closing an endpoint ends the calls that wait there with an error of
// its own; one that was received can still be answered.
func closeWakes(t *tester) {
	own := caller(self)
	ep := own.sys(abi.SysEndpointCreate, 8, 64)
	var ps [3]*process
	for i := range ps {
		ps[i] = t.puppet(sendCap(ep))
	}
	base := t.counts().calls
	ps[0].order(abi.SysCall, given(0), 0, 1)
	right := t.receive(ep, 0).A[4]
	for i, p := range ps[1:] {
		p.order(abi.SysCall, given(0), 0, 1)
		t.awaitCalls(base, uint64(i+2))
	}
	check(send(ep, 1) == abi.OK, "send to an endpoint with calls")
	closeAll(ep)
	for _, p := range ps[1:] {
		r := p.finish()
		check(r.A[0] == abi.EventReply && r.A[1] == 1 && abi.Errno(r.A[2]) == abi.ECLOSED, "a waiting call ended as event %d, %v", r.A[0], abi.Errno(r.A[2]))
	}
	t.settle()
	check(!ps[0].idle, "a call that was received ended with the endpoint")
	own.sys(abi.SysReply, right, abi.FlagNoWait)
	r := ps[0].finish()
	check(r.A[0] == abi.EventReply && r.A[2] == 0, "a reply after the endpoint is closed: event %d, %v", r.A[0], abi.Errno(r.A[2]))
	for _, p := range ps {
		caller(p.call).refuse(abi.ECLOSED, abi.SysCall, given(0), 0, 1)
		caller(p.call).refuse(abi.ECLOSED, abi.SysSend, given(0), 0)
	}
	check(t.counts().calls == base, "%d calls outstanding, %d before", t.counts().calls, base)
}

// ownerExitWakes: when a server ends, all of its callers go on with an error of its
// own, whether it had received their calls or not.
func ownerExitWakes(t *tester) {
	const key, bits = 99, 4
	own := caller(self)
	n := own.sys(abi.SysNotificationCreate, key)
	for _, how := range []string{"exit", "kill"} {
		server := t.puppet()
		there, here := server.endpoint(8, 64)
		a, b, c := t.puppet(sendCap(here)), t.puppet(sendCap(here)), t.puppet(sendCap(here))
		base := t.counts().calls
		a.order(abi.SysCall, given(0), 0, 1)
		server.start(0, abi.SysWait, ipc.Regs{A: [8]uint64{2: there}, S10: 5})
		got := server.finish()
		check(got.A[0] == abi.EventRequest && got.A[5]>>32 == a.pid, "the server got event %d", got.A[0])
		b.order(abi.SysCall, given(0), 0, 1)
		t.awaitCalls(base, 2)
		c.order(abi.SysCall, given(0), 0, 1)
		t.awaitCalls(base, 3)
		check(send(here, 1) == abi.OK, "send to a server with calls")
		own.sys(abi.SysProcessWatch, server.handle, n, bits)
		status := int64(abi.ExitKilled)
		if how == "exit" {
			status = 5
			server.order(abi.SysExit, uint64(status))
		} else {
			own.sys(abi.SysProcessKill, server.handle)
		}
		r := t.expect(abi.EventNotify)
		check(r.A[1] == key && r.A[2] == bits, "notification with key %d and bits %d", r.A[1], r.A[2])
		s := server.state()
		check(s[0] == 0 && int64(s[1]) == status, "%s: the server lives %d, status %d", how, s[0], int64(s[1]))
		for _, p := range []*process{a, b, c} {
			r := p.finish()
			check(r.A[0] == abi.EventReply && r.A[1] == 1 && abi.Errno(r.A[2]) == abi.ECLOSED, "%s: a call ended as event %d, %v", how, r.A[0], abi.Errno(r.A[2]))
			caller(p.call).refuse(abi.ECLOSED, abi.SysCall, given(0), 0, 1)
		}
		own.refuse(abi.ECLOSED, abi.SysSend, here)
		closeAll(here)
		t.dropAll()
	}
	closeAll(n)
}
