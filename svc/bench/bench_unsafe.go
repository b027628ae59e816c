//go:build tamago && riscv64

package bench

import (
	"unsafe"

	"nexus.internal/ipc/abi"
)

// address returns where b is, for the kernel.
func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// start returns the start page.
func start() *abi.Start { return (*abi.Start)(unsafe.Pointer(uintptr(abi.StartPage))) }

// touch writes to the memory at va.
func touch(va uint64) { *(*byte)(unsafe.Pointer(uintptr(va))) = 1 }
