package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// States of a call.
const (
	callFree   = iota
	callQueued // in the queue of its endpoint
	callTaken  // in the hands of its server
	callDone   // ended; the client has not collected the event
	callNote   // given up; the server has not collected the cancellation
)

// call is one request on its way: the message until the server takes it, the
// one-shot reply right while the server works, and the result until the client
// collects it. A one-way message is a call without a client to answer.
type call struct {
	state     uint8
	oneWay    bool
	told      bool // the server has taken the request, so it must hear of a cancellation
	gen       uint32
	client    uint32 // 0: one-way, or the client is gone
	server    uint32
	serverPID uint64 // tells server from a later process in the same table entry
	ep        uint32
	cap       uint32 // capability that the request moves
	next      uint32 // callList or free list
	prev      uint32

	sibling uint32 // outstanding calls of the client
	sibPrev uint32

	sid      uint64
	pid      uint64
	badge    uint64
	cookie   uint64 // the client's
	accept   uint64 // the server's
	deadline int64

	length  uint64
	ptr     uint64 // message in the client's memory if it is not inline
	reply   uint64 // reply buffer in the client's memory, 0: inline replies only
	status  abi.Errno
	moved   uint64 // handle of the capability that the reply moved
	payload [8]uint64
}

// endpoint is where requests arrive.
type endpoint struct {
	owner  uint32 // serving process, 0 once closed
	refs   uint32
	next   uint32 // endpoints of the owner, or free list
	prev   uint32
	ready  uint32 // next in the owner's list of armed endpoints with requests
	onList bool

	depth  uint32
	count  uint32
	maxLen uint64
	queue  callList

	armed  bool
	cookie uint64 // of the accept
	buffer uint64 // receive buffer of the accept
}

// newCall takes a free call record. The pool cannot be empty: quotas bound its use.
func (k *Kernel) newCall() uint32 {
	i := k.freeCalls
	k.freeCalls = k.calls[i].next
	k.callsUsed++
	return i
}

func (k *Kernel) freeCall(i uint32) {
	c := &k.calls[i]
	c.state = callFree
	c.gen = (c.gen + 1) & maxGen
	if c.gen == 0 {
		c.gen = 1
	}
	c.next, c.prev = k.freeCalls, 0
	k.freeCalls = i
	k.callsUsed--
}

// replyRight returns the handle by which a server answers call i.
func (k *Kernel) replyRight(i uint32) uint64 {
	return uint64(abi.ReplyBit) | uint64(k.calls[i].gen)<<32 | uint64(i)
}

// takenCall returns the call that a reply right of p names, 0 if there is none.
func (k *Kernel) takenCall(p *Process, h uint64) uint32 {
	i := uint32(h)
	if i == 0 || i > maxCalls || h&uint64(abi.ReplyBit) == 0 {
		return 0
	}
	c := &k.calls[i]
	if uint64(c.gen) != h>>32&maxGen || c.server != p.id || (c.state != callTaken && c.state != callNote && c.state != callDone) {
		return 0
	}
	return i
}

// sysCall sends a request and waits. It is the hot path of the system.
//
// Cost: see bench ipc_call_64 in docs/performance.md.
func (k *Kernel) sysCall(p *Process) abi.Errno {
	x := &p.Frame.X
	meta := x[hart.A1]
	i, errno := k.request(p, meta&abi.MetaLen, x[hart.A6])
	if errno != abi.OK {
		return errno
	}
	c := &k.calls[i]
	c.oneWay = false
	c.client = p.id
	c.cookie = x[hart.A2]
	c.deadline = int64(x[hart.A3])
	if c.deadline != 0 && (p.callDue == 0 || c.deadline < p.callDue) {
		p.callDue = c.deadline
		k.deadline.arm(p.id, c.deadline)
	}
	k.pushOutstanding(p, i)

	noWait := meta&abi.FlagNoWait != 0
	p.waitDue = int64(x[hart.S10])
	s := k.submit(i, p)
	if noWait {
		x[hart.A0] = 0
		return abi.OK
	}
	k.wait(p, s)
	return abi.OK
}

