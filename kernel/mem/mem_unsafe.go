package mem

import "unsafe"

// window is what must be added to a physical address to reach it.
var window uintptr

// SetWindow makes physical address pa reachable at pa+offset. The offset is 0 on
// the target, where the kernel maps memory at its own addresses, and points to
// an arena in host tests (see package memtest).
func SetWindow(offset uintptr) { window = offset }

// The functions below are where numbers become pointers. That is sound because physical
// memory behind the window is no part of the Go heap: the collector neither moves nor
// scans it, and no Go variable lives there. They are written out, one by one, because a
// function inlined into an inlined one costs an instruction.

// Bytes returns the n bytes of physical memory from pa on. The caller answers
// for all of them being memory.
func Bytes(pa PA, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa))), n)
}

// Words returns the frame or page table at pa as words.
func Words(pa PA) *[FrameSize / 8]uint64 {
	return (*[FrameSize / 8]uint64)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa)))
}

// Lines returns the frame or page table at pa as lines of eight words, for code
// that looks for the few lines in which something is.
func Lines(pa PA) *[FrameSize / 64][8]uint64 {
	return (*[FrameSize / 64][8]uint64)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa)))
}

// blockAt returns the block of memory at pa.
func blockAt(pa PA) *block {
	return (*block)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa)))
}

// next returns the block behind b.
func (b *block) next() *block { return (*block)(unsafe.Add(unsafe.Pointer(b), blockBytes)) }

// numbers returns n 32-bit numbers at pa, as metadata of a pool.
func numbers(pa PA, n int) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa))), n)
}

// words returns n words at pa, as metadata of a pool.
func words(pa PA, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Add(unsafe.Pointer(nil), window+uintptr(pa))), n)
}
