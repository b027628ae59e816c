//go:build tamago && riscv64

package hart

// Fault reports an exception of the kernel itself, whose registers are in f, and
// does not return: there is no state to go on from. FaultAgain finishes the report
// if it faults in turn. Both are called once, by the first hart that faults, on a
// stack of their own with a g of its own; they must touch no heap. Whoever runs the
// kernel sets them with [OnFault].
var (
	fault      func(f *Frame)
	faultTwice func()
)

// What the trap path in assembly uses.
var (
	faultFrame Frame  // the registers
	faultGate  uint64 // not zero once a hart has faulted
	faultG     uint64
	faultSP    uint64
)

// faultSpare is left above the first frame, in bytes.
const faultSpare = 64

// OnFault says what happens when the kernel faults: report runs on the stack that
// ends at sp, with the g at address g, and again in its place if it faults. It comes
// before [Init].
func OnFault(report func(f *Frame), again func(), sp, g uint64) {
	fault, faultTwice, faultSP, faultG = report, again, sp-faultSpare, g
}

func kernelFault()      { fault(&faultFrame) }
func kernelFaultAgain() { faultTwice() }

// Break raises an exception in the kernel.
func Break()

// G returns the address of the g that runs.
func G() uint64
