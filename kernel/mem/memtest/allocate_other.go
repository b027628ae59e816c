//go:build !unix

package memtest

import (
	"testing"

	"nexus.internal/kernel/mem"
)

// arena keeps the memory of the one arena alive: the window is a number.
var arena []byte

// allocate returns size bytes of page-aligned heap memory, which Go does not move.
func allocate(tb testing.TB, size int) []byte {
	tb.Helper()
	arena = make([]byte, size+mem.FrameSize)
	tb.Cleanup(func() { arena = nil })
	return arena[-address(arena)%mem.FrameSize:][:size]
}
