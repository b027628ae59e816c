package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
	"pgregory.net/rapid"
)

// chooser is where random decisions come from: rapid, or the bytes of a fuzzer.
type chooser interface {
	// upTo returns a number from 0 to n-1.
	upTo(n int) int
}

type rapidChooser struct{ t *rapid.T }

var rapidNumber = rapid.Uint32()

func (c rapidChooser) upTo(n int) int { return int(rapidNumber.Draw(c.t, "n") % uint32(n)) }

// byteChooser reads decisions from bytes, and zeroes when they are spent.
type byteChooser struct{ b []byte }

func (c *byteChooser) upTo(n int) int {
	if len(c.b) == 0 {
		return 0
	}
	v := uint32(c.b[0])
	c.b = c.b[1:]
	if n > 256 && len(c.b) > 0 {
		v |= uint32(c.b[0]) << 8
		c.b = c.b[1:]
	}
	return int(v % uint32(n))
}

// world is some processes that do anything, sensible and not, in any order.
type world struct {
	*sim
	chooser
	procs  []proc
	rights map[uint64][]uint64 // reply rights by pid, good and stale ones
	old    map[uint64][]uint64 // handles by pid that were good once
	sids   map[uint64]uint64   // of every pid
	floats map[floatKey]uint64 // what a thread has left in a floating-point register
}

// floatKey is a thread that lives or has.
type floatKey struct {
	pid, number uint64
}

// newWorld returns a world on a machine of so many harts.
func newWorld(tb testing.TB, c chooser, harts int) *world {
	w := &world{sim: newSMP(tb, harts), chooser: c, rights: map[uint64][]uint64{}, old: map[uint64][]uint64{}, sids: map[uint64]uint64{}, floats: map[floatKey]uint64{}}
	w.procs = []proc{w.root}
	w.sids[w.root.life] = w.root.sid
	for range 3 {
		w.child()
	}
	return w
}

// child spawns a process that has capabilities to talk with all others.
func (w *world) child() {
	h := w.spawnSpec(w.spec())
	if refusal(h) != abi.OK {
		return // the root process has lost what it needs
	}
	q := w.procOf(h)
	w.adopt(q)
	if w.upTo(3) == 0 && w.lookup(w.root.Process, hSpawn) != 0 {
		w.give(w.root, hSpawn, abi.RightManage, 0, q)
	}
	if w.upTo(2) == 0 && w.lookup(w.root.Process, hDevices) != 0 {
		w.give(w.root, hDevices, abi.RightManage, 0, q)
	}
	w.give(w.root, h, abi.RightRead|abi.RightManage|abi.RightGrant, 0, q) // itself
	recv := q.must(abi.SysEndpointCreate, uint64(1+w.upTo(6)), []uint64{0, 64, abi.MaxMessage}[w.upTo(3)])
	note := q.must(abi.SysNotificationCreate, uint64(w.upTo(100)))
	for _, p := range w.procs {
		if p.alive() && p.freeH != 0 {
			w.give(q, recv, abi.RightSend|abi.RightGrant, uint64(w.upTo(3)), p)
		}
		if p.alive() && p.freeH != 0 {
			w.give(q, note, abi.RightSignal|abi.RightGrant, 0, p)
		}
	}
}

func (w *world) adopt(q proc) {
	w.procs = append(w.procs, q)
	w.sids[q.life] = q.sid
}

// actor returns a process that can run, if there is one.
func (w *world) actor() (proc, bool) {
	first := w.upTo(len(w.procs))
	for i := range w.procs {
		q := w.procs[(first+i)%len(w.procs)]
		if q.alive() && !q.waits() {
			return q, true
		}
	}
	return proc{}, false
}

// handle returns a handle of q, mostly a good one of a kind.
func (w *world) handle(q proc, kind abi.Kind) uint64 {
	switch old := w.old[q.life]; {
	case w.upTo(16) == 0:
		return w.wild()
	case w.upTo(16) == 0 && len(old) > 0:
		return old[w.upTo(len(old))]
	}
	strict := w.upTo(8) != 0
	first := w.upTo(capsPerProcess)
	for i := range capsPerProcess {
		number := uint32((first+i)%capsPerProcess + 1)
		e := q.entry(number)
		if e.node == nil || strict && kind != abi.KindNone && e.node.kind != kind {
			continue
		}
		h := e.word>>32<<32 | uint64(number)
		w.old[q.life] = append(w.old[q.life], h)
		return h
	}
	return 0
}

// wild returns a number that is hardly ever right.
func (w *world) wild() uint64 {
	edges := [...]uint64{0, 1, 2, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097, abi.MaxMessage, abi.MaxMessage + 1,
		1 << 31, 1 << 32, 1<<32 - 1, 1<<32 + 1, 1 << 62, 1<<62 | 1, 1 << 63, ^uint64(0), ^uint64(0) - 4095,
		abi.UserBase, abi.UserEnd, abi.UserEnd - 1, abi.MapBase, abi.MapEnd, abi.HeapBase, abi.StackTop, abi.StartPage, 0x8020_0000}
	switch w.upTo(3) {
	case 0:
		return uint64(w.upTo(1<<16))<<w.upTo(48) | uint64(w.upTo(1<<16))
	default:
		return edges[w.upTo(len(edges))]
	}
}

