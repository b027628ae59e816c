//go:build tamago && riscv64

package bench

import (
	"sync/atomic"
	"unsafe"

	"nexus.internal/ipc/abi"
)

// address returns where b is, for the kernel.
func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

func specAddress(s *abi.SpawnSpec) uint64 { return uint64(uintptr(unsafe.Pointer(s))) }

// buffer is a message buffer as package ipc has them: on the heap, where it does
// not move, and by its size on a page.
type buffer [abi.MaxMessage]byte

//go:noinline
func newBuffer() *buffer { return new(buffer) }

func (b *buffer) address() uint64 { return uint64(uintptr(unsafe.Pointer(b))) }

// start returns the start page.
func start() *abi.Start { return (*abi.Start)(unsafe.Add(nil, uintptr(abi.StartPage))) }

func pairAddress(p *[2]uint32) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// touch writes to the memory at va.
func touch(va uint64) { *(*byte)(unsafe.Add(nil, uintptr(va))) = 1 }

// store32 writes a register at va.
func store32(va uint64, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Add(nil, uintptr(va))), v)
}

// look reads the memory at va.
func look(va uint64) byte { return *(*byte)(unsafe.Add(nil, uintptr(va))) }
