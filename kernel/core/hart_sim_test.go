package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// simHart is what a hart of a simulation has beside what the kernel knows of it.
type simHart struct {
	unit  fpUnit
	armed int64 // when its timer interrupt comes
	sent  bool  // an interrupt from another hart is on its way
}

// interruptHart is the kernel's way to make hart i enter it: soon, not at once.
func (s *sim) interruptHart(i int) {
	if s.machine[i].sent || i >= s.numHarts || i == s.Self() {
		s.tb.Errorf("hart %d interrupts hart %d, interrupted %v already", s.Self(), i, s.machine[i].sent)
	}
	s.machine[i].sent = true
}

// trapped handles the trap that ended the run of t on its hart, as the hart loop does.
// It reports whether the trap counted: a doomed process is ended before anything else.
func (s *sim) trapped(t *Thread, cause uint64, full uint64) bool {
	h := s.On(int(t.hart))
	t.Frame.Cause, t.Frame.Full = cause, full
	if cause == hart.CauseSoftware {
		s.machine[h.index].sent = false
		s.Interrupted(true)
	}
	doomed := s.Doomed(t)
	if !doomed && (full != 0 || s.DirectAtHome(h, t) == nil) {
		s.Trap(t)
	}
	s.leave(cause == hart.CauseTimer && !doomed)
	return !doomed
}

// rouse ends the rest of hart i, which has nothing to run.
func (s *sim) rouse(i int) {
	s.On(i)
	s.Awake(i)
	if s.machine[i].sent {
		s.machine[i].sent = false
		s.Interrupted(false)
	}
	if i == 0 {
		s.External()
	}
	s.Tick()
	s.leave(true)
}

// leave is what a hart does last before it runs a thread or rests.
func (s *sim) leave(slice bool) {
	h := s.h
	m := &s.machine[h.index]
	if slice {
		m.armed = h.SliceAlarm()
	}
	if h.Current() == nil {
		m.armed = h.Alarm()
		if s.numHarts > 1 {
			s.Idle(int(h.index))
		}
		return
	}
	m.armed = min(m.armed, h.Alarm())
}

// timer is the timer interrupt of hart i.
func (s *sim) timer(i int) {
	if t := s.On(i).Current(); t != nil {
		s.trapped(t, hart.CauseTimer, 1)
	} else {
		s.rouse(i)
	}
}

// deliver brings the interrupt that is on its way to hart i.
func (s *sim) deliver(i int) {
	if t := s.On(i).Current(); t != nil {
		s.trapped(t, hart.CauseSoftware, 1)
	} else {
		s.rouse(i)
	}
}

// turn lets the next thread of hart i have it.
func (s *sim) turn(i int) {
	s.On(i).sliceEnd = s.clock
	s.timer(i)
}

// underWay reports whether anything is on its way to a hart.
func (s *sim) underWay(i int) bool { return s.machine[i].sent || s.machine[i].armed <= s.clock }

// timerOr brings what is under way to hart i: the interrupt of another, else its timer's.
func (s *sim) timerOr(i int) {
	if s.machine[i].sent {
		s.deliver(i)
	} else {
		s.timer(i)
	}
}

// settle delivers everything that is on its way, until nothing is.
func (s *sim) settle() {
	s.tb.Helper()
	for n, quiet := 0, 0; quiet < s.numHarts; n++ {
		if n > 1000 {
			s.tb.Fatal("harts interrupt each other for ever")
		}
		i := n % s.numHarts
		quiet++
		if s.machine[i].sent {
			s.deliver(i)
			quiet = 0
		}
	}
}

// fpUnit is the floating-point unit of a hart; the frame of a thread says whether it
// is on.
type fpUnit struct{ regs hart.FPState }

// simFP is the unit of the hart that runs the kernel.
type simFP struct{ s *sim }

func (u simFP) Save(f *hart.FPState) { *f = u.s.machine[u.s.h.index].unit.regs }
func (u simFP) Load(f *hart.FPState) { u.s.machine[u.s.h.index].unit.regs = *f }

// statusFS is the field FS of sstatus: off, initial, clean or dirty.
const statusFS = 3 << 13

func (t *Thread) fpOn() bool { return t.Frame.Status&statusFS != 0 }

// float makes q exchange the value of a floating-point register.
func (q proc) float(v uint64) uint64 {
	q.s.tb.Helper()
	old, ok := q.tryFloat(v)
	if !ok {
		q.s.tb.Fatalf("pid %d ends at a floating-point instruction", q.life)
	}
	return old
}

