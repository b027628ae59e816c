//go:build tamago && riscv64

package kselftest

import (
	"unsafe"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// In raw_riscv64.s.

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

// word returns the word at addr.
func word(addr uint64) *uint64 { return (*uint64)(raw.Pointer(addr)) }

// memory returns the n bytes at addr.
func memory(addr, n uint64) []byte { return unsafe.Slice((*byte)(raw.Pointer(addr)), n) }

// specBytes returns the description of a process as it lies in memory.
func specBytes(s *abi.SpawnSpec) []byte { return memory(raw.AddressOf(s), uint64(unsafe.Sizeof(*s))) }

// blockAt returns the block of a thread.
func blockAt(addr uint64) *threadBlock { return (*threadBlock)(raw.Pointer(addr)) }

// paceAt returns the pace at addr.
func paceAt(addr uint64) *pace { return (*pace)(raw.Pointer(addr)) }

// sharedAt returns the page that a puppet shares with the root process.
func sharedAt(addr uint64) *shared { return (*shared)(raw.Pointer(addr)) }
