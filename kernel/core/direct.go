package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// This file holds the two hand-offs that make up nearly all of the traffic: a
// call to a server that waits for it, and a reply to a client that waits for it,
// with messages in registers. They do what sysCall and sysReply do in that case
// and no more; whenever anything is unusual they change nothing and report false,
// and the general path decides. A test holds the two paths against each other.

// callDirect hands the request of t to its waiting server.
//
// Cost: see bench ipc_call_64 in docs/performance.md.
func (k *Kernel) callDirect(t *Thread) bool {
	p, x := t.proc, &t.Frame.X
	h, length := x[hart.A0], x[hart.A1]
	slot := uint32(h) - 1
	if length > abi.MaxInline || x[hart.A4] != 0 || slot >= capsPerProcess {
		return false
	}
	entry := p.handle[slot]
	if entry.gen != h>>32 {
		return false
	}
	n := &k.caps[entry.node]
	if n.kind != abi.KindEndpoint || n.rights&abi.RightSend == 0 {
		return false
	}
	e := &k.endpoints[n.obj]
	reply := x[hart.A6]
	if !e.armed || e.gen != n.gen || length > e.maxLen || p.waiter != 0 || p.hasEvent() {
		return false
	}
	s := &k.procs[e.owner]
	i := p.freeCalls
	if s.waiter == 0 || i == 0 || reply != 0 && !isBuffer(reply) {
		return false
	}
	c := &k.calls[i]
	p.freeCalls = c.next
	k.callsUsed++
	c.state, c.server, c.ep, c.cap = callTaken, s.id, n.obj, 0
	c.cookie, c.accept, c.reply = x[hart.A2], e.cookie, reply
	c.deadline = int64(x[hart.A3])
	e.armed = false
	s.numTaken++

	next := &k.threads[s.waiter]
	y := &next.Frame.X
	y[hart.A0], y[hart.A1], y[hart.A2], y[hart.A3] = abi.EventRequest, e.cookie, n.badge, p.sid
	y[hart.A4], y[hart.A5], y[hart.A6], y[hart.A7] = replyRight(c, i), length|p.pid<<32, 0, x[hart.A3]
	passPayload(y, x)
	k.switchOver(t, s, next)
	t.waitDue = int64(x[hart.S10])
	if t.waitDue|c.deadline != 0 {
		k.bothDue(t, c.deadline)
	}
	return true
}

// bothDue arms the deadlines of a thread that waits and of the call that it made.
func (k *Kernel) bothDue(t *Thread, call int64) {
	k.callDueAt(t.proc, call)
	if t.waitDue != 0 {
		k.dueAt(t.id, t.waitDue)
	}
}

// replyDirect hands the reply of t to its waiting client and arms the endpoint
// that its process serves.
//
// Cost: see bench ipc_call_64 in docs/performance.md.
func (k *Kernel) replyDirect(t *Thread) bool {
	p, x := t.proc, &t.Frame.X
	i, length, h := uint32(x[hart.A0]), x[hart.A1], x[hart.A2]
	slot := uint32(h) - 1
	if length > abi.MaxInline || x[hart.A4] != 0 || i > maxProcesses*callsPerProcess || slot >= capsPerProcess {
		return false
	}
	c := &k.calls[i]
	entry := p.handle[slot]
	if c.state != callTaken || c.server != p.id || replyRight(c, i) != x[hart.A0] || entry.gen != h>>32 {
		return false
	}
	n := &k.caps[entry.node]
	if n.kind != abi.KindEndpoint || n.rights&abi.RightRecv == 0 {
		return false
	}
	e := &k.endpoints[n.obj]
	buffer := x[hart.A6]
	client := &k.procs[c.client]
	if client.waiter == 0 || e.queue.head != 0 || p.waiter != 0 || p.hasEvent() ||
		buffer != 0 && !isBuffer(buffer) {
		return false
	}
	next := &k.threads[client.waiter]
	y := &next.Frame.X
	y[hart.A0], y[hart.A1], y[hart.A2], y[hart.A3] = abi.EventReply, c.cookie, 0, 0
	y[hart.A4], y[hart.A5], y[hart.A6], y[hart.A7] = 0, length, 0, 0
	passPayload(y, x)
	k.freeCall(i)
	p.numTaken--
	e.armed, e.cookie, e.buffer = true, x[hart.S10], buffer
	k.switchOver(t, client, next)
	if t.waitDue = int64(x[hart.A3]); t.waitDue != 0 {
		k.dueAt(t.id, t.waitDue)
	}
	return true
}

// passPayload copies the payload registers.
func passPayload(y, x *[32]uint64) {
	y[hart.S2], y[hart.S2+1], y[hart.S2+2], y[hart.S2+3] = x[hart.S2], x[hart.S2+1], x[hart.S2+2], x[hart.S2+3]
	y[hart.S2+4], y[hart.S2+5], y[hart.S2+6], y[hart.S2+7] = x[hart.S2+4], x[hart.S2+5], x[hart.S2+6], x[hart.S2+7]
}

// switchOver makes t wait and runs next, the waiter of q, which has been given its
// event. The time slice goes along.
func (k *Kernel) switchOver(t *Thread, q *Process, next *Thread) {
	h := k.h
	if k.numHarts > 1 {
		k.cross(next)
	}
	q.waiter = 0
	t.state, t.proc.waiter = threadWaiting, t.id
	next.state, next.waitDue = threadRunning, 0
	h.cur, h.running = next.id, next
	k.switches++
}
