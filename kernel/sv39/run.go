package sv39

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
)

// MapRun maps the pages from va on to the frames at the addresses in frames, which
// stay the property of whoever has them. Where frames has a 0, and where a page is
// mapped already, nothing changes. It refuses perm and the range like
// [Space.Protect]. ENOMEM says that the account could not pay for a table, EOVERLAP
// that a leaf of 2 MiB is in the way: the pages before it are mapped.
//
// Cost: about 8 instructions for each page, and what [Space.Map] costs for each
// table.
func (s *Space) MapRun(pool *mem.Pool, va uint64, frames []uint64, perm Perm) abi.Errno {
	if errno := checkPerm(perm, userPerms); errno != abi.OK {
		return errno
	}
	if _, ok := pages(va, len(frames)); !ok {
		return abi.EINVAL
	}
	bits := uint64(leaf(0, perm))
	for len(frames) > 0 {
		n := min(len(frames), int(entries-index0(va)))
		run := frames[:n]
		frames = frames[n:]
		if holds(run) {
			t, errno := s.table(pool, va)
			if errno != abi.OK {
				return errno
			}
			to := t[index0(va):][:n]
			for i, pa := range run {
				if pa != 0 && to[i] == 0 {
					to[i] = pa>>(pageShift-ppnShift) | bits
				}
			}
		}
		va += uint64(n) * pageSize
	}
	return abi.OK
}

// MapLinear is [Space.MapRun] for n frames that lie one behind the other from pa on.
//
// Cost: about 6 instructions for each page, and what [Space.Map] costs for each
// table.
func (s *Space) MapLinear(pool *mem.Pool, va uint64, pa mem.PA, n int, perm Perm) abi.Errno {
	if errno := checkPerm(perm, userPerms); errno != abi.OK {
		return errno
	}
	end, ok := pages(va, n)
	if !ok || pa%pageSize != 0 || pa > maxPA-mem.PA(end-va) {
		return abi.EINVAL
	}
	for va < end {
		t, errno := s.table(pool, va)
		if errno != abi.OK {
			return errno
		}
		to := t[index0(va):]
		to = to[:min(uint64(len(to)), (end-va)/pageSize)]
		e := uint64(leaf(pa, perm))
		for i := range to {
			if to[i] == 0 {
				to[i] = e
			}
			e += pageSize >> (pageShift - ppnShift)
		}
		va += uint64(len(to)) * pageSize
		pa += mem.PA(len(to)) * pageSize
	}
	return abi.OK
}

// MapMega maps the 2 MiB at va to those at pa, both multiples of that, by one leaf. The
// frames stay the property of whoever has them. It refuses like [Space.Map], and with
// EOVERLAP also if there is a table for pages of that range, whatever is in it: a hart
// may know the table, and it cannot be given away before all of them are fenced.
//
// Such a leaf is unmapped and protected whole.
func (s *Space) MapMega(pool *mem.Pool, va uint64, pa mem.PA, perm Perm) abi.Errno {
	if errno := checkPerm(perm, userPerms); errno != abi.OK {
		return errno
	}
	if _, ok := pages(va, entries); !ok || (va|uint64(pa))%megaPage != 0 || pa >= maxPA {
		return abi.EINVAL
	}
	e2 := &mem.Words(s.Root)[index2(va)]
	if *e2 == 0 && !s.grow(pool, e2) {
		return abi.ENOMEM
	}
	e1 := &mem.Words(PTE(*e2).Addr())[index1(va)]
	if *e1 != 0 {
		return abi.EOVERLAP
	}
	*e1 = uint64(leaf(pa, perm))
	return abi.OK
}

// table returns the table of level 0 for va, which it makes if there is none. It
// refuses with ENOMEM if the account cannot pay for it and with EOVERLAP if a leaf of
// 2 MiB is there.
func (s *Space) table(pool *mem.Pool, va uint64) (*[entries]uint64, abi.Errno) {
	e2 := &mem.Words(s.Root)[index2(va)]
	if *e2 == 0 && !s.grow(pool, e2) {
		return nil, abi.ENOMEM
	}
	e1 := &mem.Words(PTE(*e2).Addr())[index1(va)]
	if *e1&leafBits != 0 {
		return nil, abi.EOVERLAP
	}
	if *e1 == 0 && !s.grow(pool, e1) {
		return nil, abi.ENOMEM
	}
	return mem.Words(PTE(*e1).Addr()), abi.OK
}

// holds reports whether any of the frames is one.
func holds(frames []uint64) bool {
	for _, pa := range frames {
		if pa != 0 {
			return true
		}
	}
	return false
}
