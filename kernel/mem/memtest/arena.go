// Package memtest gives host tests of the kernel some physical memory.
package memtest

import (
	"testing"

	"nexus.internal/kernel/mem"
)

// Base is the first physical address of every arena, where RAM starts on the
// QEMU board too.
const Base mem.PA = 0x8000_0000

// Arena makes frames of zeroed physical memory at [Base] until the end of the
// test and returns where it is. The memory lies outside the Go heap, between two
// pages that fault, so a wrong physical address ends the test at once. On the
// target, where a process cannot make such pages, it is ordinary memory.
//
// There is one window to physical memory, so only one arena exists at a time:
// tests that use it must not run in parallel.
func Arena(tb testing.TB, frames int) mem.Range {
	tb.Helper()
	size := frames * mem.FrameSize
	mem.SetWindow(address(allocate(tb, size)) - uintptr(Base))
	tb.Cleanup(func() { mem.SetWindow(0) })
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