// maybe returns v, but a wild number now and then.
func (w *world) maybe(v uint64) uint64 {
	if w.upTo(20) == 0 {
		return w.wild()
	}
	return v
}

func (w *world) pick(v ...uint64) uint64 { return w.maybe(v[w.upTo(len(v))]) }

func (w *world) address() uint64 {
	return w.pick(0, msgVA, recvVA, msgVA+100, abi.HeapBase+uint64(w.upTo(40))*abi.PageSize, abi.MapBase+uint64(w.upTo(8))*abi.PageSize, elftest.Hello().Entry, abi.StartPage)
}

func (w *world) due() uint64 {
	if w.upTo(2) == 0 {
		return 0
	}
	return w.maybe(uint64(w.clock + int64(w.upTo(2000)) - 100))
}

func (w *world) rightsArg() uint64 { return w.maybe(uint64(w.upTo(int(abi.AllRights) + 1))) }

// wait keeps the root process from waiting for ever, so that somebody can act.
func (w *world) waitDue(q proc) uint64 {
	if q.id == w.root.id {
		return uint64(w.clock + int64(w.upTo(500)))
	}
	return w.due()
}

// moved returns a capability to move along, mostly none.
func (w *world) moved(q proc) uint64 {
	if w.upTo(3) != 0 {
		return 0
	}
	return w.handle(q, abi.KindNone)
}

// counts is what a refused system call must leave as it was.
type counts struct {
	caps, calls, live            uint64
	eps, notes, tmrs, vmos, free uint32
	freeH                        uint32
	cur                          *Thread
	freeCalls                    *call
	regions                      int
}

func (w *world) counts(q proc) counts {
	return counts{w.capsUsed, w.callsUsed(), w.live, w.freeEPs, w.freeNotes, w.freeTmrs, w.freeVMOs, w.freeProcs, q.freeH, w.h.cur, q.freeCalls, q.numRegions}
}

// interrupts lets some of those that are under way come in, all of them on a machine
// of one hart.
func (w *world) interrupts() {
	for i := range w.numHarts {
		if w.numHarts == 1 || w.underWay(i) && w.upTo(2) == 0 {
			w.timerOr(i)
		}
	}
}

// float makes q change a floating-point register, which must hold what q left there.
func (w *world) float(q proc) {
	key := floatKey{q.life, w.number(q.main)}
	v := uint64(len(w.floats)+1)<<32 | uint64(w.traps)
	if old, ok := q.tryFloat(v); ok {
		if old != w.floats[key] {
			w.tb.Errorf("pid %d left %#x in a floating-point register and found %#x", q.life, w.floats[key], old)
		}
		w.floats[key] = v
	}
}

// step lets one process do one thing.
func (w *world) step() {
	w.console = w.console[:0]
	w.stir()
	q, ok := w.actor()
	if !ok || w.upTo(12) == 0 {
		w.clock += int64(w.upTo(400))
		w.interrupts()
		return
	}
	if w.numHarts > 1 && w.upTo(4) == 0 {
		w.interrupts()
		return
	}
	switch w.upTo(24) {
	case 0:
		if q.id == w.root.id {
			return // the end of the root process is the end of the world
		}
		q.access(w.address(), []sv39.Perm{sv39.R, sv39.W, sv39.X}[w.upTo(3)])
		return
	case 1:
		w.float(q)
		return
	case 2:
		if q.id != w.root.id && w.upTo(4) == 0 {
			q.fault([]uint64{hart.CauseFetchFault, hart.CauseIllegal, hart.CauseBreakpoint, hart.CauseLoadPage}[w.upTo(4)], w.wild())
		}
		return
	case 3:
		if len(w.procs) < 8 && !w.root.waits() && w.root.freeH != 0 && w.pool.Unreserved() > childBudget && w.root.acct.Limit()-w.root.acct.Used() > 8 {
			w.child()
		}
		return
	}
	num, r := w.arguments(q)
	q.schedule()
	before := w.counts(q)
	q.trap(num, &r)
	if !q.alive() || q.waits() || q.doomed {
		return
	}
	x := &q.main.Frame.X
	if errno := refusal(x[hart.A0]); errno != abi.OK {
		if after := w.counts(q); after != before {
			w.tb.Errorf("call %d of pid %d refused with %v: %+v before, %+v after", num, q.pid, errno, before, after)
		}
		return
	}
	if num == abi.SysThreadCreate && len(w.procs) < 12 {
		t := q
		t.main = &w.threadsOf(q.Process)[uint32(x[hart.A0])]
		w.adopt(t)
	}
	if num == abi.SysSpawn && w.procOfSpawn(q, x[hart.A0]).alive() {
		w.adopt(w.procOfSpawn(q, x[hart.A0]))
	}
}

func (w *world) procOfSpawn(q proc, h uint64) proc {
	return w.sim.life(&w.Kernel.procs[w.caps[w.lookup(q.Process, h)].obj])
}

