package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Kinds of a region: what a page shows when it is first touched.
const (
	regionZero   = iota // zeroes
	regionCopy          // a private copy of the VMO's page
	regionShare         // the VMO's page itself
	regionDevice        // registers of the device
)

// region is a range of user addresses with one kind of content. Pages appear in
// the page table when they are touched.
type region struct {
	start, end uint64 // page aligned
	perm       sv39.Perm
	kind       uint8
	user       bool   // made by VMO_MAP or MMIO_MAP, so UNMAP may remove it
	dev        uint16 // of regionDevice; counted in its maps
	vmo        uint32 // of regionCopy and regionShare; counted in its maps
	next, prev uint32 // of the same object, by regionRef
	off        uint64 // offset of start in the VMO or the window
	fileEnd    uint64 // from this address on, regionCopy shows zeroes
}

// addRegion adds r to the address space of p, in which it must overlap nothing.
func (k *Kernel) addRegion(p *Process, r *region) abi.Errno {
	if p.numRegions == regionsPerProcess {
		return abi.ENOSPC
	}
	if overlapping(p.regions[:p.numRegions], r.start, r.end) != nil {
		return abi.EOVERLAP
	}
	p.regions[p.numRegions] = *r
	k.enterRegion(p)
	return abi.OK
}

// enterRegion takes the region behind the last one of p into use.
func (k *Kernel) enterRegion(p *Process) {
	i := p.numRegions
	r := &p.regions[i]
	if r.vmo != 0 {
		v := &k.vmos[r.vmo]
		v.maps++
		k.linkRegion(v, r, regionRef(p, i))
	} else if r.dev != 0 {
		k.useWindow(r)
	}
	p.hotRegion = uint32(i)
	p.numRegions++
}

func (k *Kernel) dropRegion(r *region) {
	if r.vmo != 0 {
		v := &k.vmos[r.vmo]
		k.unlinkRegion(v, r)
		if v.maps--; v.maps|v.refs == 0 {
			k.maybeFreeVMO(r.vmo)
		}
	} else if r.dev != 0 {
		k.unuseWindow(r)
	}
}

// regionOf returns the region that holds va, nil if there is none.
func (p *Process) regionOf(va uint64) *region {
	if r := &p.regions[p.hotRegion]; va-r.start < r.end-r.start {
		return r
	}
	for i := range p.regions[:p.numRegions] {
		if r := &p.regions[i]; va-r.start < r.end-r.start {
			p.hotRegion = uint32(i)
			return r
		}
	}
	return nil
}

// Results of touching a page.
const (
	touchOK    = iota
	touchWrong // no such memory, or not for this kind of access
	touchNoMem // the budget is spent
)

// touch maps the page of va if the process has a right to this kind of access.
//
// Cost: see bench page_fault in docs/performance.md.
func (k *Kernel) touch(p *Process, va uint64, need sv39.Perm) int {
	r := p.regionOf(va)
	if r == nil || r.perm&need != need {
		return touchWrong
	}
	va &^= abi.PageSize - 1
	if r.kind == regionShare {
		return k.touchShared(p, r, va)
	}
	if r.kind == regionDevice {
		return k.touchDevice(p, r, va)
	}
	pa, ok := k.pool.Take(&p.acct)
	if !ok {
		if p.space.Lookup(va) != 0 {
			return touchOK // nothing to pay: the hart knew an old translation
		}
		return touchNoMem
	}
	if r.kind == regionZero || va >= r.fileEnd {
		mem.Zero(pa)
	} else {
		k.copyPage(pa, r, va)
	}
	errno := p.space.MapOwned(k.pool, va, pa, r.perm)
	if errno != abi.OK {
		k.pool.Give(&p.acct, pa)
	}
	return touched(errno)
}

// touchShared is touch for a page of a memory object. Of one that is contiguous, it
// maps whatever shares a table with that page: a program touches hundreds of pages of
// its text, and a fault costs as much as mapping a hundred of them. Of any other, where
// the mapping could be one leaf of 2 MiB, all pages of that appear together.
func (k *Kernel) touchShared(p *Process, r *region, va uint64) int {
	v := &k.vmos[r.vmo]
	table := va &^ (runBytes - 1)
	if v.base != 0 {
		start, end := max(r.start, table), min(r.end, table+runBytes)
		pa := v.base + mem.PA(r.off+start-r.start)
		return touched(p.space.MapLinear(k.pool, start, pa, int((end-start)/abi.PageSize), r.perm))
	}
	n := (r.off + va - r.start) / abi.PageSize
	if (r.off-r.start)%runBytes == 0 && table >= r.start && r.end-table >= runBytes {
		entry := &mem.Words(v.index)[n/pagesPerTable]
		if *entry&runBit != 0 || *entry == 0 && k.takeRun(v, n/pagesPerTable) {
			errno := p.space.MapMega(k.pool, table, mem.PA(leafTable(*entry)[0]), r.perm)
			if errno == abi.EOVERLAP { // small pages were there once
				errno = p.space.MapRun(k.pool, table, leafTable(*entry)[:], r.perm)
			}
			return touched(errno)
		}
	}
	pa, ok := k.page(v, n)
	if !ok {
		return touchNoMem
	}
	return touched(p.space.Map(k.pool, va, pa, r.perm))
}

