// Package hart is the part of the kernel that needs the processor: entering a
// process and coming back, CSRs, timers and floating-point registers.
//
// A trap is a function return. [Enter] loads the registers of a [Frame] and
// executes SRET; the trap vector saves them into the same frame and returns from
// Enter to the kernel's hart loop. No Go code ever runs in an interrupt context:
// interrupts are taken in U-mode only, and kernel code is sequential.
//
// The package imports nothing. Frame builds on every machine, so that the rest of
// the kernel can be tested without a RISC-V processor.
package hart

// Register numbers of a [Frame], by their names in the RISC-V calling convention.
const (
	RA  = 1
	SP  = 2
	A0  = 10
	A1  = 11
	A2  = 12
	A3  = 13
	A4  = 14
	A5  = 15
	A6  = 16
	A7  = 17
	S2  = 18 // first of the eight payload registers s2 to s9
	S10 = 26
	S11 = 27 // where Go keeps its g
)

// Frame holds the user state of a thread while it is not running. The trap path
// in assembly knows its layout through go_asm.h.
type Frame struct {
	X     [32]uint64 // integer registers; X[0] is the program counter
	Cause uint64     // scause of the trap that ended the last Enter, if that was no system call
	Tval  uint64     // stval of that trap
	// Full is 0 after a system call, which saves only the registers that the ABI
	// preserves or passes; Enter zeroes the others then. Every other trap saves all
	// and sets Full to 1.
	Full uint64

	// Status is sstatus: whether the floating-point unit is off, and whether its
	// registers changed.
	Status uint64

	// SATP is the address space that the thread runs in (privileged specification,
	// "Supervisor Address Translation and Protection Register").
	SATP uint64

	// The kernel's own registers while the thread runs: SP, RA and g. Go on
	// riscv64 keeps nothing else across a call.
	//lint:ignore U1000 the trap path in assembly uses them
	ksp, kra, kg uint64
}

// Values of the field FS of sstatus (privileged specification, "Extension Context
// Status in sstatus Register").
const (
	fsMask  = 3 << 13
	fsClean = 2 << 13
	fsDirty = 3 << 13
)

// statusUser is sstatus for U-mode: SRET enables interrupts (SPIE) and goes to
// U-mode (SPP zero); the floating-point unit is off.
const statusUser = 1 << 5

// NewFrame returns a frame with all registers zero and the floating-point unit
// off.
func NewFrame() Frame { return Frame{Full: 1, Status: statusUser} }

// ClearPayload zeroes the payload registers: the message is elsewhere.
func (f *Frame) ClearPayload() {
	x := &f.X
	x[S2], x[S2+1], x[S2+2], x[S2+3], x[S2+4], x[S2+5], x[S2+6], x[S2+7] = 0, 0, 0, 0, 0, 0, 0, 0
}

// Interrupted reports whether the last trap was the interrupt with this cause.
func (f *Frame) Interrupted(cause uint64) bool { return f.Full != 0 && f.Cause == cause }

// TakePayload copies the payload registers of from.
func (f *Frame) TakePayload(from *Frame) {
	y, x := &f.X, &from.X
	y[S2], y[S2+1], y[S2+2], y[S2+3] = x[S2], x[S2+1], x[S2+2], x[S2+3]
	y[S2+4], y[S2+5], y[S2+6], y[S2+7] = x[S2+4], x[S2+5], x[S2+6], x[S2+7]
}

// FPDirty reports whether the thread changed floating-point registers since they
// were loaded.
func (f *Frame) FPDirty() bool { return f.Status&fsMask == fsDirty }

// FPOff makes the next floating-point instruction of the thread trap.
func (f *Frame) FPOff() { f.Status &^= fsMask }

// FPClean lets the thread use the floating-point registers as they are.
func (f *Frame) FPClean() { f.Status = f.Status&^fsMask | fsClean }

// FPState is the floating-point state of a thread: f0 to f31 and fcsr.
type FPState struct {
	F    [32]uint64
	FCSR uint64
}

// Values of scause (RISC-V privileged specification, section "Supervisor Cause
// Register").
const (
	CauseInterrupt  = 1 << 63
	CauseTimer      = CauseInterrupt | 5
	CauseExternal   = CauseInterrupt | 9
	CauseSoftware   = CauseInterrupt | 1
	CauseFetchFault = 1
	CauseIllegal    = 2
	CauseBreakpoint = 3
	CauseEcallU     = 8
	CauseFetchPage  = 12
	CauseLoadPage   = 13
	CauseStorePage  = 15
)
