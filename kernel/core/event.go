package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// This file holds how threads wait for the events of their process, and how events
// reach them: ended calls, cancellations, notifications and requests.

// wait makes t, which is running, wait for the next event of its process, for which
// no other thread waits, and returns true: somebody else must have the hart now. If the
// event is there already it returns false. A deadline that has passed already is found
// by the timer.
//
//go:nosplit
func (k *Kernel) wait(t *Thread) bool {
	if t.proc.pending != 0 && k.collect(t) {
		t.waitDue = 0
		return false
	}
	t.state, t.proc.waiter = threadWaiting, t.id
	k.block(t)
	return true
}

// block is called when t, which was running, has a state in which it waits until its
// deadline. Somebody else must have the hart now.
func (k *Kernel) block(t *Thread) {
	if t.waitDue != 0 || t.proc.lifted() {
		k.blocked(t)
	}
}

// blocked is the part of block that is seldom needed.
func (k *Kernel) blocked(t *Thread) {
	if t.waitDue != 0 {
		k.dueAt(t.id, t.waitDue)
	}
	if t.proc.lifted() {
		// Perhaps it waits for another thread of its, or for somebody whom it called before.
		k.raise(t.proc)
	}
}

// changed is called after a change of the events of p.
func (p *Process) changed() {
	p.pending = p.events.head | p.numNotes | p.notifReady | p.epReady | p.lends
}

// collect gives t the next event of its process, if there is one.
func (k *Kernel) collect(t *Thread) bool {
	if t.proc.pending == 0 {
		return false
	}
	got := k.collectNext(t)
	t.proc.changed()
	return got
}

func (k *Kernel) collectNext(t *Thread) bool {
	p := t.proc
	if i := p.events.head; i != 0 {
		k.removeCall(&p.events, i)
		k.deliverReply(t, i)
		return true
	}
	if p.numNotes != 0 {
		n := p.notes[p.firstNote]
		p.firstNote = (p.firstNote + 1) % notesPerServer
		p.numNotes--
		deliverNote(t, n)
		return true
	}
	if p.notifReady != 0 && (p.epReady == 0 || !p.preferEPs) {
		p.preferEPs = true
		k.deliverBits(t)
		return true
	}
	for p.epReady != 0 {
		ep := p.epReady
		if k.deliverRequest(t, &k.endpoints[ep]) {
			p.preferEPs = false
			return true
		}
		k.unlistEndpoint(p, ep)
	}
	if p.notifReady != 0 {
		k.deliverBits(t)
		return true
	}
	// Requests that could not be delivered may have been p's own calls.
	if i := p.events.head; i != 0 {
		k.removeCall(&p.events, i)
		k.deliverReply(t, i)
		return true
	}
	return false
}

// listEndpoint puts an armed endpoint with requests into the owner's ready list,
// behind those that are there already, so that none of them starves.
func (k *Kernel) listEndpoint(s *Process, ep uint32) {
	e := &k.endpoints[ep]
	if e.onList {
		return
	}
	at := &s.epReady
	for *at != 0 {
		at = &k.endpoints[*at].ready
	}
	*at = ep
	e.onList, e.ready = true, 0
	s.changed()
}

func (k *Kernel) unlistEndpoint(s *Process, ep uint32) {
	e := &k.endpoints[ep]
	if !e.onList {
		return
	}
	e.onList = false
	at := &s.epReady
	for *at != ep {
		at = &k.endpoints[*at].ready
	}
	*at = e.ready
	s.changed()
}

// deliverRequest hands the first deliverable request of an armed endpoint to thread
// t of its server. Requests that cannot be delivered end for their clients. It reports
// whether there was one.
func (k *Kernel) deliverRequest(t *Thread, e *endpoint) bool {
	for e.queue.head != 0 {
		i := e.queue.head
		k.removeCall(&e.queue, i)
		e.count--
		if errno := k.hand(t, e, i); errno != abi.OK {
			k.undonate(&k.calls[i], t.proc)
			k.finish(i, errno)
			continue
		}
		return true
	}
	return false
}

// hand gives request i, which is in no queue, to thread t of its server, whose
// registers it writes. If it cannot, nothing has changed.
func (k *Kernel) hand(t *Thread, e *endpoint, i uint32) abi.Errno {
	c, s := &k.calls[i], t.proc
	if errno := k.transfer(s, e, c); errno != abi.OK {
		return errno
	}
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3] = abi.EventRequest, e.cookie, c.badge, c.sid
	x[hart.A5] = c.length | c.pid<<32
	x[hart.A6] = 0
	if c.cap != 0 {
		if c.oneWay { // it is in the table of s already
			k.let(c.cap)
			x[hart.A6] = k.handleFor(c.cap)
		} else {
			x[hart.A6] = k.moveCap(c.cap, s, c.narrow)
		}
		c.cap = 0
	}
	if c.length <= abi.MaxInline {
		c.givePayload(x)
	} else {
		t.Frame.ClearPayload()
	}
	e.armed = 0
	if e.onList {
		k.unlistEndpoint(s, c.ep)
	}
	if c.oneWay {
		x[hart.A4], x[hart.A7] = 0, 0
		k.freeCall(i)
		return abi.OK
	}
	c.take(e.cookie)
	x[hart.A4], x[hart.A7] = c.right, uint64(c.deadline)
	return abi.OK
}

// transfer copies a request that is not inline into the receive buffer and
// checks that its capability fits.
func (k *Kernel) transfer(s *Process, e *endpoint, c *call) abi.Errno {
	if c.cap != 0 && s.freeH == 0 && !c.oneWay {
		return abi.EPEERNOSPACE
	}
	if c.length <= abi.MaxInline {
		return abi.OK
	}
	if e.buffer == 0 {
		return abi.EMSGSIZE
	}
	client := &k.procs[c.client]
	if !sv39.CopyAcross(&s.space, e.buffer, &client.space, c.ptr, int(c.length)) {
		return k.badCopy(client, c.ptr, c.length)
	}
	return abi.OK
}

// badCopy tells whose fault it is that a message could not be copied: the
// sender's memory is not there, or the receiver's buffer is none.
func (k *Kernel) badCopy(sender *Process, ptr, length uint64) abi.Errno {
	if !sender.space.CopyIn(k.scratch[:length], ptr) {
		return abi.EFAULT
	}
	return abi.EMSGSIZE
}

func deliverNote(t *Thread, n note) {
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A4] = abi.EventCancel, n.accept, n.right
	x[hart.A2], x[hart.A3], x[hart.A5], x[hart.A6], x[hart.A7] = 0, 0, 0, 0, 0
}

// deliverReply writes the result of call i into the registers of a thread of its
// client.
func (k *Kernel) deliverReply(t *Thread, i uint32) {
	c := &k.calls[i]
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A2] = abi.EventReply, c.cookie, uint64(c.status)
	x[hart.A3], x[hart.A4], x[hart.A7] = 0, 0, 0
	x[hart.A5], x[hart.A6] = c.length, c.moved
	switch {
	case c.status != abi.OK:
	case c.length <= abi.MaxInline:
		c.givePayload(x)
	default:
		t.Frame.ClearPayload()
	}
	k.freeCall(i)
}
