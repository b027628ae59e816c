package ipc

import "nexus.internal/ipc/abi"

// Regs holds the registers of one system call: arguments before, results after.
// Its layout is shared with the runtime, which moves it to and from the CPU.
type Regs struct {
	A    [8]uint64 // a0 to a7
	S10  uint64
	Data [8]uint64 // s2 to s9: messages of up to abi.MaxInline bytes
}

// Buffer holds one frame that does not fit into registers. Buffers are heap
// memory: the kernel reads and writes them while the goroutine is parked, when
// its stack may move.
type Buffer [abi.MaxMessage / 8]uint64

// newBuffer returns a buffer whose pages are there, so that the kernel never
// meets a page that was not touched yet.
func newBuffer() *Buffer {
	b := new(Buffer)
	for i := 0; i < len(b); i += abi.PageSize / 8 {
		b[i] = 0
	}
	return b
}

// headerWords is the length of the frame header in words of eight bytes.
const headerWords = HeaderSize / 8

// inlineWords is the number of payload words that travel in registers.
const inlineWords = MaxInlinePayload / 8

// clearTail zeroes what lies behind n bytes of payload in the registers, so that
// a short message does not carry the end of an earlier, longer one to the peer.
func (r *Regs) clearTail(n int) {
	i := headerWords + n/8
	if rest := uint(n) % 8; rest != 0 {
		r.Data[i] &= 1<<(8*rest) - 1
		i++
	}
	for ; i < len(r.Data); i++ {
		r.Data[i] = 0
	}
}
