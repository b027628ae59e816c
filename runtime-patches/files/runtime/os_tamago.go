//go:build tamago && riscv64

// The parts of the operating system layer that are the same for a kernel on a
// board and for a process: there are no signals.

package runtime

import (
	"internal/runtime/atomic"
	"unsafe"
)

type sigset struct{}

// gsignalStack is unused: faults are handled on the stack of the goroutine.
type gsignalStack struct{}

const _NSIG = 0

type sigTabT struct {
	flags int32
	name  string
}

var sigtable [0]sigTabT

// cputicks is in asm_riscv64.s.
func cputicks() int64

//go:nosplit
func osyield_no_g() { osyield() }

func sigsave(p *sigset) {}

//go:nosplit
func msigrestore(sigmask sigset) {}

//go:nosplit
//go:nowritebarrierrec
func clearSignalHandlers() {}

//go:nosplit
func sigblock(exiting bool) {}

func initsig(preinit bool) {}

func sigenable(uint32) {}

func sigdisable(uint32) {}

func sigignore(uint32) {}

func setProcessCPUProfiler(hz int32) {}

func setThreadCPUProfiler(hz int32) {}

func unminit() {}

//go:nowritebarrierrec
func mdestroy(mp *m) {}

// exitThread is never called: threads do not exit.
func exitThread(wait *atomic.Uint32) {}

// os_sigpipe does nothing: the writer sees EPIPE.
//
//go:linkname os_sigpipe os.sigpipe
func os_sigpipe() {}

//go:linkname syscall_now syscall.now
func syscall_now() (sec int64, nsec int32) {
	sec, nsec, _ = time_now()
	return
}

//go:nosplit
func usleep_no_g(usec uint32) { usleep(usec) }

// crash ends the program after a fatal error with GOTRACEBACK=crash.
//
//go:nosplit
func crash() { exit(2) }

// checkTimeouts is for wasm only.
func checkTimeouts() {}

// The three calls that package runtime makes on files (cgroups, GOMAXPROCS,
// tests): there are no files below package syscall.
func open(name *byte, mode, perm int32) int32        { return -1 }
func closefd(fd int32) int32                         { return -1 }
func read(fd int32, p unsafe.Pointer, n int32) int32 { return -1 }

// MemRegion returns the start and end of the memory that the runtime allocates
// from and was loaded into.
func MemRegion() (start, end uint64) { return memRegion() }

// TextRegion returns the start and end of the program's instructions.
func TextRegion() (start, end uint64) {
	return uint64(firstmoduledata.text), uint64(firstmoduledata.etext)
}

// DataRegion returns the start and end of the program's variables.
func DataRegion() (start, end uint64) {
	return uint64(firstmoduledata.data), uint64(firstmoduledata.enoptrbss)
}
