//go:build tamago && riscv64 && nexusproc

// Waiting for the kernel. A process has one event queue, and WAIT, CALL and REPLY
// end with its next event. Events carry a key that their receiver chose: a slot of
// the table below. A goroutine that wants the event of a slot either takes the
// direct path (nothing else in the process can run, so the whole process blocks in
// the kernel until the event is there) or parks; then the scheduler collects events,
// blocking when idle (beforeIdle) and polling now and then when busy (pollEvents).
//
// Invariants: with one M, nothing here runs in an upcall, so the table needs no lock;
// but a goroutine may be preempted where it calls a function, so changes that belong
// together have no call between them or hold the M (acquirem). What is different with
// several Ms is in ipc_parallel_tamago.go; the lock of the table is taken only then.
// Slots never move and are never freed to the heap; they hold no pointers the collector
// must see. Key 0 is never given out.
//
// The functions that begin with nexus_ are for package nexus.internal/ipc, which
// pulls them by linkname.

package runtime

import (
	"runtime/goos"
	"unsafe"
)

const (
	slotChunk  = 64   // slots that are allocated at once
	maxSlots   = 4096 // of a process; as many waits can be outstanding
	pollPeriod = 64   // rounds of the scheduler between two polls; a power of two
	pollBatch  = 16   // events that one poll takes at most
)

// slot is one source of events that a goroutine waits for.
type slot struct {
	key       uint64 // index, and above it the generation; while the slot is free, none that selects it
	gen       uint32
	index     uint32
	next      uint32    // next free slot + 1
	ready     bool      // ev holds an event that nobody has taken
	gp        guintptr  // parked for an event
	cancelGp  guintptr  // parked for a cancellation
	right     uint64    // reply right of the last request, 0 when it was answered
	cancelled uint64    // reply right of the request that was given up last
	ev        goos.Regs // the event
}

var ipc struct {
	lock    mutex // with several Ms: of the slots, the lists and the counts
	chunks  [maxSlots / slotChunk]*[slotChunk]slot
	n       uint32    // slots made so far
	free    uint32    // first free slot + 1
	waiters uint32    // goroutines parked on slots, with one M
	poll    bool      // collect events at the next chance
	dropped uint64    // events without a receiver
	regs    goos.Regs // of WAIT in the scheduler, with one M
}

// lockSlots takes the lock of the table, where there is another M to keep out.
func lockSlots() {
	if !singleM {
		lock(&ipc.lock)
	}
}

func unlockSlots() {
	if !singleM {
		unlock(&ipc.lock)
	}
}

// nexus_slotNew returns the key of a new slot, or 0 if there are maxSlots.
//
//go:linkname nexus_slotNew
func nexus_slotNew() (key uint64) {
	mp := acquirem()
	lockSlots()
	key = newSlot()
	unlockSlots()
	releasem(mp)
	return key
}

func newSlot() (key uint64) {
	if ipc.free == 0 {
		if ipc.n == maxSlots {
			return 0
		}
		chunk := (*[slotChunk]slot)(persistentalloc(unsafe.Sizeof([slotChunk]slot{}), 8, &memstats.other_sys))
		for i := range chunk {
			s := &chunk[i]
			s.gen = 1
			s.index = ipc.n + uint32(i)
			s.next = s.index + 2
			s.key = ^uint64(s.index)
		}
		chunk[slotChunk-1].next = 0
		setChunk(ipc.n/slotChunk, chunk)
		ipc.free = ipc.n + 1
		ipc.n += slotChunk
	}
	s := slotAt(ipc.free - 1)
	ipc.free = s.next
	s.key = uint64(s.gen)<<32 | uint64(s.index)
	s.ready = false
	s.right = 0
	return s.key
}

// setChunk stores without a write barrier: chunks are not in the heap.
func setChunk(i uint32, chunk *[slotChunk]slot) {
	*(*uintptr)(unsafe.Pointer(&ipc.chunks[i])) = uintptr(unsafe.Pointer(chunk))
}

// slotAt returns the slot with an index below ipc.n.
func slotAt(i uint32) *slot { return &ipc.chunks[i/slotChunk%(maxSlots/slotChunk)][i%slotChunk] }

// slotOf returns the slot of a key, or nil if the key is stale or was never one.
func slotOf(key uint64) *slot {
	chunk := ipc.chunks[key/slotChunk%(maxSlots/slotChunk)]
	if chunk == nil || chunk[key%slotChunk].key != key {
		return nil
	}
	return &chunk[key%slotChunk]
}

// nexus_slotFree frees a slot. Events for it that are still to come are dropped
// and counted. A goroutine in nexus_cancelWait returns; one that waits for an
// event is a bug of the caller.
//
//go:linkname nexus_slotFree
func nexus_slotFree(key uint64) {
	s := slotOf(key)
	if s == nil {
		return
	}
	if s.gp != 0 {
		throw("nexus_slotFree: a goroutine waits on the slot")
	}
	mp := acquirem()
	lockSlots()
	s.key = ^uint64(s.index)
	s.gen++
	if s.gen == 0 {
		s.gen = 1
	}
	s.next = ipc.free
	ipc.free = s.index + 1
	gp := unpark(&s.cancelGp)
	unlockSlots()
	if gp != nil {
		goready(gp, 1)
	}
	releasem(mp)
}

