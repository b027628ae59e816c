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

// Process is an address space with threads, a table of capabilities and an event
// queue. What a call and its reply touch comes first, where an instruction reaches it
// by its offset.
type Process struct {
	id      uint32
	state   uint8
	doomed  bool   // to be ended with exit once no other hart runs a thread of it
	waiter  uint32 // thread that waits for the next event, 0 for none
	yielded uint32 // thread that is ready after a CALL without waiting that ran the server at once: what the call returns can still be an event
	pid     uint64
	sid     uint64

	// Events, in four kinds: ended calls, cancellations, notifications with bits,
	// armed endpoints with requests.
	events     callList
	numNotes   uint32
	notifReady uint32
	epReady    uint32
	pending    uint32 // not 0 if there is any of them
	buffer     uint64 // the last message buffer that was found to be one
	preferEPs  bool   // the next event comes from an endpoint if there is one

	callDue   int64  // no outstanding call is due earlier; 0 for none
	freeCalls *call  // records for calls of this process
	freeSends uint32 // records for one-way messages to it

	// The class in which p makes a call that hands the hart over, and for whom it works:
	// one for each call of another that it has in a queue or has taken, counted in the lane
	// of the class in which the other waits for it.
	lane    uint64
	donors  uint64
	lends   uint32  // 1: a call of it that is outstanding may be in a higher lane than its own
	turn    int64   // time slice of its threads together
	qos     abi.QoS // as it was given; its class is that of lane
	raised  uint32  // list of those that are to be raised, lowered that of those that were lowered
	lowered uint32

	numThreads  uint32 // that have not ended
	asleep      uint32 // of these, wait for something else than an event
	usedThreads uint32 // entries of the table that have been used for one
	harts       uint64 // set of harts that may have translations of its space cached
	next        uint32 // free list
	futexOrder  uint64 // waits on futexes so far

	acct  mem.Account
	space sv39.Space
	asid  uint64

	freeH      uint32 // number of the first free entry of handle; behind those that were used comes the first that was not
	newH       uint32 // entries with a number up to this one were used in this life
	refs       uint32 // capabilities that name this process
	numRegions int
	ownRegions int    // the first regions are the program's, outside of the mapping area
	hotRegion  uint32 // index in regions of the last hit; that entry is in use, or all are free
	endpoints  uint32 // first endpoint served
	notifs     uint32 // first notification received
	numEPs     uint32
	numNotifs  uint32
	numTimers  uint32
	numVMOs    uint32
	firstNote  uint32

	orphan  uint32 // next of those that nobody names any more
	handler uint64 // where a fault is delivered, 0 if nowhere
	slices  bool   // the handler wants the ends of time slices

	exit       int64
	faults     uint64 // pages that it was given when it touched them
	faultCause uint64
	faultPC    uint64
	faultAddr  uint64
	watcher    notifRef // told of the end
	watchBits  uint64

	name    [abi.MaxName]byte
	nameN   int
	handle  [capsPerProcess]capEntry
	notes   [notesPerServer]note
	regions [regionsPerProcess]region
}

// setSATP lets the thread of frame f run in the address space of p: mode Sv39.
func (p *Process) setSATP(f *hart.Frame) { f.SATP = 8<<60 | p.asid<<44 | uint64(p.space.Root)>>12 }

// Name returns the service name.
func (p *Process) Name() string { return string(p.name[:p.nameN]) }

// callsDue ends the overdue calls of p and arms the deadline again for the rest.
func (k *Kernel) callsDue(p *Process, now int64) {
	if p.callDue == 0 || p.callDue > now {
		return
	}
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
	if p.callDue != 0 {
		k.dueAt(dueCalls+p.id, p.callDue)
	}
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
// Threads that other harts run at this moment come first: those harts are interrupted
// and stop them when they enter the kernel, and the last of them ends the process.
func (k *Kernel) endOne(p *Process, status int64) {
	if !p.doomed {
		p.exit = status
	}
	away := false
	threads := k.threadsOf(p)
	for i := range threads {
		switch t := &threads[i]; {
		case t.state == threadGone:
		case t.state == threadRunning && t.hart != k.h.index:
			away = true
			k.poke(&k.harts[t.hart])
		default:
			k.stop(t)
		}
	}
	if !away {
		k.finishEnd(p)
	} else {
		p.doomed = true
	}
	if k.h.cur == nil {
		k.pick()
	}
}

// finishEnd ends p, whose threads are gone.
func (k *Kernel) finishEnd(p *Process) {
	k.teardown(p)
	k.signal(p.watcher, p.watchBits)
	p.watchBits = 0
	if p.id == k.root {
		k.ended, k.status = true, p.exit
	}
	if p.doomed {
		p.doomed = false
		k.killed(p)
	}
	if p.refs == 0 {
		k.freeProcess(p)
	}
}

// killed lets those go on who killed p while other harts ran it.
func (k *Kernel) killed(p *Process) {
	for i := range k.threads {
		if t := &k.threads[i]; t.state == threadKilling && t.object == uint64(p.id) {
			t.proc.asleep--
			k.makeReady(t)
		}
	}
}

// Doomed ends the process of t, which this hart was running, if another hart wanted
// that, and reports whether it did.
func (k *Kernel) Doomed(t *Thread) bool {
	if !t.proc.doomed {
		return false
	}
	k.end(t.proc, 0)
	return true
}

// teardown returns everything that p has, whose threads are gone.
func (k *Kernel) teardown(p *Process) {
	p.state = procZombie
	p.refs++ // it may hold the last capability that names itself
	k.live--
	k.h.note(abi.FlightEnd, p.id, 0)
	k.disarm(dueCalls + p.id)
	for p.endpoints != 0 {
		k.closeEndpoint(p.endpoints)
	}
	k.dropCalls(p)
	k.dropTaken(p)
	for number := uint32(1); number <= p.newH; number++ {
		if n := p.entry(number).node; n != nil {
			k.closeNode(n.id)
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
	k.fenceAll(p)
	p.refs--
}

// freeProcess returns the table entry of an ended process.
func (k *Kernel) freeProcess(p *Process) {
	p.state = procFree
	p.next, k.freeProcs = k.freeProcs, p.id
}
