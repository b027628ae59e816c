//go:build tamago && riscv64 && nexusproc

// Exceptions of a process become run-time panics, like synchronous signals do on
// Unix. faultEntry (rt0_tamago_proc_riscv64.s) fills in g.sig*: the signal number
// is scause.

package runtime

import (
	"internal/abi"
	"internal/goarch"
	"runtime/goos"
	"unsafe"
)

// The exceptions of RISC-V that a process can cause, as in scause.
const (
	causeFetchMisaligned = 0
	causeFetchAccess     = 1
	causeIllegal         = 2
	causeBreakpoint      = 3
	causeLoadMisaligned  = 4
	causeLoadAccess      = 5
	causeStoreMisaligned = 6
	causeStoreAccess     = 7
	causeFetchPage       = 12
	causeLoadPage        = 13
	causeStorePage       = 15
)

// faultSlices, in a1 of fault_handler, asks the kernel to enter the handler at the end
// of each time slice too.
const faultSlices = 1

// System calls that assembly makes.
const (
	sysExit       = goos.SysExit
	sysFaultDone  = goos.SysFaultDone
	sysThreadExit = goos.SysThreadExit
)

// faultEntry is in assembly.
func faultEntry()

// faultRegs is what faultEntry keeps of a fault outside of a goroutine.
type faultRegs struct {
	g                       uintptr
	cause, addr, pc, sp, lr uintptr
}

var faultRecord faultRegs

// faultCrashFn is a func value for assembly.
var faultCrashFn = faultCrash

// faultCrash reports a fault of the runtime itself and ends the process. It runs
// on the crash stack.
func faultCrash() {
	r := &faultRecord
	gp := (*g)(unsafe.Pointer(r.g))
	print("fatal error: ", causeName(uint32(r.cause)), " in the runtime\n")
	print("[code=", hex(r.cause), " addr=", hex(r.addr), " pc=", hex(r.pc), " sp=", hex(r.sp), " goid=", gp.goid, "]\n")
	mp := getg().m
	mp.throwing = throwTypeRuntime
	if !singleM {
		freezetheworld()
	}
	tracebacktrap(r.pc, r.sp, r.lr, gp)
	tracebackothers(gp)
	exit(2)
}

// preemptUpcall runs on gsignal at the end of a time slice that found gp running
// Go code at pc. It asks gp to let others run, and if pc is a place where that can
// be done at once, returns where to continue instead: in asyncPreempt, called as if
// by the interrupted instruction.
//
//go:nowritebarrierrec
func preemptUpcall(gp *g, sp, pc, lr uintptr) (newpc, newsp, newlr uintptr) {
	ipc.poll = true
	gp.preempt = true
	gp.stackguard0 = stackPreempt
	if debug.asyncpreemptoff != 0 || !wantAsyncPreempt(gp) {
		return 0, 0, 0
	}
	ok, resume := isAsyncSafePoint(gp, pc, sp, lr)
	if !ok {
		return 0, 0, 0
	}
	sp -= goarch.PtrSize
	*(*uintptr)(unsafe.Pointer(sp)) = lr
	return abi.FuncPCABI0(asyncPreempt), sp, resume
}

// sigpanic is called as if by the instruction that faulted. It must not be
// nosplit: the linker does not see these calls.
//
//go:linkname sigpanic
func sigpanic() {
	gp := getg()
	if !canpanic() {
		throw("unexpected exception during runtime execution")
	}
	addr := gp.sigcode1
	switch gp.sig {
	case causeFetchAccess, causeLoadAccess, causeStoreAccess, causeFetchPage, causeLoadPage, causeStorePage:
		if addr < minLegalPointer {
			panicmem()
		}
		if gp.paniconfault {
			panicmemAddr(addr)
		}
		print("unexpected fault address ", hex(addr), "\n")
		throw("fault")
	case causeLoadMisaligned, causeStoreMisaligned, causeFetchMisaligned:
		panicmemAddr(addr)
	}
	panic(errorString(causeName(gp.sig)))
}

// signame is causeName, for the line that a panic prints about its exception.
func signame(sig uint32) string { return causeName(sig) }

// causeName names an exception.
func causeName(cause uint32) string {
	switch cause {
	case causeFetchMisaligned:
		return "misaligned instruction"
	case causeFetchAccess, causeFetchPage:
		return "instruction fetch fault"
	case causeIllegal:
		return "illegal instruction"
	case causeBreakpoint:
		return "breakpoint"
	case causeLoadMisaligned:
		return "misaligned load"
	case causeLoadAccess, causeLoadPage:
		return "load fault"
	case causeStoreMisaligned:
		return "misaligned store"
	case causeStoreAccess, causeStorePage:
		return "store fault"
	}
	return "unknown exception"
}