// nexus_ipc issues WAIT, CALL or REPLY and returns when the event for key has
// arrived, in r. A refusal (negative a0) returns at once and changes nothing. For
// CALL, key must be the cookie in a2; for WAIT and REPLY, the cookie of the accept in
// s10. The wait deadline and FlagNoWait are set here.
//
//go:linkname nexus_ipc
func nexus_ipc(key, num uint64, r *goos.Regs) {
	s := slotOf(key)
	if s == nil {
		r.A[0] = ^uint64(goos.EINVAL - 1) // -EINVAL
		return
	}
	if !singleM {
		ipcParallel(s, key, num, r)
		return
	}
	pp := getg().m.p.ptr()
	until := int64(0)
	// The cheap question first: is there anything that aloneUntil has to look at? With one
	// M there is no need for atomic loads of the queue, nor for a look at sched.gcwaiting:
	// the world is not stopping while this goroutine runs. Without sysmon, runnext is not
	// in use.
	look := uint64(pp.runqhead) ^ uint64(pp.runqtail) | uint64(sched.runq.size) |
		uint64(pp.timers.minWhenHeap.Load()) | uint64(pp.timers.minWhenModified.Load()) |
		uint64(gcBlackenEnabled) | uint64(fingStatus.Load()&fingWake) | gcCleanups.workUnits.Load() | uint64(errLine.n)
	if look != 0 || traceEnabled() {
		until = aloneUntil(pp)
	}
	if until == crowded {
		r.A[1] |= goos.FlagNoWait
	} else if num == goos.SysCall {
		r.S10 = uint64(until)
	} else {
		r.A[3] = uint64(until)
	}
	if num == goos.SysWait && s.ready {
		// Collected while this goroutine was preempted, perhaps by the last call above.
		// There is none from here to the system call, which would wait for it in vain.
		takeEvent(s, r)
		return
	}
	goos.Syscall(num, r)
	event := r.A[0]
	if int64(event) < 0 {
		return
	}
	if num != goos.SysCall {
		s.right = 0 // forget a cancellation of the request before
		if s.cancelGp != 0 {
			goready(unpark(&s.cancelGp), 1)
		}
	}
	if event != goos.EventNone {
		if r.A[1] == key && event <= goos.EventNotify {
			if event == goos.EventRequest {
				s.right = r.A[4]
			}
			if until == crowded {
				Gosched() // a goroutine that only calls must not starve the others
			}
			return
		}
		if gp := dispatch(r); gp != nil {
			goready(gp, 1)
		}
	}
	waitSlot(s, r)
}

// nexus_wait waits for an event for key without issuing anything: notifications,
// whose bits are OR-ed while nobody takes them.
//
//go:linkname nexus_wait
func nexus_wait(key uint64, r *goos.Regs) {
	s := slotOf(key)
	if s == nil {
		r.A[0] = ^uint64(goos.EINVAL - 1) // -EINVAL
		return
	}
	*r = goos.Regs{}
	nexus_ipc(key, goos.SysWait, r)
}

// crowded is what aloneUntil returns if something else in the process can run.
const crowded = -1

// aloneUntil returns when the next timer of the process is due, 0 if there is none, or
// crowded if it is due or something else in the process can run now.
func aloneUntil(pp *p) int64 {
	if pp.runqhead != pp.runqtail || sched.runq.size != 0 || gcBlackenEnabled != 0 ||
		fingStatus.Load()&(fingWait|fingWake) == fingWait|fingWake || gcCleanups.needsWake() || traceEnabled() {
		return crowded
	}
	until := pp.timers.wakeTime()
	if until != 0 && until <= nanotime1() {
		return crowded
	}
	if errLine.n != 0 {
		flushErr()
	}
	return until
}

// waitSlot parks until s has an event, and takes it.
func waitSlot(s *slot, r *goos.Regs) {
	if !takeEvent(s, r) {
		gopark(parkForEvent, unsafe.Pointer(s), waitReasonIOWait, traceBlockNet, 2)
		takeEvent(s, r)
	}
}

// parkForEvent runs on g0 when gp has become a waiting goroutine. Only then may
// another one wake it.
func parkForEvent(gp *g, s unsafe.Pointer) bool {
	lockSlots()
	wait := !(*slot)(s).ready
	if wait {
		(*slot)(s).gp.set(gp)
		addWaiters(1)
	}
	unlockSlots()
	return wait
}

// addWaiters counts goroutines that park on slots, or leave them.
func addWaiters(n int32) {
	if singleM {
		ipc.waiters += uint32(n)
	} else {
		netpollAdjustWaiters(n)
	}
}

