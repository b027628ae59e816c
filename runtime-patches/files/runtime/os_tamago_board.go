//go:build tamago && riscv64 && !nexusproc

// The operating system layer of a program on a board: everything is a hook of
// package runtime/goos, which GOOSPKG names (the contract of module
// github.com/usbarmory/tamago). Hooks that run before malloc works or under
// nosplit (Nanotime, Printk) must not allocate and need small frames.

package runtime

import (
	"internal/abi"
	"internal/runtime/atomic"
	"runtime/goos"
	"unsafe"
)

type mOS struct {
	waitsemacount uint32
}

// maxThreads is no limit: the board decides.
const maxThreads = 1 << 30

const preemptMSupported = false

func preemptM(mp *m) {}

func getCPUCount() int32 { return 1 }

// osinit runs on g0 before anything is allocated.
func osinit() {
	goos.Hwinit0()
	physPageSize = 4096
	numCPUStartup = getCPUCount()
	singleM = goos.Task == nil
	if singleM {
		maxProcs = 1
	}
	lo := uintptr(goos.Bloc)
	if lo == 0 {
		lo = firstmoduledata.end
	}
	hi := uintptr(goos.RamStart + goos.RamSize)
	if stack := getg().m.g0.stack.lo; stack > lo && stack < hi {
		hi = stack
	}
	meminit(lo, hi)
}

// minit runs on g0 when an m starts. For the first one that is the moment after
// the runtime is up and before any goroutine runs.
func minit() {
	mp := getg().m
	if goos.ProcID != nil {
		mp.procid = goos.ProcID()
	}
	if mp == &m0 {
		goos.Hwinit1()
	}
}

func signame(sig uint32) string { return "" }

// mpreinit does nothing: an m needs no stack for signals.
func mpreinit(mp *m) {}

// newosproc starts mp on another hart.
//
//go:nowritebarrier
func newosproc(mp *m) {
	if goos.Task == nil {
		throw("newosproc: goos.Task is not set")
	}
	const stackSize = 128 << 10
	stack := sysAlloc(stackSize, &memstats.stacks_sys, "hart stack")
	if stack == nil {
		throw("newosproc: no memory for a stack")
	}
	mp.g0.stack.lo = uintptr(stack)
	mp.g0.stack.hi = uintptr(stack) + stackSize
	mp.g0.stackguard0 = mp.g0.stack.lo + stackGuard
	mp.g0.stackguard1 = mp.g0.stackguard0
	goos.Task(unsafe.Pointer(mp.g0.stack.hi), unsafe.Pointer(mp), unsafe.Pointer(mp.g0), unsafe.Pointer(abi.FuncPCABI0(mstart)))
}

// An m waits by polling: with one it never does, and with several (a board that sets
// goos.Task) there is nothing else.

//go:nosplit
func osyield() {}

//go:nosplit
func usleep(usec uint32) {
	for end := nanotime1() + int64(usec)*1000; nanotime1() < end; {
	}
}

//go:nosplit
func semacreate(mp *m) {}

//go:nosplit
func semasleep(ns int64) int32 {
	count := &getg().m.waitsemacount
	end := int64(0)
	if ns >= 0 {
		end = nanotime1() + ns
	}
	for {
		if v := atomic.Load(count); v > 0 && atomic.Cas(count, v, v-1) {
			return 0
		}
		if ns >= 0 && nanotime1() >= end {
			return -1
		}
		procyield(30)
	}
}

//go:nosplit
func semawakeup(mp *m) { atomic.Xadd(&mp.waitsemacount, 1) }

// beforeIdle runs on g0 with a P when no goroutine can run. The P stays ours, so
// the scheduler starts over when the hook returns. until is 0 without a timer.
func beforeIdle(now, until int64) (*g, bool) {
	if gp := relayReady(); gp != nil {
		return gp, false
	}
	if goos.Idle != nil {
		goos.Idle(until)
	}
	return nil, true
}

// memFresh says that memory of the region is not known to be zero.
const memFresh = false

func memRegion() (start, end uint64) {
	return uint64(goos.RamStart), uint64(goos.RamStart + goos.RamSize)
}

func goenvs() {
	argslice = []string{"tamago"}
	envs = make([]string, 0)
}

func readRandom(r []byte) int {
	goos.InitRNG()
	goos.GetRandomData(r)
	return len(r)
}

// sysrand_read fills b for crypto/rand.
//
//go:linkname sysrand_read crypto/internal/sysrand.runtime_getRandom
func sysrand_read(b []byte) { goos.GetRandomData(b) }

// syscall_files returns nil: a board has no initial files.
//
//go:linkname syscall_files syscall.runtime_files
func syscall_files() []byte { return nil }

//go:linkname syscall_pid syscall.runtime_pid
func syscall_pid() int { return 1 }

//go:nosplit
func nanotime1() int64 { return goos.Nanotime() }

// walltime is nanotime: the contract knows one clock.
//
//go:nosplit
func walltime() (sec int64, nsec int32) {
	t := goos.Nanotime()
	return t / 1e9, int32(t % 1e9)
}

// write1 writes to the console. Other files are package syscall's.
//
//go:nosplit
func write1(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if fd != 1 && fd != 2 {
		return -9 // EBADF
	}
	for i := int32(0); i < n; i++ {
		goos.Printk(*(*byte)(add(p, uintptr(i))))
	}
	return n
}

//go:nosplit
func writeErr(b []byte) {
	if len(b) > 0 {
		writeErrData(&b[0], int32(len(b)))
	}
}

//go:nosplit
func exit(code int32) {
	if goos.Exit != nil {
		goos.Exit(code)
	}
	for {
	}
}

// There is nothing to poll: a board's events come through goos.Idle.

func pollEvents(pp *p) {}

func netpollinit() {}

func netpollBreak() {}

func netpoll(delay int64) (gList, int32) { return gList{}, 0 }

// nexus_systemstack runs fn on the stack that the board set up. A kernel runs its
// hart loop there: nothing preempts it, the stack never moves or grows, and a
// panic on it is fatal.
//
//go:linkname nexus_systemstack
func nexus_systemstack(fn func()) {
	systemstack(func() { fn() })
}

// nexus_newHart returns a g for a hart that runs kernel code on the stack from lo to
// hi, without a scheduler: the code must neither allocate nor block. The caller keeps
// it reachable.
//
//go:linkname nexus_newHart
func nexus_newHart(lo, hi uintptr) unsafe.Pointer {
	gp, mp := new(g), new(m)
	gp.m, mp.g0 = mp, gp
	gp.stack.lo, gp.stack.hi = lo, hi
	gp.stackguard0 = lo + stackGuard
	gp.stackguard1 = gp.stackguard0
	return unsafe.Pointer(gp)
}

// nexus_traceback writes the traceback of gp, which stopped at pc with the stack
// pointer sp and the return address lr, into buf and returns its length. It runs on
// the g of a hart, another one, allocates nothing and waits for no lock: gp may have
// stopped anywhere.
//
//go:linkname nexus_traceback
func nexus_traceback(pc, sp, lr uintptr, gp unsafe.Pointer, buf []byte) int {
	me := getg()
	me.m.printlock++                                      // as if print's lock were ours
	me.m.throwing, me.m.curg = throwTypeRuntime, (*g)(gp) // frames of the runtime too
	me.writebuf = buf[:0]
	traceback1(pc, sp, lr, (*g)(gp), unwindTrap|unwindPrintErrors)
	n := len(me.writebuf)
	me.writebuf = nil
	me.m.throwing, me.m.curg = throwTypeNone, nil
	me.m.printlock--
	return n
}
