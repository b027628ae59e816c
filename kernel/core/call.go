package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
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