// takeEvent moves the event of s to r, if there is one.
func takeEvent(s *slot, r *goos.Regs) bool {
	lockSlots()
	ready := s.ready
	if ready {
		*r = s.ev
		s.ready = false
	}
	unlockSlots()
	return ready
}

// dispatch delivers an event to its slot and returns the goroutine that it wakes,
// or nil.
//
//go:nowritebarrier
func dispatch(r *goos.Regs) *g {
	s := slotOf(r.A[1])
	if s == nil {
		ipc.dropped++
		return nil
	}
	switch r.A[0] {
	case goos.EventCancel:
		s.cancelled = r.A[4]
		if s.right != r.A[4] { // answered, or on its way to the slot with another M
			return nil
		}
		return unpark(&s.cancelGp)
	case goos.EventNotify:
		if s.ready {
			s.ev.A[2] |= r.A[2]
			return nil
		}
	case goos.EventRequest:
		s.right = r.A[4]
	}
	s.ev = *r
	s.ready = true
	return unpark(&s.gp)
}

// unpark empties a waiter field and returns the goroutine that was in it.
//
//go:nowritebarrier
func unpark(w *guintptr) *g {
	gp := w.ptr()
	if gp != nil {
		*w = 0
		addWaiters(-1)
	}
	return gp
}

// nexus_cancelled reports whether the caller of the request that was last taken
// with this key has given up.
//
//go:linkname nexus_cancelled
func nexus_cancelled(key uint64) bool {
	s := slotOf(key)
	return s != nil && s.gaveUp()
}

// gaveUp reports whether the caller of the last request has.
func (s *slot) gaveUp() bool { return s.right != 0 && s.cancelled == s.right }

// nexus_cancelWait waits until nexus_cancelled is true, or until the slot is armed
// again or freed, and reports which. One goroutine per slot may wait.
//
//go:linkname nexus_cancelWait
func nexus_cancelWait(key uint64) bool {
	s := slotOf(key)
	if s == nil || s.gaveUp() {
		return s != nil
	}
	if s.cancelGp != 0 {
		throw("nexus_cancelWait: two goroutines wait on one slot")
	}
	gopark(parkForCancel, unsafe.Pointer(s), waitReasonIOWait, traceBlockNet, 1)
	return nexus_cancelled(key)
}

// parkForCancel is parkForEvent for cancellations.
func parkForCancel(gp *g, s unsafe.Pointer) bool {
	lockSlots()
	wait := !(*slot)(s).gaveUp()
	if wait {
		(*slot)(s).cancelGp.set(gp)
		addWaiters(1)
	}
	unlockSlots()
	return wait
}

// nexus_syscall makes a system call that does not wait.
//
//go:linkname nexus_syscall
func nexus_syscall(num uint64, r *goos.Regs) { goos.Syscall(num, r) }

// nexus_start returns the start page.
//
//go:linkname nexus_start
func nexus_start() unsafe.Pointer { return unsafe.Pointer(goos.Page) }

// nexus_dropped returns how many events found no receiver.
//
//go:linkname nexus_dropped
func nexus_dropped() uint64 { return ipc.dropped }

// beforeIdle runs on g0 with a P when no goroutine can run. With one M it blocks in
// the kernel until an event or the next timer. If there is neither to wait for, it
// lets the scheduler find the deadlock. With several the scheduler gives up the P and
// calls netpoll, if nobody else does.
//
//go:yeswritebarrierrec
func beforeIdle(now, until int64) (*g, bool) {
	flushErr()
	if !singleM || until == 0 && ipc.waiters == 0 {
		return nil, false
	}
	return waitEvent(&ipc.regs, 0, until), true
}

// waitEvent makes one WAIT and returns the goroutine that its event wakes. a0 in r
// is EventNone if there was no event.
//
//go:nowritebarrier
func waitEvent(r *goos.Regs, flags, until int64) *g {
	r.A[1] = uint64(flags)
	r.A[2] = 0
	r.A[3] = uint64(until)
	r.A[6] = 0
	r.S10 = 0
	goos.Syscall(goos.SysWait, r)
	if int64(r.A[0]) <= goos.EventNone {
		return nil
	}
	if singleM {
		return dispatch(r)
	}
	return dispatchParallel(r, flags)
}

// pollEvents collects what has arrived while goroutines keep the process busy. The
// scheduler calls it in every round, on g0.
func pollEvents(pp *p) {
	if !singleM {
		pollParallel(pp)
		return
	}
	if ipc.waiters == 0 || !ipc.poll && pp.schedtick%pollPeriod != 0 {
		return
	}
	ipc.poll = false
	for range pollBatch {
		gp := waitEvent(&ipc.regs, goos.FlagNoWait, 0)
		if gp != nil {
			ready(gp, 0, false)
		} else if ipc.regs.A[0] == goos.EventNone {
			return
		}
	}
}
