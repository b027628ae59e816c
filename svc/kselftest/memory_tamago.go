//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Values of scause.
const (
	causeIllegal        = 2
	causeBreakpoint     = 3
	causeLoadMisaligned = 4
	causeFetchPage      = 12
	causeLoadPage       = 13
	causeStorePage      = 15
)

// private is at the same address in every process of this program, original in its
// initialised data.
var (
	private  uint64
	original uint64 = 0x6f726967696e616c
)

const (
	readWrite = uint64(abi.RightRead | abi.RightWrite)
	readOnly  = uint64(abi.RightRead)
	// farAway is an address of the mapping area that the kernel chooses for nobody
	// here.
	farAway = abi.MapBase + 8<<30
)

// asCreate: processes have memory of their own at the same addresses.
func asCreate(t *tester) {
	before := t.counts()
	original = 1
	a, b := t.puppet(), t.puppet()
	now := t.counts()
	check(now.processes == before.processes+2, "%d live processes, were %d before two more", now.processes, before.processes)
	check(now.unreserved == before.unreserved-2*puppetFrames, "%d frames unreserved, %d before two budgets of %d", now.unreserved, before.unreserved, puppetFrames)

	private = 0x1111
	a.do(opStore, raw.AddressOf(&private), 0x2222)
	b.do(opStore, raw.AddressOf(&private), 0x3333)
	got := [3]uint64{private, a.do(opLoad, raw.AddressOf(&private))[0], b.do(opLoad, raw.AddressOf(&private))[0]}
	check(got == [3]uint64{0x1111, 0x2222, 0x3333}, "one address in three processes holds %#x", got)
	check(a.do(opLoad, raw.AddressOf(&original))[0] == 0x6f726967696e616c, "a new process sees what another wrote to its data")
	original = 0x6f726967696e616c

	// What is mapped here is not mapped there.
	v := caller(self).sys(abi.SysVMOCreate, abi.PageSize)
	caller(self).sys(abi.SysVMOMap, v, farAway, 0, abi.PageSize, readWrite)
	*word(farAway) = 0x4444
	got2 := a.do(opProbe, accessLoad, farAway)
	check(got2[0] == causeLoadPage && got2[1] == farAway, "memory of another process: scause %d at %#x", got2[0], got2[1])
	caller(self).sys(abi.SysUnmap, farAway, abi.PageSize)
	closeAll(v)
}

// vmoZero: new memory is zero, whatever was in its frames before.
func vmoZero(t *tester) {
	const pages = 64
	const size = pages * abi.PageSize
	own := caller(self)
	for range 3 {
		v := own.sys(abi.SysVMOCreate, size)
		at := own.sys(abi.SysVMOMap, v, 0, 0, size, readWrite)
		b := memory(at, size)
		check(isZero(b), "a new memory object is not zero")
		for i := range b {
			b[i] = 0xa5
		}
		own.sys(abi.SysUnmap, at, size)
		closeAll(v)
	}
	// A large object gets its pages together, and all of them are zero: one fault, and
	// what the runtime of this process itself may touch meanwhile.
	const large, few = 2 << 20, 64
	faults := func() uint64 { return own.event(abi.SysProcessInfo, ipc.Regs{}).Data[2] }
	for range 2 {
		v := own.sys(abi.SysVMOCreate, large)
		at := own.sys(abi.SysVMOMap, v, 0, 0, large, readWrite)
		b, before := memory(at, large), faults()
		check(isZero(b), "a large memory object is not zero")
		n := faults() - before
		check(n <= few, "%d page faults for a large object of %d pages", n, large/abi.PageSize)
		for i := range b {
			b[i] = 0xa5
		}
		own.sys(abi.SysUnmap, at, large)
		closeAll(v)
	}
	// A page that a write brings into being is zero around what was written.
	v := own.sys(abi.SysVMOCreate, abi.PageSize)
	buf := new([abi.PageSize]byte)
	buf[0] = 1
	own.sys(abi.SysVMOWrite, v, 100, raw.AddressOf(buf), 1)
	own.sys(abi.SysVMORead, v, 0, raw.AddressOf(buf), abi.PageSize)
	check(buf[100] == 1 && isZero(buf[:100]) && isZero(buf[101:]), "around what was written, a new page is not zero")
	closeAll(v)

	// The same for the memory of processes.
	a := t.puppet()
	heap := abi.HeapBase + 400*abi.PageSize // more than the runtime has touched
	a.do(opFill, uint64(heap), size, 0x5a)
	a.drop()
	b := t.puppet()
	check(b.do(opIsZero, uint64(heap), size)[0] == 1, "the heap of a new process is not zero")
}

