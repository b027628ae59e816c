package core

import (
	"math/bits"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// MaxHarts is how many harts the kernel can use.
const MaxHarts = 8

// Hart is what one hart runs and has queued. One hart at a time runs the kernel,
// under the lock of the hart loop; [Kernel.On] says which.
type Hart struct {
	index    uint32
	cur      *Thread // that runs, nil when the hart is idle
	ready    threadList
	sliceEnd int64  // when the running thread must make way if another is ready
	upcallAt int64  // when the running thread is told that it has run for a slice, if it asked
	fpOwner  uint32 // thread whose registers are in the floating-point unit
	pending  bool   // an interrupt is on its way

	flight     flight
	Interrupts Interrupts
	deadline   deadlines
}

// Interrupts counts what harts tell each other: each request that was not covered
// by a pending one was sent, and each that arrived was acknowledged.
type Interrupts struct{ Requested, Sent, Trapped, Acknowledged uint64 }

// On makes hart i the one that runs the kernel.
func (k *Kernel) On(i int) *Hart {
	k.h = &k.harts[i]
	return k.h
}

// Self returns the index of the hart that runs the kernel.
func (k *Kernel) Self() int { return int(k.h.index) }

// Online adds hart i, which runs nothing yet.
func (k *Kernel) Online(i int) { k.numHarts = max(k.numHarts, i+1) }

// Current returns the thread that the hart must run now, nil if it is idle.
func (h *Hart) Current() *Thread { return h.cur }

// Alarm returns when the hart needs its timer interrupt, [Never] if it does not.
func (h *Hart) Alarm() int64 {
	if h.ready.head != 0 && h.sliceEnd < h.deadline.first {
		return h.sliceEnd
	}
	return h.deadline.first
}

// SliceAlarm returns when the hart, if it is not idle, needs its timer interrupt to
// tell a thread that it has run for a slice. It changes only in Trap, for a timer
// interrupt, and in Tick.
func (h *Hart) SliceAlarm() int64 { return h.upcallAt }

// Idle notes that hart i, which has nothing to run, waits for an interrupt, and
// Awake that it does not any more.
func (k *Kernel) Idle(i int)  { k.idle |= 1 << i }
func (k *Kernel) Awake(i int) { k.idle &^= 1 << i }

// Interrupted acknowledges an interrupt from another hart. trapped tells whether it
// came as a trap or was found by an idle hart.
func (k *Kernel) Interrupted(trapped bool) {
	h := k.h
	if trapped {
		h.Interrupts.Trapped++
	}
	if h.pending {
		h.pending = false
		h.Interrupts.Acknowledged++
	}
}

// poke makes hart h enter the kernel. One interrupt on its way is enough: what it
// is for is found under the lock.
func (k *Kernel) poke(h *Hart) {
	h.Interrupts.Requested++
	if h.pending {
		return
	}
	h.pending = true
	h.Interrupts.Sent++
	k.h.note(abi.FlightPoke, h.index, 0)
	k.interrupt(int(h.index))
}

// makeReady puts a thread that can run into a ready queue.
//
//go:nosplit
func (k *Kernel) makeReady(t *Thread) {
	h := k.h
	if k.numHarts > 1 {
		h = k.place(t)
	}
	first := h.ready.head == 0
	if first && h.cur != nil {
		// The running thread had the hart to itself; its slice starts now.
		h.sliceEnd = k.now() + sliceNS
	}
	t.state, t.queue = threadReady, h.index
	k.pushLast(&h.ready, t)
	k.h.flight.note(t.runs + abi.Flight(abi.FlightReady-abi.FlightRun, 0, uint64(h.index)))
	if first && h != k.h {
		k.poke(h)
	}
}

// place returns the hart for a thread that becomes ready: the one where it ran
// last if that is idle, else another idle one, else where it ran last.
func (k *Kernel) place(t *Thread) *Hart {
	i := t.hart
	if k.idle != 0 && k.idle>>i&1 == 0 {
		i = uint32(bits.TrailingZeros64(k.idle))
	}
	k.idle &^= 1 << i // the next one goes elsewhere
	return &k.harts[i]
}

// switchTo makes t the running thread. The previous one must be elsewhere
// already: waiting, ready, or gone.
//
//go:nosplit
func (k *Kernel) switchTo(t *Thread) {
	h := k.h
	if k.numHarts > 1 {
		k.cross(t)
	}
	t.state = threadRunning
	h.cur = t
	h.flight.put(t.runs)
}

// cross does what only matters with several harts when this one stops running a
// thread and t, if not nil, is next.
func (k *Kernel) cross(t *Thread) {
	h := k.h
	// Another hart may run the thread next, so its floating-point registers must
	// be in memory. They stay in the unit too.
	if o := h.fpOwner; o != 0 && k.threads[o].Frame.FPDirty() {
		k.fp.Save(&k.threads[o].fpu)
		k.threads[o].Frame.FPClean()
	}
	if t == nil {
		return
	}
	if t.hart != h.index {
		if o := &k.harts[t.hart]; o.fpOwner == t.id {
			o.fpOwner = 0
		}
		t.Frame.FPOff()
		t.hart = h.index
	}
	t.proc.harts |= 1 << h.index
}

// fpTake gives the floating-point unit to t, the running thread. The unit is on
// for the thread that owns it and off for all others, by the status in their
// frames, so that it costs nothing to switch between threads.
func (k *Kernel) fpTake(t *Thread) {
	h := k.h
	if o := h.fpOwner; o != 0 {
		q := &k.threads[o]
		if q.Frame.FPDirty() {
			k.fp.Save(&q.fpu)
		}
		q.Frame.FPOff()
	}
	k.fp.Load(&t.fpu)
	t.Frame.FPClean()
	h.fpOwner = t.id
}

// yieldTo runs s, which was waiting and has been given its event, in what is left
// of the slice of t, which goes on when s waits. A process that goes on working
// while it calls would otherwise have its server wait for the end of its slice.
func (k *Kernel) yieldTo(t, s *Thread) {
	k.lend(t)
	k.switchTo(s)
}

// lend makes t, whose slice another thread is about to use, the first that is ready.
func (k *Kernel) lend(t *Thread) {
	h := k.h
	if h.ready.head == 0 {
		h.sliceEnd = k.now() + sliceNS
	}
	t.state, t.queue, t.lent = threadReady, h.index, true
	t.proc.yielded = t.id
	k.pushFirst(&h.ready, t)
}

// pick takes the next thread from the ready queue, or one from another hart's, or
// leaves the hart idle.
//
//go:nosplit
func (k *Kernel) pick() {
	h := k.h
	from := h
	if h.ready.head == 0 && k.numHarts > 1 {
		from = k.victim()
	}
	head := from.ready.head
	if head == 0 {
		h.cur = nil
		h.note(abi.FlightIdle, 0, 0)
		if k.numHarts > 1 {
			k.cross(nil)
		}
		return
	}
	t := &k.threads[head]
	k.remove(&from.ready, t)
	if from != h {
		k.stolen++
	}
	if t.proc.yielded == t.id {
		t.proc.yielded = 0
	}
	if t.lent {
		// It goes on in its own slice. With a new one, it and its server could keep
		// all others from the hart by handing it to each other.
		t.lent = false
	} else if h.ready.head != 0 {
		h.sliceEnd = k.now() + sliceNS
	}
	k.switchTo(t)
}

// hartInfo writes what system_info tells of the harts into registers s3 to s9.
func (k *Kernel) hartInfo(x *[32]uint64) {
	var sum Interrupts
	for i := range k.harts {
		n := &k.harts[i].Interrupts
		sum.Requested += n.Requested
		sum.Sent += n.Sent
		sum.Trapped += n.Trapped
		sum.Acknowledged += n.Acknowledged
	}
	x[hart.S2+1], x[hart.S2+2] = uint64(k.numHarts), uint64(k.h.index)
	x[hart.S2+3], x[hart.S2+4], x[hart.S2+5], x[hart.S2+6] = sum.Requested, sum.Sent, sum.Trapped, sum.Acknowledged
	x[hart.S2+7] = k.stolen
}

// victim returns a hart with a thread to take for this one, which has none, or this
// one if there is no such hart. A hart takes one thread each time it has nothing to
// do, so that what is queued elsewhere stays there as long as it can.
func (k *Kernel) victim() *Hart {
	for n := 1; n < k.numHarts; n++ {
		if v := &k.harts[(int(k.h.index)+n)%k.numHarts]; v.ready.head != 0 {
			return v
		}
	}
	return k.h
}

// preempt lets the next ready thread run and queues the running one.
func (k *Kernel) preempt() {
	h := k.h
	if h.ready.head == 0 {
		return
	}
	t := h.cur
	t.state, t.queue = threadReady, h.index
	k.pushLast(&h.ready, t)
	k.pick()
}

// Tick handles what is due: deadlines, timers, the end of a time slice. The hart
// loop calls it after a timer interrupt and whenever the hart has been idle. What is
// left because too much was due keeps the alarm in the past, which means soon.
func (k *Kernel) Tick() { k.TickAt(k.now()) }

// TickAt is Tick for who has just looked at the clock.
func (k *Kernel) TickAt(now int64) {
	h := k.h
	h.flight.note(abi.FlightAt(abi.FlightTick, now))
	d := &h.deadline
	for range duePerTick {
		if d.first > now {
			break
		}
		id := d.heap[0]
		k.disarm(id)
		switch {
		case id > dueTimers:
			k.fire(id - dueTimers)
		case id > dueCalls:
			k.callsDue(&k.procs[id-dueCalls], now)
		default:
			k.threadDue(&k.threads[id], now)
		}
	}
	if h.cur == nil {
		h.upcallAt = now + sliceNS
		k.pick()
	} else if h.ready.head != 0 && now >= h.sliceEnd {
		k.preempt()
	}
}

// dueAt makes entry id of the deadlines come up no later than at when, on whichever
// hart: an entry moves only if it must come earlier.
func (k *Kernel) dueAt(id uint32, when int64) {
	if at := k.dueHart[id]; at != 0 && at != uint8(k.h.index+1) {
		d := &k.harts[at-1].deadline
		if when >= d.key[id] {
			return
		}
		d.drop(id)
	}
	k.dueHart[id] = uint8(k.h.index + 1)
	k.h.deadline.arm(id, when)
}

// disarm removes entry id from the deadlines.
func (k *Kernel) disarm(id uint32) {
	if at := k.dueHart[id]; at != 0 {
		k.harts[at-1].deadline.drop(id)
		k.dueHart[id] = 0
	}
}
