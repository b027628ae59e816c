//go:build tamago && riscv64

package soak

import (
	"unsafe"

	"nexus.internal/svc/raw"
)

// In raw_riscv64.s.

//go:noescape
func entries(a *[3]uint64)

// boardAt returns the memory that the processes share.
func boardAt(addr uint64) *board { return (*board)(raw.Pointer(addr)) }

// word returns the first half of a word of memory.
func word(p *uint64) *uint32 { return (*uint32)(unsafe.Pointer(p)) }