// asMap: mappings show the object, with the rights that were asked for, and go.
func asMap(t *tester) {
	own := caller(self)
	const size = 4 * abi.PageSize
	v := own.sys(abi.SysVMOCreate, size)
	m := own.sys(abi.SysVMOMap, v, 0, 0, size, readWrite)
	check(m >= abi.MapBase && m+size <= abi.MapEnd, "mapped at %#x", m)
	*word(m + abi.PageSize) = 0x0123456789abcdef
	got := new(uint64)
	own.sys(abi.SysVMORead, v, abi.PageSize, raw.AddressOf(got), 8)
	check(*got == 0x0123456789abcdef, "the object holds %#x where the mapping was written", *got)

	// The same page a second time, at an address of choice, read-only.
	own.sys(abi.SysVMOMap, v, farAway, abi.PageSize, abi.PageSize, readOnly)
	check(*word(farAway) == *got, "a second mapping shows %#x", *word(farAway))
	*word(m + abi.PageSize)++
	check(*word(farAway) == *got+1, "a second mapping shows what was there before")
	cause, addr := access(accessStore, farAway)
	check(cause == causeStorePage && addr == farAway, "store to a read-only mapping: scause %d at %#x", cause, addr)

	// What must not be.
	own.refuse(abi.EOVERLAP, abi.SysVMOMap, v, farAway, 0, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, farAway+1, 0, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, 1, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, 0, 0, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, abi.PageSize, size, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, size+abi.PageSize, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, 0, 1<<63, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, abi.MapEnd-abi.PageSize, 0, 2*abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, abi.ImageBase, 0, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, abi.StackTop-abi.PageSize, 0, abi.PageSize, readOnly)
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, 0, abi.PageSize, uint64(abi.RightWrite))
	own.refuse(abi.EINVAL, abi.SysVMOMap, v, 0, 0, abi.PageSize, readOnly|uint64(abi.RightGrant))
	own.refuse(abi.EKIND, abi.SysVMOMap, console, 0, 0, abi.PageSize, readOnly)

	// Another process shares it, with the rights that it was given.
	p := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead})
	there := caller(p.call)
	there.refuse(abi.EPERM, abi.SysVMOMap, given(0), 0, 0, size, readWrite)
	at := there.sys(abi.SysVMOMap, given(0), 0, 0, size, readOnly)
	check(p.do(opLoad, at+abi.PageSize)[0] == *got+1, "another process sees something else in a shared object")
	*word(m) = 0x77
	check(p.do(opLoad, at)[0] == 0x77, "another process does not see a write to a shared object")
	fault := p.do(opProbe, accessStore, at)
	check(fault[0] == causeStorePage && fault[1] == at, "store to a read-only mapping in another process: scause %d at %#x", fault[0], fault[1])

	// Unmapped memory is gone, and a mapping keeps an object that nobody names.
	own.refuse(abi.ENOENT, abi.SysUnmap, m, size-abi.PageSize)
	own.refuse(abi.ENOENT, abi.SysUnmap, m+abi.PageSize, size-abi.PageSize)
	own.refuse(abi.EINVAL, abi.SysUnmap, m+1, size)
	check(*word(farAway) == *got+1, "a mapping shows something else after a while") // and the hart knows the page
	own.sys(abi.SysUnmap, farAway, abi.PageSize)
	cause, addr = access(accessLoad, farAway)
	check(cause == causeLoadPage && addr == farAway, "load from where something was mapped: scause %d at %#x", cause, addr)
	own.refuse(abi.ENOENT, abi.SysUnmap, farAway, abi.PageSize)
	closeAll(v)
	*word(m + 3*abi.PageSize) = 0x99
	check(p.do(opLoad, at+3*abi.PageSize)[0] == 0x99, "an object that is only mapped is not shared any more")
	own.sys(abi.SysUnmap, m, size)

	// As many mappings as there may be, which do not overlap, and all of them back.
	v = own.sys(abi.SysVMOCreate, abi.PageSize)
	var maps []uint64
	for {
		at, errno := own.try(abi.SysVMOMap, v, 0, 0, abi.PageSize, readWrite)
		if errno != abi.OK {
			check(errno == abi.ENOSPC, "mapping %d: %v", len(maps), errno)
			break
		}
		*word(at) = uint64(len(maps))
		maps = append(maps, at)
	}
	check(len(maps) > 8, "%d mappings", len(maps))
	for i, at := range maps {
		check(i == 0 || at > maps[i-1], "mapping %d is at %#x", i, at)
		check(*word(at) == uint64(len(maps)-1), "mapping %d of one page shows %d", i, *word(at))
		own.sys(abi.SysUnmap, at, abi.PageSize)
	}
	closeAll(v)
}

