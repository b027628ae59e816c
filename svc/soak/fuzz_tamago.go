//go:build tamago && riscv64

package soak

import (
	"os"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/kselftest"
	"nexus.internal/svc/raw"
)

// What a fuzzer remembers of its own: the latest of each kind. What it forgets it
// closes, so that its tables are never full for long.
const (
	handlesKept = 12
	rightsKept  = 8
	mapsKept    = 8
)

// fuzzer is a process that makes random system calls.
type fuzzer struct {
	random
	s       *slot
	handles [abi.KindCount][handlesKept]uint64
	served  [handlesKept]uint64 // endpoints that it can arm
	rights  [rightsKept]uint64
	maps    [mapsKept]struct{ at, length uint64 }
	threads [handlesKept]uint64 // numbers
	entries [3]uint64
	names   uint64
}

// op is a system call of a script: same says that a0 is what the call before it
// returned.
type op struct {
	num  uint64
	a    [7]uint64
	s10  uint64
	same uint64
}

// script is what a thread does.
type script struct {
	rounds  uint64 // 0: nobody runs it
	n       uint64
	counter uint64
	ops     [8]op
}

var (
	scripts [abi.MaxThreads]script
	memory  [16 * abi.PageSize]byte // buffers, words to wait on, stacks
	name    [8]byte
	spec    abi.SpawnSpec
)

// edges are numbers at which something changes. Those that are addresses name no
// memory that this process needs.
var edges = [...]uint64{0, 1, 2, 7, 63, 64, 65, 255, 256, abi.PageSize - 1, abi.PageSize, abi.PageSize + 1, abi.MaxMessage, abi.MaxMessage + 1,
	1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1 << 63, 1<<63 - 1, ^uint64(0), ^uint64(0) - 4095,
	0x1000, 0x1000_0000, 0x8000_0000, 0x8020_0000, abi.UserBase, abi.ImageBase + 0x11000, abi.MapBase, abi.MapEnd - abi.PageSize, abi.MapEnd,
	abi.HeapEnd - 1, abi.StackTop, abi.StackTop - abi.StackSize - 1, abi.StartPage, abi.StartPage - 1, abi.UserEnd - 1, abi.UserEnd, 1 << 38, 1 << 39,
	uint64(abi.ReplyBit) | 1<<32 | 1}

// fuzz makes system calls until it is told to stop, or ends by one of them.
func fuzz(b *board, s *slot, seed uint64) {
	f := &fuzzer{random: newRandom(seed, 1), s: s}
	entries(&f.entries)
	f.create(abi.SysEndpointCreate, 1+f.n(8), abi.MaxMessage)
	f.create(abi.SysNotificationCreate, f.next())
	for atomic.LoadUint64(&b.stop) == 0 {
		f.step()
	}
}

// step makes one system call, or a few that belong together.
func (f *fuzzer) step() {
	switch f.n(256) {
	case 0, 1, 2, 3:
		f.ask()
	case 4, 5:
		f.thread()
	case 6:
		f.child()
	default:
		var r ipc.Regs
		num := f.arguments(&r)
		if f.n(24) == 0 {
			r.A[f.n(7)] = f.wild()
		}
		f.tame(&num, &r)
		f.call(num, &r)
	}
}

// call makes a system call and learns from its result.
func (f *fuzzer) call(num uint64, r *ipc.Regs) {
	f.s.num, f.s.args = num, r.A
	asked := r.A
	raw.Trap(num, r)
	f.s.calls++
	if int64(r.A[0]) < 0 {
		return
	}
	switch num {
	case abi.SysEndpointCreate:
		f.keep(abi.KindEndpoint, r.A[0])
		f.served[f.n(handlesKept)] = r.A[0]
	case abi.SysNotificationCreate:
		f.keep(abi.KindNotification, r.A[0])
	case abi.SysTimerCreate:
		f.keep(abi.KindTimer, r.A[0])
	case abi.SysVMOCreate:
		f.keep(abi.KindVMO, r.A[0])
	case abi.SysSpawn:
		f.keep(abi.KindProcess, r.A[0])
	case abi.SysCapCopy, abi.SysVMOExec:
		f.learn(r.A[0])
	case abi.SysThreadCreate:
		f.threads[f.n(handlesKept)] = r.A[0]
	case abi.SysVMOMap:
		m := &f.maps[f.n(mapsKept)]
		if m.length != 0 {
			f.close(abi.SysUnmap, m.at, m.length)
		}
		m.at, m.length = r.A[0], asked[3]
	case abi.SysWait, abi.SysCall, abi.SysReply:
		if r.A[0] == abi.EventRequest && r.A[4] != 0 {
			f.rights[f.n(rightsKept)] = r.A[4]
		}
		if (r.A[0] == abi.EventRequest || r.A[0] == abi.EventReply) && r.A[6] != 0 {
			f.learn(r.A[6])
		}
	}
}

