package sv39

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
)

// Root entries: the first belong to the kernel, those up to userEntries, whole
// lines of eight, can hold user tables, the rest is the upper half of the address
// space, always empty.
const (
	kernelEntries = abi.UserBase / gigaPage
	userEntries   = (abi.UserEnd-1)/gigaPage + 1

	maxPA mem.PA = 1 << 56 // first address beyond the 44-bit frame numbers

	leafBits = R | W | X // a valid entry with one of these is a leaf
)

// These do not compile if the layout stops being whole root entries and lines.
const (
	_ uint = -(abi.UserBase % gigaPage)
	_ uint = -(userEntries % 8)
)

// Space is the address space of a process. All methods but [Space.Destroy] need
// a space made by [NewSpace]. A Space may be copied; the tables are the same.
type Space struct {
	Root mem.PA       // root table, for satp; 0 once destroyed
	Acct *mem.Account // pays for tables and owned frames

	// The table of level 0 in which a leaf was found last, and of which 2 MiB it is. A
	// table stays where it is until [Space.Destroy].
	near      mem.PA
	nearRange uint64

	// Resolve, if not nil, is asked by the copy methods for a page that is not
	// present: it maps the page of va, if the process has a right to one, and
	// reports whether it did. It must not allocate and must not remove mappings
	// of any space.
	Resolve func(s *Space, va uint64, write bool) bool
}

// NewSpace makes an empty space that shares the kernel's mappings below
// abi.UserBase. It charges one frame to acct and returns ENOMEM if there is
// none.
func NewSpace(pool *mem.Pool, acct *mem.Account, kernelRoot mem.PA) (Space, abi.Errno) {
	root, ok := pool.Take(acct)
	if !ok {
		return Space{}, abi.ENOMEM
	}
	mem.Zero(root)
	copy(mem.Words(root)[:kernelEntries], mem.Words(kernelRoot)[:kernelEntries])
	return Space{Root: root, Acct: acct}, abi.OK
}

// Map maps the page at va to the frame at pa, which stays the property of
// whoever has it. perm needs U and R or X.
//
// It refuses with EWX a mapping that is writable and executable, with EINVAL an
// unaligned or out-of-range address or any other perm, with EOVERLAP a page that
// is mapped, with ENOMEM if the account cannot pay for a table. After a refusal
// no page is mapped; a table may have been added, which is charged and of use to
// the next Map.
//
// Cost: about 115 instructions if the tables are there, 700 more for each that is
// not.
func (s *Space) Map(pool *mem.Pool, va uint64, pa mem.PA, perm Perm) abi.Errno {
	return s.enter(pool, va, pa, perm, 0)
}

// MapOwned is [Space.Map] for a frame that was taken with the account of s and
// now belongs to s: it is given back when the page is unmapped or s destroyed.
// After a refusal the frame still belongs to the caller.
func (s *Space) MapOwned(pool *mem.Pool, va uint64, pa mem.PA, perm Perm) abi.Errno {
	return s.enter(pool, va, pa, perm, Owned)
}

// MapDevice is [Space.Map] for registers of a device: the copy methods refuse the
// page.
func (s *Space) MapDevice(pool *mem.Pool, va uint64, pa mem.PA, perm Perm) abi.Errno {
	return s.enter(pool, va, pa, perm, Device)
}

func (s *Space) enter(pool *mem.Pool, va uint64, pa mem.PA, perm Perm, mark PTE) abi.Errno {
	if errno := checkPerm(perm, userPerms); errno != abi.OK {
		return errno
	}
	if (va|uint64(pa))%pageSize != 0 || va-abi.UserBase >= abi.UserEnd-abi.UserBase || pa >= maxPA {
		return abi.EINVAL
	}
	e2 := &mem.Words(s.Root)[index2(va)]
	if *e2 == 0 && !s.grow(pool, e2) {
		return abi.ENOMEM
	}
	e1 := &mem.Words(PTE(*e2).Addr())[index1(va)]
	if *e1&leafBits != 0 {
		return abi.EOVERLAP
	}
	if *e1 == 0 && !s.grow(pool, e1) {
		return abi.ENOMEM
	}
	e0 := &mem.Words(PTE(*e1).Addr())[index0(va)]
	if *e0 != 0 {
		return abi.EOVERLAP
	}
	*e0 = uint64(leaf(pa, perm) | mark)
	return abi.OK
}

