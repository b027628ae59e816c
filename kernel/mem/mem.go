// Package mem manages the physical memory of the machine: it reaches frames
// through one window, hands them out from a pool and holds every process to a
// budget.
//
// Invariants:
//   - A frame is either on the pool's free stack or marked as taken, never both.
//   - Every taken frame is charged to exactly one [Account].
//   - The sum of what open accounts may still take never exceeds the free
//     frames. So a frame within its budget is always there: running out is an
//     answer at [Pool.Open], or the end of the process's own budget.
//   - Nothing here allocates on the Go heap after [NewPool].
//
// Nothing here locks. The kernel calls it with traps masked on the one hart
// that owns the pool. It imports nothing of the kernel.
package mem

// FrameSize is the size of a frame of physical memory in bytes.
const FrameSize = 1 << frameShift

const (
	frameShift = 12

	// maxPA is the first physical address that no Sv39 entry can name: its
	// frame number has 44 bits.
	maxPA PA = 1 << 56

	// maxFrames bounds the frames between the lowest and the highest address of
	// a pool, holes included: the pool names frames by 32-bit numbers.
	maxFrames = 1<<32 - 1
)

// PA is a physical address. No frame has address 0, so 0 can mean "none".
type PA uint64

// Range is the physical memory from Start up to, but not including, End.
type Range struct {
	Start, End PA
}

// Frames returns the number of whole frames in r.
func (r Range) Frames() int { return int((r.End - r.Start) >> frameShift) }

// Memory is cleared and copied in blocks, each written out word by word: the loops of
// the compiler and of the runtime spend one instruction in five on counting.
const (
	blockShift = 9
	blockBytes = 1 << blockShift
)

type block [blockBytes / 8]uint64

// Zero fills the frame at pa with zeros.
//
// Cost: about 570 instructions, of which 512 are the stores.
func Zero(pa PA) {
	frame := blocks(pa)
	for i := range frame {
		b := &frame[i]
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = 0, 0, 0, 0, 0, 0, 0, 0
		b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15] = 0, 0, 0, 0, 0, 0, 0, 0
		b[16], b[17], b[18], b[19], b[20], b[21], b[22], b[23] = 0, 0, 0, 0, 0, 0, 0, 0
		b[24], b[25], b[26], b[27], b[28], b[29], b[30], b[31] = 0, 0, 0, 0, 0, 0, 0, 0
		b[32], b[33], b[34], b[35], b[36], b[37], b[38], b[39] = 0, 0, 0, 0, 0, 0, 0, 0
		b[40], b[41], b[42], b[43], b[44], b[45], b[46], b[47] = 0, 0, 0, 0, 0, 0, 0, 0
		b[48], b[49], b[50], b[51], b[52], b[53], b[54], b[55] = 0, 0, 0, 0, 0, 0, 0, 0
		b[56], b[57], b[58], b[59], b[60], b[61], b[62], b[63] = 0, 0, 0, 0, 0, 0, 0, 0
	}
}

// Copy copies n bytes, at most a frame of them, of physical memory from src to dst. If
// the two overlap, what is in the overlap afterwards is not defined.
//
// Cost: about 17 instructions for 8 words if both addresses are multiples of 8, and
// 20 otherwise and for what is left of a block.
func Copy(dst, src PA, n int) {
	if (dst|src)%8 == 0 {
		copyBlocks(blocks(dst)[:n>>blockShift], blocks(src)[:n>>blockShift])
		done := n &^ (blockBytes - 1)
		if n -= done; n == 0 {
			return
		}
		dst += PA(done)
		src += PA(done)
	}
	copy(Bytes(dst, n), Bytes(src, n))
}

// copyBlocks copies as many blocks as both slices have.
func copyBlocks(dst, src []block) {
	src = src[:len(dst)]
	for i := range dst {
		to, from := &dst[i], &src[i]
		to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7] = from[0], from[1], from[2], from[3], from[4], from[5], from[6], from[7]
		to[8], to[9], to[10], to[11], to[12], to[13], to[14], to[15] = from[8], from[9], from[10], from[11], from[12], from[13], from[14], from[15]
		to[16], to[17], to[18], to[19], to[20], to[21], to[22], to[23] = from[16], from[17], from[18], from[19], from[20], from[21], from[22], from[23]
		to[24], to[25], to[26], to[27], to[28], to[29], to[30], to[31] = from[24], from[25], from[26], from[27], from[28], from[29], from[30], from[31]
		to[32], to[33], to[34], to[35], to[36], to[37], to[38], to[39] = from[32], from[33], from[34], from[35], from[36], from[37], from[38], from[39]
		to[40], to[41], to[42], to[43], to[44], to[45], to[46], to[47] = from[40], from[41], from[42], from[43], from[44], from[45], from[46], from[47]
		to[48], to[49], to[50], to[51], to[52], to[53], to[54], to[55] = from[48], from[49], from[50], from[51], from[52], from[53], from[54], from[55]
		to[56], to[57], to[58], to[59], to[60], to[61], to[62], to[63] = from[56], from[57], from[58], from[59], from[60], from[61], from[62], from[63]
	}
}
