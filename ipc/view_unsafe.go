package ipc

import "unsafe"

// payload returns the bytes of the payload words. Words and bytes share memory:
// every machine that this builds for is little-endian, which frame_test.go checks.
func (r *Regs) payload() *[MaxInlinePayload]byte {
	return (*[MaxInlinePayload]byte)(unsafe.Pointer(&r.Data[headerWords]))
}

// frame returns the bytes of the eight payload registers.
func (r *Regs) frame() *[HeaderSize + MaxInlinePayload]byte {
	return (*[HeaderSize + MaxInlinePayload]byte)(unsafe.Pointer(&r.Data))
}

// Bytes returns the memory of the buffer.
func (b *Buffer) Bytes() *[HeaderSize + MaxPayload]byte {
	return (*[HeaderSize + MaxPayload]byte)(unsafe.Pointer(b))
}

// Words32 returns mem, whole words at a multiple of 4, as words: memory that is
// shared with a device is accessed word by word, with package atomic.
func Words32(mem []byte) []uint32 {
	p := unsafe.Pointer(unsafe.SliceData(mem))
	if uintptr(p)%4 != 0 || len(mem)%4 != 0 {
		panic("ipc: memory is not whole words")
	}
	return unsafe.Slice((*uint32)(p), len(mem)/4)
}

// address returns where mem is.
func address(mem []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) }

// same reports whether p, not empty, begins at q.
func same(p []byte, q *byte) bool { return unsafe.SliceData(p) == q }
