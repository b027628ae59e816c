//go:build unix

// Package memtest gives host tests of the kernel some physical memory.
package memtest

import (
	"syscall"
	"testing"

	"nexus.internal/kernel/mem"
)

// Base is the first physical address of every arena, where RAM starts on the
// QEMU board too.
const Base mem.PA = 0x8000_0000

// Arena makes frames of zeroed physical memory at [Base] until the end of the
// test and returns where it is. The memory lies outside the Go heap, between two
// pages that fault, so a wrong physical address ends the test at once.
//
// There is one window to physical memory, so only one arena exists at a time:
// tests that use it must not run in parallel.
func Arena(tb testing.TB, frames int) mem.Range {
	tb.Helper()
	size := frames * mem.FrameSize
	b, err := syscall.Mmap(-1, 0, size+2*mem.FrameSize, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatalf("memtest: reserve an arena of %d frames: %v", frames, err)
	}
	inner := b[mem.FrameSize : mem.FrameSize+size]
	if err := syscall.Mprotect(inner, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		tb.Fatalf("memtest: open an arena of %d frames: %v", frames, err)
	}
	mem.SetWindow(address(inner) - uintptr(Base))
	tb.Cleanup(func() {
		mem.SetWindow(0)
		if err := syscall.Munmap(b); err != nil {
			tb.Errorf("memtest: release the arena: %v", err)
		}
	})
	return mem.Range{Start: Base, End: Base + mem.PA(size)}
}

// Pool makes an arena and a pool of all of it. Some of its frames hold the
// pool's own tables: ask [mem.Pool.Total].
func Pool(tb testing.TB, frames int) *mem.Pool {
	tb.Helper()
	p, err := mem.NewPool([]mem.Range{Arena(tb, frames)})
	if err != nil {
		tb.Fatalf("memtest: %v", err)
	}
	return p
}
