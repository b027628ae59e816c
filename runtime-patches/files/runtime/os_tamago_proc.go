//go:build tamago && riscv64 && nexusproc

// The operating system layer of a Nexus process: start page, threads, console, clock,
// entropy, exit.

package runtime

import (
	"internal/abi"
	"internal/chacha8rand"
	"internal/strconv"
	"runtime/goos"
	"unsafe"
)

// osinit runs on g0 before anything is allocated.
func osinit() {
	page := goos.Page
	if page == nil || page.Magic != goos.StartMagic || page.Version != goos.Version {
		exit(2)
	}
	if page.TickNS == 0 || page.HeapEnd <= page.HeapStart {
		refuse("nexus: the start page gives no clock or no memory\n")
	}
	tickNS = int64(page.TickNS)
	seedRandom(&page.Seed)
	physPageSize = 4096
	singleM, maxProcs = true, 1 // until goenvs knows better
	numCPUStartup = getCPUCount()
	meminit(uintptr(page.HeapStart), uintptr(page.HeapEnd))
	goos.Syscall(goos.SysProcessInfo, &processInfo)
	if int64(processInfo.A[0]) > 0 {
		memBudget = uintptr(processInfo.A[4]) * physPageSize
	}
	goos.Syscall3(goos.SysFaultHandler, uint64(abi.FuncPCABI0(faultEntry)), faultSlices, 0)
}

// processInfo is what process_info said about this process at its start.
var processInfo goos.Regs

// refuse ends a process that cannot start.
func refuse(why string) {
	write1(2, unsafe.Pointer(unsafe.StringData(why)), int32(len(why)))
	exit(2)
}

// mpreinit gives m the stack on which it hears of the end of a time slice.
func mpreinit(mp *m) {
	mp.gsignal = malg(8 << 10)
	mp.gsignal.m = mp
}

// minit runs on the g0 of an m that starts. Thread 0 is the first one.
func minit() {
	mp := getg().m
	mp.procid = 1
	if mp != &m0 {
		mp.procid += uint64(goos.Syscall3(goos.SysThreadSelf, 0, 0, 0))
	} else if !singleM {
		netpollGenericInit() // goroutines may wait for events before there is a timer
	}
}

type mOS struct{}

// maxThreads is how many Ms there can be. They never end.
const maxThreads = goos.MaxThreads

// newosproc starts a thread for mp on the stack of its g0.
//
//go:nowritebarrier
func newosproc(mp *m) {
	var r goos.Regs
	r.A[0] = uint64(abi.FuncPCABI0(mstart))
	r.A[1] = uint64(mp.g0.stack.hi)
	r.A[3] = uint64(uintptr(unsafe.Pointer(mp.g0)))
	goos.Syscall(goos.SysThreadCreate, &r)
	if errno := -int64(r.A[0]); errno > 0 {
		print("runtime: thread_create: error ", errno, "\n")
		throw("newosproc")
	}
}

// getCPUCount returns how many harts the process uses: as many as its environment
// asks for.
func getCPUCount() int32 { return maxProcs }

// futexsleep waits until the word at addr is woken, if it has the value val, or until
// ns nanoseconds have passed, if ns is not negative.
//
//go:nosplit
func futexsleep(addr *uint32, val uint32, ns int64) {
	until := int64(0)
	if ns >= 0 {
		until = nanotime1() + ns
	}
	switch goos.Syscall3(goos.SysFutexWait, uint64(uintptr(unsafe.Pointer(addr))), uint64(val), uint64(until)) {
	case 0, -goos.EAGAIN, -goos.ETIMEDOUT:
	default:
		throw("futex_wait failed")
	}
}

// futexwakeup wakes at most cnt threads that wait on addr.
//
//go:nosplit
func futexwakeup(addr *uint32, cnt uint32) {
	if goos.Syscall3(goos.SysFutexWake, uint64(uintptr(unsafe.Pointer(addr))), uint64(cnt), 0) < 0 {
		throw("futex_wake failed")
	}
}

//go:nosplit
func osyield() { goos.Syscall3(goos.SysYield, 0, 0, 0) }

// usleep waits on a word that nobody wakes.
//
//go:nosplit
func usleep(usec uint32) {
	var word uint32
	futexsleep(&word, 0, int64(usec)*1000)
}

// memFresh says that memory of the heap region is zero when it is first touched.
const memFresh = true

func memRegion() (start, end uint64) { return goos.Page.HeapStart, goos.Page.HeapEnd }

// goenvs sets the arguments and the environment, and learns from it whether the
// process is to be parallel. It is not unless asked: most services would pay for locks
// and wake-ups and gain nothing.
func goenvs() {
	argslice = pageStrings(goos.Page.ArgsPtr, goos.Page.Argc)
	envs = pageStrings(goos.Page.EnvPtr, goos.Page.Envc)
	if n, err := strconv.ParseInt(gogetenv("GOMAXPROCS"), 10, 32); err == nil && n > 1 {
		maxProcs = int32(min(uint64(n), max(goos.Page.Harts, 1), maxThreads))
	}
	numCPUStartup = getCPUCount()
	singleM = maxProcs == 1
}

