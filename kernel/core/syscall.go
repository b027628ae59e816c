package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// syscalls are the system calls by number. What one of them returns is the error for
// the caller; without one, the results are in the registers of the thread, now or
// later.
var syscalls = [abi.SysCount]func(*Kernel, *Thread) abi.Errno{
	abi.SysNop:                (*Kernel).sysNop,
	abi.SysCall:               (*Kernel).sysCall,
	abi.SysReply:              (*Kernel).sysReply,
	abi.SysWait:               (*Kernel).sysWait,
	abi.SysExit:               (*Kernel).sysExit,
	abi.SysYield:              (*Kernel).sysYield,
	abi.SysSend:               (*Kernel).sysSend,
	abi.SysCancel:             (*Kernel).sysCancel,
	abi.SysNotify:             (*Kernel).sysNotify,
	abi.SysEndpointCreate:     (*Kernel).sysEndpointCreate,
	abi.SysNotificationCreate: (*Kernel).sysNotificationCreate,
	abi.SysTimerCreate:        (*Kernel).sysTimerCreate,
	abi.SysTimerSet:           (*Kernel).sysTimerSet,
	abi.SysCapCopy:            (*Kernel).sysCapCopy,
	abi.SysCapClose:           (*Kernel).sysCapClose,
	abi.SysCapRevoke:          (*Kernel).sysCapRevoke,
	abi.SysCapInfo:            (*Kernel).sysCapInfo,
	abi.SysVMOCreate:          (*Kernel).sysVMOCreate,
	abi.SysVMOMap:             (*Kernel).sysVMOMap,
	abi.SysUnmap:              (*Kernel).sysUnmap,
	abi.SysVMORead:            (*Kernel).sysVMORead,
	abi.SysVMOWrite:           (*Kernel).sysVMOWrite,
	abi.SysSpawn:              (*Kernel).sysSpawn,
	abi.SysProcessKill:        (*Kernel).sysProcessKill,
	abi.SysProcessInfo:        (*Kernel).sysProcessInfo,
	abi.SysProcessWatch:       (*Kernel).sysProcessWatch,
	abi.SysConsoleWrite:       (*Kernel).sysConsoleWrite,
	abi.SysFaultHandler:       (*Kernel).sysFaultHandler,
	abi.SysFaultDone:          (*Kernel).sysFaultDone,
	abi.SysSystemInfo:         (*Kernel).sysSystemInfo,
	abi.SysVMOProtect:         (*Kernel).sysVMOProtect,
	abi.SysVMOSeal:            (*Kernel).sysVMOSeal,
	abi.SysVMOResize:          (*Kernel).sysVMOResize,
	abi.SysDeviceInfo:         (*Kernel).sysDeviceInfo,
	abi.SysMMIOCreate:         (*Kernel).sysMMIOCreate,
	abi.SysMMIOMap:            (*Kernel).sysMMIOMap,
	abi.SysMMIORelease:        (*Kernel).sysMMIORelease,
	abi.SysIRQCreate:          (*Kernel).sysIRQCreate,
	abi.SysIRQBind:            (*Kernel).sysIRQBind,
	abi.SysIRQAck:             (*Kernel).sysIRQAck,
	abi.SysDMACreate:          (*Kernel).sysDMACreate,
	abi.SysDMAAddress:         (*Kernel).sysDMAAddress,
	abi.SysVMOExec:            (*Kernel).sysVMOExec,
	abi.SysThreadCreate:       (*Kernel).sysThreadCreate,
	abi.SysThreadExit:         (*Kernel).sysThreadExit,
	abi.SysThreadJoin:         (*Kernel).sysThreadJoin,
	abi.SysThreadSelf:         (*Kernel).sysThreadSelf,
	abi.SysFutexWait:          (*Kernel).sysFutexWait,
	abi.SysFutexWake:          (*Kernel).sysFutexWake,
	abi.SysProcessQoS:         (*Kernel).sysProcessQoS,
	abi.SysFlightRead:         (*Kernel).sysFlightRead,
}

// Syscall makes the system call that t wants, if the direct path could not.
//
//go:nosplit
func (k *Kernel) Syscall(t *Thread) {
	x := &t.Frame.X
	errno := abi.ENOSYS
	if x[hart.A7] < abi.SysCount {
		errno = syscalls[x[hart.A7]](k, t)
	}
	if errno != abi.OK {
		x[hart.A0] = uint64(-errno)
	}
}

func (k *Kernel) sysNop(t *Thread) abi.Errno {
	t.Frame.X[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysExit(t *Thread) abi.Errno {
	k.end(t.proc, int64(t.Frame.X[hart.A0]))
	return abi.OK
}

func (k *Kernel) sysYield(t *Thread) abi.Errno {
	t.Frame.X[hart.A0] = 0
	k.preempt()
	return abi.OK
}

func (k *Kernel) sysFaultHandler(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if h := x[hart.A0]; h != 0 && !sv39.UserRange(h, 4) {
		return abi.EINVAL
	}
	if x[hart.A1]&^abi.FaultSlices != 0 {
		return abi.EINVAL
	}
	p.handler, p.slices = x[hart.A0], x[hart.A0] != 0 && x[hart.A1] == abi.FaultSlices
	x[hart.A0] = 0
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
	x[hart.A3], x[hart.A4], x[hart.A5] = k.live, k.capsUsed, k.callsUsed()
	x[hart.A6], x[hart.A7] = k.switchCount(), k.dropped
	x[hart.S2] = uint64(k.idleNS)
	k.hartInfo(x)
	return abi.OK
}
