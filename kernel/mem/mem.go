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
const blockBytes = 1 << 10

type block [blockBytes / 8]uint64

// Zero fills the frame at pa with zeros.
//
// Cost: about 540 instructions, of which 512 are the stores.
func Zero(pa PA) {
	b := blockAt(pa)
	for range FrameSize / blockBytes {
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = 0, 0, 0, 0, 0, 0, 0, 0
		b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15] = 0, 0, 0, 0, 0, 0, 0, 0
		b[16], b[17], b[18], b[19], b[20], b[21], b[22], b[23] = 0, 0, 0, 0, 0, 0, 0, 0
		b[24], b[25], b[26], b[27], b[28], b[29], b[30], b[31] = 0, 0, 0, 0, 0, 0, 0, 0
		b[32], b[33], b[34], b[35], b[36], b[37], b[38], b[39] = 0, 0, 0, 0, 0, 0, 0, 0
		b[40], b[41], b[42], b[43], b[44], b[45], b[46], b[47] = 0, 0, 0, 0, 0, 0, 0, 0
		b[48], b[49], b[50], b[51], b[52], b[53], b[54], b[55] = 0, 0, 0, 0, 0, 0, 0, 0
		b[56], b[57], b[58], b[59], b[60], b[61], b[62], b[63] = 0, 0, 0, 0, 0, 0, 0, 0
		b[64], b[65], b[66], b[67], b[68], b[69], b[70], b[71] = 0, 0, 0, 0, 0, 0, 0, 0
		b[72], b[73], b[74], b[75], b[76], b[77], b[78], b[79] = 0, 0, 0, 0, 0, 0, 0, 0
		b[80], b[81], b[82], b[83], b[84], b[85], b[86], b[87] = 0, 0, 0, 0, 0, 0, 0, 0
		b[88], b[89], b[90], b[91], b[92], b[93], b[94], b[95] = 0, 0, 0, 0, 0, 0, 0, 0
		b[96], b[97], b[98], b[99], b[100], b[101], b[102], b[103] = 0, 0, 0, 0, 0, 0, 0, 0
		b[104], b[105], b[106], b[107], b[108], b[109], b[110], b[111] = 0, 0, 0, 0, 0, 0, 0, 0
		b[112], b[113], b[114], b[115], b[116], b[117], b[118], b[119] = 0, 0, 0, 0, 0, 0, 0, 0
		b[120], b[121], b[122], b[123], b[124], b[125], b[126], b[127] = 0, 0, 0, 0, 0, 0, 0, 0
		b = b.next()
	}
}

// Copy copies n bytes, at most a frame of them, of physical memory from src to dst. If
// the two overlap, what is in the overlap afterwards is not defined.
//
// Cost: about 17 instructions for 8 words if both addresses are multiples of 8, and
// 20 otherwise and for what is left of a block.
//
//go:nosplit
func Copy(dst, src PA, n int) {
	if (dst|src)%8 == 0 && n >= blockBytes {
		to, from, rest := blockAt(dst), blockAt(src), n
		for ; rest >= blockBytes; rest -= blockBytes {
			to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7] = from[0], from[1], from[2], from[3], from[4], from[5], from[6], from[7]
			to[8], to[9], to[10], to[11], to[12], to[13], to[14], to[15] = from[8], from[9], from[10], from[11], from[12], from[13], from[14], from[15]
			to[16], to[17], to[18], to[19], to[20], to[21], to[22], to[23] = from[16], from[17], from[18], from[19], from[20], from[21], from[22], from[23]
			to[24], to[25], to[26], to[27], to[28], to[29], to[30], to[31] = from[24], from[25], from[26], from[27], from[28], from[29], from[30], from[31]
			to[32], to[33], to[34], to[35], to[36], to[37], to[38], to[39] = from[32], from[33], from[34], from[35], from[36], from[37], from[38], from[39]
			to[40], to[41], to[42], to[43], to[44], to[45], to[46], to[47] = from[40], from[41], from[42], from[43], from[44], from[45], from[46], from[47]
			to[48], to[49], to[50], to[51], to[52], to[53], to[54], to[55] = from[48], from[49], from[50], from[51], from[52], from[53], from[54], from[55]
			to[56], to[57], to[58], to[59], to[60], to[61], to[62], to[63] = from[56], from[57], from[58], from[59], from[60], from[61], from[62], from[63]
			to[64], to[65], to[66], to[67], to[68], to[69], to[70], to[71] = from[64], from[65], from[66], from[67], from[68], from[69], from[70], from[71]
			to[72], to[73], to[74], to[75], to[76], to[77], to[78], to[79] = from[72], from[73], from[74], from[75], from[76], from[77], from[78], from[79]
			to[80], to[81], to[82], to[83], to[84], to[85], to[86], to[87] = from[80], from[81], from[82], from[83], from[84], from[85], from[86], from[87]
			to[88], to[89], to[90], to[91], to[92], to[93], to[94], to[95] = from[88], from[89], from[90], from[91], from[92], from[93], from[94], from[95]
			to[96], to[97], to[98], to[99], to[100], to[101], to[102], to[103] = from[96], from[97], from[98], from[99], from[100], from[101], from[102], from[103]
			to[104], to[105], to[106], to[107], to[108], to[109], to[110], to[111] = from[104], from[105], from[106], from[107], from[108], from[109], from[110], from[111]
			to[112], to[113], to[114], to[115], to[116], to[117], to[118], to[119] = from[112], from[113], from[114], from[115], from[116], from[117], from[118], from[119]
			to[120], to[121], to[122], to[123], to[124], to[125], to[126], to[127] = from[120], from[121], from[122], from[123], from[124], from[125], from[126], from[127]
			to, from = to.next(), from.next()
		}
		if rest == 0 {
			return
		}
		dst += PA(n - rest)
		src += PA(n - rest)
		n = rest
	}
	copy(Bytes(dst, n), Bytes(src, n))
}
