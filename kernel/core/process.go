package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// States of a process.
const (
	procFree   = iota
	procLive   // has memory, capabilities and a thread
	procZombie // has ended; only its status remains, for whoever holds a capability
)

// States of a thread.
const (
	threadReady   = iota // in the ready queue
	threadRunning        // current
	threadWaiting        // in a wait of its own choice
	threadHanded         // was waiting, has been given its event, will run or be ready
	threadKilling        // waits until the process that it killed on another hart has ended
	threadGone           // its process has ended
)

// Process is an address space with one thread, a table of capabilities and an
// event queue. What a call and its reply touch comes first, where an instruction
// reaches it by its offset.
type Process struct {
	Frame hart.Frame // first, so that the trap path's pointer is also the process's

	id     uint32
	state  uint8
	thread uint8
	// yielded is set while the thread is ready after a CALL without waiting that
	// ran the server at once: what the call returns can still be an event.
	yielded bool
	lent    bool // a server runs in the slice of the thread, or has
	pid     uint64
	sid     uint64

	// Events, in four kinds: ended calls, cancellations, notifications with bits,
	// armed endpoints with requests.
	events     callList
	numNotes   uint32
	notifReady uint32
	epReady    uint32
	preferEPs  bool // the next event comes from an endpoint if there is one

	waitDue   int64  // deadline of the wait, 0 for none
	callDue   int64  // no outstanding call is due earlier; 0 for none
	freeCalls uint32 // records for calls of this process
	freeSends uint32 // records for one-way messages to it
	numTaken  uint32 // requests being served

	hart  uint32 // index of the hart that runs it or ran it last
	queue uint32 // index of the hart whose ready queue holds it
	harts uint64 // set of harts that may have translations of its space cached
	next  uint32 // ready queue or free list
	prev  uint32

	acct  mem.Account
	space sv39.Space
	asid  uint64

	freeH      uint32 // first free entry of handle + 1; the list of those ends with entry newH
	newH       uint32 // entries of handle from here on were not used in this life
	refs       uint32 // capabilities that name this process
	numRegions int
	hotRegion  uint32 // index in regions of the last hit; that entry is in use, or all are free
	endpoints  uint32 // first endpoint served
	notifs     uint32 // first notification received
	numEPs     uint32
	numNotifs  uint32
	numTimers  uint32
	numVMOs    uint32
	firstNote  uint32

	orphan  uint32 // next of those that nobody names any more
	doomed  bool   // to be ended with exit by the hart that runs it
	victim  uint32 // process that a killing thread waits for
	handler uint64 // where a fault is delivered, 0 if nowhere
	inFault bool
	slices  bool       // the handler wants the ends of time slices
	inSlice bool       // it was entered for one: saved holds the registers of before
	saved   [32]uint64 // like Frame.X

	exit       int64
	faultCause uint64
	faultPC    uint64
	faultAddr  uint64
	watcher    notifRef // told of the end
	watchBits  uint64

	name    [abi.MaxName]byte
	nameN   int
	handle  [capsPerProcess]capEntry
	fpu     hart.FPState // floating-point registers, unless the unit holds newer ones
	notes   [notesPerServer]note
	regions [regionsPerProcess]region
}

// setSATP lets the thread run in the address space of the process: mode Sv39.
func (p *Process) setSATP() { p.Frame.SATP = 8<<60 | p.asid<<44 | uint64(p.space.Root)>>12 }

// Name returns the service name.
func (p *Process) Name() string { return string(p.name[:p.nameN]) }

