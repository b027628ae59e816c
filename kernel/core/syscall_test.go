package core

import (
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
)

// testbed is a process with capabilities of every kind and of every weakness, to
// make system calls from. It has taken a call of client, which waits.
type testbed struct {
	proc
	client                                       proc
	taken, takenBuf                              uint64 // reply rights: without and with a reply buffer
	recv, send, big, bare                        uint64 // endpoint of 64 bytes and two requests; bare has no rights
	note, bareNote, timer                        uint64
	vmo, vmoRO, program                          uint64
	console, bareConsole, spawnCap, bareSpawn    uint64
	child, bareChild, dead, closedEP, closedNote uint64
}

func newTestbed(s *sim) *testbed {
	root := s.root
	q, _ := s.spawn()
	b := &testbed{proc: q}
	b.console = s.give(root, hConsole, abi.RightWrite|abi.RightGrant, 0, q)
	b.bareConsole = s.give(root, hConsole, abi.RightGrant, 0, q)
	b.spawnCap = s.give(root, hSpawn, abi.RightManage|abi.RightGrant, 0, q)
	b.bareSpawn = s.give(root, hSpawn, abi.RightGrant, 0, q)
	b.program = s.give(root, hProgram, abi.RightRead|abi.RightExec|abi.RightGrant, 0, q)
	_, child := s.spawn()
	b.child = s.give(root, child, abi.RightRead|abi.RightManage|abi.RightGrant, 0, q)
	b.bareChild = s.give(root, child, abi.RightGrant, 0, q)
	b.recv = q.must(abi.SysEndpointCreate, 2, 64)
	b.send = q.must(abi.SysCapCopy, b.recv, uint64(abi.RightSend|abi.RightGrant))
	b.bare = q.must(abi.SysCapCopy, b.send, 0)
	b.big = q.must(abi.SysEndpointCreate, 2, abi.MaxMessage)
	b.note = q.must(abi.SysNotificationCreate, 1)
	b.bareNote = q.must(abi.SysCapCopy, b.note, uint64(abi.RightGrant))
	b.timer = q.must(abi.SysTimerCreate, b.note, 1)
	b.vmo = q.must(abi.SysVMOCreate, 2*abi.PageSize)
	b.vmoRO = q.must(abi.SysCapCopy, b.vmo, uint64(abi.RightRead))

	other, dead := s.spawn()
	b.dead = s.give(root, dead, abi.RightRead|abi.RightManage, 0, q)
	b.closedEP = s.give(other, other.must(abi.SysEndpointCreate, 1, 1), abi.RightSend, 0, q)
	b.closedNote = s.give(other, other.must(abi.SysNotificationCreate, 1), abi.RightSignal, 0, q)
	other.sys(abi.SysExit)

	b.client, _ = s.spawn()
	send := s.give(q, b.recv, abi.RightSend, 0, b.client)
	for i, right := range []*uint64{&b.taken, &b.takenBuf} {
		b.client.trap(abi.SysCall, &regs{A: [7]uint64{0: send, 1: 8 | abi.FlagNoWait, 2: uint64(i), 6: uint64(i) * recvVA}})
		q.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait, 2: b.recv}, S10: 1})
		*right = q.request(1).right
	}
	b.client.wait(0, 0)
	return b
}

// mapped maps the memory object of b for writing.
func (b *testbed) mapped() uint64 { return b.must(abi.SysVMOMap, b.vmo, 0, 0, 8192, rw) }

// sealed seals it.
func (b *testbed) sealed() uint64 {
	b.must(abi.SysVMOSeal, b.vmo)
	return b.vmo
}

// spawnArgs writes a spawn specification that edit has changed into the memory of
// b and returns the arguments of the call.
func (b *testbed) spawnArgs(edit func(sp *abi.SpawnSpec)) []uint64 {
	sp := b.s.spec()
	b.write(bootVA, b.s.root.read(bootVA, 128))
	sp.ELF = abi.Handle(b.program)
	edit(&sp)
	b.write(specVA, specBytes(&sp))
	return []uint64{b.spawnCap, specVA}
}

// elfVMO returns a memory object with an executable that b has filled.
func (b *testbed) elfVMO(image []byte) uint64 {
	h := b.must(abi.SysVMOCreate, uint64(len(image)))
	b.write(msgVA, image)
	b.must(abi.SysVMOWrite, h, 0, msgVA, uint64(len(image)))
	b.must(abi.SysVMOSeal, h)
	return b.must(abi.SysVMOExec, b.spawnCap, h)
}

