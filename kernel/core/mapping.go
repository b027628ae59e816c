package core

import (
	"math"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// All regions that show one memory object are on a list that begins in the object,
// so that a change of the object reaches every mapping of it. The list needs no
// memory of its own and is bounded by the table of regions of all processes.

// regionRef names region i of p in the list of its object. It is never 0, because
// no process is entry 0 of its table.
func regionRef(p *Process, i int) uint32 { return p.id*regionsPerProcess + uint32(i) }

func (k *Kernel) regionAt(ref uint32) (*Process, *region) {
	p := &k.procs[ref/regionsPerProcess]
	return p, &p.regions[ref%regionsPerProcess]
}

// linkRegion puts r, which ref names, first into the list of its object v.
func (k *Kernel) linkRegion(v *vmo, r *region, ref uint32) {
	r.next, r.prev = v.first, 0
	if v.first != 0 {
		_, second := k.regionAt(v.first)
		second.prev = ref
	}
	v.first = ref
}

func (k *Kernel) unlinkRegion(v *vmo, r *region) {
	if r.prev != 0 {
		_, before := k.regionAt(r.prev)
		before.next = r.next
	} else {
		v.first = r.next
	}
	if r.next != 0 {
		_, after := k.regionAt(r.next)
		after.prev = r.prev
	}
}

// moveRegion moves a region of p to another place in its table.
func (k *Kernel) moveRegion(p *Process, from, to int) {
	r := &p.regions[to]
	v := &k.vmos[p.regions[from].vmo]
	if p.regions[from].vmo != 0 {
		k.unlinkRegion(v, &p.regions[from])
	}
	*r = p.regions[from]
	if r.vmo != 0 {
		k.linkRegion(v, r, regionRef(p, to))
	}
}

// fencePagesMax is how many pages are fenced one by one rather than with the whole
// space.
const fencePagesMax = 8

// fenceRange makes every hart that may have cached translations of a range of p
// forget them.
func (k *Kernel) fenceRange(p *Process, va, length uint64) {
	if length > fencePagesMax*abi.PageSize {
		k.fenceAll(p)
		return
	}
	k.fencePage(va, p.asid)
	for at := va + abi.PageSize; at < va+length; at += abi.PageSize {
		k.fencePage(at, p.asid)
	}
	if others := p.harts &^ (1 << k.h.index); others != 0 {
		k.fenceOther(others, va, length, p.asid)
	}
}

// fenceAll is fenceRange for all of the space of p.
func (k *Kernel) fenceAll(p *Process) {
	k.fenceSpace(p.asid)
	if others := p.harts &^ (1 << k.h.index); others != 0 {
		k.fenceOther(others, 0, math.MaxUint64, p.asid)
	}
}

// eagerPages is how many leaves vmo_map enters at once, of pages or of 2 MiB: as many
// as a table has, so that the call has a bound, and more than most objects need.
const eagerPages = pagesPerTable

// mapPresent maps the pages of a new mapping of p that its object has already. A
// page fault costs as much as mapping a hundred of them here. It stops where the
// budget of p has no page table left: the rest appears, or ends p, when touched.
// Contiguous objects are left to be touched: their pages appear by tables anyway.
func (k *Kernel) mapPresent(p *Process, r *region) {
	v := &k.vmos[r.vmo]
	if v.base != 0 {
		return
	}
	n := r.off / abi.PageSize
	if r.end-r.start == abi.PageSize {
		if pa := k.present(v, n); pa != 0 {
			p.space.Map(k.pool, r.start, pa, r.perm)
		}
		return
	}
	end := n + (r.end-r.start)/abi.PageSize
	index := mem.Words(v.index)
	for va, left := r.start, uint64(eagerPages); n < end && left > 0; {
		run := min(pagesPerTable-n%pagesPerTable, end-n)
		entry, used := index[n/pagesPerTable], uint64(1)
		if entry&runBit == 0 || run < pagesPerTable || p.space.MapMega(k.pool, va, mem.PA(leafTable(entry)[0]), r.perm) != abi.OK {
			used = min(run, left)
			if entry != 0 && p.space.MapRun(k.pool, va, leafTable(entry)[n%pagesPerTable:][:used], r.perm) != abi.OK {
				return
			}
		}
		left -= used
		n += run
		va += run * abi.PageSize
	}
}

// checkMapRights refuses rights that no mapping can have.
func checkMapRights(x uint64) abi.Errno {
	rights := abi.Rights(x)
	if x > uint64(abi.AllRights) || rights&abi.RightRead == 0 || rights&^(abi.RightRead|abi.RightWrite|abi.RightExec) != 0 {
		return abi.EINVAL
	}
	if rights&abi.RightWrite != 0 && rights&abi.RightExec != 0 {
		return abi.EWX
	}
	return abi.OK
}

// setPerm changes what a region of p allows, in the region, in the page table and
// in what harts have cached.
func (k *Kernel) setPerm(p *Process, r *region, perm sv39.Perm) {
	r.perm = perm
	p.space.Protect(r.start, int((r.end-r.start)/abi.PageSize), perm)
	k.fenceRange(p, r.start, r.end-r.start)
}

func (k *Kernel) sysVMOProtect(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	va, length, rights := x[hart.A2], x[hart.A3], abi.Rights(x[hart.A1])
	if errno := checkMapRights(x[hart.A1]); errno != abi.OK {
		return errno
	}
	// The right is asked of the capability, not of the mapping: one that was revoked
	// since gives nobody back what he gave up.
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, rights)
	if errno != abi.OK {
		return errno
	}
	if (va|length)%abi.PageSize != 0 {
		return abi.EINVAL
	}
	for i := range p.regions[:p.numRegions] {
		r := &p.regions[i]
		if r.start != va || r.end-r.start != length || !r.user || r.vmo != n.obj {
			continue
		}
		if rights&abi.RightWrite != 0 && k.vmos[n.obj].sealed {
			return abi.ESEALED
		}
		k.setPerm(p, r, permOf(rights))
		x[hart.A0] = 0
		return abi.OK
	}
	return abi.ENOENT
}

