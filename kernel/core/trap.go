package core

import (
	"strconv"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// Direct handles the trap that ended the last run of t, the current process, if it
// is one of the few system calls for which every instruction counts, and reports
// whether it was. If not, nothing has changed and [Kernel.General] handles it.
func (k *Kernel) Direct(t *Thread) bool {
	if t.Frame.Cause != hart.CauseEcallU {
		return false
	}
	switch t.Frame.X[hart.A7] {
	case abi.SysCall:
		return k.callDirect(t)
	case abi.SysReply:
		return k.replyDirect(t)
	case abi.SysNop:
		t.Frame.X[hart.A0] = 0
		return true
	}
	return false
}

// Trap handles the trap that ended the last run of t, the current process.
func (k *Kernel) Trap(t *Thread) {
	if !k.Direct(t) {
		k.General(t)
	}
}

// General handles a trap that [Kernel.Direct] did not.
func (k *Kernel) General(t *Thread) {
	switch t.Frame.Cause {
	case hart.CauseEcallU:
		k.Syscall(t)
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
		k.Tick()
	case hart.CauseExternal:
		k.External()
	default:
		k.exception(t)
	}
}

// Syscall is General for a system call.
func (k *Kernel) Syscall(t *Thread) {
	if errno := k.syscall(t); errno != abi.OK {
		t.Frame.X[hart.A0] = uint64(-errno)
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

// syscall runs the system call in t's frame. The result is in its registers, in
// t or later, unless an error is returned.
func (k *Kernel) syscall(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	switch x[hart.A7] {
	case abi.SysCall:
		return k.sysCall(t)
	case abi.SysReply:
		return k.sysReply(t)
	case abi.SysWait:
		return k.sysWait(t)
	case abi.SysExit:
		k.end(p, int64(x[hart.A0]))
	case abi.SysYield:
		x[hart.A0] = 0
		k.preempt()
	case abi.SysSend:
		return k.sysSend(t)
	case abi.SysCancel:
		return k.sysCancel(t)
	case abi.SysNotify:
		return k.sysNotify(t)
	case abi.SysEndpointCreate:
		return k.sysEndpointCreate(t)
	case abi.SysNotificationCreate:
		return k.sysNotificationCreate(t)
	case abi.SysTimerCreate:
		return k.sysTimerCreate(t)
	case abi.SysTimerSet:
		return k.sysTimerSet(t)
	case abi.SysCapCopy:
		return k.sysCapCopy(t)
	case abi.SysCapClose:
		return k.sysCapClose(t)
	case abi.SysCapRevoke:
		return k.sysCapRevoke(t)
	case abi.SysCapInfo:
		return k.sysCapInfo(t)
	case abi.SysVMOCreate:
		return k.sysVMOCreate(t)
	case abi.SysVMOMap:
		return k.sysVMOMap(t)
	case abi.SysUnmap:
		return k.sysUnmap(t)
	case abi.SysVMORead:
		return k.sysVMORead(t)
	case abi.SysVMOWrite:
		return k.sysVMOWrite(t)
	case abi.SysSpawn:
		return k.sysSpawn(t)
	case abi.SysProcessKill:
		return k.sysProcessKill(t)
	case abi.SysProcessInfo:
		return k.sysProcessInfo(t)
	case abi.SysProcessWatch:
		return k.sysProcessWatch(t)
	case abi.SysConsoleWrite:
		return k.sysConsoleWrite(t)
	case abi.SysFaultHandler:
		if h := x[hart.A0]; h != 0 && !sv39.UserRange(h, 4) {
			return abi.EINVAL
		}
		if x[hart.A1]&^abi.FaultSlices != 0 {
			return abi.EINVAL
		}
		p.handler, p.slices = x[hart.A0], x[hart.A0] != 0 && x[hart.A1] == abi.FaultSlices
		x[hart.A0] = 0
	case abi.SysFaultDone:
		return k.sysFaultDone(t)
	case abi.SysSystemInfo:
		return k.sysSystemInfo(t)
	case abi.SysVMOProtect:
		return k.sysVMOProtect(t)
	case abi.SysVMOSeal:
		return k.sysVMOSeal(t)
	case abi.SysVMOResize:
		return k.sysVMOResize(t)
	case abi.SysDeviceInfo:
		return k.sysDeviceInfo(t)
	case abi.SysMMIOCreate:
		return k.sysMMIOCreate(t)
	case abi.SysMMIOMap:
		return k.sysMMIOMap(t)
	case abi.SysMMIORelease:
		return k.sysMMIORelease(t)
	case abi.SysIRQCreate:
		return k.sysIRQCreate(t)
	case abi.SysIRQBind:
		return k.sysIRQBind(t)
	case abi.SysIRQAck:
		return k.sysIRQAck(t)
	case abi.SysDMACreate:
		return k.sysDMACreate(t)
	case abi.SysDMAAddress:
		return k.sysDMAAddress(t)
	case abi.SysVMOExec:
		return k.sysVMOExec(t)
	case abi.SysThreadCreate:
		return k.sysThreadCreate(t)
	case abi.SysThreadExit:
		return k.sysThreadExit(t)
	case abi.SysThreadJoin:
		return k.sysThreadJoin(t)
	case abi.SysThreadSelf:
		return k.sysThreadSelf(t)
	case abi.SysFutexWait:
		return k.sysFutexWait(t)
	case abi.SysFutexWake:
		return k.sysFutexWake(t)
	default:
		return abi.ENOSYS
	}
	return abi.OK
}

func (k *Kernel) sysConsoleWrite(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindConsole, abi.RightWrite); errno != abi.OK {
		return errno
	}
	if x[hart.A2] > abi.MaxMessage {
		return abi.EINVAL
	}
	buf := k.scratch[:x[hart.A2]]
	if !p.space.CopyIn(buf, x[hart.A1]) {
		return abi.EFAULT
	}
	k.console(buf)
	x[hart.A0] = uint64(len(buf))
	return abi.OK
}

func (k *Kernel) sysSystemInfo(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindSpawn, abi.RightManage); errno != abi.OK {
		return errno
	}
	x[hart.A0], x[hart.A1], x[hart.A2] = uint64(k.pool.Total()), uint64(k.pool.Free()), uint64(k.pool.Unreserved())
	x[hart.A3], x[hart.A4], x[hart.A5] = k.live, k.capsUsed, k.callsUsed
	x[hart.A6], x[hart.A7] = k.switches, k.dropped
	x[hart.S2] = uint64(k.idleNS)
	k.hartInfo(x)
	return abi.OK
}
