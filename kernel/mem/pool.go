package mem

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Why [NewPool] refuses ranges.
var (
	ErrNoRange   = errors.New("no memory range")
	ErrEmpty     = errors.New("range is empty or ends before it starts")
	ErrUnaligned = errors.New("range is not a whole number of frames")
	ErrAddress   = errors.New("range holds frame 0 or ends above 2^56")
	ErrOrder     = errors.New("ranges overlap or are not in ascending order")
	ErrSpread    = errors.New("ranges lie too far apart")
	ErrTooSmall  = errors.New("first range is too small for the pool's own tables")
)

// Pool owns the page frames of the machine. Its tables lie in the first frames
// of its first range.
type Pool struct {
	free       []uint32 // numbers of the free frames; the next one is the last
	place      []uint32 // of a free frame by its number: where it is in free
	taken      []uint64 // bit n is set while frame n is charged to an account
	base       PA       // address of frame number 0
	ranges     []Range  // the frames that it owns, ascending; its tables are not among them
	total      int
	unreserved int // free frames that no open account may take
}

// NewPool makes a pool of the frames in ranges, less those it needs for itself
// at the start of the first range: eight bytes and a bit for each frame. The
// ranges must be frame aligned, ascending and disjoint; touching is fine. It
// hands out low addresses first.
func NewPool(ranges []Range) (*Pool, error) {
	if len(ranges) == 0 {
		return nil, fmt.Errorf("memory pool: %w", ErrNoRange)
	}
	var last PA
	frames := 0
	for i, r := range ranges {
		if err := checkRange(r, last); err != nil {
			return nil, fmt.Errorf("memory pool: range %d, %#x to %#x: %w", i, uint64(r.Start), uint64(r.End), err)
		}
		last = r.End
		frames += r.Frames()
	}
	base := ranges[0].Start
	span := Range{base, last}.Frames()
	if span > maxFrames {
		return nil, fmt.Errorf("memory pool: %d frames from lowest to highest: %w", span, ErrSpread)
	}

	// The bitmap comes first because its words need the larger alignment.
	bitmap := (span + 63) / 64
	own := (bitmap*8 + (frames+span)*4 + FrameSize - 1) / FrameSize
	if own >= ranges[0].Frames() {
		return nil, fmt.Errorf("memory pool: %d frames of tables: %w", own, ErrTooSmall)
	}
	p := &Pool{
		free:  numbers(base+PA(bitmap*8), frames)[:0],
		place: numbers(base+PA(bitmap*8+frames*4), span),
		taken: words(base, bitmap),
		base:  base,
	}
	p.ranges = slices.Clone(ranges)
	p.ranges[0].Start += PA(own) << frameShift
	clear(p.taken)
	for i := len(ranges) - 1; i >= 0; i-- {
		for n := p.number(ranges[i].End) - 1; n >= p.number(p.ranges[i].Start); n-- {
			p.place[n] = uint32(len(p.free))
			p.free = append(p.free, uint32(n))
		}
	}
	p.total = len(p.free)
	p.unreserved = p.total
	return p, nil
}

func checkRange(r Range, last PA) error {
	switch {
	case r.End <= r.Start:
		return ErrEmpty
	case (r.Start|r.End)%FrameSize != 0:
		return ErrUnaligned
	case r.Start == 0 || r.End > maxPA:
		return ErrAddress
	case r.Start < last:
		return ErrOrder
	}
	return nil
}

func (p *Pool) number(pa PA) int { return int((pa - p.base) >> frameShift) }

// Total returns the number of frames that the pool was made with.
func (p *Pool) Total() int { return p.total }

// Free returns the number of frames that nobody has taken.
func (p *Pool) Free() int { return len(p.free) }

// Unreserved returns the number of free frames that no budget has a claim on.
func (p *Pool) Unreserved() int { return p.unreserved }

// Account is the frame budget of a process. Its zero value is closed: nothing
// can be taken. It must not be copied while frames are charged to it.
type Account struct {
	limit, used uint32
}

// Used returns the number of frames charged to a.
func (a *Account) Used() int { return int(a.used) }

// Limit returns the budget of a in frames, 0 if it is closed.
func (a *Account) Limit() int { return int(a.limit) }

// Open gives the closed account a a budget of frames, all of it reserved at
// once. It reports false, and leaves everything as it was, if frames is not
// positive or more than what is unreserved. An account that is open, or that
// still has frames from its last life, is a bug of the kernel: Open panics.
func (p *Pool) Open(a *Account, frames int) bool {
	if a.limit|a.used != 0 {
		panic("mem: account opened while in use")
	}
	if frames <= 0 || frames > p.unreserved {
		return false
	}
	p.unreserved -= frames
	a.limit = uint32(frames)
	return true
}

// Take allocates one frame and charges it to a. It reports false when the
// budget is spent or the account closed. The frame still holds what its last
// user left in it: the caller must fill it before anyone else can see it.
//
// Cost: about 30 instructions, inlined.
func (p *Pool) Take(a *Account) (PA, bool) {
	if a.used >= a.limit {
		return 0, false
	}
	a.used++
	n := uint64(p.free[len(p.free)-1])
	p.free = p.free[:len(p.free)-1]
	p.taken[n/64] |= 1 << (n % 64)
	return p.base + PA(n)<<frameShift, true
}

// Give returns the frame at pa, which was taken with a, to the pool. A frame
// that is not taken, is none of the pool's, or comes back to an account without
// frames is a bug of the kernel: Give panics.
func (p *Pool) Give(a *Account, pa PA) {
	n := uint64(pa-p.base) >> frameShift
	if n/64 < uint64(len(p.taken)) && pa%FrameSize == 0 && a.used != 0 {
		word, bit := &p.taken[n/64], uint64(1)<<(n%64)
		if *word&bit != 0 {
			*word &^= bit
			at := len(p.free)
			p.free = p.free[:at+1]
			p.free[at] = uint32(n)
			p.place[n] = uint32(at)
			a.used--
			if a.limit == 0 {
				p.unreserved++
			}
			return
		}
	}
	badGive(a, pa)
}

//go:noinline
func badGive(a *Account, pa PA) {
	panic("mem: frame 0x" + strconv.FormatUint(uint64(pa), 16) + " given back but not taken, account has " + strconv.Itoa(int(a.used)))
}

// Close ends the budget of a: nothing can be taken any more, the part that was
// never used is unreserved at once and the rest as its frames come back through
// [Pool.Give]. Closing a closed account does nothing.
func (p *Pool) Close(a *Account) {
	if a.limit == 0 {
		return
	}
	p.unreserved += int(a.limit - a.used)
	a.limit = 0
}

// Move passes n frames of unspent budget from one account to another, which it
// opens if it is closed. It reports false, and leaves both as they were, if n is
// negative or more than from has left. An account that gives all its budget away
// is closed. A closed account that still has frames from its last life cannot
// receive: that is a bug of the kernel, and Move panics.
func (p *Pool) Move(from, to *Account, n int) bool {
	if to.limit == 0 && to.used != 0 {
		panic("mem: budget moved to a closed account in use")
	}
	if n < 0 || n > int(from.limit-min(from.used, from.limit)) {
		return false
	}
	from.limit -= uint32(n)
	to.limit += uint32(n)
	return true
}
