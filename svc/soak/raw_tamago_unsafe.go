//go:build tamago && riscv64

package soak

import (
	"unsafe"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// In raw_riscv64.s.

//go:noescape
func trap(num uint64, r *ipc.Regs)
func ticks() uint64

//go:noescape
func entries(a *[3]uint64)

// pointer makes a pointer of an address that the compiler knows nothing about.
func pointer(addr uint64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// boardAt returns the memory that the processes share.
func boardAt(addr uint64) *board { return (*board)(pointer(addr)) }

// addressOf returns where v is. Only global variables do not move.
func addressOf[T any](v *T) uint64 { return uint64(uintptr(unsafe.Pointer(v))) }

// startPage returns what the kernel told this process.
func startPage() *abi.Start { return (*abi.Start)(pointer(abi.StartPage)) }

// word returns the first half of a word of memory.
func word(p *uint64) *uint32 { return (*uint32)(unsafe.Pointer(p)) }
