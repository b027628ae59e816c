//go:build unix

package memtest

import (
	"syscall"
	"testing"

	"nexus.internal/kernel/mem"
)

// allocate returns size bytes between two pages that fault.
func allocate(tb testing.TB, size int) []byte {
	tb.Helper()
	b, err := syscall.Mmap(-1, 0, size+2*mem.FrameSize, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatalf("memtest: reserve %d bytes: %v", size, err)
	}
	inner := b[mem.FrameSize : mem.FrameSize+size]
	if err := syscall.Mprotect(inner, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		tb.Fatalf("memtest: open %d bytes: %v", size, err)
	}
	tb.Cleanup(func() {
		if err := syscall.Munmap(b); err != nil {
			tb.Errorf("memtest: release the arena: %v", err)
		}
	})
	return inner
}
