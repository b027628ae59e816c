package mem

import "unsafe"

// window is what must be added to a physical address to reach it.
var window uintptr

// SetWindow makes physical address pa reachable at pa+offset. The offset is 0 on
// the target, where the kernel maps memory at its own addresses, and points to
// an arena in host tests (see package memtest).
func SetWindow(offset uintptr) { window = offset }

// at is the one place where a number becomes a pointer. That is sound because
// physical memory behind the window is no part of the Go heap: the collector
// neither moves nor scans it, and no Go variable lives there.
func at(pa PA) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa)) }

// Bytes returns the n bytes of physical memory from pa on. The caller answers
// for all of them being memory.
func Bytes(pa PA, n int) []byte { return unsafe.Slice((*byte)(at(pa)), n) }

// Words returns the frame or page table at pa as words.
func Words(pa PA) *[FrameSize / 8]uint64 { return (*[FrameSize / 8]uint64)(at(pa)) }

// Lines returns the frame or page table at pa as lines of eight words, for code
// that looks for the few lines in which something is.
func Lines(pa PA) *[FrameSize / 64][8]uint64 { return (*[FrameSize / 64][8]uint64)(at(pa)) }

// blocks returns the memory from pa on as the blocks of a frame, of which the caller
// may only use those that are memory.
func blocks(pa PA) *[FrameSize / blockBytes]block {
	return (*[FrameSize / blockBytes]block)(at(pa))
}

// numbers returns n 32-bit numbers at pa, as metadata of a pool.
func numbers(pa PA, n int) []uint32 { return unsafe.Slice((*uint32)(at(pa)), n) }

// words returns n words at pa, as metadata of a pool.
func words(pa PA, n int) []uint64 { return unsafe.Slice((*uint64)(at(pa)), n) }
