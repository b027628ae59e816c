package core

import (
	"encoding/binary"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
)

// arguments returns a system call of q that makes some sense.
func (w *world) arguments(q proc) (num uint64, r regs) {
	num = uint64(w.upTo(abi.SysCount + 1))
	if w.upTo(3) == 0 { // more of what talks
		num = []uint64{abi.SysCall, abi.SysWait, abi.SysReply, abi.SysSend, abi.SysNotify}[w.upTo(5)]
	}
	a := &r.A
	for i := range r.Data {
		r.Data[i] = uint64(i)
	}
	noWait := w.pick(0, abi.FlagNoWait, abi.FlagNoWait, abi.FlagNoWait|abi.FlagDropGrant)
	length := w.pick(0, 8, 64, 64, 65, 5000, abi.MaxMessage)
	switch num {
	case abi.SysExit:
		if w.upTo(4) != 0 || q.id == w.root.id {
			num = abi.SysNop
		}
	case abi.SysWait:
		a[1], a[2], a[3], a[6], r.S10 = noWait, w.pick(0, w.handle(q, abi.KindEndpoint)), w.waitDue(q), w.address(), uint64(w.upTo(100))
	case abi.SysCall:
		*a = [7]uint64{w.handle(q, abi.KindEndpoint), length | noWait, uint64(w.upTo(8)), w.due(), w.moved(q), w.address(), w.address()}
		r.S10 = w.waitDue(q)
	case abi.SysReply:
		right := w.wild()
		if l := w.rights[q.life]; len(l) > 0 {
			right = l[max(0, len(l)-1-w.upTo(4))]
		}
		*a = [7]uint64{right, length | noWait, w.pick(0, w.handle(q, abi.KindEndpoint)), w.waitDue(q), w.moved(q), w.address(), w.address()}
		r.S10 = uint64(w.upTo(100))
	case abi.SysSend:
		a[0], a[1], a[4] = w.handle(q, abi.KindEndpoint), length|w.pick(0, abi.FlagDropGrant), w.moved(q)
	case abi.SysCancel:
		a[2] = uint64(w.upTo(8))
	case abi.SysNotify:
		a[0], a[1] = w.handle(q, abi.KindNotification), w.maybe(1)
	case abi.SysEndpointCreate:
		a[0], a[1] = w.maybe(uint64(w.upTo(5))), w.pick(0, 64, abi.MaxMessage)
	case abi.SysTimerCreate:
		a[0], a[1] = w.handle(q, abi.KindNotification), w.maybe(uint64(w.upTo(4)))
	case abi.SysTimerSet:
		a[0], a[1] = w.handle(q, abi.KindTimer), w.due()
	case abi.SysCapCopy:
		a[0], a[1], a[2] = w.handle(q, abi.KindNone), w.rightsArg(), uint64(w.upTo(2))
	case abi.SysCapClose, abi.SysCapRevoke:
		a[0] = w.handle(q, abi.KindNone)
		if w.upTo(3) != 0 || q.id == w.root.id && a[0]&^255 == 1<<32 { // the world goes on
			num = abi.SysCapInfo
		}
	case abi.SysCapInfo:
		a[0] = w.handle(q, abi.KindNone)
	case abi.SysVMOCreate:
		a[0] = w.maybe(uint64(w.upTo(6 * abi.PageSize)))
	case abi.SysVMOMap:
		*a = [7]uint64{w.handle(q, abi.KindVMO), w.pick(0, abi.MapBase+uint64(w.upTo(8))*abi.PageSize), w.pick(0, abi.PageSize), w.pick(1, 2, 4) * abi.PageSize, w.pick(1<<4, 3<<4, 5<<4, w.rightsArg())}
	case abi.SysUnmap:
		a[0], a[1] = w.maybe(abi.MapBase+uint64(w.upTo(8))*abi.PageSize), w.pick(1, 2, 4)*abi.PageSize
		if q.numRegions > 0 {
			if r := q.regions[w.upTo(q.numRegions)]; w.upTo(2) == 0 {
				a[0], a[1] = r.start, r.end-r.start
			}
		}
	case abi.SysVMOProtect:
		*a = [7]uint64{w.handle(q, abi.KindVMO), w.pick(1<<4, 3<<4, w.rightsArg()), w.maybe(abi.MapBase + uint64(w.upTo(8))*abi.PageSize), w.pick(1, 2, 4) * abi.PageSize}
		if r := q.regions[w.upTo(max(1, q.numRegions))]; r.user {
			a[2], a[3] = r.start, r.end-r.start
		}
	case abi.SysVMOSeal:
		a[0] = w.handle(q, abi.KindVMO)
		if w.upTo(2) != 0 {
			num = abi.SysCapInfo
		}
	case abi.SysVMOExec:
		a[0], a[1] = w.handle(q, abi.KindSpawn), w.handle(q, abi.KindVMO)
	case abi.SysVMOResize:
		a[0], a[1] = w.handle(q, abi.KindVMO), w.maybe(uint64(w.upTo(6*abi.PageSize)))
	case abi.SysVMORead, abi.SysVMOWrite:
		*a = [7]uint64{w.handle(q, abi.KindVMO), w.maybe(uint64(w.upTo(2 * abi.PageSize))), w.address(), length}
	case abi.SysSpawn:
		sp := w.spec(abi.SpawnCap{Handle: abi.Handle(w.handle(q, abi.KindNone)), Rights: abi.Rights(w.rightsArg()), Badge: uint64(w.upTo(2))})
		sp.Frames = w.pick(childBudget, childBudget, minFrames-1, minFrames, 40, 1<<30)
		sp.NumCaps = w.pick(0, 0, 1)
		sp.QoS = abi.QoS(w.pick(0, w.qos()))
		if w.upTo(8) == 0 {
			b := specBytes(&sp)
			binary.LittleEndian.PutUint64(b[8*w.upTo(15):], w.wild())
		}
		if q.id == w.root.id || q.space.CopyOut(bootVA, w.root.read(bootVA, 128)) {
			q.space.CopyOut(specVA, specBytes(&sp))
		}
		a[0], a[1] = w.handle(q, abi.KindSpawn), w.maybe(specVA)
	case abi.SysProcessKill:
		a[0] = w.handle(q, abi.KindProcess)
		if w.upTo(4) != 0 {
			num = abi.SysProcessInfo
		}
	case abi.SysProcessInfo:
		a[0] = w.pick(0, w.handle(q, abi.KindProcess))
	case abi.SysProcessWatch:
		a[0], a[1], a[2] = w.handle(q, abi.KindProcess), w.handle(q, abi.KindNotification), w.maybe(uint64(w.upTo(4)))
	case abi.SysConsoleWrite:
		a[0], a[1], a[2] = w.handle(q, abi.KindConsole), w.address(), length
	case abi.SysFaultHandler:
		a[0], a[1] = w.pick(0, elftest.Hello().Entry), w.pick(0, abi.FaultSlices)
	case abi.SysFaultDone:
		a[0], a[1] = w.pick(0, 1), w.pick(0, elftest.Hello().Entry)
	case abi.SysSystemInfo:
		a[0] = w.handle(q, abi.KindSpawn)
	case abi.SysThreadCreate:
		a[0], a[1] = w.maybe(threadPC), w.maybe(threadSP)
	case abi.SysThreadExit:
		if a[0] = w.pick(0, wordVA); w.upTo(4) != 0 || q.id == w.root.id {
			num = abi.SysThreadSelf
		}
	case abi.SysThreadJoin:
		threads := w.threadsOf(q.Process)
		a[0], a[1] = w.maybe(w.number(&threads[w.upTo(len(threads))])), w.waitDue(q)
	case abi.SysFutexWait:
		a[0], a[1], a[2] = w.pick(wordVA, wordVA, wordVA+4), w.pick(0, 0, 0, 1), w.waitDue(q)
	case abi.SysFutexWake:
		a[0], a[1] = w.pick(wordVA, wordVA, wordVA+4), w.pick(0, 1, 1, 2, 16)
	case abi.SysProcessQoS:
		a[0], a[1] = w.pick(0, w.handle(q, abi.KindProcess), w.handle(q, abi.KindProcess)), w.pick(0, w.qos(), w.qos(), w.qos(), w.wild())
	default:
		w.deviceArguments(q, num, a)
	}
	if w.upTo(30) == 0 {
		a[w.upTo(7)] = w.wild()
	}
	if q.id == w.root.id && a[0]&^255 == 1<<32 && (num == abi.SysCapClose || num == abi.SysCapRevoke) {
		num = abi.SysNop
	}
	return num, r
}

// qos returns a QoS, mostly of harts that there are.
func (w *world) qos() uint64 {
	harts := w.pick(abi.AllHarts, abi.AllHarts, 1, 2, 6)
	return uint64(abi.NewQoS(abi.Class(w.upTo(abi.Classes)), uint16(w.pick(1, 100, abi.MaxShare)), uint32(harts)))
}