// request checks the arguments of CALL and SEND and fills a call record with the
// message. Nothing has changed if it fails.
func (k *Kernel) request(p *Process, length, reply uint64) (uint32, abi.Errno) {
	x := &p.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindEndpoint, abi.RightSend)
	if errno != abi.OK {
		return 0, errno
	}
	e := &k.endpoints[n.obj]
	switch {
	case e.owner == 0:
		return 0, abi.ECLOSED
	case length > e.maxLen:
		return 0, abi.EMSGSIZE
	case e.count >= e.depth:
		return 0, abi.EAGAIN
	case p.numCalls >= callsPerProcess:
		return 0, abi.ENOSPC
	}
	if length > abi.MaxInline && !sv39.UserRange(x[hart.A5], length) || reply != 0 && !sv39.UserRange(reply, abi.MaxMessage) {
		return 0, abi.EFAULT
	}
	moved := uint32(0)
	if x[hart.A4] != 0 {
		if moved, errno = k.movable(p, x[hart.A4]); errno != abi.OK {
			return 0, errno
		}
	}
	i := k.newCall()
	c := &k.calls[i]
	c.told = false
	c.server, c.ep, c.badge = e.owner, n.obj, n.badge
	c.sid, c.pid = p.sid, p.pid
	c.length, c.ptr, c.reply = length, x[hart.A5], reply
	c.cap = moved
	if moved != 0 {
		k.hold(moved, i)
	}
	c.payload = [8]uint64(x[hart.S2 : hart.S2+8])
	return i, abi.OK
}

// submit queues call i, or hands it straight to a server that waits for it; then
// it returns that server, which is neither ready nor running yet. p is the sender.
func (k *Kernel) submit(i uint32, p *Process) *Process {
	c := &k.calls[i]
	e := &k.endpoints[c.ep]
	s := &k.procs[e.owner]
	c.state = callQueued
	e.count++
	k.pushCall(&e.queue, i)
	if !e.armed {
		return nil
	}
	if s.thread == threadWaiting && e.queue.head == i {
		if k.deliverRequest(s, e) {
			s.thread = threadHanded
			return s
		}
		return nil
	}
	k.listEndpoint(s, c.ep)
	return nil
}

// wait makes p, which is running, wait for its next event and gives the hart to
// next, or to whichever thread is ready if next is nil.
func (k *Kernel) wait(p *Process, next *Process) {
	if k.collect(p) {
		if next != nil {
			k.makeReady(next)
		}
		return
	}
	if p.waitDue != 0 {
		if p.waitDue <= k.now() {
			p.waitDue = 0
			p.Frame.X[hart.A0] = abi.EventNone
			if next != nil {
				k.makeReady(next)
			}
			return
		}
		k.deadline.arm(p.id, p.waitDue)
	}
	p.thread = threadWaiting
	if next != nil {
		k.switchTo(next)
		return
	}
	k.pick()
}

// collect gives p its next event, if there is one.
func (k *Kernel) collect(p *Process) bool {
	for p.events.head != 0 {
		i := p.events.head
		k.removeCall(&p.events, i)
		if k.calls[i].state == callNote {
			k.deliverNote(p, i)
		} else {
			k.deliverReply(p, i)
		}
		return true
	}
	if p.notifReady != 0 && (p.epReady == 0 || !p.preferEPs) {
		p.preferEPs = true
		k.deliverBits(p)
		return true
	}
	for p.epReady != 0 {
		ep := p.epReady
		e := &k.endpoints[ep]
		if k.deliverRequest(p, e) {
			p.preferEPs = false
			return true
		}
		k.unlistEndpoint(p, ep)
	}
	if p.notifReady != 0 {
		k.deliverBits(p)
		return true
	}
	return false
}