func (f *fuzzer) create(num uint64, args ...uint64) {
	var r ipc.Regs
	copy(r.A[:], args)
	f.call(num, &r)
}

// close makes a system call that gives something back.
func (f *fuzzer) close(num uint64, args ...uint64) {
	f.s.calls++
	try(num, args...)
}

// learn asks what a handle is that somebody gave this process.
func (f *fuzzer) learn(h uint64) {
	f.s.calls++
	if kind, errno := try(abi.SysCapInfo, h); errno == abi.OK && kind < uint64(abi.KindCount) {
		f.keep(abi.Kind(kind), h)
	}
}

// keep remembers a handle in the place of another, which it closes.
func (f *fuzzer) keep(kind abi.Kind, h uint64) {
	p := &f.handles[kind][f.n(handlesKept)]
	if *p != 0 {
		f.close(abi.SysCapClose, *p)
	}
	*p = h
}

// handle returns a handle of a kind, now and then of another, or one that is none.
func (f *fuzzer) handle(kind abi.Kind) uint64 {
	if f.n(16) == 0 || kind == abi.KindNone {
		kind = abi.Kind(1 + f.n(uint64(abi.KindCount)-1))
	}
	for range 3 {
		if h := f.handles[kind][f.n(handlesKept)]; h != 0 {
			return h
		}
	}
	return f.handles[kind][0]
}

func (f *fuzzer) wild() uint64 {
	switch f.n(4) {
	case 0:
		return f.next() >> f.n(64)
	case 1:
		return f.n(4096)
	}
	return edges[f.n(uint64(len(edges)))]
}

// due is a deadline that lets no wait last: most are over, none is far.
func (f *fuzzer) due() uint64 {
	if f.n(8) != 0 {
		return uint64(now()) - f.n(ms)
	}
	return uint64(now()) + f.n(2*ms)
}

func (f *fuzzer) buffer() uint64 { return raw.AddressOf(&memory) + f.n(uint64(len(memory))/2)&^7 }

func (f *fuzzer) word() uint64 { return raw.AddressOf(&memory) + f.n(4)*4 }

func (f *fuzzer) pages() uint64 { return (1 + f.n(8)) * abi.PageSize }

func (f *fuzzer) moved() uint64 {
	if f.n(3) != 0 {
		return 0
	}
	return f.handle(abi.KindNone)
}

// tame keeps a system call from ending or halting this process for good, or from
// taking away what it needs to go on.
func (f *fuzzer) tame(num *uint64, r *ipc.Regs) {
	switch *num {
	case abi.SysWait, abi.SysReply:
		if r.A[1]&abi.FlagNoWait == 0 {
			r.A[3] = f.due()
		}
	case abi.SysCall:
		if r.A[1]&abi.FlagNoWait == 0 {
			r.S10 = f.due()
		}
	case abi.SysFutexWait:
		r.A[2] = f.due()
	case abi.SysThreadJoin:
		r.A[1] = f.due()
	case abi.SysFaultHandler:
		if r.A[0] != f.entries[2] {
			r.A[0] = 0
		}
	case abi.SysCapClose, abi.SysCapRevoke:
		if r.A[0]-childHub < 4 {
			*num = abi.SysCapInfo
		}
	case abi.SysThreadCreate:
		*num = abi.SysThreadSelf // see thread
	}
}

// ask swaps a capability with the root process, which has some of everybody's.
func (f *fuzzer) ask() {
	r := ipc.Regs{A: [8]uint64{childHub, 8, f.next(), f.due() + 10*ms}, S10: f.due() + 10*ms}
	if h := f.handle(abi.KindNone); h != 0 {
		// A copy, with everything that can be given on.
		f.s.calls++
		info := ipc.Regs{A: [8]uint64{h}}
		raw.Trap(abi.SysCapInfo, &info)
		if int64(info.A[0]) >= 0 {
			c, errno := try(abi.SysCapCopy, h, info.A[1]&^uint64(abi.RightRecv|abi.RightWait))
			if f.s.calls++; errno == abi.OK {
				f.keep(abi.Kind(info.A[0]), c)
				r.A[4] = c
			}
		}
	}
	f.call(abi.SysCall, &r)
}

