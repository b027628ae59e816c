package core

import (
	"strconv"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// Direct handles the trap that ended the last run of p, the current process, if it
// is one of the few system calls for which every instruction counts, and reports
// whether it was. If not, nothing has changed and [Kernel.General] handles it.
func (k *Kernel) Direct(p *Process) bool {
	if p.Frame.Cause != hart.CauseEcallU {
		return false
	}
	switch p.Frame.X[hart.A7] {
	case abi.SysCall:
		return k.callDirect(p)
	case abi.SysReply:
		return k.replyDirect(p)
	case abi.SysNop:
		p.Frame.X[hart.A0] = 0
		return true
	}
	return false
}

// Trap handles the trap that ended the last run of p, the current process.
func (k *Kernel) Trap(p *Process) {
	if !k.Direct(p) {
		k.General(p)
	}
}

// General handles a trap that [Kernel.Direct] did not.
func (k *Kernel) General(p *Process) {
	switch p.Frame.Cause {
	case hart.CauseEcallU:
		k.Syscall(p)
	case hart.CauseLoadPage:
		k.pageFault(p, sv39.Perm(sv39.R))
	case hart.CauseStorePage:
		k.pageFault(p, sv39.Perm(sv39.W))
	case hart.CauseFetchPage:
		k.pageFault(p, sv39.Perm(sv39.X))
	case hart.CauseIllegal:
		if k.h.fpOwner != p.id {
			// Perhaps a floating-point instruction with the unit off. If it is
			// illegal for another reason it traps again.
			k.fpTake(p)
			return
		}
		k.exception(p)
	case hart.CauseTimer:
		k.sliceUpcall(p)
		k.Tick()
	case hart.CauseSoftware:
		k.Tick()
	case hart.CauseExternal:
		k.External()
	default:
		k.exception(p)
	}
}

// Syscall is General for a system call.
func (k *Kernel) Syscall(p *Process) {
	if errno := k.syscall(p); errno != abi.OK {
		p.Frame.X[hart.A0] = uint64(-errno)
	}
}

// pageFault gives p the page it touched, or treats the access as an exception.
func (k *Kernel) pageFault(p *Process, need sv39.Perm) {
	switch k.touch(p, p.Frame.Tval, need) {
	case touchOK:
		k.fencePage(p.Frame.Tval, p.asid, 0) // no other hart runs p
	case touchNoMem:
		k.record(p)
		k.end(p, abi.ExitNoMem)
	default:
		k.exception(p)
	}
}

// exception delivers the exception in p's frame to its handler, or ends p.
func (k *Kernel) exception(p *Process) {
	f := &p.Frame
	if p.handler == 0 || p.inFault {
		k.record(p)
		k.end(p, abi.ExitFault)
		return
	}
	p.inFault = true
	f.X[hart.A0], f.X[hart.A1], f.X[hart.A2] = f.Cause, f.Tval, f.X[0]
	f.X[0] = p.handler
}

// sliceUpcall enters the handler of p, which a timer interrupt found running, if it
// wants to know of the end of a time slice and one has passed since the last time
// that any process was told. A process that runs most of the time is told most often.
func (k *Kernel) sliceUpcall(p *Process) {
	now := k.now()
	if now < k.h.upcallAt {
		return
	}
	k.h.upcallAt = now + sliceNS
	if !p.slices || p.inFault {
		return
	}
	f := &p.Frame
	p.inFault, p.inSlice = true, true
	p.saved = f.X
	f.X[hart.A0], f.X[hart.A1], f.X[hart.A2] = f.Cause, f.X[hart.SP], f.X[0]
	f.X[0] = p.handler
}

// sysFaultDone ends the handling of a fault, or of the end of a time slice, and then
// gives p its registers back.
func (k *Kernel) sysFaultDone(p *Process) abi.Errno {
	x := &p.Frame.X
	if x[hart.A0] == 0 {
		p.inFault, p.inSlice = false, false
		return abi.OK
	}
	if x[hart.A0] != 1 || !p.inSlice {
		return abi.EINVAL
	}
	pc, sp, ra := x[hart.A1], x[hart.A2], x[hart.A3]
	*x = p.saved
	p.Frame.Full = 1
	if pc != 0 {
		x[0], x[hart.SP], x[hart.RA] = pc, sp, ra
	}
	p.inFault, p.inSlice = false, false
	return abi.OK
}

// record notes which exception ends p and says so on the console.
func (k *Kernel) record(p *Process) {
	f := &p.Frame
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

// syscall runs the system call in p's frame. The result is in its registers, in
// p or later, unless an error is returned.
func (k *Kernel) syscall(p *Process) abi.Errno {
	x := &p.Frame.X
	switch x[hart.A7] {
	case abi.SysCall:
		return k.sysCall(p)
	case abi.SysReply:
		return k.sysReply(p)
	case abi.SysWait:
		return k.sysWait(p)
	case abi.SysExit:
		k.end(p, int64(x[hart.A0]))
	case abi.SysYield:
		x[hart.A0] = 0
		k.preempt()
	case abi.SysSend:
		return k.sysSend(p)
	case abi.SysCancel:
		return k.sysCancel(p)
	case abi.SysNotify:
		return k.sysNotify(p)
	case abi.SysEndpointCreate:
		return k.sysEndpointCreate(p)
	case abi.SysNotificationCreate:
		return k.sysNotificationCreate(p)
	case abi.SysTimerCreate:
		return k.sysTimerCreate(p)
	case abi.SysTimerSet:
		return k.sysTimerSet(p)
	case abi.SysCapCopy:
		return k.sysCapCopy(p)
	case abi.SysCapClose:
		return k.sysCapClose(p)
	case abi.SysCapRevoke:
		return k.sysCapRevoke(p)
	case abi.SysCapInfo:
		return k.sysCapInfo(p)
	case abi.SysVMOCreate:
		return k.sysVMOCreate(p)
	case abi.SysVMOMap:
		return k.sysVMOMap(p)
	case abi.SysUnmap:
		return k.sysUnmap(p)
	case abi.SysVMORead:
		return k.sysVMORead(p)
	case abi.SysVMOWrite:
		return k.sysVMOWrite(p)
	case abi.SysSpawn:
		return k.sysSpawn(p)
	case abi.SysProcessKill:
		return k.sysProcessKill(p)
	case abi.SysProcessInfo:
		return k.sysProcessInfo(p)
	case abi.SysProcessWatch:
		return k.sysProcessWatch(p)
	case abi.SysConsoleWrite:
		return k.sysConsoleWrite(p)
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
		return k.sysFaultDone(p)
	case abi.SysSystemInfo:
		return k.sysSystemInfo(p)
	case abi.SysVMOProtect:
		return k.sysVMOProtect(p)
	case abi.SysVMOSeal:
		return k.sysVMOSeal(p)
	case abi.SysVMOResize:
		return k.sysVMOResize(p)
	case abi.SysDeviceInfo:
		return k.sysDeviceInfo(p)
	case abi.SysMMIOCreate:
		return k.sysMMIOCreate(p)
	case abi.SysMMIOMap:
		return k.sysMMIOMap(p)
	case abi.SysMMIORelease:
		return k.sysMMIORelease(p)
	case abi.SysIRQCreate:
		return k.sysIRQCreate(p)
	case abi.SysIRQBind:
		return k.sysIRQBind(p)
	case abi.SysIRQAck:
		return k.sysIRQAck(p)
	case abi.SysDMACreate:
		return k.sysDMACreate(p)
	case abi.SysDMAAddress:
		return k.sysDMAAddress(p)
	case abi.SysVMOExec:
		return k.sysVMOExec(p)
	default:
		return abi.ENOSYS
	}
	return abi.OK
}

func (k *Kernel) sysConsoleWrite(p *Process) abi.Errno {
	x := &p.Frame.X
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

func (k *Kernel) sysSystemInfo(p *Process) abi.Errno {
	x := &p.Frame.X
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
