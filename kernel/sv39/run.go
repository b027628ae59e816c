package sv39

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
)

// MapRun maps the pages from va on to the frames at the addresses in frames, which
// stay the property of whoever has them. Where frames has a 0, and where a page is
// mapped already, nothing changes. It refuses perm and the range like
// [Space.Protect]. ENOMEM says that the account could not pay for a table: the pages
// before it are mapped.
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
			t := s.table(pool, va)
			if t == nil {
				return abi.ENOMEM
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
		t := s.table(pool, va)
		if t == nil {
			return abi.ENOMEM
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

// table returns the table of level 0 for va, which it makes if there is none, or
// nil if the account cannot pay for it.
func (s *Space) table(pool *mem.Pool, va uint64) *[entries]uint64 {
	e2 := &mem.Words(s.Root)[index2(va)]
	if *e2 == 0 && !s.grow(pool, e2) {
		return nil
	}
	e1 := &mem.Words(PTE(*e2).Addr())[index1(va)]
	if *e1 == 0 && !s.grow(pool, e1) {
		return nil
	}
	return mem.Words(PTE(*e1).Addr())
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
