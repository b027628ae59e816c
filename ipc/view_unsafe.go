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

// same reports whether p, not empty, begins at q.
func same(p []byte, q *byte) bool { return unsafe.SliceData(p) == q }
