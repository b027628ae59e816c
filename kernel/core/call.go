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
	callDone   // ended; in the events of its client
)

// call is one request on its way: the message until the server takes it, the
// one-shot reply right while the server works, the result until the client
// collects it. A client has records of its own for the calls that it makes; a
// one-way message, which has no client to answer, uses one of its server's.
type call struct {
	// right is the reply right of the call while its server has it. At other times the
	// bit void of its index is wrong, so that no number that selects this record is it.
	right    uint64
	lane     uint64 // in which it counts for its server, see qos.go; 0 for a one-way message
	cookie   uint64 // the client's
	accept   uint64 // the server's
	deadline int64
	reply    uint64  // reply buffer in the client's memory, 0: inline replies only
	caller   *Thread // of the client
	free     *call   // free list of the client's records
	server   uint32
	client   uint32 // whose record it is, 0 for a record of one-way messages
	state    uint8
	oneWay   bool
	narrow   bool // the request moves its capability without RightGrant
	ep       uint32
	cap      uint32 // capability that the request moves
	next     uint32 // callList, or free list of one-way records
	prev     uint32

	// The message, while the call is queued or done. A call that is handed over
	// directly never fills these in.
	sid     uint64
	pid     uint64
	badge   uint64
	length  uint64
	ptr     uint64 // where the message is in the client's memory if it is not inline
	status  abi.Errno
	moved   uint64 // handle of the capability that the reply moved
	payload [8]uint64
}

// keepPayload copies the payload registers of x, givePayload sets them.

func (c *call) keepPayload(x *[32]uint64) {
	c.payload[0], c.payload[1], c.payload[2], c.payload[3] = x[hart.S2], x[hart.S2+1], x[hart.S2+2], x[hart.S2+3]
	c.payload[4], c.payload[5], c.payload[6], c.payload[7] = x[hart.S2+4], x[hart.S2+5], x[hart.S2+6], x[hart.S2+7]
}

func (c *call) givePayload(x *[32]uint64) {
	x[hart.S2], x[hart.S2+1], x[hart.S2+2], x[hart.S2+3] = c.payload[0], c.payload[1], c.payload[2], c.payload[3]
	x[hart.S2+4], x[hart.S2+5], x[hart.S2+6], x[hart.S2+7] = c.payload[4], c.payload[5], c.payload[6], c.payload[7]
}

// note tells a server that the caller of a request that it has taken gave up.
type note struct{ accept, right uint64 }

// A reply right is abi.ReplyBit, the generation of the record and its index. There are
// more generations than a process can make calls in a hundred years; the last one would
// be followed by numbers without the bit, which no REPLY accepts.
const (
	rightGen   = 51 // bits above the index
	rightIndex = 1<<(64-rightGen) - 1
	nextRight  = rightIndex + 1
	void       = 1
)

// The records of client calls come first in the table, callsPerProcess for each index
// of a process; those of one-way messages are behind them.
const firstSend = (maxProcesses + 1) * callsPerProcess

const _ = uint(rightIndex - firstSend) // does not compile if a right cannot name all of them

// initCalls shares the records out to the processes.
func (k *Kernel) initCalls() {
	k.byRight = (*[rightIndex + 1]call)(k.calls[:])
	for p := uint32(1); p <= maxProcesses; p++ {
		q := &k.procs[p]
		for i, end := callsOf(q); i < end; i++ {
			c := &k.calls[i]
			*c = call{right: (uint64(abi.ReplyBit) + nextRight | uint64(i)) ^ void, client: p, free: q.freeCalls}
			q.freeCalls = c
		}
		for i := firstSend + (p-1)*queuePerServer; i < firstSend+p*queuePerServer; i++ {
			k.calls[i] = call{server: p, oneWay: true, next: q.freeSends}
			q.freeSends = i
		}
	}
}

// callsOf returns the range of records of the calls that p makes.
func callsOf(p *Process) (first, end uint32) {
	first = p.id * callsPerProcess
	return first, first + callsPerProcess
}

// index returns the index of the record of a client's call.
func (c *call) index() uint32 { return uint32(c.right^void) & rightIndex }

// freeCall returns a record to its process. Its reply right is void from now on.
func (k *Kernel) freeCall(i uint32) {
	c := &k.calls[i]
	c.state = callFree
	if c.oneWay {
		s := &k.procs[c.server]
		c.next, s.freeSends = s.freeSends, i
	} else {
		p := &k.procs[c.client]
		c.right += nextRight
		c.free, p.freeCalls = p.freeCalls, c
	}
	k.callsHeld--
}

