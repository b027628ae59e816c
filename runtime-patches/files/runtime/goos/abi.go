//go:build tamago && riscv64

// Package goos is the platform of a Nexus process: the system calls and the start
// page that package runtime builds on. It is what runtime/goos is when no GOOSPKG
// names a board. It repeats the part of package nexus.internal/ipc/abi that the
// runtime needs, because the standard library can import nothing else; a test of
// cmd/toolchain compares the two.
package goos

import _ "unsafe" // for go:linkname

// System calls that the runtime itself makes.
const (
	SysExit               = 1
	SysYield              = 2
	SysWait               = 3
	SysCall               = 4
	SysReply              = 5
	SysNotify             = 8
	SysNotificationCreate = 10
	SysProcessInfo        = 24
	SysConsoleWrite       = 26
	SysFaultHandler       = 27
	SysFaultDone          = 28
	SysThreadCreate       = 43
	SysThreadExit         = 44
	SysThreadSelf         = 46
	SysFutexWait          = 47
	SysFutexWake          = 48
)

// FlagNoWait, in a1, returns from WAIT, CALL and REPLY at once.
const FlagNoWait = 1 << 32

// Event kinds, in a0 after WAIT, CALL and REPLY.
const (
	EventNone    = 0
	EventReply   = 1
	EventRequest = 2
	EventNotify  = 3
	EventCancel  = 4
)

// Error numbers.
const (
	EINVAL    = 4  // an argument is out of its range
	EAGAIN    = 9  // futex_wait: the word has another value
	ETIMEDOUT = 11 // the deadline passed
)

// MaxMessage is the most that one console_write takes, in bytes.
const MaxMessage = 8 << 10

// MaxThreads is how many threads a process can have.
const MaxThreads = 16

// StartMagic and Version begin every start page.
const (
	StartMagic = 0x315452415453584e
	Version    = 1
)

// Start is the start page, which the kernel maps read-only and passes in a0.
type Start struct {
	Magic     uint64
	Version   uint64
	PID       uint64
	ServiceID uint64
	HeapStart uint64 // demand-zero memory
	HeapEnd   uint64
	TickNS    uint64 // ns per tick of the time CSR
	WallNS    int64  // wall clock at time CSR 0, in ns since 1970
	ArgsPtr   uint64 // Argc NUL-terminated strings
	Argc      uint64
	EnvPtr    uint64 // Envc NUL-terminated strings
	Envc      uint64
	DataPtr   uint64
	DataLen   uint64
	FilesPtr  uint64
	FilesLen  uint64
	Console   uint64 // handle, 0 if none
	NumCaps   uint64
	Seed      [32]byte
	BornNS    int64  // when the process was created
	Harts     uint64 // that run processes
}

// Page is the start page of this process. The entry, in package runtime, sets it
// before any Go runs.
//
//go:linkname Page
var Page *Start

// Regs are the registers of a system call. In: a0 to a6 in A, s10, s2 to s9 in
// Data. Out: a0 to a7 in A, s2 to s9 in Data.
type Regs struct {
	A    [8]uint64
	S10  uint64
	Data [8]uint64
}

// Syscall makes system call num with all registers in r, which receives the
// results.
//
//go:noescape
func Syscall(num uint64, r *Regs)

// Syscall3 makes system call num with three arguments and returns a0.
func Syscall3(num, a0, a1, a2 uint64) int64

// Ticks returns the time CSR.
func Ticks() int64
