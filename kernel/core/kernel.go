package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Config is what the kernel needs from the machine.
type Config struct {
	Pool       *mem.Pool
	KernelRoot mem.PA       // root page table whose first four entries every space shares
	Console    func([]byte) // writes to the console, without blocking for long
	Now        func() int64 // nanoseconds since power-on
	TickNS     uint64       // nanoseconds per tick of the time CSR
	WallNS     int64        // wall clock at time CSR 0 in ns since 1970; 0: unknown
	Seed       [32]byte     // real entropy
	// FencePage and FenceSpace discard what the hart that runs the kernel has cached of
	// a page or of all of an address space, FenceOthers what the harts of a set (bit i:
	// hart i) have of size bytes from va on. With one hart it may be nil.
	FencePage   func(va, asid uint64)
	FenceSpace  func(asid uint64)
	FenceOthers func(harts, va, size, asid uint64)
	// FenceCode makes every hart see, as instructions, what was written to memory.
	FenceCode func()
	// Interrupt makes another hart enter the kernel soon. Nil with one hart.
	Interrupt func(hart int)
	// FloatingPoint unit of the hart; see package hart.
	FP FloatingPoint
	// Devices that processes may have, and the controller of their interrupts.
	Devices    []Device
	Controller Controller
}

// FloatingPoint moves the registers of the floating-point unit. They belong to one
// thread at a time and move only when another thread needs them.
type FloatingPoint interface {
	Save(*hart.FPState)
	Load(*hart.FPState)
}

// Kernel is the whole state of the system.
type Kernel struct {
	pool       *mem.Pool
	kernelRoot mem.PA
	console    func([]byte)
	now        func() int64
	fencePage  func(va, asid uint64)
	fenceSpace func(asid uint64)
	fenceOther func(harts, va, size, asid uint64)
	fenceCode  func()
	interrupt  func(hart int)
	fp         FloatingPoint
	controller Controller
	tickNS     uint64
	wallNS     int64
	drbg       drbg

	h        *Hart  // the hart that runs the kernel now
	numHarts int    // harts that are up
	online   uint32 // the set of them, by index
	idle     uint32 // set of harts that wait for work, by index

	root   uint32 // process whose end ends the system
	ended  bool
	status int64

	stolen    uint64 // threads that a hart with nothing to do took from another
	idleNS    int64
	dropped   uint64 // replies to callers that were gone, one-way messages that did not fit
	live      uint64
	capsUsed  uint64
	callsHeld uint64 // records that are neither free nor taken; see callsUsed

	orphans   uint32 // processes that nobody names any more, to be ended
	freeProcs uint32
	freeCaps  uint32
	freeEPs   uint32
	freeNotes uint32
	freeTmrs  uint32
	freeVMOs  uint32
	lastPID   uint32

	offered    []Device // until Boot has checked them
	numDevices uint64

	spec abi.SpawnSpec
	prog elf.Program

	harts     [MaxHarts]Hart
	dueHart   [maxDue + 1]uint8 // whose deadlines hold the entry: index + 1
	procs     [maxProcesses + 1]Process
	threads   [maxThreads + 1]Thread
	caps      [maxCaps + 1]capNode
	endpoints [maxEndpoints + 1]endpoint
	notifs    [maxNotifs + 1]notification
	timers    [maxTimers + 1]timer
	vmos      [maxVMOs + 1]vmo
	devices   [maxDevices + 1]device // the first numDevices from 1 on
	sources   [maxSource + 1]uint8   // device by its interrupt source
	calls     [maxCalls]call
	byRight   *[rightIndex + 1]call // the beginning of calls
	resolve   [maxProcesses + 1]func(*sv39.Space, uint64, bool) bool
	scratch   [abi.MaxBootData]byte // one user buffer at a time passes through here
}

// New returns a kernel without processes. It allocates everything that the
// kernel will ever use.
func New(c Config) *Kernel {
	k := &Kernel{
		pool: c.Pool, kernelRoot: c.KernelRoot, console: c.Console, now: c.Now,
		tickNS: c.TickNS, wallNS: c.WallNS, fencePage: c.FencePage, fenceSpace: c.FenceSpace, fenceOther: c.FenceOthers, fenceCode: c.FenceCode, interrupt: c.Interrupt, fp: c.FP,
		drbg: drbg{state: c.Seed}, controller: c.Controller, offered: c.Devices,
	}
	for i := range k.harts {
		k.harts[i].index = uint32(i)
		k.harts[i].deadline.first = Never
		k.harts[i].enter(abi.Normal)
	}
	k.h, k.numHarts, k.online = &k.harts[0], 1, 1
	for i := uint32(maxProcesses); i > 0; i-- {
		k.procs[i].next, k.freeProcs = k.freeProcs, i
		p := &k.procs[i]
		p.id, p.asid = i, uint64(i)
		p.handle[0].word = unused // no handle: 0 is none
		k.resolve[i] = func(_ *sv39.Space, va uint64, write bool) bool {
			need := sv39.Perm(sv39.R)
			if write {
				need = sv39.Perm(sv39.W)
			}
			return k.touch(p, va, need) == touchOK
		}
	}
	for i := uint32(maxThreads); i > 0; i-- {
		t := &k.threads[i]
		t.id, t.proc = i, &k.procs[(i-1)/threadsPerProcess+1]
	}
	for i := uint32(maxCaps); i > 0; i-- {
		k.caps[i].id, k.caps[i].next, k.freeCaps = i, k.freeCaps, i
	}
	for i := uint32(maxEndpoints); i > 0; i-- {
		k.endpoints[i].gen, k.endpoints[i].next, k.freeEPs = 1, k.freeEPs, i
	}
	for i := uint32(maxNotifs); i > 0; i-- {
		k.notifs[i].next, k.freeNotes = k.freeNotes, i
	}
	for i := uint32(maxTimers); i > 0; i-- {
		k.timers[i].next, k.freeTmrs = k.freeTmrs, i
	}
	for i := uint32(maxVMOs); i > 0; i-- {
		k.vmos[i].next, k.freeVMOs = k.freeVMOs, i
	}
	k.initCalls()
	return k
}

// Ended reports whether the root process has ended, and with which status.
func (k *Kernel) Ended() (status int64, ended bool) { return k.status, k.ended }

// Idled says that the hart waited for an interrupt for ns nanoseconds.
func (k *Kernel) Idled(ns int64) { k.idleNS += ns }