// take gives call c, which no queue holds any more, to its server as the event whose
// accept has a cookie.
func (c *call) take(accept uint64) {
	c.right ^= void
	c.state, c.accept = callTaken, accept
}

// retake takes call c away from its server s, which has taken it.
func (k *Kernel) retake(c *call, s *Process) {
	c.right ^= void
	k.undonate(c, s)
}

// callsUsed returns how many records are not free.
func (k *Kernel) callsUsed() uint64 {
	n := k.callsHeld
	for i := range k.procs {
		n += k.procs[i].works()
	}
	return n
}

// takenCall returns the call that a reply right of p names. ENOENT says that the
// caller is gone or gave up.
func (k *Kernel) takenCall(p *Process, right uint64) (uint32, abi.Errno) {
	i := uint32(right & rightIndex)
	if right>>62 != uint64(abi.ReplyBit)>>62 || i < callsPerProcess || i >= firstSend {
		return 0, abi.EBADF
	}
	switch c := &k.calls[i]; {
	case (c.right^right)&^void != 0:
		return 0, abi.ENOENT
	case c.server != p.id:
		return 0, abi.EBADF
	case c.right != right:
		return 0, abi.ENOENT
	}
	return i, abi.OK
}

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

// giveUp ends call i for its client with errno while it is queued or taken.
func (k *Kernel) giveUp(i uint32, errno abi.Errno) {
	k.withdraw(i)
	k.finish(i, errno)
}

// withdraw takes call i, which is queued or taken, from its server, whom it
// tells if it had taken it.
func (k *Kernel) withdraw(i uint32) {
	c := &k.calls[i]
	s := &k.procs[c.server]
	if c.state == callTaken {
		right := c.right
		k.retake(c, s)
		k.tell(s, note{c.accept, right})
		return
	}
	k.undonate(c, s)
	e := &k.endpoints[c.ep]
	k.removeCall(&e.queue, i)
	e.count--
	if e.queue.head == 0 {
		k.unlistEndpoint(s, c.ep)
	}
}

// tell gives server s a cancellation. One that does not fit is dropped: the
// server learns of it when it replies.
func (k *Kernel) tell(s *Process, n note) {
	if t := k.takeWaiter(s); t != nil {
		deliverNote(t, n)
		k.makeReady(t)
		return
	}
	if s.numNotes < notesPerServer {
		s.notes[(s.firstNote+s.numNotes)%notesPerServer] = n
		s.numNotes++
		s.changed()
	}
}

func deliverNote(t *Thread, n note) {
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A4] = abi.EventCancel, n.accept, n.right
	x[hart.A2], x[hart.A3], x[hart.A5], x[hart.A6], x[hart.A7] = 0, 0, 0, 0, 0
}

// finish ends call i, which its server does not have any more, with an error.
func (k *Kernel) finish(i uint32, errno abi.Errno) {
	c := &k.calls[i]
	if c.oneWay {
		if c.cap != 0 {
			k.closeNode(c.cap) // it is the receiver's already
		}
		k.freeCall(i)
		return
	}
	if c.cap != 0 {
		k.let(c.cap)
		c.cap = 0
	}
	c.status, c.length, c.moved = errno, 0, 0
	if client := k.answer(i); client != nil {
		k.makeReady(client)
	}
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

// dropCalls ends every call that p, which is ending, has made.
func (k *Kernel) dropCalls(p *Process) {
	for i, end := callsOf(p); i < end; i++ {
		c := &k.calls[i]
		switch c.state {
		case callFree:
			continue
		case callDone:
			k.removeCall(&p.events, i)
			p.changed()
		default:
			k.withdraw(i)
		}
		if c.cap != 0 {
			k.let(c.cap)
			c.cap = 0
		}
		k.freeCall(i)
	}
}

// dropTaken ends the requests that p, which is ending, was serving.
func (k *Kernel) dropTaken(p *Process) {
	for i := uint32(1); p.donors != 0; i++ {
		if c := &k.calls[i]; c.state == callTaken && c.server == p.id {
			k.retake(c, p)
			k.finish(i, abi.ECLOSED)
		}
	}
}