// copyPage fills the frame at pa with what the regionCopy r has at va.
func (k *Kernel) copyPage(pa mem.PA, r *region, va uint64) {
	from := k.present(&k.vmos[r.vmo], (r.off+va-r.start)/abi.PageSize)
	if from == 0 {
		mem.Zero(pa)
		return
	}
	n := int(min(r.fileEnd-va, abi.PageSize))
	mem.Copy(pa, from, n)
	clear(mem.Bytes(pa, abi.PageSize)[n:])
}

// touched turns the refusal of a page table into the result of touch. A page that
// is mapped already faulted on a stale translation, or for an access that its
// region allows and its leaf does too: the caller fences and goes on.
func touched(errno abi.Errno) int {
	switch errno {
	case abi.OK, abi.EOVERLAP:
		return touchOK
	case abi.ENOMEM:
		return touchNoMem
	}
	return touchWrong
}

func (k *Kernel) sysVMOMap(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	va, off, length, rights := x[hart.A1], x[hart.A2], x[hart.A3], abi.Rights(x[hart.A4])
	if errno := checkMapRights(x[hart.A4]); errno != abi.OK {
		return errno
	}
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, rights)
	if errno != abi.OK {
		return errno
	}
	v := &k.vmos[n.obj]
	if (va|off|length)%abi.PageSize != 0 || length == 0 || off > v.size || length > v.size-off {
		return abi.EINVAL
	}
	if v.sealed && rights&abi.RightWrite != 0 {
		return abi.ESEALED
	}
	r, errno := p.placeRegion(va, length)
	if errno != abi.OK {
		return errno
	}
	r.perm, r.kind, r.vmo, r.off = permOf(rights), regionShare, n.obj, off
	k.enterRegion(p)
	k.mapPresent(p, r)
	x[hart.A0] = r.start
	return abi.OK
}

// placeRegion finds a place for a mapping of length bytes, at the page address va or
// where there is room. The region behind the last one of p is there, for the caller
// to complete and to enter.
func (p *Process) placeRegion(va, length uint64) (*region, abi.Errno) {
	if p.numRegions == regionsPerProcess {
		return nil, abi.ENOSPC
	}
	if va == 0 {
		if va = p.freeRange(length); va == 0 {
			return nil, abi.ENOSPC
		}
	} else if va < abi.MapBase || va >= abi.MapEnd || length > abi.MapEnd-va {
		return nil, abi.EINVAL
	} else if overlapping(p.mapped(), va, va+length) != nil {
		return nil, abi.EOVERLAP
	}
	r := &p.regions[p.numRegions]
	*r = region{start: va, end: va + length, user: true}
	return r, abi.OK
}

// permOf returns page permissions for the rights of a mapping.
func permOf(r abi.Rights) sv39.Perm {
	perm := sv39.Perm(sv39.U | sv39.R)
	if r&abi.RightWrite != 0 {
		perm |= sv39.Perm(sv39.W)
	}
	if r&abi.RightExec != 0 {
		perm |= sv39.Perm(sv39.X)
	}
	return perm
}

// mapped returns the regions in the mapping area: all but those that a program
// starts with.
func (p *Process) mapped() []region { return p.regions[p.ownRegions:p.numRegions] }

// freeRange returns the lowest address of the mapping area with length free
// bytes, 0 if there is none. Where a leaf of 2 MiB could be it is a multiple of that.
func (p *Process) freeRange(length uint64) uint64 {
	below := uint64(abi.PageSize - 1)
	if length >= runBytes {
		below = runBytes - 1
	}
	for at := uint64(abi.MapBase); length <= abi.MapEnd-at; {
		r := overlapping(p.mapped(), at, at+length)
		if r == nil {
			return at
		}
		at = (r.end + below) &^ below
	}
	return 0
}

// overlapping returns one of the regions that shares an address with [start, end).
func overlapping(regions []region, start, end uint64) *region {
	for i := range regions {
		if r := &regions[i]; start < r.end && r.start < end {
			return r
		}
	}
	return nil
}

func (k *Kernel) sysUnmap(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	va, length := x[hart.A0], x[hart.A1]
	if (va|length)%abi.PageSize != 0 {
		return abi.EINVAL
	}
	r := p.regionOf(va)
	if r == nil || r.start != va || r.end-r.start != length || !r.user {
		return abi.ENOENT
	}
	k.removeRegion(p, int(p.hotRegion))
	x[hart.A0] = 0
	return abi.OK
}

// removeRegion takes region i out of the address space of p, at once for every
// access that follows.
func (k *Kernel) removeRegion(p *Process, i int) {
	r := &p.regions[i]
	length := r.end - r.start
	p.space.Unmap(k.pool, r.start, int(length/abi.PageSize))
	k.fenceRange(p, r.start, length)
	k.dropRegion(r)
	p.numRegions--
	if i != p.numRegions {
		k.moveRegion(p, p.numRegions, i)
	}
	p.hotRegion = 0 // always in use: regions of the program are never unmapped
}
