package core

import (
	"strconv"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// Trap handles the trap that ended the last run of t, the current thread, which had no
// direct path, and leaves all registers of the next one in its frame.
func (k *Kernel) Trap(t *Thread) {
	var next *Thread
	due := uint64(0)
	if t.Frame.Full == 0 {
		switch t.Frame.X[hart.A7] {
		case abi.SysCall:
			next, due = k.CarryCall(t)
		case abi.SysReply:
			next, due = k.CarryReply(t)
		}
	}
	if next == nil {
		k.General(t)
		return
	}
	if due != 0 {
		k.ArmDue(t)
	}
	if k.numHarts > 1 {
		k.cross(next)
	}
	next.Frame.TakePayload(&t.Frame)
}

// General handles a trap of t that is not for the direct path.
func (k *Kernel) General(t *Thread) {
	if t.Frame.Full == 0 {
		k.Syscall(t)
		return
	}
	switch t.Frame.Cause {
	case hart.CauseLoadPage:
		k.pageFault(t, sv39.Perm(sv39.R))
	case hart.CauseStorePage:
		k.pageFault(t, sv39.Perm(sv39.W))
	case hart.CauseFetchPage:
		k.pageFault(t, sv39.Perm(sv39.X))
	case hart.CauseIllegal:
		if k.h.fpOwner != t.id {
			// Perhaps a floating-point instruction with the unit off. If it is
			// illegal for another reason it traps again.
			k.fpTake(t)
			return
		}
		k.exception(t)
	case hart.CauseTimer:
		k.sliceUpcall(t)
		k.Tick()
	case hart.CauseSoftware:
		k.h.note(abi.FlightInterrupt, t.id, hart.CauseSoftware&^hart.CauseInterrupt)
		k.Tick()
	case hart.CauseExternal:
		k.h.note(abi.FlightInterrupt, t.id, hart.CauseExternal&^hart.CauseInterrupt)
		k.External()
	default:
		k.exception(t)
	}
}

// pageFault gives t the page it touched, or treats the access as an exception.
func (k *Kernel) pageFault(t *Thread, need sv39.Perm) {
	p := t.proc
	switch k.touch(p, t.Frame.Tval, need) {
	case touchOK:
		p.faults++
		// Another hart that runs p faults by itself.
		k.fencePage(t.Frame.Tval, p.asid)
	case touchNoMem:
		k.h.note(abi.FlightFault, t.id, uint32(t.Frame.Cause))
		k.record(t)
		k.end(p, abi.ExitNoMem)
	default:
		k.exception(t)
	}
}

// exception delivers the exception in t's frame to the handler of its process, or ends
// that.
func (k *Kernel) exception(t *Thread) {
	p, f := t.proc, &t.Frame
	k.h.note(abi.FlightFault, t.id, uint32(f.Cause))
	if p.handler == 0 || t.inFault {
		k.record(t)
		k.end(p, abi.ExitFault)
		return
	}
	t.inFault = true
	f.X[hart.A0], f.X[hart.A1], f.X[hart.A2] = f.Cause, f.Tval, f.X[0]
	f.X[0] = p.handler
}

// sliceUpcall enters the handler of the process of t, which a timer interrupt found
// running, if it wants to know of the end of a time slice and one has passed since the
// last time that any thread was told. A thread that runs most of the time is told most
// often.
func (k *Kernel) sliceUpcall(t *Thread) {
	now := k.now()
	if now < k.h.upcallAt {
		return
	}
	k.h.upcallAt = now + sliceNS
	p, f := t.proc, &t.Frame
	if !p.slices || t.inFault {
		return
	}
	t.inFault, t.inSlice = true, true
	t.saved = f.X
	f.X[hart.A0], f.X[hart.A1], f.X[hart.A2] = f.Cause, f.X[hart.SP], f.X[0]
	f.X[0] = p.handler
}

// sysFaultDone ends the handling of a fault, or of the end of a time slice, and then
// gives t its registers back.
func (k *Kernel) sysFaultDone(t *Thread) abi.Errno {
	x := &t.Frame.X
	if x[hart.A0] == 0 {
		t.inFault, t.inSlice = false, false
		return abi.OK
	}
	if x[hart.A0] != 1 || !t.inSlice {
		return abi.EINVAL
	}
	pc, sp, ra := x[hart.A1], x[hart.A2], x[hart.A3]
	*x = t.saved
	t.Frame.Full = 1
	if pc != 0 {
		x[0], x[hart.SP], x[hart.RA] = pc, sp, ra
	}
	t.inFault, t.inSlice = false, false
	return abi.OK
}

// record notes which exception of t ends its process and says so on the console.
func (k *Kernel) record(t *Thread) {
	p, f := t.proc, &t.Frame
	p.faultCause, p.faultPC, p.faultAddr = f.Cause, f.X[0], f.Tval
	b := append(k.scratch[:0], "kernel: fault: "...)
	b = append(b, p.name[:p.nameN]...)
	b = append(b, " pid="...)
	b = strconv.AppendUint(b, p.pid, 10)
	b = append(b, " scause="...)
	b = strconv.AppendUint(b, f.Cause, 10)
	b = append(b, " pc=0x"...)
	b = strconv.AppendUint(b, f.X[0], 16)
	b = append(b, " addr=0x"...)
	b = strconv.AppendUint(b, f.Tval, 16)
	b = append(b, '\n')
	k.console(b)
}