const (
	bogus   = uint64(7)<<32 | 200     // a handle of nobody
	badPtr  = uint64(0x8020_0000)     // kernel memory
	hole    = uint64(abi.MapEnd - 64) // user addresses without memory
	waitNot = uint64(abi.FlagNoWait)
)

// refusalCase is a system call that is refused.
type refusalCase struct {
	name string
	num  uint64
	want abi.Errno
	args func(b *testbed) []uint64
}

// refusals is, for every system call, every documented way to be refused. Those of
// devices are in a file of their own.
var refusals = []refusalCase{
	{"bogus accept", abi.SysWait, abi.EBADF, func(b *testbed) []uint64 { return []uint64{0, waitNot, bogus} }},
	{"notification", abi.SysWait, abi.EKIND, func(b *testbed) []uint64 { return []uint64{0, waitNot, b.note} }},
	{"no receive right", abi.SysWait, abi.EPERM, func(b *testbed) []uint64 { return []uint64{0, waitNot, b.send} }},
	{"kernel buffer", abi.SysWait, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{0, waitNot, b.recv, 0, 0, 0, badPtr} }},
	{"buffer over the end", abi.SysWait, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{0, waitNot, b.recv, 0, 0, 0, abi.UserEnd - 8191} }},

	{"bogus", abi.SysCall, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"bogus capability", abi.SysCall, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, bogus} }},
	{"reply right to move", abi.SysCall, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, b.taken} }},
	{"memory object", abi.SysCall, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.vmo} }},
	{"no send right", abi.SysCall, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bare} }},
	{"capability without grant", abi.SysCall, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, b.bare} }},
	{"kernel message", abi.SysCall, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.big, 100, 0, 0, 0, badPtr} }},
	{"kernel reply buffer", abi.SysCall, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.big, 8, 0, 0, 0, 0, badPtr} }},
	{"over the endpoint's limit", abi.SysCall, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.send, 65, 0, 0, 0, msgVA} }},
	{"over the limit", abi.SysCall, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.big, abi.MaxMessage + 1, 0, 0, 0, msgVA} }},
	{"queue full", abi.SysCall, abi.EAGAIN, func(b *testbed) []uint64 {
		for b.sys(abi.SysSend, b.send) == 0 {
		}
		return []uint64{b.send}
	}},
	{"too many calls", abi.SysCall, abi.ENOSPC, func(b *testbed) []uint64 {
		ep := b.must(abi.SysEndpointCreate, maxEndpointDepth, 64)
		for i := range uint64(callsPerProcess) {
			b.must(abi.SysCall, ep, waitNot, i)
		}
		return []uint64{ep, waitNot}
	}},
	{"closed", abi.SysCall, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.closedEP} }},

	{"bogus", abi.SysReply, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"bogus accept", abi.SysReply, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.taken, 0, bogus} }},
	{"bogus capability", abi.SysReply, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.taken, 0, 0, 0, bogus} }},
	{"accept notification", abi.SysReply, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.taken, 0, b.note} }},
	{"accept without right", abi.SysReply, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.taken, 0, b.send} }},
	{"capability without grant", abi.SysReply, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.taken, 0, 0, 0, b.bare} }},
	{"kernel receive buffer", abi.SysReply, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.taken, 0, b.recv, 0, 0, 0, badPtr} }},
	{"kernel message", abi.SysReply, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.takenBuf, 100, 0, 0, 0, badPtr} }},
	{"no memory", abi.SysReply, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.takenBuf, 100, 0, 0, 0, hole} }},
	{"no reply buffer", abi.SysReply, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.taken, 65, 0, 0, 0, msgVA} }},
	{"over the limit", abi.SysReply, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.takenBuf, abi.MaxMessage + 1, 0, 0, 0, msgVA} }},
	{"client's table full", abi.SysReply, abi.EPEERNOSPACE, func(b *testbed) []uint64 {
		b.must(abi.SysReply, b.takenBuf, waitNot)
		b.client.fill()
		return []uint64{b.taken, 0, 0, 0, b.send}
	}},
	{"answered already", abi.SysReply, abi.ENOENT, func(b *testbed) []uint64 {
		b.must(abi.SysReply, b.taken, waitNot)
		return []uint64{b.taken}
	}},

	{"bogus", abi.SysSend, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"bogus capability", abi.SysSend, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, bogus} }},
	{"notification", abi.SysSend, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.note} }},
	{"no send right", abi.SysSend, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bare} }},
	{"receive right to move", abi.SysSend, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, b.recv} }},
	{"not inline", abi.SysSend, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.big, 65} }},
	{"flags", abi.SysSend, abi.EMSGSIZE, func(b *testbed) []uint64 { return []uint64{b.big, waitNot} }},
	{"queue full", abi.SysSend, abi.EAGAIN, func(b *testbed) []uint64 {
		for b.sys(abi.SysSend, b.send) == 0 {
		}
		return []uint64{b.send}
	}},
	{"closed", abi.SysSend, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.closedEP} }},
	{"receiver's table full", abi.SysSend, abi.EPEERNOSPACE, func(b *testbed) []uint64 {
		b.fill()
		return []uint64{b.send, 0, 0, 0, b.send}
	}},

	{"no such call", abi.SysCancel, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{0, 0, 99} }},

	{"bogus", abi.SysNotify, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 1} }},
	{"endpoint", abi.SysNotify, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 1} }},
	{"no right", abi.SysNotify, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareNote, 1} }},
	{"closed", abi.SysNotify, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.closedNote, 1} }},

	{"no depth", abi.SysEndpointCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{0, 8} }},
	{"too deep", abi.SysEndpointCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{maxEndpointDepth + 1, 8} }},
	{"too long", abi.SysEndpointCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{1, abi.MaxMessage + 1} }},
	{"no handle left", abi.SysEndpointCreate, abi.ENOSPC, func(b *testbed) []uint64 { b.fill(); return []uint64{1, 8} }},
	{"no handle left", abi.SysNotificationCreate, abi.ENOSPC, func(b *testbed) []uint64 { b.fill(); return nil }},

	{"bogus", abi.SysTimerCreate, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 1} }},
	{"endpoint", abi.SysTimerCreate, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 1} }},
	{"no right", abi.SysTimerCreate, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareNote, 1} }},
	{"no bits", abi.SysTimerCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.note, 0} }},
	{"no handle left", abi.SysTimerCreate, abi.ENOSPC, func(b *testbed) []uint64 { b.fill(); return []uint64{b.note, 1} }},
	{"closed", abi.SysTimerCreate, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.closedNote, 1} }},
	{"bogus", abi.SysTimerSet, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 1} }},
	{"notification", abi.SysTimerSet, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.note, 1} }},

	{"bogus", abi.SysCapCopy, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"wider", abi.SysCapCopy, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.send, uint64(abi.RightManage)} }},
	{"timer", abi.SysCapCopy, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.timer, uint64(abi.RightManage)} }},
	{"unknown right", abi.SysCapCopy, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.send, 1 << 31} }},
	{"no handle left", abi.SysCapCopy, abi.ENOSPC, func(b *testbed) []uint64 { b.fill(); return []uint64{b.send, 0} }},
	{"bogus", abi.SysCapClose, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"bogus", abi.SysCapRevoke, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"bogus", abi.SysCapInfo, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"reply right", abi.SysCapInfo, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.taken} }},

	{"empty", abi.SysVMOCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{0} }},
	{"too large", abi.SysVMOCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{maxVMOBytes + 1} }},
	{"over the budget", abi.SysVMOCreate, abi.ENOMEM, func(b *testbed) []uint64 { return []uint64{maxVMOBytes} }},
	{"no handle left", abi.SysVMOCreate, abi.ENOSPC, func(b *testbed) []uint64 { b.fill(); return []uint64{1} }},

	{"bogus", abi.SysVMOMap, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0, 0, 4096, rw} }},
	{"endpoint", abi.SysVMOMap, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 4096, rw} }},
	{"read-only", abi.SysVMOMap, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmoRO, 0, 0, 4096, rw} }},
	{"not executable", abi.SysVMOMap, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4096, uint64(abi.RightRead | abi.RightExec)} }},
	{"without reading", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4096, uint64(abi.RightWrite)} }},
	{"other rights", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4096, rw | uint64(abi.RightGrant)} }},
	{"high rights", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4096, rw | 1<<40} }},
	{"no length", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 0, rw} }},
	{"unaligned length", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4095, rw} }},
	{"unaligned address", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, abi.MapBase + 1, 0, 4096, rw} }},
	{"unaligned offset", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 8, 4096, rw} }},
	{"past the end", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 4096, 8192, rw} }},
	{"offset past the end", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 3 * 4096, 4096, rw} }},
	{"length wraps", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 4096, ^uint64(4095), rw} }},
	{"below the area", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, abi.UserBase, 0, 4096, rw} }},
	{"above the area", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, abi.MapEnd - 4096, 0, 8192, rw} }},
	{"in the heap", abi.SysVMOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, abi.HeapBase, 0, 4096, rw} }},
	{"writable and executable", abi.SysVMOMap, abi.EWX, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, 4096, rw | uint64(abi.RightExec)} }},
	{"in use", abi.SysVMOMap, abi.EOVERLAP, func(b *testbed) []uint64 {
		return []uint64{b.vmo, b.must(abi.SysVMOMap, b.vmo, 0, 0, 8192, rw) + 4096, 0, 4096, rw}
	}},

	{"no mapping left", abi.SysVMOMap, abi.ENOSPC, func(b *testbed) []uint64 {
		for b.numRegions < regionsPerProcess {
			b.must(abi.SysVMOMap, b.vmo, 0, 0, 4096, rw)
		}
		return []uint64{b.vmo, 0, 0, 4096, rw}
	}},

	{"unaligned", abi.SysUnmap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{abi.MapBase + 1, 4096} }},
	{"nothing there", abi.SysUnmap, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{abi.MapBase, 4096} }},
	{"the heap", abi.SysUnmap, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{abi.HeapBase, childBudget*4096 + heapSlack} }},
	{"the stack", abi.SysUnmap, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{abi.StackTop - abi.StackSize, abi.StackSize} }},
	{"empty", abi.SysUnmap, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{abi.MapBase, 0} }},

	{"bogus", abi.SysVMORead, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0, msgVA, 1} }},
	{"endpoint", abi.SysVMORead, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 0, msgVA, 1} }},
	{"no right", abi.SysVMORead, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.must(abi.SysCapCopy, b.vmo, 0), 0, msgVA, 1} }},
	{"too long", abi.SysVMORead, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, msgVA, abi.MaxMessage + 1} }},
	{"past the end", abi.SysVMORead, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 8191, msgVA, 2} }},
	{"offset wraps", abi.SysVMORead, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, ^uint64(0), msgVA, 2} }},
	{"read-only buffer", abi.SysVMORead, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, abi.StartPage, 1} }},
	{"bogus", abi.SysVMOWrite, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0, msgVA, 1} }},
	{"endpoint", abi.SysVMOWrite, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 0, msgVA, 1} }},
	{"read-only", abi.SysVMOWrite, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmoRO, 0, msgVA, 1} }},
	{"boot image", abi.SysVMOWrite, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.program, 0, msgVA, 1} }},
	{"past the end", abi.SysVMOWrite, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 8192, msgVA, 1} }},
	{"no memory", abi.SysVMOWrite, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, hole, 64} }},

	{"bogus", abi.SysProcessKill, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"endpoint", abi.SysProcessKill, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send} }},
	{"no right", abi.SysProcessKill, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareChild} }},
	{"dead", abi.SysProcessKill, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.dead} }},
	{"bogus", abi.SysProcessInfo, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"endpoint", abi.SysProcessInfo, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send} }},
	{"no right", abi.SysProcessInfo, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareChild} }},
	{"bogus", abi.SysProcessQoS, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0} }},
	{"endpoint", abi.SysProcessQoS, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 0} }},
	{"no right to ask", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareChild, 0} }},
	{"no right", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareChild, uint64(abi.DefaultQoS)} }},
	{"higher class", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 { return qosArgs(abi.Interactive, abi.DefaultShare, abi.AllHarts) }},
	{"larger share", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 { return qosArgs(abi.Normal, abi.DefaultShare+1, abi.AllHarts) }},
	{"more harts", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 {
		b.must(abi.SysProcessQoS, qosArgs(abi.Normal, abi.DefaultShare, 1)...)
		return qosArgs(abi.Normal, abi.DefaultShare, 3)
	}},
	{"lower class and larger share", abi.SysProcessQoS, abi.EPERM, func(b *testbed) []uint64 { return qosArgs(abi.Idle, abi.MaxShare, abi.AllHarts) }},
	{"class out of range", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Classes, abi.DefaultShare, abi.AllHarts) }},
	{"class of eight bits", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(0xff, abi.DefaultShare, abi.AllHarts) }},
	{"no share", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Idle, 0, abi.AllHarts) }},
	{"share out of range", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Idle, abi.MaxShare+1, abi.AllHarts) }},
	{"no hart", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Idle, 1, 0) }},
	{"hart that is not there", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Idle, 1, 2) }},
	{"hart that cannot be", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return qosArgs(abi.Idle, 1, 1<<MaxHarts) }},
	{"bits that mean nothing", abi.SysProcessQoS, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{0, uint64(abi.DefaultQoS) | 1<<24} }},
	{"ended", abi.SysProcessQoS, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.dead, 0} }},

	{"bogus", abi.SysProcessWatch, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, b.note, 1} }},
	{"bogus notification", abi.SysProcessWatch, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.child, bogus, 1} }},
	{"endpoint", abi.SysProcessWatch, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.child, b.send, 1} }},
	{"no right", abi.SysProcessWatch, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareChild, b.note, 1} }},
	{"no signal right", abi.SysProcessWatch, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.child, b.bareNote, 1} }},
	{"no bits", abi.SysProcessWatch, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.child, b.note, 0} }},
	{"closed notification", abi.SysProcessWatch, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.child, b.closedNote, 1} }},
	{"watched", abi.SysProcessWatch, abi.EBUSY, func(b *testbed) []uint64 {
		b.must(abi.SysProcessWatch, b.child, b.note, 1)
		return []uint64{b.child, b.note, 2}
	}},

	{"bogus", abi.SysConsoleWrite, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, msgVA, 1} }},
	{"endpoint", abi.SysConsoleWrite, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, msgVA, 1} }},
	{"no right", abi.SysConsoleWrite, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareConsole, msgVA, 1} }},
	{"too long", abi.SysConsoleWrite, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.console, msgVA, abi.MaxMessage + 1} }},
	{"kernel memory", abi.SysConsoleWrite, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.console, badPtr, 1} }},
	{"kernel address", abi.SysFaultHandler, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{badPtr} }},
	{"unknown flag", abi.SysFaultHandler, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{0, 2} }},
	{"no slice ended", abi.SysFaultDone, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{1} }},
	{"bogus", abi.SysSystemInfo, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"console", abi.SysSystemInfo, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.console} }},
	{"no right", abi.SysSystemInfo, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareSpawn} }},
	{"bogus", abi.SysFlightRead, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0, msgVA} }},
	{"console", abi.SysFlightRead, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.console, 0, msgVA} }},
	{"no right", abi.SysFlightRead, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareSpawn, 0, msgVA} }},
	{"hart that is not there", abi.SysFlightRead, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.spawnCap, 1, msgVA} }},
	{"wild hart", abi.SysFlightRead, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.spawnCap, 1 << 63, msgVA} }},
	{"kernel address", abi.SysFlightRead, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.spawnCap, 0, badPtr} }},
	{"end of memory", abi.SysFlightRead, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.spawnCap, 0, abi.UserEnd - 4} }},

	{"sealed", abi.SysVMOMap, abi.ESEALED, func(b *testbed) []uint64 { return []uint64{b.sealed(), 0, 0, 4096, rw} }},
	{"sealed", abi.SysVMOWrite, abi.ESEALED, func(b *testbed) []uint64 { return []uint64{b.sealed(), 0, msgVA, 1} }},
	{"bogus", abi.SysVMOProtect, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, ro, b.mapped(), 8192} }},
	{"endpoint", abi.SysVMOProtect, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, ro, b.mapped(), 8192} }},
	{"read-only", abi.SysVMOProtect, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmoRO, rw, b.mapped(), 8192} }},
	{"not executable", abi.SysVMOProtect, abi.EPERM, func(b *testbed) []uint64 {
		return []uint64{b.vmo, uint64(abi.RightRead | abi.RightExec), b.mapped(), 8192}
	}},
	{"no access", abi.SysVMOProtect, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, b.mapped(), 8192} }},
	{"other rights", abi.SysVMOProtect, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, ro | 1<<40, b.mapped(), 8192} }},
	{"unaligned address", abi.SysVMOProtect, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, ro, b.mapped() + 1, 8192} }},
	{"unaligned length", abi.SysVMOProtect, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, ro, b.mapped(), 8191} }},
	{"writable and executable", abi.SysVMOProtect, abi.EWX, func(b *testbed) []uint64 {
		return []uint64{b.vmo, rw | uint64(abi.RightExec), b.mapped(), 8192}
	}},
	{"part of a mapping", abi.SysVMOProtect, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.vmo, ro, b.mapped(), 4096} }},
	{"nothing there", abi.SysVMOProtect, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.vmo, ro, abi.MapBase, 4096} }},
	{"another object's mapping", abi.SysVMOProtect, abi.ENOENT, func(b *testbed) []uint64 {
		return []uint64{b.must(abi.SysVMOCreate, 8192), ro, b.mapped(), 8192}
	}},
	{"the heap", abi.SysVMOProtect, abi.ENOENT, func(b *testbed) []uint64 {
		return []uint64{b.vmo, ro, abi.HeapBase, childBudget*4096 + heapSlack}
	}},
	{"sealed", abi.SysVMOProtect, abi.ESEALED, func(b *testbed) []uint64 {
		at := b.mapped()
		return []uint64{b.sealed(), rw, at, 8192}
	}},
	{"bogus", abi.SysVMOSeal, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
	{"endpoint", abi.SysVMOSeal, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send} }},
	{"read-only", abi.SysVMOSeal, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmoRO} }},
	{"boot image", abi.SysVMOSeal, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.program} }},
	{"bogus", abi.SysVMOResize, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 4096} }},
	{"endpoint", abi.SysVMOResize, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.send, 4096} }},
	{"read-only", abi.SysVMOResize, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmoRO, 4096} }},
	{"boot image", abi.SysVMOResize, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.program, 4096} }},
	{"another's object", abi.SysVMOResize, abi.EPERM, func(b *testbed) []uint64 {
		root := b.s.root
		return []uint64{b.s.give(root, root.must(abi.SysVMOCreate, 8192), abi.RightRead|abi.RightWrite, 0, b.proc), 4096}
	}},
	{"empty", abi.SysVMOResize, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, 0} }},
	{"too large", abi.SysVMOResize, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, maxVMOBytes + 1} }},
	{"wraps", abi.SysVMOResize, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.vmo, ^uint64(0)} }},
	{"over the budget", abi.SysVMOResize, abi.ENOMEM, func(b *testbed) []uint64 { return []uint64{b.vmo, childBudget * 4096} }},
	{"mapped", abi.SysVMOResize, abi.EBUSY, func(b *testbed) []uint64 { b.mapped(); return []uint64{b.vmo, 4096} }},
	{"sealed", abi.SysVMOResize, abi.ESEALED, func(b *testbed) []uint64 { return []uint64{b.sealed(), 3 * 4096} }},

	{"bogus", abi.SysVMOExec, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, b.sealed()} }},
	{"console", abi.SysVMOExec, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.console, b.sealed()} }},
	{"no right to spawn", abi.SysVMOExec, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareSpawn, b.sealed()} }},
	{"bogus object", abi.SysVMOExec, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.spawnCap, bogus} }},
	{"endpoint", abi.SysVMOExec, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.spawnCap, b.send} }},
	{"no right to read", abi.SysVMOExec, abi.EPERM, func(b *testbed) []uint64 {
		return []uint64{b.spawnCap, b.must(abi.SysCapCopy, b.sealed(), uint64(abi.RightWrite))}
	}},
	{"not sealed", abi.SysVMOExec, abi.EWRITABLE, func(b *testbed) []uint64 { return []uint64{b.spawnCap, b.vmo} }},
	{"no handle left", abi.SysVMOExec, abi.ENOSPC, func(b *testbed) []uint64 {
		a := []uint64{b.spawnCap, b.sealed()}
		b.fill()
		return a
	}},

	{"bogus", abi.SysSpawn, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, specVA} }},
	{"console", abi.SysSpawn, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.console, specVA} }},
	{"no right", abi.SysSpawn, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.bareSpawn, specVA} }},
	{"kernel memory", abi.SysSpawn, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{b.spawnCap, badPtr} }},
	{"no handle left", abi.SysSpawn, abi.ENOSPC, func(b *testbed) []uint64 {
		a := b.spawnArgs(func(*abi.SpawnSpec) {})
		b.fill()
		return a
	}},
	{"second waiter", abi.SysWait, abi.EBUSY, func(b *testbed) []uint64 {
		other, _ := b.thread()
		other.wait(0, 0)
		return nil
	}},

	{"kernel pc", abi.SysThreadCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{badPtr, threadSP} }},
	{"kernel stack", abi.SysThreadCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{threadPC, badPtr} }},
	{"no stack", abi.SysThreadCreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{threadPC} }},
	{"too many threads", abi.SysThreadCreate, abi.ENOSPC, func(b *testbed) []uint64 {
		for range threadsPerProcess - 1 {
			b.thread()
		}
		return []uint64{threadPC, threadSP}
	}},
	{"unaligned word", abi.SysThreadExit, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{wordVA + 2} }},
	{"kernel word", abi.SysThreadExit, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{badPtr} }},
	{"read-only word", abi.SysThreadExit, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{abi.StartPage} }},
	{"itself", abi.SysThreadJoin, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{0} }},
	{"no such place", abi.SysThreadJoin, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{threadsPerProcess} }},
	{"never started", abi.SysThreadJoin, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{3} }},
	{"not started yet", abi.SysThreadJoin, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{1 << 32} }},
	{"deadline passed", abi.SysThreadJoin, abi.ETIMEDOUT, func(b *testbed) []uint64 {
		_, n := b.thread()
		return []uint64{n, 1}
	}},
	{"unaligned word", abi.SysFutexWait, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{wordVA + 1} }},
	{"value too wide", abi.SysFutexWait, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{wordVA, 1 << 32} }},
	{"kernel word", abi.SysFutexWait, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{badPtr} }},
	{"no memory there", abi.SysFutexWait, abi.EFAULT, func(b *testbed) []uint64 { return []uint64{hole} }},
	{"another value", abi.SysFutexWait, abi.EAGAIN, func(b *testbed) []uint64 { b.write(wordVA, []byte{1, 0, 0, 0}); return []uint64{wordVA} }},
	{"deadline passed", abi.SysFutexWait, abi.ETIMEDOUT, func(b *testbed) []uint64 { b.write(wordVA, make([]byte, 4)); return []uint64{wordVA, 0, 1} }},
	{"unaligned word", abi.SysFutexWake, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{wordVA + 3, 1} }},

	{"unknown", abi.SysCount, abi.ENOSYS, func(b *testbed) []uint64 { return nil }},
	{"unknown", ^uint64(0), abi.ENOSYS, func(b *testbed) []uint64 { return nil }},
}