// sysVMOSeal ends writing. The kernel itself writes the memory of processes through
// their page tables, so what these allow is all that has to change.
func (k *Kernel) sysVMOSeal(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, abi.RightWrite)
	if errno != abi.OK {
		return errno
	}
	v := &k.vmos[n.obj]
	if v.dev != 0 {
		return abi.EINVAL // the device can write it
	}
	v.sealed = true
	for ref := v.first; ref != 0; {
		q, r := k.regionAt(ref)
		if w := sv39.Perm(sv39.W); r.kind == regionShare && r.perm&w != 0 {
			k.setPerm(q, r, r.perm&^w)
		}
		ref = r.next
	}
	x[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysVMOResize(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, abi.RightWrite)
	if errno != abi.OK {
		return errno
	}
	v, bytes := &k.vmos[n.obj], x[hart.A1]
	if v.pid != p.pid {
		return abi.EPERM // its budget is another's
	}
	if bytes == 0 || bytes > maxVMOBytes || v.dev != 0 {
		return abi.EINVAL
	}
	if v.sealed {
		return abi.ESEALED
	}
	size := pageUp(bytes)
	had, wants := vmoFrames(v.size), vmoFrames(size)
	if size < v.size {
		for ref := v.first; ref != 0; {
			_, r := k.regionAt(ref)
			if r.off+(r.end-r.start) > size {
				return abi.EBUSY
			}
			ref = r.next
		}
		k.trim(v, size/abi.PageSize)
		k.pool.Move(&v.account, &p.acct, had-wants)
	} else if !k.pool.Move(&p.acct, &v.account, wants-had) {
		return abi.ENOMEM
	}
	v.size = size
	x[hart.A0] = 0
	return abi.OK
}

// trim returns the frames of v from page n on, none of which is mapped, and those
// of the tables that hold no others.
func (k *Kernel) trim(v *vmo, n uint64) {
	index := mem.Words(v.index)
	last := (v.size/abi.PageSize + pagesPerTable - 1) / pagesPerTable
	for t := n / pagesPerTable; t < last; t++ {
		if index[t] == 0 {
			continue
		}
		first := uint64(0)
		if t == n/pagesPerTable {
			first = n % pagesPerTable
		}
		index[t] &^= runBit
		table := leafTable(index[t])
		for i := first; i < pagesPerTable; i++ {
			if table[i] != 0 {
				k.pool.Give(&v.account, mem.PA(table[i]))
				table[i] = 0
			}
		}
		if first == 0 {
			k.pool.Give(&v.account, mem.PA(index[t]))
			index[t] = 0
		}
	}
}
