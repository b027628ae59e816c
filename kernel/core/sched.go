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
	index uint32
	cur   *Thread // that runs, nil when the hart is idle

	// What the hart runs in. It goes along when a thread hands the hart to a server that
	// it calls: the call is its caller's work.
	class    abi.Class
	alone    uint8  // waiting if no other class is; several if others were when the class was chosen
	lane     uint64 // of class
	sliceEnd int64  // when the running thread must make way if another is ready; 0: at once

	ready    [abi.Classes]threadList
	waiting  uint8              // set of classes with ready threads
	passed   [abi.Classes]int64 // since when such a class is passed over for a higher one, 0 if it is not
	repaid   bool               // the last choice among several classes was one that was owed its slice
	owed     bool               // runs a class that was passed over for too long, to the end of the slice
	pullAt   int64              // when it may next take a thread from another hart while it runs one
	upcallAt int64              // when the running thread is told that it has run for a slice, if it asked
	fpOwner  uint32             // thread whose registers are in the floating-point unit
	pending  bool               // an interrupt is on its way

	flight     flight
	Interrupts Interrupts
	deadline   deadlines
}

// several is no set of classes.
const several = 0xff

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
func (k *Kernel) Online(i int) {
	k.online |= 1 << i
	k.numHarts = bits.OnesCount32(k.online)
}

// Current returns the thread that the hart must run now, nil if it is idle.
func (h *Hart) Current() *Thread { return h.cur }

