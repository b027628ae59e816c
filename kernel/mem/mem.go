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

// Zero fills the frame at pa with zeros.
//
// Cost: about 645 instructions. The compiler turns the assignment into a loop of
// eight stores, a tenth shorter than what clear calls.
func Zero(pa PA) { *Words(pa) = [FrameSize / 8]uint64{} }

// Copy copies n bytes of physical memory from src to dst. The two may overlap.
func Copy(dst, src PA, n int) { copy(Bytes(dst, n), Bytes(src, n)) }
