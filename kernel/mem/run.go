package mem

// TakeRun allocates n frames one behind the other, the first at a multiple of
// align frames, and charges them to a. The frames come back one by one, through
// [Pool.Give], in any order. Like those of [Pool.Take] they hold what their last
// user left.
//
// It reports false, and leaves everything as it was, if n is not positive, align
// is not a power of two, the budget of a is smaller than n, or no n free frames
// lie together. The last can happen at any time while frames are in use: a
// budget promises frames, not their order. Take hands out low addresses first and
// TakeRun looks from the highest down, so the two meet only when memory has been
// nearly full; frames of long-lived users that were taken then break up the top
// until they come back. Nothing is ever moved to make room.
//
// Cost: about 30 instructions for each frame, and 8 for each that is looked at in vain:
// few in a young system, at most those of the machine.
func (p *Pool) TakeRun(a *Account, n, align int) (PA, bool) {
	if n <= 0 || align <= 0 || align&(align-1) != 0 || n > int(a.limit)-int(min(a.used, a.limit)) {
		return 0, false
	}
	start, ok := p.findRun(n, align)
	if !ok {
		return 0, false
	}
	// The frames are somewhere on the free stack, and the places that they leave
	// are filled from its end.
	for f := start; f < start+n; f++ {
		last := len(p.free) - 1
		moved, at := p.free[last], p.place[f]
		p.free[at], p.place[moved] = moved, at
		p.free = p.free[:last]
		p.taken[f/64] |= 1 << (f % 64)
	}
	a.used += uint32(n)
	return p.base + PA(start)<<frameShift, true
}

// findRun returns the number of the first of n free frames with that alignment,
// the highest such.
func (p *Pool) findRun(n, align int) (start int, ok bool) {
	first := int(p.base >> frameShift) // alignment is that of addresses
	for i := len(p.ranges) - 1; i >= 0; i-- {
		low, end := p.number(p.ranges[i].Start), p.number(p.ranges[i].End)
		for {
			start = (end-n+first)&^(align-1) - first
			if start < low {
				break
			}
			// From the last frame down: the first one that is taken tells how far down
			// the next try is.
			f := start + n - 1
			for f >= start && p.taken[f/64]>>(f%64)&1 == 0 {
				f--
			}
			if f < start {
				return start, true
			}
			end = f
		}
	}
	return 0, false
}
