package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// This file holds the system calls by which messages are sent, received and answered,
// for all that the direct path does not take.

// sysCall sends a request and waits, when callDirect could not.
func (k *Kernel) sysCall(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if x[hart.A1]&abi.FlagNoWait == 0 && p.waiter != 0 {
		return abi.EBUSY
	}
	i, errno := k.request(t, false)
	if errno != abi.OK {
		return errno
	}
	c := &k.calls[i]
	c.cookie = x[hart.A2]
	c.deadline = int64(x[hart.A3])
	k.callDueAt(p, c.deadline)
	s := k.submit(i)
	if x[hart.A1]&abi.FlagNoWait != 0 {
		x[hart.A0] = 0
		if s != nil {
			k.yieldTo(t, s)
		}
		return abi.OK
	}
	t.waitDue = int64(x[hart.S10])
	switch {
	case !k.wait(t):
		if s != nil {
			k.makeReady(s)
		}
	case s != nil:
		k.switchTo(s)
	default:
		k.pick()
	}
	return abi.OK
}

// callDueAt notes that p has an outstanding call with a deadline, 0 for none.
func (k *Kernel) callDueAt(p *Process, deadline int64) {
	if deadline != 0 && (p.callDue == 0 || deadline < p.callDue) {
		p.callDue = deadline
		k.dueAt(dueCalls+p.id, deadline)
	}
}

// request checks the arguments of CALL and SEND and fills a record with the
// message. Nothing has changed if it fails.
func (k *Kernel) request(t *Thread, oneWay bool) (uint32, abi.Errno) {
	p, x := t.proc, &t.Frame.X
	length, reply := x[hart.A1]&abi.MetaLen, x[hart.A6]
	n, errno := k.need(p, x[hart.A0], abi.KindEndpoint, abi.RightSend)
	if errno != abi.OK {
		return 0, errno
	}
	e := &k.endpoints[n.obj]
	if e.gen != n.gen {
		return 0, abi.ECLOSED
	}
	if length > e.maxLen {
		return 0, abi.EMSGSIZE
	}
	if e.count >= e.depth {
		return 0, abi.EAGAIN
	}
	if !oneWay && (length > abi.MaxInline && !sv39.UserRange(x[hart.A5], length) || reply != 0 && !isBuffer(reply)) {
		return 0, abi.EFAULT
	}
	moved := uint32(0)
	if x[hart.A4] != 0 {
		if moved, errno = k.movable(p, x[hart.A4]); errno != abi.OK {
			return 0, errno
		}
	}
	var i uint32
	if oneWay {
		s := &k.procs[e.owner]
		if i = s.freeSends; i == 0 {
			return 0, abi.EAGAIN
		}
		if moved != 0 {
			if s.freeH == 0 {
				return 0, abi.EPEERNOSPACE
			}
			// Nobody could be told later that there is no room, and the sender may
			// have ended by then: the capability takes its place with the receiver now.
			k.moveCap(moved, s, x[hart.A1]&abi.FlagDropGrant != 0)
		}
		s.freeSends = k.calls[i].next
	} else {
		c := p.freeCalls
		if c == nil {
			return 0, abi.ENOSPC
		}
		p.freeCalls = c.free
		c.caller = t
		i = c.index()
	}
	k.callsHeld++
	c := &k.calls[i]
	if !oneWay {
		if c.lane = p.lane; p.lifted() {
			c.lane = laneOf(p.effective())
			p.lending(1)
		}
	}
	c.server, c.ep, c.badge = e.owner, n.obj, n.badge
	c.sid, c.pid = p.sid, p.pid
	c.length, c.ptr, c.reply = length, x[hart.A5], reply
	c.cap, c.narrow = moved, x[hart.A1]&abi.FlagDropGrant != 0
	if length <= abi.MaxInline {
		c.keepPayload(x)
	} else {
		t.Frame.ClearPayload()
	}
	return i, abi.OK
}

// isBuffer reports whether a message of any length fits at user address va. It is
// sv39.UserRange for that length, in one comparison.
func isBuffer(va uint64) bool {
	return va-abi.UserBase <= abi.UserEnd-abi.UserBase-abi.MaxMessage
}

// submit hands call i straight to a server that waits for it and returns the thread
// of that, which is neither ready nor running yet, or queues it.
func (k *Kernel) submit(i uint32) *Thread {
	c := &k.calls[i]
	e := &k.endpoints[c.ep]
	s := &k.procs[e.owner]
	// The queue of an armed endpoint is empty when its server waits.
	if e.armed != 0 && s.waiter != 0 {
		k.entrust(c, s)
		if errno := k.hand(&k.threads[s.waiter], e, i); errno != abi.OK {
			k.undonate(c, s)
			k.finish(i, errno)
			return nil
		}
		return k.takeWaiter(s)
	}
	if c.cap != 0 {
		k.hold(c.cap, i)
	}
	c.state = callQueued
	e.count++
	k.pushCall(&e.queue, i)
	k.donate(c, s)
	if e.armed != 0 {
		k.listEndpoint(s, c.ep)
	}
	return nil
}

