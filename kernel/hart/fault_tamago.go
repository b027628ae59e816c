//go:build tamago && riscv64

package hart

// FaultPrint writes one byte of a fault report, and FaultStop ends the machine
// with a status after it. Whoever runs the kernel sets both before Init. They run
// in an exception of the kernel, on a small stack, and must be nosplit and touch
// no heap.
var (
	FaultPrint func(byte)
	FaultStop  func(status int32)
)

// faultStatus is the exit status of a machine whose kernel faulted.
const faultStatus = 102

// faultStack is where an exception of the kernel is reported.
var faultStack [4096]byte

// kernelFault reports an exception of the kernel itself and stops the machine:
// there is no state to go on from.
//
//go:nosplit
func kernelFault(cause, pc, addr, sp, ra uint64) {
	faultText("\nkernel: PANIC: exception scause=")
	faultHex(cause)
	faultText(" pc=")
	faultHex(pc)
	faultText(" stval=")
	faultHex(addr)
	faultText(" sp=")
	faultHex(sp)
	faultText(" ra=")
	faultHex(ra)
	faultText("\n")
	FaultStop(faultStatus)
}

//go:nosplit
func faultText(s string) {
	for i := 0; i < len(s); i++ {
		FaultPrint(s[i])
	}
}

//go:nosplit
func faultHex(v uint64) {
	faultText("0x")
	for shift := 60; shift >= 0; shift -= 4 {
		FaultPrint("0123456789abcdef"[v>>shift&15])
	}
}