// listEndpoint puts an armed endpoint with requests into the owner's ready list.
func (k *Kernel) listEndpoint(s *Process, ep uint32) {
	e := &k.endpoints[ep]
	if e.onList {
		return
	}
	e.onList = true
	e.ready = s.epReady
	s.epReady = ep
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
}

// deliverRequest hands the first deliverable request of an armed endpoint to its
// server s, whose registers it writes. Requests that cannot be delivered end for
// their clients. It reports whether there was one.
func (k *Kernel) deliverRequest(s *Process, e *endpoint) bool {
	for e.queue.head != 0 {
		i := e.queue.head
		c := &k.calls[i]
		k.removeCall(&e.queue, i)
		e.count--
		if errno := k.transfer(s, e, i); errno != abi.OK {
			k.finish(i, errno)
			continue
		}
		x := &s.Frame.X
		x[hart.A0] = abi.EventRequest
		x[hart.A1] = e.cookie
		x[hart.A2] = c.badge
		x[hart.A3] = c.sid
		x[hart.A5] = c.length | c.pid<<32
		x[hart.A6] = 0
		if c.cap != 0 {
			k.let(c.cap)
			k.moveCap(c.cap, s)
			x[hart.A6] = k.handleFor(c.cap)
			c.cap = 0
		}
		x[hart.A7] = uint64(c.deadline)
		*(*[8]uint64)(x[hart.S2:]) = c.payload
		e.armed = false
		if e.onList {
			k.unlistEndpoint(s, c.ep)
		}
		s.waitDue = 0
		if c.oneWay {
			x[hart.A4], x[hart.A7] = 0, 0
			k.endOneWay(i)
			return true
		}
		x[hart.A4] = k.replyRight(i)
		c.state = callTaken
		c.told = true
		c.serverPID = s.pid
		c.accept = e.cookie
		k.pushCall(&s.taken, i)
		return true
	}
	return false
}

// transfer copies a request that is not inline into the receive buffer and
// checks that its capability fits.
func (k *Kernel) transfer(s *Process, e *endpoint, i uint32) abi.Errno {
	c := &k.calls[i]
	if c.cap != 0 && s.freeH == 0 {
		return abi.EPEERNOSPACE
	}
	if c.length <= abi.MaxInline {
		return abi.OK
	}
	if e.buffer == 0 {
		return abi.EMSGSIZE
	}
	if !sv39.CopyAcross(&s.space, e.buffer, &k.procs[c.client].space, c.ptr, int(c.length)) {
		return abi.EFAULT
	}
	return abi.OK
}

// sysReply answers a request and waits.
func (k *Kernel) sysReply(p *Process) abi.Errno {
	x := &p.Frame.X
	meta := x[hart.A1]
	i := k.takenCall(p, x[hart.A0])
	if i == 0 {
		return abi.EBADF
	}
	c := &k.calls[i]
	accept, errno := k.acceptable(p)
	if errno != abi.OK {
		return errno
	}
	if c.state != callTaken {
		k.dropped++
		return abi.ENOENT
	}
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
		return abi.EFAULT
	}
	c.length, c.status, c.moved = length, abi.OK, 0
	if moved != 0 {
		k.moveCap(moved, client)
		c.moved = k.handleFor(moved)
	}
	c.payload = [8]uint64(x[hart.S2 : hart.S2+8])
	k.removeCall(&p.taken, i)
	c.server = 0
	k.arm(p, accept)

	var next *Process
	if client.thread == threadWaiting {
		client.thread, client.waitDue = threadHanded, 0
		k.deliverReply(client, i)
		next = client
	} else {
		c.state = callDone
		k.pushCall(&client.events, i)
	}
	p.waitDue = int64(x[hart.A3])
	if meta&abi.FlagNoWait != 0 {
		x[hart.A0] = 0
		if next != nil {
			k.makeReady(next)
		}
		return abi.OK
	}
	k.wait(p, next)
	return abi.OK
}