// sysReply answers a request and waits, when replyDirect could not.
func (k *Kernel) sysReply(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	meta := x[hart.A1]
	accept, errno := k.acceptable(t)
	if errno != abi.OK {
		return errno
	}
	i, errno := k.takenCall(p, x[hart.A0])
	if errno != abi.OK {
		if errno == abi.ENOENT {
			k.dropped++
		}
		return errno
	}
	c := &k.calls[i]
	client := &k.procs[c.client]
	length := meta & abi.MetaLen
	if length > abi.MaxMessage || length > abi.MaxInline && c.reply == 0 {
		return abi.EMSGSIZE
	}
	moved := uint32(0)
	if x[hart.A4] != 0 {
		if moved, errno = k.movable(p, x[hart.A4]); errno != abi.OK {
			return errno
		}
		if client.freeH == 0 {
			return abi.EPEERNOSPACE
		}
	}
	if length > abi.MaxInline && !sv39.CopyAcross(&client.space, c.reply, &p.space, x[hart.A5], int(length)) {
		return k.badCopy(p, x[hart.A5], length)
	}
	c.length, c.status, c.moved = length, abi.OK, 0
	if moved != 0 {
		c.moved = k.moveCap(moved, client, meta&abi.FlagDropGrant != 0)
	}
	if length <= abi.MaxInline {
		c.keepPayload(x)
	} else {
		t.Frame.ClearPayload()
	}
	k.retake(c, p)
	k.arm(t, accept)
	next := k.answer(i)
	if meta&abi.FlagNoWait != 0 {
		x[hart.A0] = 0
		if next != nil {
			k.makeReady(next)
		}
		return abi.OK
	}
	t.waitDue = int64(x[hart.A3])
	switch {
	case !k.wait(t):
		if next != nil {
			k.makeReady(next)
		}
	case next != nil:
		k.resume(next)
	default:
		k.pick()
	}
	return abi.OK
}

// answer gives the result of call i to its client: at once if that waits, and
// then it returns the thread of the client, which is neither ready nor running yet.
func (k *Kernel) answer(i uint32) *Thread {
	c := &k.calls[i]
	client := &k.procs[c.client]
	switch {
	case client.waiter != 0:
		t := k.takeWaiter(client)
		k.deliverReply(t, i)
		return t
	case client.yielded != 0:
		t := &k.threads[client.yielded]
		client.yielded = 0
		k.deliverReply(t, i)
	default:
		c.state = callDone
		k.pushCall(&client.events, i)
		client.changed()
	}
	return nil
}

// acceptable checks whether t can wait, if WAIT and REPLY are to, and their accept
// argument: the endpoint that they arm, 0 for none.
//
//go:nosplit
func (k *Kernel) acceptable(t *Thread) (uint32, abi.Errno) {
	p, x := t.proc, &t.Frame.X
	if x[hart.A1]&abi.FlagNoWait == 0 && p.waiter != 0 {
		return 0, abi.EBUSY
	}
	if x[hart.A2] == 0 {
		return 0, abi.OK
	}
	n, errno := k.need(p, x[hart.A2], abi.KindEndpoint, abi.RightRecv)
	if errno != abi.OK {
		return 0, errno
	}
	if x[hart.A6] != 0 && !isBuffer(x[hart.A6]) {
		return 0, abi.EFAULT
	}
	return n.obj, abi.OK
}

// arm makes endpoint ep deliver its next request to the process of t, as t says.
func (k *Kernel) arm(t *Thread, ep uint32) {
	if ep == 0 {
		return
	}
	e := &k.endpoints[ep]
	e.armed, e.taker = e.gen, t
	e.cookie, e.buffer = t.Frame.X[hart.S10], t.Frame.X[hart.A6]
	if e.queue.head != 0 {
		k.listEndpoint(t.proc, ep)
	}
}

//go:nosplit
func (k *Kernel) sysWait(t *Thread) abi.Errno {
	x := &t.Frame.X
	accept, errno := k.acceptable(t)
	if errno != abi.OK {
		return errno
	}
	if accept != 0 {
		k.arm(t, accept)
	}
	if x[hart.A1]&abi.FlagNoWait != 0 {
		if !k.collect(t) {
			x[hart.A0] = abi.EventNone
		}
		return abi.OK
	}
	t.waitDue = int64(x[hart.A3])
	if k.wait(t) {
		k.pick()
	}
	return abi.OK
}

func (k *Kernel) sysSend(t *Thread) abi.Errno {
	x := &t.Frame.X
	if x[hart.A1]&^abi.FlagDropGrant > abi.MaxInline {
		return abi.EMSGSIZE
	}
	i, errno := k.request(t, true)
	if errno != abi.OK {
		return errno
	}
	x[hart.A0] = 0
	if s := k.submit(i); s != nil {
		k.makeReady(s)
	}
	return abi.OK
}

func (k *Kernel) sysCancel(t *Thread) abi.Errno {
	p := t.proc
	cookie := t.Frame.X[hart.A2]
	for i, end := callsOf(p); i < end; i++ {
		if c := &k.calls[i]; c.cookie == cookie && (c.state == callQueued || c.state == callTaken) {
			k.giveUp(i, abi.ECANCELED)
			t.Frame.X[hart.A0] = 0
			return abi.OK
		}
	}
	return abi.ENOENT
}
