//go:build tamago && riscv64

package kselftest

import (
	"unsafe"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// In raw_riscv64.s.

//go:noescape
func trap(num uint64, r *ipc.Regs)
func ticks() uint64
func probeLoad(addr uint64) (cause, tval uint64)
func probeStore(addr uint64) (cause, tval uint64)
func probeCount(addr uint64) (cause, tval uint64)
func probeCall(addr uint64) (cause, tval uint64)
func fault(at, addr uint64)

//go:noescape
func faultAddresses(a *[6]uint64)

//go:noescape
func threadEntries(a *[6]uint64)

//go:noescape
func holdFP(want, got *[33]uint64, mine, other *uint64, turns, until, end uint64) uint64

// pointer makes a pointer of an address that the compiler knows nothing about.
func pointer(addr uint64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// word returns the word at addr.
func word(addr uint64) *uint64 { return (*uint64)(pointer(addr)) }

// memory returns the n bytes at addr.
func memory(addr, n uint64) []byte { return unsafe.Slice((*byte)(pointer(addr)), n) }

// addressOf returns where v is. Only what does not move has an address worth
// having: global variables and heap memory, not the stack.
func addressOf[T any](v *T) uint64 { return uint64(uintptr(unsafe.Pointer(v))) }

// specBytes returns the description of a process as it lies in memory.
func specBytes(s *abi.SpawnSpec) []byte { return memory(addressOf(s), uint64(unsafe.Sizeof(*s))) }

// startPage returns what the kernel told this process.
func startPage() *abi.Start { return (*abi.Start)(pointer(abi.StartPage)) }

// blockAt returns the block of a thread.
func blockAt(addr uint64) *threadBlock { return (*threadBlock)(pointer(addr)) }

// paceAt returns the pace at addr.
func paceAt(addr uint64) *pace { return (*pace)(pointer(addr)) }

// sharedAt returns the page that a puppet shares with the root process.
func sharedAt(addr uint64) *shared { return (*shared)(pointer(addr)) }