// checkPerm holds perm against a set of allowed ones.
func checkPerm(perm Perm, allowed uint32) abi.Errno {
	if perm&(W|X) == W|X {
		return abi.EWX
	}
	if allowed>>perm&1 == 0 {
		return abi.EINVAL
	}
	return abi.OK
}

// grow hangs an empty table into the empty entry e.
//
//go:noinline
func (s *Space) grow(pool *mem.Pool, e *uint64) bool {
	pa, ok := pool.Take(s.Acct)
	if !ok {
		return false
	}
	mem.Zero(pa)
	*e = uint64(table(pa))
	return true
}

// Lookup returns the leaf that maps va, or 0 if there is none or va is not a
// user address. If that is a leaf of 2 MiB, it returns what a leaf for the page of va
// alone would be.
func (s *Space) Lookup(va uint64) PTE {
	if va-abi.UserBase >= abi.UserEnd-abi.UserBase {
		return 0
	}
	return s.leaf(va)
}

// leaf is Lookup for a user address.
func (s *Space) leaf(va uint64) PTE {
	if va/megaPage == s.nearRange {
		return PTE(mem.Words(s.near)[index0(va)])
	}
	e := mem.Words(s.Root)[index2(va)]
	if e == 0 {
		return 0
	}
	e = mem.Words(PTE(e).Addr())[index1(va)]
	if e == 0 {
		return 0
	}
	if e&leafBits != 0 {
		return PTE(e + index0(va)<<ppnShift)
	}
	s.near, s.nearRange = PTE(e).Addr(), va/megaPage
	return PTE(mem.Words(s.near)[index0(va)])
}

// leafCut is what a range panics with that has only a part of a leaf of 2 MiB: the
// kernel maps, narrows and removes such leaves whole.
const leafCut = "sv39: a leaf of 2 MiB is cut"

// next finds the first entries that map something from va up to end, both page
// aligned user addresses: those of a table of level 0 in that range, or a leaf of 2
// MiB. It returns them, or nil, with the address of the first and the bytes that each
// maps. Holes cost one step for each missing table, not for each page.
func (s *Space) next(va, end uint64) (run []uint64, at, size uint64) {
	for va < end {
		e := PTE(mem.Words(s.Root)[index2(va)])
		if e == 0 {
			va = va&^(gigaPage-1) + gigaPage
			continue
		}
		e1 := mem.Words(e.Addr())[index1(va):][:1]
		e = PTE(e1[0])
		if e == 0 {
			va = va&^(megaPage-1) + megaPage
			continue
		}
		if e&leafBits != 0 {
			if va%megaPage != 0 || end-va < megaPage {
				panic(leafCut)
			}
			return e1, va, megaPage
		}
		i := index0(va)
		return mem.Words(e.Addr())[i:min(entries, i+(end-va)/pageSize)], va, pageSize
	}
	return nil, 0, 0
}

// pages returns the end of n pages from va on, if that is a range of whole user
// pages.
func pages(va uint64, n int) (end uint64, ok bool) {
	if va%pageSize != 0 || va < abi.UserBase || va > abi.UserEnd ||
		n < 0 || uint64(n) > (abi.UserEnd-va)/pageSize {
		return 0, false
	}
	return va + uint64(n)*pageSize, true
}