// specs is what is wrong with the specification of a process.
// qosArgs are the arguments of process_qos by which a process changes itself.
func qosArgs(c abi.Class, share uint16, harts uint32) []uint64 {
	return []uint64{0, uint64(abi.NewQoS(c, share, harts))}
}

var specs = []struct {
	name string
	want abi.Errno
	edit func(b *testbed, sp *abi.SpawnSpec)
}{
	{"no name", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.NameLen = 0 }},
	{"long name", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.NameLen = abi.MaxName + 1 }},
	{"name in kernel memory", abi.EFAULT, func(b *testbed, sp *abi.SpawnSpec) { sp.NamePtr = badPtr }},
	{"boot data without memory", abi.EFAULT, func(b *testbed, sp *abi.SpawnSpec) { sp.BootPtr = hole }},
	{"class out of range", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.QoS = abi.NewQoS(abi.Classes, 1, 1) }},
	{"share out of range", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.QoS = abi.NewQoS(abi.Idle, abi.MaxShare+1, 1) }},
	{"harts that are not there", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.QoS = abi.NewQoS(abi.Idle, 1, 2) }},
	{"QoS with other bits", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.QoS = abi.DefaultQoS | 1<<31 }},
	{"many capabilities", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.NumCaps = abi.MaxSpawnCaps + 1 }},
	{"much boot data", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.DataLen = abi.MaxBootData - 11 }},
	{"boot data wraps", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.DataLen = ^uint64(0) - 11 }},
	{"fewer arguments", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Argc = 1 }},
	{"more arguments", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Argc = 1 << 40 }},
	{"argument without end", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.ArgsLen, sp.EnvLen = 7, 5 }},
	{"environment count", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Envc = 0 }},
	{"console without capability", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Console = 1 }},
	{"console of another kind", abi.EKIND, func(b *testbed, sp *abi.SpawnSpec) {
		sp.Console, sp.NumCaps = 1, 1
		sp.Caps[0] = abi.SpawnCap{Handle: abi.Handle(b.send), Rights: abi.RightSend}
	}},
	{"program bogus", abi.EBADF, func(b *testbed, sp *abi.SpawnSpec) { sp.ELF = abi.Handle(bogus) }},
	{"program an endpoint", abi.EKIND, func(b *testbed, sp *abi.SpawnSpec) { sp.ELF = abi.Handle(b.send) }},
	{"program not executable", abi.EPERM, func(b *testbed, sp *abi.SpawnSpec) { sp.ELF = abi.Handle(b.vmo) }},
	{"program unaligned", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.ELFOff = 8 }},
	{"program past the end", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.ELFLen = 1 << 40 }},
	{"program offset past the end", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.ELFOff = 1 << 40 }},
	{"program cut", abi.EELF, func(b *testbed, sp *abi.SpawnSpec) { sp.ELFLen = 500 }},
	{"program empty", abi.EELF, func(b *testbed, sp *abi.SpawnSpec) { sp.ELFLen = 0 }},
	{"program writable and executable", abi.EWX, func(b *testbed, sp *abi.SpawnSpec) {
		f := elftest.File{Entry: abi.ImageBase + 0x1000, Segments: []elftest.Segment{
			{Type: elftest.Load, Flags: elftest.R | elftest.W | elftest.X, VA: abi.ImageBase + 0x1000, Data: []byte{1, 2, 3, 4}}}}
		image := f.Build()
		sp.ELF, sp.ELFLen = abi.Handle(b.elfVMO(image)), uint64(len(image))
	}},
	{"files bogus", abi.EBADF, func(b *testbed, sp *abi.SpawnSpec) { sp.Files = abi.Handle(bogus) }},
	{"files without right", abi.EPERM, func(b *testbed, sp *abi.SpawnSpec) {
		sp.Files, sp.FilesLen = abi.Handle(b.must(abi.SysCapCopy, b.vmo, 0)), 1
	}},
	{"files past the end", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Files, sp.FilesLen = abi.Handle(b.vmo), 8193 }},
	{"files empty", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Files = abi.Handle(b.vmo) }},
	{"service exists", abi.EEXIST, func(b *testbed, sp *abi.SpawnSpec) {
		b.write(bootVA, b.name[:b.nameN])
		sp.NameLen = uint64(b.nameN)
	}},
	{"small budget", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Frames = minFrames - 1 }},
	{"budget beyond the heap", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Frames = maxBudget + 1 }},
	{"huge budget", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) { sp.Frames = ^uint64(0) }},
	{"budget beyond the memory", abi.ENOMEM, func(b *testbed, sp *abi.SpawnSpec) { sp.Frames = maxBudget }},
	{"capability bogus", abi.EBADF, func(b *testbed, sp *abi.SpawnSpec) { sp.NumCaps = 1 }},
	{"capability without grant", abi.EPERM, func(b *testbed, sp *abi.SpawnSpec) {
		sp.NumCaps, sp.Caps[0] = 1, abi.SpawnCap{Handle: abi.Handle(b.vmoRO), Rights: abi.RightRead}
	}},
	{"capability wider", abi.EPERM, func(b *testbed, sp *abi.SpawnSpec) {
		sp.NumCaps, sp.Caps[0] = 1, abi.SpawnCap{Handle: abi.Handle(b.send), Rights: abi.RightSend | abi.RightRead}
	}},
	{"receive right", abi.EPERM, func(b *testbed, sp *abi.SpawnSpec) {
		sp.NumCaps, sp.Caps[0] = 1, abi.SpawnCap{Handle: abi.Handle(b.recv), Rights: abi.RightRecv}
	}},
	{"capability with unknown right", abi.EINVAL, func(b *testbed, sp *abi.SpawnSpec) {
		sp.NumCaps, sp.Caps[0] = 1, abi.SpawnCap{Handle: abi.Handle(b.send), Rights: 1 << 31}
	}},
}