// tryFloat is float for a process that may be doomed, and then ends instead.
func (q proc) tryFloat(v uint64) (old uint64, ok bool) {
	q.s.tb.Helper()
	q.schedule()
	if !q.main.fpOn() {
		q.fault(hart.CauseIllegal, 0)
	}
	if !q.alive() {
		return 0, false
	}
	if !q.main.fpOn() {
		q.s.tb.Fatal("floating-point unit is off after the trap")
	}
	regs := &q.s.machine[q.main.hart].unit.regs
	old = regs.F[3]
	regs.F[3] = v
	q.main.Frame.Status |= statusFS
	return old, true
}

// current returns the index of the thread that h runs, 0 if it is idle.
func (h *Hart) current() uint32 {
	if h.cur == nil {
		return 0
	}
	return h.cur.id
}

// scheduler checks threads, and what harts run and have queued.
func (c *checker) scheduler() {
	var running [MaxHarts]int
	var asleep [maxProcesses + 1]uint32
	ready := 0
	for i := range c.threads[1:] {
		t := &c.threads[i+1]
		p := t.proc
		c.want(t.id == uint32(i+1) && p == &c.procs[i/threadsPerProcess+1], "thread %d: id %d of proc %d", i+1, t.id, p.id)
		if t.state == threadGone {
			c.want(c.dueHart[t.id] == 0, "thread %d is gone and has a deadline", t.id)
			continue
		}
		c.owned.threads[p.id]++
		c.want(p.state == procLive, "thread %d in state %d: its process has ended", t.id, t.state)
		c.want((t.state == threadWaiting) == (p.waiter == t.id), "thread %d in state %d: waiter of proc %d is %d", t.id, t.state, p.id, p.waiter)
		c.want(t.state < threadWaiting || t.waitDue == 0 || c.due(t.id, t.waitDue), "thread %d: wait deadline %d not in the heap", t.id, t.waitDue)
		c.want(!p.doomed || t.state == threadRunning && c.harts[t.hart].pending, "thread %d in state %d: nobody stops it, and its process is doomed", t.id, t.state)
		if t.state == threadFutex || t.state == threadJoining || t.state == threadKilling {
			asleep[p.id]++
		}
		switch t.state {
		case threadRunning:
			running[t.hart]++
			c.want(c.harts[t.hart].cur == t, "thread %d runs on hart %d, which runs %d", t.id, t.hart, c.harts[t.hart].current())
			c.want(c.numHarts == 1 || p.harts>>t.hart&1 != 0, "thread %d runs on hart %d, its process on those of %b", t.id, t.hart, p.harts)
		case threadReady:
			ready++
		case threadWaiting:
			c.want(p.pending == p.lends, "thread %d waits with an event there", t.id)
		case threadFutex:
			c.want(t.object%4 == 0 && t.order <= p.futexOrder, "thread %d waits on futex %#x as number %d of %d", t.id, t.object, t.order, p.futexOrder)
		case threadJoining:
			target := &c.threads[(p.id-1)*threadsPerProcess+1+uint32(t.object)]
			c.want(target != t && target.state != threadGone && c.number(target) == t.object, "thread %d waits for the end of %#x", t.id, t.object)
		case threadKilling:
			c.want(c.procs[t.object].state == procLive && c.procs[t.object].doomed, "thread %d waits for the end of proc %d", t.id, t.object)
		default:
			c.want(false, "thread %d: state %d", t.id, t.state)
		}
	}
	for i, n := range asleep {
		c.want(c.procs[i].asleep == n, "proc %d: %d threads asleep, count says %d", i, n, c.procs[i].asleep)
	}
	for i := range c.harts {
		ready -= c.hart(i, running[i])
	}
	c.want(ready == 0, "%d threads are ready and in no queue", ready)
}

