package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// States of a thread.
const (
	threadGone    = iota // not started, or ended
	threadReady          // in a ready queue
	threadRunning        // current on a hart
	threadHanded         // was waiting, has been given what it waited for, will run or be ready
	threadWaiting        // waits for the next event of its process: the process's waiter
	threadKilling        // waits until the process that it killed on another hart has ended
	threadFutex          // waits on a word of its process's memory
	threadJoining        // waits for the end of another thread of its process
)

// Thread is one flow of execution of a process. The table has threadsPerProcess
// entries for each process, so a thread's index tells its process for ever; the first
// of them is the one that a process starts with.
type Thread struct {
	Frame hart.Frame // first, so that the trap path's pointer is also the thread's

	proc  *Process // set once: the table never changes hands
	id    uint32   // index in the table
	gen   uint32   // threads that have ended in this entry
	state uint8
	// lent is set while a server runs in the slice of the thread, or has.
	lent bool

	hart  uint32    // index of the hart that runs it or ran it last
	queue uint32    // index of the hart whose ready queue holds it
	class abi.Class // of that queue
	next  uint32    // ready queue
	prev  uint32

	// Events of the flight recorder: that it calls, or answers, thread 0, and that it runs.
	calls, replies, runs abi.FlightEvent

	waitDue int64  // deadline of its wait while it is in one, 0 for none
	object  uint64 // what it waits for: a futex's address, a process, a thread's number
	order   uint64 // of waiting on a futex

	inFault bool       // in the handler of its process
	inSlice bool       // it was entered for the end of a slice: saved holds the registers of before
	saved   [32]uint64 // like Frame.X

	fpu hart.FPState // floating-point registers, unless the unit holds newer ones
}

// threadsOf returns the entries that p has used for threads so far, the first thread
// first.
func (k *Kernel) threadsOf(p *Process) []Thread {
	first := (p.id-1)*threadsPerProcess + 1
	return k.threads[first : first+p.usedThreads : first+threadsPerProcess]
}

// newThread starts a thread of p, which is handed its start. It returns nil if there
// are as many as there may be.
func (k *Kernel) newThread(p *Process) *Thread {
	threads := k.threadsOf(p)
	i := 0
	for i < len(threads) && threads[i].state != threadGone {
		i++
	}
	if i == threadsPerProcess {
		return nil
	}
	t := &threads[:i+1][i]
	if i == len(threads) {
		p.usedThreads++
		t.gen = 0
	}
	t.Frame = hart.NewFrame()
	p.setSATP(&t.Frame)
	t.fpu = hart.FPState{}
	t.state, t.lent = threadHanded, false
	id := uint64(t.id)
	t.calls, t.replies, t.runs = abi.Flight(abi.FlightCall, id, 0), abi.Flight(abi.FlightReply, id, 0), abi.Flight(abi.FlightRun, id, 0)
	t.waitDue, t.object = 0, 0
	t.inFault, t.inSlice = false, false
	t.saved = [32]uint64{}
	p.numThreads++
	return t
}

// stop takes t, which no other hart runs, from wherever it is. It is gone then.
func (k *Kernel) stop(t *Thread) {
	p := t.proc
	switch t.state {
	case threadReady:
		k.dequeue(t)
	case threadRunning:
		k.harts[t.hart].cur = nil
	case threadWaiting:
		p.waiter = 0
	case threadFutex, threadJoining, threadKilling:
		p.asleep--
	}
	if p.yielded == t.id {
		p.yielded = 0
	}
	t.state = threadGone
	k.disarm(t.id)
	if h := &k.harts[t.hart]; h.fpOwner == t.id {
		h.fpOwner = 0
	}
	if t.gen++; t.gen > maxThreadGen {
		t.gen = 0
	}
	p.numThreads--
}

// takeWaiter returns the thread of p that waits for an event, which it is about to
// be given, nil if none does. It is neither ready nor running then.
func (k *Kernel) takeWaiter(p *Process) *Thread {
	if p.waiter == 0 {
		return nil
	}
	t := &k.threads[p.waiter]
	p.waiter = 0
	t.state, t.waitDue = threadHanded, 0
	return t
}

// threadDue ends the wait of t if it is overdue, or arms its deadline again.
func (k *Kernel) threadDue(t *Thread, now int64) {
	switch {
	case t.waitDue == 0 || t.state < threadWaiting: // it is in no wait
	case t.waitDue > now:
		k.dueAt(t.id, t.waitDue)
	case t.state == threadWaiting:
		k.wake(t, abi.EventNone)
	default:
		k.wake(t, ^uint64(abi.ETIMEDOUT)+1)
	}
}

// wake ends the wait of t with a0 as its result.
func (k *Kernel) wake(t *Thread, a0 uint64) {
	if t.state == threadWaiting {
		t.proc.waiter = 0
	} else {
		t.proc.asleep--
	}
	t.Frame.X[hart.A0] = a0
	t.waitDue = 0
	k.makeReady(t)
}
