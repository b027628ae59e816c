//go:build tamago && riscv64

package raw

import (
	"unsafe"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// Trap makes a system call with all registers of r, and leaves there what it returned.
//
//go:noescape
func Trap(num uint64, r *ipc.Regs)

// Sys is Trap with a0 to a6 alone, the others zero, and a0 to a7 back: what a benchmark
// has time for.
//
//go:noescape
func Sys(num uint64, a *[8]uint64)

// Ticks reads the time CSR.
func Ticks() uint64

// Pointer makes a pointer of an address that the compiler knows nothing about.
func Pointer(addr uint64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// AddressOf returns where v is. Only what does not move has an address worth having:
// global variables and heap memory, not the stack.
func AddressOf[T any](v *T) uint64 { return uint64(uintptr(unsafe.Pointer(v))) }

// StartPage returns what the kernel told this process.
func StartPage() *abi.Start { return (*abi.Start)(Pointer(abi.StartPage)) }