// acceptable checks the accept argument of WAIT and REPLY: the endpoint that
// they arm, 0 for none.
func (k *Kernel) acceptable(p *Process) (uint32, abi.Errno) {
	x := &p.Frame.X
	if x[hart.A2] == 0 {
		return 0, abi.OK
	}
	n, errno := k.need(p, x[hart.A2], abi.KindEndpoint, abi.RightRecv)
	if errno != abi.OK {
		return 0, errno
	}
	if x[hart.A6] != 0 && !sv39.UserRange(x[hart.A6], abi.MaxMessage) {
		return 0, abi.EFAULT
	}
	return n.obj, abi.OK
}

// arm makes endpoint ep deliver its next request to p.
func (k *Kernel) arm(p *Process, ep uint32) {
	if ep == 0 {
		return
	}
	e := &k.endpoints[ep]
	e.armed, e.cookie, e.buffer = true, p.Frame.X[hart.S10], p.Frame.X[hart.A6]
	if e.queue.head != 0 {
		k.listEndpoint(p, ep)
	}
}

func (k *Kernel) sysWait(p *Process) abi.Errno {
	x := &p.Frame.X
	accept, errno := k.acceptable(p)
	if errno != abi.OK {
		return errno
	}
	k.arm(p, accept)
	if x[hart.A1]&abi.FlagNoWait != 0 {
		if !k.collect(p) {
			x[hart.A0] = abi.EventNone
		}
		return abi.OK
	}
	p.waitDue = int64(x[hart.A3])
	k.wait(p, nil)
	return abi.OK
}