// pageStrings returns n NUL-terminated strings that the kernel laid out behind
// the start page. They are used in place.
func pageStrings(ptr, n uint64) []string {
	list := make([]string, n)
	p := (*byte)(unsafe.Pointer(uintptr(ptr)))
	for i := range list {
		list[i] = gostringnocopy(p)
		p = (*byte)(add(unsafe.Pointer(p), uintptr(len(list[i]))+1))
	}
	return list
}

// tickNS is the length of a tick of the time CSR in ns.
var tickNS int64 = 1

//go:nosplit
func nanotime1() int64 { return goos.Ticks() * tickNS }

//go:nosplit
func walltime() (sec int64, nsec int32) {
	t := nanotime1() + goos.Page.WallNS
	return t / 1e9, int32(t % 1e9)
}

// processRand generates what crypto/rand hands out. It is not the generator of
// the runtime itself (globalRand): each gets a key of its own from the seed.
// Many processes never need it, so it is set up at first use.
var processRand struct {
	lock   mutex
	seeded bool
	key    [32]byte
	state  chacha8rand.State
}

// runtimeSeed is what startupRand points to; randinit overwrites it.
var runtimeSeed [32]byte

// seedRandom derives both keys. Without entropy the process does not start.
func seedRandom(seed *[32]byte) {
	if allZero(seed[:]) {
		refuse("nexus: no entropy in the start page\n")
	}
	gen := &processRand.state
	gen.Init(*seed)
	fillRandom(gen, runtimeSeed[:])
	startupRand = runtimeSeed[:]
	fillRandom(gen, processRand.key[:])
	*gen = chacha8rand.State{}
}

// fillRandom fills b from s.
func fillRandom(s *chacha8rand.State, b []byte) {
	for len(b) > 0 {
		x, ok := s.Next()
		for !ok {
			s.Refill()
			x, ok = s.Next()
		}
		for n := min(len(b), 8); n > 0; n-- {
			b[0] = byte(x)
			x >>= 8
			b = b[1:]
		}
	}
}

func readRandom(r []byte) int {
	sysrand_read(r)
	return len(r)
}

// sysrand_read fills b for crypto/rand.
//
//go:linkname sysrand_read crypto/internal/sysrand.runtime_getRandom
func sysrand_read(b []byte) {
	lock(&processRand.lock)
	if !processRand.seeded {
		processRand.seeded = true
		processRand.state.Init(processRand.key)
		clear(processRand.key[:])
	}
	fillRandom(&processRand.state, b)
	unlock(&processRand.lock)
}

// syscall_files returns the read-only initial files of the process.
//
//go:linkname syscall_files syscall.runtime_files
func syscall_files() []byte {
	page := goos.Page
	if page.FilesLen == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(page.FilesPtr))), page.FilesLen)
}

//go:linkname syscall_pid syscall.runtime_pid
func syscall_pid() int { return int(goos.Page.PID) }

// errLine collects what the runtime prints, which comes in small pieces, into one
// console call per line. It is flushed by a newline, when it is full, before any
// other output, when the process waits and when it ends. The lock of print guards it.
var errLine struct {
	n   int32
	buf [256]byte
}

// writeErr is called with the lock of print held.
//
//go:nosplit
func writeErr(b []byte) {
	for _, c := range b {
		errLine.buf[errLine.n] = c
		errLine.n++
		if c == '\n' || int(errLine.n) == len(errLine.buf) {
			writeErrLine()
		}
	}
}

//go:nosplit
func writeErrLine() {
	n := errLine.n
	errLine.n = 0
	console(unsafe.Pointer(&errLine.buf), n)
}

//go:nosplit
func flushErr() {
	if errLine.n == 0 {
		return
	}
	printlock()
	if errLine.n != 0 {
		writeErrLine()
	}
	printunlock()
}

// write1 writes to the console. Other files are package syscall's.
//
//go:nosplit
func write1(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if fd != 1 && fd != 2 {
		return -9 // EBADF
	}
	flushErr()
	return console(p, n)
}

// console writes n bytes in as few system calls as the kernel allows. Without a
// console the output goes nowhere.
//
//go:nosplit
func console(p unsafe.Pointer, n int32) int32 {
	handle := goos.Page.Console
	if handle == 0 {
		return n
	}
	for done := int32(0); done < n; {
		chunk := min(n-done, goos.MaxMessage)
		r := goos.Syscall3(goos.SysConsoleWrite, handle, uint64(uintptr(add(p, uintptr(done)))), uint64(chunk))
		if r <= 0 {
			return int32(r)
		}
		done += int32(r)
	}
	return n
}

// exit ends the process. Whoever holds the lock of print may never give it back.
//
//go:nosplit
func exit(code int32) {
	writeErrLine()
	for {
		goos.Syscall3(goos.SysExit, uint64(code), 0, 0)
	}
}
