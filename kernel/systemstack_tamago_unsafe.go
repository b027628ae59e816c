//go:build tamago && riscv64

package kernel

import "unsafe"

// systemstack runs fn on the stack that the board set up: it does not grow, which
// would allocate, and ends in a guard page.
//
//go:linkname systemstack runtime.nexus_systemstack
func systemstack(fn func())

// newHart returns a g for a stack; see package runtime of the fork.
//
//go:linkname newHart runtime.nexus_newHart
func newHart(lo, hi uintptr) unsafe.Pointer

// hartG makes a g for the stack from lo to hi. The address is good as long as g is
// reachable.
func hartG(lo, hi uintptr) (g any, address uint64) {
	p := newHart(lo, hi)
	return p, uint64(uintptr(p))
}

// entryAddress returns where e is, which a starting hart is told.
func entryAddress[T any](e *T) uint64 { return uint64(uintptr(unsafe.Pointer(e))) }

// runtimeTraceback writes a traceback into buf; see package runtime of the fork.
//
//go:linkname runtimeTraceback runtime.nexus_traceback
func runtimeTraceback(pc, sp, lr uintptr, gp unsafe.Pointer, buf []byte) int

// traceback writes the traceback of the g at an address into buf and returns its
// length.
func traceback(pc, sp, lr, g uint64, buf []byte) int {
	return runtimeTraceback(uintptr(pc), uintptr(sp), uintptr(lr), unsafe.Add(unsafe.Pointer(nil), g), buf)
}

// stackEnd returns the address behind a stack.
func stackEnd(stack []byte) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(stack))) + uintptr(len(stack))
}