func (k *Kernel) sysSend(p *Process) abi.Errno {
	x := &p.Frame.X
	length := x[hart.A1]
	if length > abi.MaxInline {
		return abi.EMSGSIZE
	}
	n, errno := k.need(p, x[hart.A0], abi.KindEndpoint, abi.RightSend)
	if errno != abi.OK {
		return errno
	}
	if s := k.endpoints[n.obj].owner; s != 0 && k.procs[s].queued >= queuePerServer {
		return abi.EAGAIN
	}
	i, errno := k.request(p, length, 0)
	if errno != abi.OK {
		return errno
	}
	c := &k.calls[i]
	c.oneWay = true
	c.client, c.deadline = 0, 0
	k.procs[c.server].queued++
	if s := k.submit(i, p); s != nil {
		k.makeReady(s)
	}
	x[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysCancel(p *Process) abi.Errno {
	cookie := p.Frame.X[hart.A2]
	for i := p.outstanding; i != 0; i = k.calls[i].sibling {
		if c := &k.calls[i]; c.cookie == cookie && c.state != callDone {
			k.giveUp(i, abi.ECANCELED)
			p.Frame.X[hart.A0] = 0
			return abi.OK
		}
	}
	return abi.ENOENT
}

// endOneWay frees a one-way message that has left its queue.
func (k *Kernel) endOneWay(i uint32) {
	c := &k.calls[i]
	if c.cap != 0 {
		k.let(c.cap)
		c.cap = 0
	}
	k.procs[c.server].queued--
	k.freeCall(i)
}

// giveUp ends call i for its client with errno while it is queued or taken.
func (k *Kernel) giveUp(i uint32, errno abi.Errno) {
	c := &k.calls[i]
	if c.state == callQueued {
		e := &k.endpoints[c.ep]
		k.removeCall(&e.queue, i)
		e.count--
		if e.queue.head == 0 {
			k.unlistEndpoint(&k.procs[e.owner], c.ep)
		}
	} else {
		k.removeCall(&k.procs[c.server].taken, i)
	}
	k.finish(i, errno)
}

// finish ends call i, which is on no list but its client's, with an error.
func (k *Kernel) finish(i uint32, errno abi.Errno) {
	c := &k.calls[i]
	if c.oneWay {
		k.endOneWay(i)
		return
	}
	if c.cap != 0 {
		k.let(c.cap)
		c.cap = 0
	}
	c.status, c.length, c.moved = errno, 0, 0
	client := &k.procs[c.client]
	if client.thread == threadWaiting {
		client.thread, client.waitDue = threadHanded, 0
		k.deliverReply(client, i)
		k.makeReady(client)
		return
	}
	c.state = callDone
	k.pushCall(&client.events, i)
}

// deliverReply writes the result of call i into the registers of its client p
// and frees the record, unless its server must still hear of a cancellation.
func (k *Kernel) deliverReply(p *Process, i uint32) {
	c := &k.calls[i]
	x := &p.Frame.X
	x[hart.A0] = abi.EventReply
	x[hart.A1] = c.cookie
	x[hart.A2] = uint64(c.status)
	x[hart.A3], x[hart.A4], x[hart.A7] = 0, 0, 0
	x[hart.A5] = c.length
	x[hart.A6] = c.moved
	if c.status == abi.OK {
		*(*[8]uint64)(x[hart.S2:]) = c.payload
	}
	k.removeOutstanding(p, i)
	k.retire(i)
}

// retire frees the record of an ended call, after its server has been told if it
// had taken the request and does not know yet.
func (k *Kernel) retire(i uint32) {
	c := &k.calls[i]
	c.client = 0
	if c.server == 0 || !c.told {
		k.freeCall(i)
		return
	}
	s := &k.procs[c.server]
	if s.state != procLive || s.pid != c.serverPID {
		k.freeCall(i)
		return
	}
	if s.thread == threadWaiting {
		s.thread, s.waitDue = threadHanded, 0
		k.deliverNote(s, i)
		k.makeReady(s)
		return
	}
	if s.notes >= notesPerServer {
		k.freeCall(i)
		return
	}
	c.state = callNote
	s.notes++
	k.pushCall(&s.events, i)
}

// deliverNote tells server p that the caller of a request gave up.
func (k *Kernel) deliverNote(p *Process, i uint32) {
	c := &k.calls[i]
	if c.state == callNote {
		p.notes--
	}
	x := &p.Frame.X
	x[hart.A0] = abi.EventCancel
	x[hart.A1] = c.accept
	x[hart.A2], x[hart.A3], x[hart.A5], x[hart.A6], x[hart.A7] = 0, 0, 0, 0, 0
	x[hart.A4] = k.replyRight(i)
	k.freeCall(i)
}

// dropOutstanding ends every call that p, which is ending, has made.
func (k *Kernel) dropOutstanding(p *Process) {
	for p.outstanding != 0 {
		i := p.outstanding
		c := &k.calls[i]
		switch c.state {
		case callQueued:
			e := &k.endpoints[c.ep]
			k.removeCall(&e.queue, i)
			e.count--
			if e.queue.head == 0 {
				k.unlistEndpoint(&k.procs[e.owner], c.ep)
			}
		case callTaken:
			k.removeCall(&k.procs[c.server].taken, i)
		case callDone:
			k.removeCall(&p.events, i)
		}
		if c.cap != 0 {
			k.let(c.cap)
			c.cap = 0
		}
		k.removeOutstanding(p, i)
		k.retire(i)
	}
}

// dropTaken ends the requests that p, which is ending, was serving.
func (k *Kernel) dropTaken(p *Process) {
	for p.taken.head != 0 {
		i := p.taken.head
		k.removeCall(&p.taken, i)
		k.calls[i].server = 0
		k.finish(i, abi.ECLOSED)
	}
}

// dropEvents frees the cancellations that p, which is ending, did not collect.
func (k *Kernel) dropEvents(p *Process) {
	for p.events.head != 0 {
		i := p.events.head
		k.removeCall(&p.events, i)
		k.freeCall(i)
	}
	p.notes = 0
}