// Alarm returns when the hart needs its timer interrupt, [Never] if it does not.
func (h *Hart) Alarm() int64 {
	if h.waiting != 0 && h.sliceEnd < h.deadline.first {
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
	h, p := k.h, t.proc
	if k.numHarts > 1 || h.waiting != 0 || p.lane != h.lane || p.lifted() {
		k.queue(t)
		return
	}
	// The first one, in the class of whoever runs, if anybody.
	k.enqueue(h, t, h.class)
	h.flight.note(t.runs + abi.Flight(abi.FlightReady-abi.FlightRun, 0, uint64(h.index)))
	if h.cur != nil {
		h.owed, h.sliceEnd = false, h.cur.proc.turn+k.now()
	}
}

// queue is makeReady for any hart and class.
func (k *Kernel) queue(t *Thread) {
	h, class := k.h, t.proc.effective()
	if k.numHarts > 1 {
		h = k.place(t, class)
	}
	first := h.waiting == 0
	k.enqueue(h, t, class)
	k.h.flight.note(t.runs + abi.Flight(abi.FlightReady-abi.FlightRun, 0, uint64(h.index)))
	if h.cur != nil {
		if first {
			// The running thread had the hart to itself; its slice starts now.
			h.owed, h.sliceEnd = false, h.cur.proc.turn+k.now()
		}
		if class > h.class && !h.owed {
			h.sliceEnd = 0
		}
	}
	if h != k.h && (first || h.sliceEnd == 0) {
		k.poke(h)
	}
}

// enqueue puts t behind the ready threads of a class on h.
func (k *Kernel) enqueue(h *Hart, t *Thread, class abi.Class) {
	t.state, t.queue, t.class = threadReady, h.index, class
	k.pushLast(&h.ready[class&classMask], t)
	h.waiting |= 1 << (class & classMask)
}

// dequeue takes t, which is ready, from its queue.
func (k *Kernel) dequeue(t *Thread) {
	h := &k.harts[t.queue]
	l := &h.ready[t.class]
	k.remove(l, t)
	if l.head == 0 {
		h.waiting &^= 1 << t.class
	}
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
	if h.waiting == 0 {
		h.sliceEnd = k.turn(h, t.proc) + k.now()
	}
	class := t.proc.effective()
	t.state, t.queue, t.class, t.lent = threadReady, h.index, class, true
	t.proc.yielded = t.id
	k.pushFirst(&h.ready[class&classMask], t)
	h.waiting |= 1 << (class & classMask)
}

// pick takes the next thread from the ready queues, or one from another hart's, or
// leaves the hart idle.
//
//go:nosplit
func (k *Kernel) pick() {
	h := k.h
	if h.waiting != h.alone && !k.choose() {
		h.cur = nil
		h.note(abi.FlightIdle, 0, 0)
		if k.numHarts > 1 {
			k.cross(nil)
		}
		return
	}
	t := k.first(h)
	p := t.proc
	if p.yielded == t.id {
		p.yielded = 0
	}
	if t.lent {
		// It goes on in its own slice. With a new one, it and its server could keep
		// all others from the hart by handing it to each other.
		t.lent = false
	} else if h.waiting != 0 {
		h.sliceEnd = k.turn(h, p) + k.now()
	}
	k.switchTo(t)
}

// first takes the first thread of the class that h runs in from its queue.
func (k *Kernel) first(h *Hart) *Thread {
	l := &h.ready[h.class&classMask]
	t := &k.threads[l.head]
	if l.head = t.next; l.head == 0 {
		l.tail = 0
		h.waiting &^= 1 << (h.class & classMask)
		return t
	}
	k.threads[l.head].prev, t.next = 0, 0
	return t
}

// highest is the highest class in a set.
var highest = [1 << abi.Classes]abi.Class{0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3}

// choose makes the hart run in the class that it has to: the highest that has ready
// threads, unless a lower one is passed over since starveNS. That one has a slice then,
// which no higher class cuts short; and between two such slices the highest has a turn.
// A hart without ready threads takes one from another. The result is false if there is
// none.
func (k *Kernel) choose() bool {
	h := k.h
	if h.waiting == 0 && (k.numHarts == 1 || !k.steal(abi.Classes-1, false)) {
		return false
	}
	top := highest[h.waiting]
	class := top
	if h.waiting == 1<<top {
		h.passed, h.owed = [abi.Classes]int64{}, false
		h.enter(top)
	} else {
		now := k.now()
		for c := range top {
			switch {
			case h.waiting>>c&1 == 0:
			case h.passed[c] == 0:
				h.passed[c] = now
			case now-h.passed[c] >= starveNS && class == top && !h.repaid:
				class = c
			}
		}
		h.owed = class != top
		h.repaid = h.owed
		h.passed[class] = 0
		k.threads[h.ready[class].head].lent = false // a slice of its own
		h.enter(class)
		h.alone = several
	}
	return true
}

// turn returns how long a thread of p may run on h while others of its class are ready.
func (k *Kernel) turn(h *Hart, p *Process) int64 {
	if h.owed || p.numThreads > 1 {
		return k.part(h, p)
	}
	return p.turn
}

// part is turn for one of several threads, which together have as long as the share of
// p says, and for whoever runs in a class that was passed over.
func (k *Kernel) part(h *Hart, p *Process) int64 {
	if h.owed {
		return sliceNS
	}
	able := int64(p.numThreads - p.asleep)
	if p.waiter != 0 {
		able--
	}
	return max(p.turn/max(able, 1), shareNS)
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
	x[hart.S2+1], x[hart.S2+2] = uint64(k.online), uint64(k.h.index)
	x[hart.S2+3], x[hart.S2+4], x[hart.S2+5], x[hart.S2+6] = sum.Requested, sum.Sent, sum.Trapped, sum.Acknowledged
	x[hart.S2+7] = k.stolen
}

// preempt queues the running thread and runs whichever is next.
func (k *Kernel) preempt() {
	h := k.h
	t := h.cur
	if h.waiting != h.alone || h.lane != t.proc.lane || t.proc.lifted() || !h.may(t.proc) {
		k.makeWay(h, t)
		return
	}
	// All are of one class. Its queue turns, and is never empty meanwhile.
	l := &h.ready[h.class&classMask]
	next := &k.threads[l.head]
	k.threads[l.tail].next, t.prev, t.next = t.id, l.tail, 0
	t.state, t.queue, t.class = threadReady, h.index, h.class
	l.tail = t.id
	l.head = next.next
	k.threads[l.head].prev = 0
	if next.proc.yielded == next.id {
		next.proc.yielded = 0
	}
	if next.lent {
		next.lent = false
	} else {
		h.sliceEnd = k.turn(h, next.proc) + k.now()
	}
	k.switchTo(next)
}

// makeWay is preempt for any class and hart.
func (k *Kernel) makeWay(h *Hart, t *Thread) {
	if !h.may(t.proc) {
		h.cur = nil
		k.makeReady(t)
		k.pick()
	} else if h.waiting != 0 {
		k.enqueue(h, t, t.proc.effective())
		k.pick()
	}
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
	} else if !h.may(h.cur.proc) || h.waiting != 0 && now >= h.sliceEnd {
		k.preempt()
	} else if h.waiting == 0 && k.numHarts > 1 && now >= h.pullAt {
		// So that the threads of a class come to be spread over the harts.
		k.steal(h.class, true)
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
