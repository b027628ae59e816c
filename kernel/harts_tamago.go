//go:build tamago && riscv64

package kernel

import (
	"math"
	"slices"
	"sync/atomic"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/core"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// cpu is one hart's loop.
type cpu struct {
	l     *loop
	index int
	id    uint64 // as the machine names the hart
	armed int64  // when its timer interrupt comes
	h     *core.Hart
	lock  hart.Lock // held by the hart while it runs the kernel, and by whoever has all of it
	state atomic.Uint32
	entry hart.Entry
	g     any    // keeps the hart's g
	gAt   uint64 // address of the g that runs the loop
}

// States of a cpu.
const (
	cpuDown    = iota // has not started
	cpuUp             // waits for the kernel for the first time
	cpuRunning        // runs processes
	cpuParked         // will not run anything any more
)

// Stacks of the harts that the kernel starts, in bytes. The boot hart has its own.
const (
	stackSize = 64 << 10
	stackHole = mem.FrameSize // guard page below
)

// carveStacks takes the stacks of the other harts from the first free range and
// returns what the kernel maps then, with a hole below each stack.
func carveStacks(m *Machine) (regions []sv39.Region, stacks []mem.Range) {
	m.Others = m.Others[:min(len(m.Others), core.MaxHarts-1)]
	at := m.Free[0].Start
	for range m.Others {
		stacks = append(stacks, mem.Range{Start: at + stackHole, End: at + stackHole + stackSize})
		at += stackHole + stackSize
	}
	for _, r := range m.Map {
		if r.Start != m.Free[0].Start {
			regions = append(regions, r)
			continue
		}
		for _, s := range stacks {
			regions = append(regions, sv39.Region{Range: s, Perm: r.Perm})
		}
		r.Start = at
		regions = append(regions, r)
	}
	m.Free = slices.Clone(m.Free)
	m.Free[0].Start = at
	return regions, stacks
}

// startOthers starts the other harts, one after another, and takes the kernel for
// the hart that runs. A hart that does not come is reported, and the system runs
// without it.
func (l *loop) startOthers() {
	l.cpus = make([]cpu, 1+len(l.m.Others))
	for i := range l.cpus {
		l.cpus[i].l, l.cpus[i].index = l, i
	}
	l.cpus[0].id = l.m.Boot
	l.cpus[0].state.Store(cpuRunning)
	if len(l.m.Others) == 0 {
		return
	}
	l.takeAll()
	hart.Started = func(i int) { l.cpus[i].begin() }
	for i, id := range l.m.Others {
		c := &l.cpus[i+1]
		c.id = id
		var g uint64
		c.g, g = hartG(uintptr(l.stacks[i].Start), uintptr(l.stacks[i].End))
		c.entry = hart.Entry{SATP: kernelSATP(l.root), SP: uint64(l.stacks[i].End), G: g, Index: uint64(c.index)}
		err := bringUp(
			func() error { return l.m.Start(id, hart.EntryPC(), entryAddress(&c.entry)) },
			func() bool { return c.state.CompareAndSwap(cpuUp, cpuRunning) },
			func() bool { return l.m.Stopped(id) },
			l.now)
		if err != nil {
			print("KINIT: cpu", c.index, " not online: ", err.Error(), "\n")
			continue
		}
		l.kernel.Online(c.index)
		l.smp = true
		print("KINIT: cpu", c.index, " online\n")
	}
	if !l.smp {
		l.giveAll()
	}
}

// begin is where a started hart arrives.
func (c *cpu) begin() {
	if c.state.CompareAndSwap(cpuDown, cpuUp) {
		c.l.takeAll()
		if c.state.Load() == cpuRunning {
			c.run()
		}
		c.l.giveAll()
	}
	hart.Mask()
	c.state.Store(cpuParked)
}

// stopOthers waits until no other hart runs anything, and leaves the kernel to
// this one. A hart that does not stop within the time that it had to start is left.
func (l *loop) stopOthers() {
	if !l.smp {
		return
	}
	l.giveAll()
	for i := range l.cpus[1:] {
		c := &l.cpus[i+1]
		if c.state.Load() != cpuRunning {
			continue
		}
		l.m.Interrupt(c.id)
		for until := l.now() + startTimeoutNS; c.state.Load() == cpuRunning && l.now() < until; {
		}
	}
	l.takeAll()
	l.smp = false
	l.kernel.On(0)
}

// run is the hart loop. With several harts it is entered, and returns, with the
// kernel taken. It returns when the root process has ended.
func (c *cpu) run() {
	c.gAt = hart.G()
	h := c.l.kernel.On(c.index)
	c.h = h
	c.l.kernel.Tick()
	c.arm(h.SliceAlarm())
	for !c.l.over() {
		if t := h.Current(); t == nil {
			c.rest(h)
		} else if c.l.smp {
			c.runShared(h, t)
		} else {
			c.runAlone(h, t)
		}
	}
}

// runAlone runs t, and whatever is current after it, until nothing is or the root
// process has ended. It is for a system of one hart.
func (c *cpu) runAlone(h *core.Hart, t *core.Thread) {
	k := c.l.kernel
	for t != nil {
		if alarm := h.Alarm(); alarm < c.armed {
			c.arm(alarm)
		}
		t = c.enter(k, t)
		if t.Frame.Full == 0 {
			k.Syscall(t)
		} else {
			c.trap(h, t)
		}
		if _, ended := k.Ended(); ended {
			return
		}
		t = h.Current()
	}
}

// trap handles a trap of t that is no system call.
func (c *cpu) trap(h *core.Hart, t *core.Thread) {
	timer := t.Frame.Cause == hart.CauseTimer
	c.l.kernel.General(t)
	if timer {
		c.arm(h.SliceAlarm())
		c.l.faults.provoke()
	}
}

// lower makes the timer interrupt come earlier if it has to.
func (c *cpu) lower(h *core.Hart) {
	if alarm := h.Alarm(); alarm < c.armed {
		c.arm(alarm)
	}
}

// enter runs t, and then those to whom each hands the hart directly, and returns the
// one whose trap is for the general path. The register frame of a message's receiver
// lacks the message: it goes from the sender's frame into the processor.
//
// A plain message is handed over as it is. Any other is carried, and so is the reply to a
// client that does not wait, which only the attempt tells. What no direct path takes is
// for the general one.
//
//go:nosplit
func (c *cpu) enter(k *core.Kernel, t *core.Thread) *core.Thread {
	from, h := &t.Frame, c.h
	for {
		hart.Enter(&t.Frame, from)
		if t.Frame.Full != 0 {
			return t
		}
		var next *core.Thread
		due := uint64(0)
		switch t.Frame.X[hart.A7] {
		case abi.SysCall:
			if t.Plain() {
				next, due = k.CallDirect(h, t, t.Frame.X[hart.A1])
			} else {
				next, due = k.CarryCall(t)
			}
		case abi.SysReply:
			if t.Plain() {
				if next, due = k.ReplyDirect(h, t, t.Frame.X[hart.A1]); next != nil {
					break
				}
			}
			next, due = k.CarryReply(t)
		case abi.SysNop:
			t.Frame.X[hart.A0] = 0
			next = t
		default:
			return t
		}
		if next == nil {
			return t
		}
		if due != 0 {
			c.lower(k.ArmDue(t))
		}
		from, t = &t.Frame, next
	}
}

// takeAll makes the kernel the hart's alone: no other one runs it, not even the direct
// path. The locks are taken in the order of the harts, so that two that want all of
// them do not wait for each other.
func (l *loop) takeAll() {
	for i := range l.cpus {
		l.cpus[i].lock.Lock()
	}
}

// giveAll lets others run the kernel.
func (l *loop) giveAll() {
	for i := range l.cpus {
		l.cpus[i].lock.Unlock()
	}
}

// enterShared runs t, and then those to whom each hands the hart directly between
// processes that only this hart has to do with, under its own lock. It returns the one
// whose trap is not of this kind.
//
//go:nosplit
func (c *cpu) enterShared(k *core.Kernel, h *core.Hart, t *core.Thread) *core.Thread {
	for {
		hart.Enter(&t.Frame, &t.Frame)
		if t.Frame.Full != 0 {
			return t
		}
		c.lock.Lock()
		next := k.DirectAtHome(h, t)
		if next == nil {
			c.lock.Unlock()
			return t
		}
		hart.SetSATP(next.Frame.SATP) // see runShared
		c.lock.Unlock()
		t = next
	}
}

// runShared runs t, and those to whom it hands the hart, until a trap that takes the
// kernel for itself, and handles that. No lock is held while they run.
func (c *cpu) runShared(h *core.Hart, t *core.Thread) {
	k := c.l.kernel
	c.lower(h)
	// Out of the space of whoever ran before: its tables may be freed as soon as
	// another hart runs the kernel.
	hart.SetSATP(t.Frame.SATP)
	c.l.giveAll()
	t = c.enterShared(k, h, t)
	c.l.takeAll()
	k.On(c.index)
	if t.Frame.Interrupted(hart.CauseSoftware) {
		// Also if t is doomed: an interrupt that is not acknowledged would keep all
		// later ones from being sent.
		hart.TakeInterrupt()
		k.Interrupted(true)
	}
	if c.l.over() || k.Doomed(t) {
		return
	}
	if t.Frame.Full == 0 {
		k.Trap(t)
	} else {
		c.trap(h, t)
	}
}

// rest waits for work.
func (c *cpu) rest(h *core.Hart) {
	if alarm := h.Alarm(); alarm != c.armed {
		c.arm(alarm) // no slice ends while nothing runs
	}
	woken := c.wait()
	if !c.l.over() {
		if c.index == 0 {
			c.l.kernel.External() // devices interrupt the boot hart
		}
		c.l.kernel.TickAt(woken)
		c.arm(h.SliceAlarm())
	}
}

// over reports whether the root process has ended. Then the boot hart must hear of
// it, wherever it is.
func (l *loop) over() bool {
	_, ended := l.kernel.Ended()
	if ended {
		l.tell()
	}
	return ended
}

// tell makes the boot hart enter the kernel if another has to.
func (l *loop) tell() {
	if l.smp {
		l.m.Interrupt(l.cpus[0].id)
	}
}

// wait halts the hart until an interrupt is pending, and returns the time of that.
func (c *cpu) wait() int64 {
	l := c.l
	k := l.kernel
	if l.smp {
		hart.SetSATP(kernelSATP(l.root))
		k.Idle(c.index)
		l.giveAll()
	}
	from := l.now()
	hart.Wait()
	to := l.now()
	if l.smp {
		l.takeAll()
		k.On(c.index)
		k.Awake(c.index)
		if hart.TakeInterrupt() {
			k.Interrupted(false)
		}
	}
	k.Idled(to - from)
	return to
}

// arm programs the hart's timer for a time in nanoseconds.
func (c *cpu) arm(at int64) {
	c.armed = at
	tick := uint64(math.MaxUint64)
	if at != core.Never {
		tick = uint64((at + c.l.tickNS - 1) / c.l.tickNS)
	}
	if c.l.m.SetTimer == nil {
		hart.SetTimeCompare(tick)
	} else {
		c.l.m.SetTimer(tick)
	}
}

// interrupt makes hart i enter the kernel.
func (l *loop) interrupt(i int) { l.m.Interrupt(l.cpus[i].id) }

// fenceSpace discards what this hart has cached of an address space. Its tables may
// have been freed already, so the hart leaves it first if it is still in it; no other
// can be.
func (l *loop) fenceSpace(asid uint64) {
	if hart.SATP()>>asidShift&asidMask == asid {
		hart.SetSATP(kernelSATP(l.root))
	}
	hart.FenceASID(asid)
}

// fenceCode makes all harts see, as instructions, what was written to memory.
func (l *loop) fenceCode() {
	hart.FenceCode()
	if !l.smp {
		return
	}
	self := l.kernel.Self()
	for i := range l.cpus {
		if c := &l.cpus[i]; i != self && c.state.Load() == cpuRunning {
			l.m.FenceCode(c.id)
		}
	}
}

// fenceOthers discards what the harts of the set, of which this is none, have cached
// of a range of an address space.
func (l *loop) fenceOthers(harts, va, size, asid uint64) {
	for i := range l.cpus {
		if c := &l.cpus[i]; harts>>i&1 != 0 && c.state.Load() == cpuRunning {
			l.m.Fence(c.id, va, size, asid)
		}
	}
}