// child starts a process that parks, or ends at once. Somebody will kill it, or it
// ends when nobody has a handle of it any more.
func (f *fuzzer) child() {
	f.names++
	for i := range name {
		name[i] = 'a' + byte(f.n(26))
	}
	spec = abi.SpawnSpec{
		NamePtr: raw.AddressOf(&name), NameLen: uint64(len(name)), ELF: abi.Handle(childPrograms),
		ELFOff: f.n(3) * kselftest.ProgramSlot, ELFLen: kselftest.ProgramSlot, Frames: 24 + f.n(8), BootPtr: f.buffer(),
	}
	if h := f.handle(abi.KindNone); h != 0 && f.n(2) == 0 {
		spec.NumCaps = 1
		spec.Caps[0] = abi.SpawnCap{Handle: abi.Handle(h), Rights: abi.Rights(f.n(uint64(abi.AllRights) + 1))}
	}
	f.create(abi.SysSpawn, childSpawn, raw.AddressOf(&spec))
}

// inScripts are the system calls that a thread makes beside its process. What they
// return nobody looks at.
var inScripts = [...]uint64{abi.SysNop, abi.SysYield, abi.SysSend, abi.SysCancel, abi.SysNotify, abi.SysTimerSet, abi.SysCapInfo,
	abi.SysVMORead, abi.SysVMOWrite, abi.SysProcessInfo, abi.SysThreadSelf, abi.SysThreadJoin, abi.SysFutexWait, abi.SysFutexWake,
	abi.SysCall, abi.SysWait, abi.SysReply, abi.SysVMOProtect, abi.SysVMOResize}

// thread starts one that repeats a few system calls, if there is room.
func (f *fuzzer) thread() {
	i := f.n([...]uint64{2, 4, abi.MaxThreads}[f.n(3)/(1+f.n(8))])
	s := &scripts[i]
	if atomic.LoadUint64(&s.rounds) != 0 {
		return
	}
	s.n, s.counter = 0, raw.AddressOf(&f.s.threads)
	for s.n < uint64(len(s.ops))-1 && (s.n == 0 || f.n(4) != 0) {
		f.add(s)
	}
	s.rounds = 1 + f.n(200)
	r := ipc.Regs{A: [8]uint64{f.entries[0], raw.AddressOf(&memory) + uint64(len(memory)), 0, raw.AddressOf(s)}}
	f.call(abi.SysThreadCreate, &r)
	if int64(r.A[0]) < 0 {
		s.rounds = 0
	}
}

// add appends to a script one system call, or two of which the second gives back what
// the first one made.
func (f *fuzzer) add(s *script) {
	o := &s.ops[s.n]
	*o = op{}
	s.n++
	then := op{same: 1}
	switch f.n(8) {
	case 0:
		o.num, o.a[0], o.a[1], then.num = abi.SysCapCopy, f.handle(abi.KindNone), f.n(uint64(abi.AllRights)+1), abi.SysCapClose
	case 1:
		o.num, o.a[0], then.num = abi.SysVMOCreate, f.pages(), abi.SysCapClose
	case 2:
		length := f.pages()
		o.num, o.a = abi.SysVMOMap, [7]uint64{f.handle(abi.KindVMO), 0, 0, length, uint64(abi.RightRead)}
		then.num, then.a[1] = abi.SysUnmap, length
	case 3:
		o.num, o.a[0], o.a[1], then.num = abi.SysEndpointCreate, 1, 64, abi.SysCapClose
	default:
		var r ipc.Regs
		o.num = inScripts[f.n(uint64(len(inScripts)))]
		f.fill(o.num, &r)
		f.tame(&o.num, &r)
		copy(o.a[:], r.A[:])
		o.s10 = r.S10
		return
	}
	s.ops[s.n] = then
	s.n++
}

// quit ends this process, as one of its system calls might.
func (f *fuzzer) quit() {
	if f.n(3000) == 0 {
		os.Exit(0)
	}
}