// harvest looks at what arrived, and forgets the dead.
func (w *world) harvest() {
	live := w.procs[:0]
	for _, q := range w.procs {
		if !q.alive() {
			delete(w.rights, q.life)
			delete(w.old, q.life)
			continue
		}
		live = append(live, q)
		if q.waits() || q.main.Frame.X[hart.A7] == q.life { // seen
			continue
		}
		if e := q.event(); e.kind == abi.EventRequest && e.right&uint64(abi.ReplyBit) != 0 && e.right < 1<<63 {
			if i, errno := w.takenCall(q.Process, e.right); errno == abi.OK && w.calls[i].accept == e.cookie {
				if sid, ok := w.sids[e.length>>32]; !ok || sid != e.sid {
					w.tb.Errorf("request of pid %d stamped with service %#x, which is %#x", e.length>>32, e.sid, sid)
				}
				l := w.rights[q.life]
				if len(l) == 0 || l[len(l)-1] != e.right {
					w.rights[q.life] = append(l, e.right)
				}
			}
		}
	}
	w.procs = live
}

// finish ends everything and demands all of it back.
func (w *world) finish() {
	w.Shutdown()
	for i := range w.numHarts {
		if w.numHarts > 1 {
			w.Idle(i)
		}
	}
	w.check()
	w.allBack()
	w.plic.quiet()
}

// allBack checks that nothing is in use any more.
func (s *sim) allBack() {
	s.tb.Helper()
	if s.pool.Free() != s.free || s.pool.Unreserved() != s.free {
		s.tb.Errorf("%d frames free and %d unreserved of %d", s.pool.Free(), s.pool.Unreserved(), s.free)
	}
	if s.live|s.capsUsed|s.callsUsed() != 0 {
		s.tb.Errorf("%d processes, %d capabilities, %d calls left", s.live, s.capsUsed, s.callsUsed())
	}
	for i := range s.harts {
		if h := &s.harts[i]; h.deadline.n != 0 || h.cur != nil {
			s.tb.Errorf("hart %d has %d deadlines and runs thread %d", i, h.deadline.n, h.current())
		}
	}
	for _, l := range []struct {
		name  string
		n     int
		first uint32
		next  func(uint32) uint32
	}{
		{"processes", maxProcesses, s.freeProcs, func(i uint32) uint32 { return s.procs[i].next }},
		{"nodes", maxCaps, s.freeCaps, func(i uint32) uint32 { return s.caps[i].next }},
		{"endpoints", maxEndpoints, s.freeEPs, func(i uint32) uint32 { return s.endpoints[i].next }},
		{"notifications", maxNotifs, s.freeNotes, func(i uint32) uint32 { return s.notifs[i].next }},
		{"timers", maxTimers, s.freeTmrs, func(i uint32) uint32 { return s.timers[i].next }},
		{"memory objects", maxVMOs - 3, s.freeVMOs, func(i uint32) uint32 { return s.vmos[i].next }}, // 3 in the image
	} {
		if n := freeList(l.first, l.next); n != l.n {
			s.tb.Errorf("%d %s free of %d", n, l.name, l.n)
		}
	}
}

// play runs a random world for some steps.
func play(tb testing.TB, c chooser, harts, steps int) {
	w := newWorld(tb, c, harts)
	for i := 0; i < steps && w.root.alive(); i++ {
		w.step()
		w.harvest()
		if i%checkEvery == 0 {
			w.check()
		}
	}
	w.check()
	w.finish()
}

// checkEvery is how many steps there are from one look at all tables to the next: the
// look takes most of the time, and what is wrong in them hardly ever rights itself.
const checkEvery = 4

// Whatever processes do, all tables stay consistent, every refusal is documented
// and changes nothing, and at the end everything is back.
func TestPropertyRandomSystem(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		play(rapidTB{t, rt}, rapidChooser{rt}, rapid.IntRange(1, 4).Draw(rt, "harts"), rapid.IntRange(1, 250).Draw(rt, "steps"))
	})
}

// rapidTB fails a run of rapid instead of the test around it, so that rapid can
// look for a shorter one, and cleans up after each run: there is one arena at a
// time.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                           { r.t.Helper() }
func (r rapidTB) Cleanup(f func())                  { r.t.Cleanup(f) }
func (r rapidTB) Failed() bool                      { return r.t.Failed() }
func (r rapidTB) FailNow()                          { r.t.FailNow() }
func (r rapidTB) Fatal(args ...any)                 { r.t.Fatal(args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }
func (r rapidTB) Errorf(format string, args ...any) { r.t.Errorf(format, args...) }

func FuzzSystem(f *testing.F) {
	for seed := range 8 {
		b := make([]byte, 600)
		x := uint32(seed + 1)
		for i := range b {
			x = x*1664525 + 1013904223
			b[i] = byte(x >> 24)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &byteChooser{b}
		w := newWorld(t, c, 1+c.upTo(4))
		for n := 0; len(c.b) > 0 && n < 400 && w.root.alive(); n++ {
			w.step()
			w.harvest()
			if n%16 == 0 {
				w.check()
			}
		}
		w.check()
		w.finish()
	})
}