// processDue ends the overdue calls of p and its overdue wait, and arms the
// deadline again for the rest.
func (k *Kernel) processDue(p *Process, now int64) {
	if p.callDue != 0 && p.callDue <= now {
		p.callDue = 0
		for i, end := callsOf(p); i < end; i++ {
			c := &k.calls[i]
			switch {
			case c.deadline == 0 || c.state != callQueued && c.state != callTaken:
			case c.deadline <= now:
				k.giveUp(i, abi.ETIMEDOUT)
			case p.callDue == 0 || c.deadline < p.callDue:
				p.callDue = c.deadline
			}
		}
	}
	if p.thread == threadWaiting && p.waitDue != 0 && p.waitDue <= now {
		k.wake(p, abi.EventNone)
	}
	if p.callDue != 0 {
		k.dueAt(p.id, p.callDue)
	}
	if p.thread == threadWaiting && p.waitDue != 0 {
		k.dueAt(p.id, p.waitDue)
	}
}

// wake ends the wait of p with a0 as its result.
func (k *Kernel) wake(p *Process, a0 uint64) {
	p.Frame.X[hart.A0] = a0
	p.waitDue = 0
	k.makeReady(p)
}

// end ends a process, and those that nobody names without it.
func (k *Kernel) end(p *Process, status int64) {
	k.endOne(p, status)
	k.endOrphans()
}

// endOrphans ends the processes of which the last capability is gone: nobody could
// end them any more, or learn that they ended. That may leave others behind, so that
// whoever starts processes cannot leave any by dying. They are ended one after
// another, not one within the other, because the stack has a bound.
func (k *Kernel) endOrphans() {
	for k.orphans != 0 {
		p := &k.procs[k.orphans]
		k.orphans, p.orphan = p.orphan, 0
		k.endOne(p, abi.ExitKilled)
	}
}

// endOne ends a process: everything it had returns to where it came from, everyone
// who waits for it is told. The process table entry stays until nobody names it.
func (k *Kernel) endOne(p *Process, status int64) {
	switch p.thread {
	case threadReady:
		k.remove(&k.harts[p.queue].ready, p)
	case threadRunning:
		if p.hart != k.h.index {
			// It runs elsewhere at this moment. That hart ends it when it enters
			// the kernel, which is soon.
			p.doomed, p.exit = true, status
			k.poke(&k.harts[p.hart])
			return
		}
		k.h.cur = 0
	}
	p.exit = status
	k.teardown(p)
	k.signal(p.watcher, p.watchBits)
	p.watchBits = 0
	if p.id == k.root {
		k.ended, k.status = true, status
	}
	if p.doomed {
		k.killed(p)
	}
	if p.refs == 0 {
		k.freeProcess(p)
	}
	if k.h.cur == 0 {
		k.pick()
	}
}

// killed lets those go on who killed p while another hart ran it.
func (k *Kernel) killed(p *Process) {
	p.doomed = false
	for i := range k.procs {
		if q := &k.procs[i]; q.thread == threadKilling && q.victim == p.id {
			k.makeReady(q)
		}
	}
}

// teardown returns everything that p has, whose thread is in no queue.
func (k *Kernel) teardown(p *Process) {
	p.state, p.thread = procZombie, threadGone
	p.refs++ // it may hold the last capability that names itself
	k.live--
	k.disarm(p.id)
	if h := &k.harts[p.hart]; h.fpOwner == p.id {
		h.fpOwner = 0
	}
	for p.endpoints != 0 {
		k.closeEndpoint(p.endpoints)
	}
	k.dropCalls(p)
	k.dropTaken(p)
	for h := range p.handle[:p.newH] {
		if p.handle[h].node != 0 {
			k.closeNode(p.handle[h].node)
		}
	}
	for i := range p.regions[:p.numRegions] {
		k.dropRegion(&p.regions[i])
	}
	p.numRegions, p.hotRegion, p.regions[0] = 0, 0, region{}
	if p.space.Root != 0 {
		p.space.Destroy(k.pool)
	}
	k.pool.Close(&p.acct)
	k.fenceSpace(p.asid)
	p.refs--
}

// freeProcess returns the table entry of an ended process.
func (k *Kernel) freeProcess(p *Process) {
	p.state = procFree
	p.next, p.prev = k.freeProcs, 0
	k.freeProcs = p.id
}