// Unmap removes whatever is mapped in the n pages from va on and returns how
// many pages that was. Owned frames go back to the pool, so the caller must
// fence before it takes frames for anyone else. Tables stay for later use. A
// range that is not whole pages of user space has nothing mapped. One that has only a
// part of a leaf of 2 MiB is a bug of the kernel: Unmap and Protect panic.
func (s *Space) Unmap(pool *mem.Pool, va uint64, n int) int {
	end, ok := pages(va, n)
	if !ok {
		return 0
	}
	if n == 1 { // the case that has to be fast
		e2 := mem.Words(s.Root)[index2(va)]
		if e2 == 0 {
			return 0
		}
		e1 := mem.Words(PTE(e2).Addr())[index1(va)]
		if e1 == 0 {
			return 0
		}
		if e1&leafBits != 0 {
			panic(leafCut)
		}
		e := &mem.Words(PTE(e1).Addr())[index0(va)]
		if *e == 0 {
			return 0
		}
		if *e&Owned != 0 {
			pool.Give(s.Acct, PTE(*e).Addr())
		}
		*e = 0
		return 1
	}
	removed := 0
	for va < end {
		run, at, size := s.next(va, end)
		if run == nil {
			break
		}
		va = at + uint64(len(run))*size
		if size == megaPage { // never owned
			run[0] = 0
			removed += entries
			continue
		}
		for i, e := range run {
			if e == 0 {
				continue
			}
			if e&Owned != 0 {
				pool.Give(s.Acct, PTE(e).Addr())
			}
			run[i] = 0
			removed++
		}
	}
	return removed
}

// Protect sets what the pages mapped in the n pages from va on allow. Pages that
// are not mapped stay so. It refuses perm like [Space.Map] and, with EINVAL, a
// range that is not whole pages of user space; then nothing has changed.
func (s *Space) Protect(va uint64, n int, perm Perm) abi.Errno {
	if errno := checkPerm(perm, userPerms); errno != abi.OK {
		return errno
	}
	end, ok := pages(va, n)
	if !ok {
		return abi.EINVAL
	}
	for va < end {
		run, at, size := s.next(va, end)
		if run == nil {
			break
		}
		va = at + uint64(len(run))*size
		for i, e := range run {
			if e != 0 {
				old := PTE(e)
				run[i] = uint64(leaf(old.Addr(), perm) | old&(Owned|Device))
			}
		}
	}
	return abi.OK
}

// Destroy gives every owned frame and every table back to the pool and clears
// Root. The kernel's tables and frames of others are not touched. Destroying a
// destroyed space does nothing.
//
// The first frame that is taken afterwards is the old root: before that, satp
// must hold another root, and the TLB nothing of this space.
//
// Cost: about 1,350 instructions for each table and 60 for each owned frame.
func (s *Space) Destroy(pool *mem.Pool) {
	if s.Root == 0 {
		return
	}
	lines := mem.Lines(s.Root)
	for i := range lines[:userEntries/len(lines[0])] {
		line := &lines[i]
		if union(line) == 0 {
			continue
		}
		for j, e := range line {
			if e != 0 && i*len(line)+j >= kernelEntries {
				s.destroyTables(pool, PTE(e).Addr())
			}
		}
	}
	pool.Give(s.Acct, s.Root)
	s.Root, s.near, s.nearRange = 0, 0, 0
}

// destroyTables gives back the table of level 1 at pa and all below it.
func (s *Space) destroyTables(pool *mem.Pool, pa mem.PA) {
	lines := mem.Lines(pa)
	for i := range lines {
		line := &lines[i]
		if union(line) == 0 {
			continue
		}
		for _, e := range line {
			if PTE(e).IsTable() {
				s.destroyLeaves(pool, PTE(e).Addr())
			}
		}
	}
	pool.Give(s.Acct, pa)
}

// destroyLeaves gives back the table of level 0 at pa and what its leaves own.
func (s *Space) destroyLeaves(pool *mem.Pool, pa mem.PA) {
	lines := mem.Lines(pa)
	for i := range lines {
		line := &lines[i]
		if union(line)&Owned == 0 {
			continue
		}
		for _, e := range line {
			if e&Owned != 0 {
				pool.Give(s.Acct, PTE(e).Addr())
			}
		}
	}
	pool.Give(s.Acct, pa)
}

// union returns the bits of all entries in a line of a table. Most tables are sparse,
// and this makes looking through one three times cheaper.
func union(l *[8]uint64) uint64 {
	return l[0] | l[1] | l[2] | l[3] | l[4] | l[5] | l[6] | l[7]
}
