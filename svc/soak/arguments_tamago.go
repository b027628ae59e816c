//go:build tamago && riscv64

package soak

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// talk are the system calls that fuzzers make more often than others.
var talk = [...]uint64{abi.SysCall, abi.SysWait, abi.SysReply, abi.SysSend, abi.SysNotify}

// arguments chooses a system call that makes some sense.
func (f *fuzzer) arguments(r *ipc.Regs) (num uint64) {
	num = f.n(abi.SysCount + 1)
	if f.n(3) == 0 {
		num = talk[f.n(uint64(len(talk)))]
	}
	switch num {
	case abi.SysExit, abi.SysThreadExit:
		f.quit()
		num = abi.SysNop
	case abi.SysProcessKill:
		if f.n(4) != 0 {
			num = abi.SysProcessInfo
		}
	case abi.SysVMOSeal, abi.SysCapRevoke:
		if f.n(8) != 0 {
			num = abi.SysCapInfo
		}
	}
	f.fill(num, r)
	return num
}

// fill chooses the arguments of a system call.
func (f *fuzzer) fill(num uint64, r *ipc.Regs) {
	a := &r.A
	noWait := uint64(abi.FlagNoWait)
	if f.n(8) == 0 {
		noWait = 0
	}
	length := [...]uint64{0, 8, 16, 32, 64, 64, 64, 65, 256, 5000, abi.MaxMessage}[f.n(11)]
	switch num {
	case abi.SysWait:
		a[1], a[2], a[6], r.S10 = noWait, f.served[f.n(handlesKept)], f.buffer(), f.next()
	case abi.SysCall:
		*a = [8]uint64{f.handle(abi.KindEndpoint), length | noWait | f.n(2)*abi.FlagDropGrant, f.n(16), f.due(), f.moved(), f.buffer(), f.buffer()}
	case abi.SysReply:
		*a = [8]uint64{f.rights[f.n(rightsKept)], length | noWait, f.served[f.n(handlesKept)], 0, f.moved(), f.buffer(), f.buffer()}
		r.S10 = f.next()
	case abi.SysSend:
		a[0], a[1], a[4] = f.handle(abi.KindEndpoint), min(length, 64), f.moved()
	case abi.SysCancel:
		a[2] = f.n(16)
	case abi.SysNotify:
		a[0], a[1] = f.handle(abi.KindNotification), f.n(16)
	case abi.SysEndpointCreate:
		a[0], a[1] = 1+f.n(8), [...]uint64{0, 64, abi.MaxMessage}[f.n(3)]
	case abi.SysNotificationCreate:
		a[0] = f.next()
	case abi.SysTimerCreate:
		a[0], a[1] = f.handle(abi.KindNotification), 1+f.n(15)
	case abi.SysTimerSet:
		a[0], a[1] = f.handle(abi.KindTimer), f.due()*f.n(2)
	case abi.SysCapCopy:
		a[0], a[1] = f.handle(abi.KindNone), f.n(uint64(abi.AllRights)+1)
		if f.n(2) == 0 {
			a[1] &= uint64(abi.RightSend | abi.RightSignal | abi.RightRead | abi.RightGrant)
		}
	case abi.SysVMOCreate:
		a[0] = f.n(16 * abi.PageSize)
	case abi.SysVMOMap:
		*a = [8]uint64{f.handle(abi.KindVMO), 0, f.n(2) * abi.PageSize, f.pages(), uint64(abi.RightRead) | f.n(2)*uint64(abi.RightWrite)}
	case abi.SysUnmap:
		m := &f.maps[f.n(mapsKept)]
		a[0], a[1] = m.at, m.length
		m.length = 0
	case abi.SysVMOProtect:
		m := f.maps[f.n(mapsKept)]
		a[0], a[1], a[2], a[3] = f.handle(abi.KindVMO), uint64(abi.RightRead)|f.n(2)*uint64(abi.RightWrite), m.at, m.length
	case abi.SysVMOResize:
		a[0], a[1] = f.handle(abi.KindVMO), f.n(16*abi.PageSize)
	case abi.SysVMORead, abi.SysVMOWrite:
		*a = [8]uint64{f.handle(abi.KindVMO), f.n(8 * abi.PageSize), f.buffer(), length}
	case abi.SysVMOExec:
		a[0], a[1] = childSpawn, f.handle(abi.KindVMO)
	case abi.SysSpawn: // see child
		a[0], a[1] = childSpawn, f.buffer()
	case abi.SysProcessWatch:
		a[0], a[1], a[2] = f.handle(abi.KindProcess), f.handle(abi.KindNotification), f.n(4)
	case abi.SysProcessKill, abi.SysProcessInfo:
		a[0] = f.handle(abi.KindProcess)
	case abi.SysFaultHandler:
		a[0], a[1] = f.n(2)*f.entries[2], abi.FaultSlices
	case abi.SysThreadJoin:
		a[0] = f.threads[f.n(handlesKept)]
	case abi.SysFutexWait:
		a[0], a[1] = f.word(), 0
	case abi.SysFutexWake:
		a[0], a[1] = f.word(), f.n(4)
	default:
		a[0] = f.handle(abi.KindNone)
	}
}