// hart checks one hart, which runs so many threads, and returns how many are in its
// queue.
func (c *checker) hart(i, running int) (ready int) {
	h, m := &c.harts[i], &c.machine[i]
	c.want(h.index == uint32(i) && (i < c.numHarts || h.cur == nil && h.waiting == 0 && h.deadline.n == 0), "hart %d: index %d, runs %d", i, h.index, h.current())
	c.want(running <= 1 && running == 1 == (h.cur != nil), "hart %d: %d threads run, current is %d", i, running, h.current())
	for class := range abi.Class(abi.Classes) {
		ready += c.queue(h, class)
	}
	c.want(h.lane == laneOf(h.class) && (h.alone == 1<<h.class || h.alone == several), "hart %d runs in %v, lane %#x", i, h.class, h.lane)
	if h.cur != nil {
		p := h.cur.proc
		c.want(h.class <= p.effective(), "hart %d runs in %v, its process in %v", i, h.class, p.effective())
		c.want(h.sliceEnd == 0 || h.owed || h.waiting>>h.class < 2 || h.waiting>>p.effective() < 2, "hart %d runs in %v while classes %b wait", i, h.class, h.waiting)
	}
	d := &h.deadline
	for j := range d.n {
		id := d.heap[j]
		c.want(d.pos[id] == uint32(j+1) && c.dueHart[id] == uint8(i+1), "deadlines of hart %d: entry %d at %d says %d of hart %d", i, id, j, d.pos[id], c.dueHart[id])
		c.want(j == 0 || d.key[d.heap[(j-1)/2]] <= d.key[id], "deadlines of hart %d: out of order at %d", i, j)
	}
	c.want(d.n == 0 && d.first == Never || d.n != 0 && d.first == d.key[d.heap[0]], "deadlines of hart %d: the first at %d", i, d.first)
	if t := h.Current(); t != nil {
		c.want(t.fpOn() == (h.fpOwner == t.id), "hart %d: floating-point unit on: %v, owner %d, running %d", i, t.fpOn(), h.fpOwner, t.id)
	}
	if h.fpOwner != 0 {
		o := &c.threads[h.fpOwner]
		c.want(o.state != threadGone && o.hart == h.index, "hart %d: thread %d in state %d on hart %d owns the floating-point unit", i, o.id, o.state, o.hart)
		c.want(c.numHarts == 1 || h.cur == o || !o.Frame.FPDirty() && o.fpu == m.unit.regs, "hart %d: thread %d can run elsewhere and has floating-point registers here", i, o.id)
	}
	c.wakeUps(i, ready)
	return ready
}

// queue checks the ready threads of a class on a hart and returns how many there are.
func (c *checker) queue(h *Hart, class abi.Class) (ready int) {
	l, prev := &h.ready[class], uint32(0)
	for j := l.head; j != 0; j = c.threads[j].next {
		t := &c.threads[j]
		c.want(t.prev == prev && t.state == threadReady && t.queue == h.index && t.class == class, "hart %d: ready queue of %v broken at thread %d", h.index, class, j)
		c.want(class >= t.proc.qos.Class() && class <= t.proc.effective(), "thread %d is ready as %v, its process works as %v", j, class, t.proc.effective())
		c.want(h.may(t.proc) || t.lent, "thread %d is queued on hart %d, its harts are %b", j, h.index, t.proc.qos.Harts())
		prev = j
		ready++
	}
	c.want(prev == l.tail, "hart %d: ready queue of %v ends at %d, tail says %d", h.index, class, prev, l.tail)
	c.want((prev != 0) == (h.waiting>>class&1 != 0), "hart %d: last ready thread of %v is %d, classes that wait %b", h.index, class, prev, h.waiting)
	return ready
}

// wakeUps checks that hart i will enter the kernel when it has something to do there.
func (c *checker) wakeUps(i, ready int) {
	h, m := &c.harts[i], &c.machine[i]
	n := h.Interrupts
	c.want(h.pending == m.sent, "hart %d: interrupt under way: %v, the kernel thinks %v", i, m.sent, h.pending)
	c.want(n.Sent <= n.Requested && n.Acknowledged+b2n(h.pending) == n.Sent && n.Trapped <= n.Acknowledged, "hart %d: interrupts %+v, one is under way: %v", i, n, h.pending)
	c.want(ready == 0 || h.cur == nil || h.sliceEnd <= c.clock+abi.MaxShare*shareNS, "hart %d: %d threads wait, and the slice of the running one ends at %d", i, ready, h.sliceEnd)
	if c.numHarts == 1 {
		c.want(h.cur != nil || ready == 0, "idle with %d ready", ready)
		return
	}
	idle := c.idle>>i&1 != 0
	if i >= c.numHarts {
		c.want(!idle, "hart %d does not exist and is idle", i)
		return
	}
	c.want(h.pending || idle == (h.cur == nil), "hart %d runs thread %d, and idle is %v", i, h.current(), idle)
	if ready != 0 && !h.pending {
		c.want(h.cur != nil && m.armed <= h.sliceEnd, "hart %d: %d threads wait for thread %d, whose slice ends at %d, and the timer is set to %d", i, ready, h.current(), h.sliceEnd, m.armed)
	}
	c.want(h.pending || m.armed <= h.deadline.first, "hart %d: a deadline at %d, and the timer is set to %d", i, h.deadline.first, m.armed)
}

func b2n(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// due reports whether entry id of the deadlines comes up by when, on some hart.
func (c *checker) due(id uint32, when int64) bool {
	at := c.dueHart[id]
	return at != 0 && c.harts[at-1].deadline.pos[id] != 0 && c.harts[at-1].deadline.key[id] <= max(when, 1)
}