// Every refusal is the documented one and changes nothing, and every documented
// refusal exists.
func TestRefusals(t *testing.T) {
	seen := map[docKey]bool{}
	run := func(t *testing.T, num uint64, want abi.Errno, args func(b *testbed) []uint64) {
		t.Helper()
		s := newSim(t)
		s.seen = seen
		b := newTestbed(s)
		a := args(b)
		s.check()
		b.schedule()
		before := (&world{sim: s}).counts(b.proc)
		unreserved := s.pool.Unreserved()
		b.fails(want, num, a...)
		if after := (&world{sim: s}).counts(b.proc); after != before || s.pool.Unreserved() != unreserved {
			t.Errorf("%+v before, %+v after", before, after)
		}
		s.check()
	}
	for _, tt := range slices.Concat(refusals, deviceRefusals()) {
		name := "unknown"
		if tt.num < abi.SysCount {
			name = abi.Calls[tt.num].Name
		}
		t.Run(name+"/"+tt.name, func(t *testing.T) { run(t, tt.num, tt.want, tt.args) })
	}
	for _, tt := range specs {
		t.Run("spawn/"+tt.name, func(t *testing.T) {
			run(t, abi.SysSpawn, tt.want, func(b *testbed) []uint64 {
				return b.spawnArgs(func(sp *abi.SpawnSpec) { tt.edit(b, sp) })
			})
		})
	}
	for _, doc := range abi.Calls {
		for _, e := range doc.Errors {
			if !seen[docKey{uint64(doc.Number), e}] {
				t.Errorf("%s is documented to fail with %v, and never did", doc.Name, e)
			}
		}
	}
}