// wxEnforced: no memory is writable and executable, by any way to ask for it.
func wxEnforced(t *tester) {
	own := caller(self)
	const exec = uint64(abi.RightExec)
	v := own.sys(abi.SysVMOCreate, abi.PageSize)
	own.refuse(abi.EWX, abi.SysVMOMap, v, 0, 0, abi.PageSize, readWrite|exec)
	own.refuse(abi.EWX, abi.SysVMOMap, services, 0, 0, abi.PageSize, readWrite|exec)
	own.refuse(abi.EPERM, abi.SysVMOMap, v, 0, 0, abi.PageSize, readOnly|exec)
	own.refuse(abi.EPERM, abi.SysVMOMap, services, 0, 0, abi.PageSize, readWrite)
	_, errno := t.trySpawn(t.small("wx", ProgramWX))
	check(errno == abi.EWX, "program with a writable and executable segment: %v", errno)

	p := t.puppet(abi.SpawnCap{Handle: abi.Handle(services), Rights: abi.RightRead | abi.RightExec}, abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead | abi.RightWrite})
	there := caller(p.call)
	const ret = 0x8067 // the instruction that returns
	var at [6]uint64
	faultAddresses(&at)
	text := at[2]
	heap := uint64(abi.HeapBase + 400*abi.PageSize)
	stack := uint64(abi.StackTop - 1024) // the runtime's own; what is there is not needed any more
	mapped := there.sys(abi.SysVMOMap, given(1), 0, 0, abi.PageSize, readWrite)
	program := there.sys(abi.SysVMOMap, given(0), 0, 0, abi.PageSize, readOnly|exec)
	for _, w := range []struct {
		what string
		at   uint64
	}{{"heap", heap}, {"data", raw.AddressOf(&private)}, {"stack", stack}, {"a mapping", mapped}} {
		p.do(opStore, w.at, ret)
		f := p.do(opProbe, accessCall, w.at)
		check(f[0] == causeFetchPage && f[1] == w.at, "executing %s at %#x: scause %d at %#x", w.what, w.at, f[0], f[1])
	}
	for _, w := range []struct {
		what string
		at   uint64
	}{{"text", text}, {"an executable mapping", program}, {"the start page", abi.StartPage}} {
		f := p.do(opProbe, accessLoad, w.at)
		check(f[0] == 0, "reading %s at %#x: scause %d", w.what, w.at, f[0])
		f = p.do(opProbe, accessStore, w.at)
		check(f[0] == causeStorePage && f[1] == w.at, "writing %s at %#x: scause %d at %#x", w.what, w.at, f[0], f[1])
	}
	f := p.do(opProbe, accessCall, abi.StartPage)
	check(f[0] == causeFetchPage, "executing the start page: scause %d", f[0])
	closeAll(v)
}
