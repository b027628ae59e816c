// Package sbi calls the firmware below the kernel: the Supervisor Binary
// Interface, as OpenSBI implements it. Chapters named here are those of the
// RISC-V SBI specification 2.0; everything used is in 1.0 as well, which is what
// the OpenSBI 1.1 that comes with QEMU 7.2 speaks. That one has no debug console
// (DBCN, chapter 12), so the console is the board's UART.
//
// Every function is nosplit and allocates nothing, so that the runtime's hooks
// and fault handlers may call it. A call disturbs no memory, and may be made by
// several harts at once.
//
// Harts are named by a mask and the id that its bit 0 stands for; the base
// [AllHarts] means all of them (chapter 3.1).
package sbi

// Error is an error code of the firmware (chapter 3, "Standard SBI Errors").
// Zero is success.
type Error int64

// The errors.
const (
	Success          Error = 0
	Failed           Error = -1
	NotSupported     Error = -2
	InvalidParam     Error = -3
	Denied           Error = -4
	InvalidAddress   Error = -5
	AlreadyAvailable Error = -6
	AlreadyStarted   Error = -7
	AlreadyStopped   Error = -8
	NoSharedMemory   Error = -9
)

// Error implements error.
func (e Error) Error() string {
	switch e {
	case Success:
		return "sbi: success"
	case Failed:
		return "sbi: failed"
	case NotSupported:
		return "sbi: not supported"
	case InvalidParam:
		return "sbi: invalid parameter"
	case Denied:
		return "sbi: denied"
	case InvalidAddress:
		return "sbi: invalid address"
	case AlreadyAvailable:
		return "sbi: already available"
	case AlreadyStarted:
		return "sbi: already started"
	case AlreadyStopped:
		return "sbi: already stopped"
	case NoSharedMemory:
		return "sbi: no shared memory"
	}
	return "sbi: unknown error"
}

// Extension is the number of an SBI extension.
type Extension uint64

// The extensions used here.
const (
	Base   Extension = 0x10       // chapter 4
	Timer  Extension = 0x54494d45 // chapter 6
	IPI    Extension = 0x735049   // chapter 7
	RFence Extension = 0x52464e43 // chapter 8
	HSM    Extension = 0x48534d   // chapter 9
	SRST   Extension = 0x53525354 // chapter 10
)

// AllHarts as the base of a mask means all harts, whatever the mask.
const AllHarts = ^uint64(0)

// HartState is the state of a hart (chapter 9, table of hart states).
type HartState uint64

// The states.
const (
	HartStarted HartState = iota
	HartStopped
	HartStartPending
	HartStopPending
	HartSuspended
	HartSuspendPending
	HartResumePending
)

// Reset is a kind of system reset (chapter 10).
type Reset uint64

// The kinds.
const (
	Shutdown Reset = iota
	ColdReboot
	WarmReboot
)

// Reason is why the system is reset (chapter 10).
type Reason uint64

// The reasons.
const (
	NoReason Reason = iota
	SystemFailure
)
