package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
)

// vmo is a memory object: pages that processes share by capability. One from
// the boot image is contiguous, never written and never freed. One that a process
// creates has pages of its own, which appear zeroed at first use; their budget is
// taken from the creator's and stays with the object, so that a process cannot
// leave memory behind that nobody pays for. A DMA buffer is contiguous and has its
// pages from the start.
type vmo struct {
	refs    uint32 // capabilities
	maps    uint32 // regions
	first   uint32 // of the regions, by regionRef
	sealed  bool   // never written again, nor resized
	code    bool   // sealed, and some process may execute it
	next    uint32 // free list
	owner   uint32 // creator's table entry
	pid     uint64 // creator's pid; 0 in the boot image
	size    uint64 // bytes, whole pages
	base    mem.PA // first byte if it is contiguous, else 0
	index   mem.PA // frame with one entry per leaf table (leafTable), each with one entry per page
	dev     uint32 // device of a DMA buffer
	epoch   uint64 // that the device was in when the buffer was made
	account mem.Account
}

const (
	pagesPerTable = abi.PageSize / 8
	// maxVMOBytes is what an index frame reaches.
	maxVMOBytes = pagesPerTable * pagesPerTable * abi.PageSize
)

// imageVMO makes a memory object of size bytes of the boot image at base.
func (k *Kernel) imageVMO(base mem.PA, size uint64) uint32 {
	i := k.freeVMOs
	if i == 0 {
		return 0
	}
	v := &k.vmos[i]
	k.freeVMOs = v.next
	*v = vmo{size: size, base: base}
	return i
}

func (v *vmo) immutable() bool { return v.pid == 0 }

// page returns the frame of page n of v, taking a zeroed one if it is new.
func (k *Kernel) page(v *vmo, n uint64) (mem.PA, bool) {
	if v.base != 0 {
		return v.base + mem.PA(n*abi.PageSize), true
	}
	table := &mem.Words(v.index)[n/pagesPerTable]
	if *table == 0 {
		pa, ok := k.zeroFrame(&v.account)
		if !ok {
			return 0, false
		}
		*table = uint64(pa)
	}
	slot := &leafTable(*table)[n%pagesPerTable]
	if *slot == 0 {
		pa, ok := k.zeroFrame(&v.account)
		if !ok {
			return 0, false
		}
		*slot = uint64(pa)
		if v.code {
			k.fenceCode() // the frame may have held instructions before
		}
	}
	return mem.PA(*slot), true
}

// runBit marks an entry of the index whose pages lie one behind the other, the first
// at a multiple of their size, so that a leaf of 2 MiB can map them.
const runBit = 1

// leafTable returns the leaf table that an entry of the index names.
func leafTable(entry uint64) *[pagesPerTable]uint64 { return mem.Words(mem.PA(entry &^ runBit)) }

// runBytes is what one leaf table of an object, and one leaf of 2 MiB, reaches.
const runBytes = pagesPerTable * abi.PageSize

// takeRun gives v all pages of leaf table t, of which it has none, zeroed and as a run,
// if the machine has one. They are v's by its budget, so nobody else misses them.
func (k *Kernel) takeRun(v *vmo, t uint64) bool {
	table, ok := k.pool.Take(&v.account)
	if !ok {
		return false
	}
	run, ok := k.pool.TakeRun(&v.account, pagesPerTable, pagesPerTable)
	if !ok {
		k.pool.Give(&v.account, table)
		return false
	}
	for i, words := mem.PA(0), mem.Words(table); i < pagesPerTable; i++ {
		mem.Zero(run + i*abi.PageSize)
		words[i] = uint64(run + i*abi.PageSize)
	}
	if v.code {
		k.fenceCode() // as in page
	}
	mem.Words(v.index)[t] = uint64(table) | runBit
	return true
}

func (k *Kernel) zeroFrame(a *mem.Account) (mem.PA, bool) {
	pa, ok := k.pool.Take(a)
	if ok {
		mem.Zero(pa)
	}
	return pa, ok
}

// vmoFrames is the budget of an object: its pages, their tables and the index.
func vmoFrames(size uint64) int {
	pages := int(size / abi.PageSize)
	return pages + (pages+pagesPerTable-1)/pagesPerTable + 1
}

func (k *Kernel) sysVMOCreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	bytes := x[hart.A0]
	if bytes == 0 || bytes > maxVMOBytes {
		return abi.EINVAL
	}
	if p.numVMOs >= vmosPerProcess || k.freeVMOs == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	size := (bytes + abi.PageSize - 1) &^ (abi.PageSize - 1)
	i := k.freeVMOs
	v := &k.vmos[i]
	if !k.pool.Move(&p.acct, &v.account, vmoFrames(size)) {
		return abi.ENOMEM
	}
	k.freeVMOs = v.next
	v.refs, v.maps, v.first, v.next, v.base, v.dev = 0, 0, 0, 0, 0, 0
	v.owner, v.pid, v.size = p.id, p.pid, size
	v.index, _ = k.zeroFrame(&v.account)
	p.numVMOs++
	c := k.newCap(p, abi.KindVMO, i, abi.RightRead|abi.RightWrite|abi.RightGrant, 0, 0)
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

// maybeFreeVMO returns the frames of an object that nobody names or maps any
// more, and its budget to its creator if that still lives.
func (k *Kernel) maybeFreeVMO(i uint32) {
	v := &k.vmos[i]
	if v.refs != 0 || v.maps != 0 || v.immutable() || v.dev != 0 && k.keepBack(i) {
		return
	}
	k.freeVMO(i)
}

func (k *Kernel) freeVMO(i uint32) {
	v := &k.vmos[i]
	if v.base != 0 {
		for at := uint64(0); at < v.size; at += abi.PageSize {
			k.pool.Give(&v.account, v.base+mem.PA(at))
		}
	} else {
		k.freePages(v)
	}
	if p := &k.procs[v.owner]; p.state == procLive && p.pid == v.pid {
		k.pool.Move(&v.account, &p.acct, v.account.Limit())
		p.numVMOs--
	} else {
		k.pool.Close(&v.account)
	}
	v.index, v.base, v.dev, v.pid, v.size = 0, 0, 0, 0, 0
	v.sealed, v.code = false, false // nothing of it is for the next object here
	v.next = k.freeVMOs
	k.freeVMOs = i
}

// freePages returns the pages of v that were touched, with their tables.
func (k *Kernel) freePages(v *vmo) {
	index := mem.Words(v.index)
	for t, table := range index {
		if table == 0 {
			continue
		}
		for _, pa := range leafTable(table) {
			if pa != 0 {
				k.pool.Give(&v.account, mem.PA(pa))
			}
		}
		k.pool.Give(&v.account, mem.PA(table&^runBit))
		index[t] = 0
	}
	k.pool.Give(&v.account, v.index)
}

// readVMO fills dst from the bytes of v at off, which must be inside. Pages that
// were never touched read as zero without coming into being.
func (k *Kernel) readVMO(v *vmo, off uint64, dst []byte) {
	for len(dst) > 0 {
		n := min(uint64(len(dst)), abi.PageSize-off%abi.PageSize)
		if pa := k.present(v, off/abi.PageSize); pa != 0 {
			copy(dst[:n], mem.Bytes(pa+mem.PA(off%abi.PageSize), int(n)))
		} else {
			clear(dst[:n])
		}
		dst = dst[n:]
		off += n
	}
}

// present returns the frame of page n of v, 0 if it was never touched.
func (k *Kernel) present(v *vmo, n uint64) mem.PA {
	if v.base != 0 {
		return v.base + mem.PA(n*abi.PageSize)
	}
	table := mem.Words(v.index)[n/pagesPerTable]
	if table == 0 {
		return 0
	}
	return mem.PA(leafTable(table)[n%pagesPerTable])
}

// vmoAccess checks the arguments of VMO_READ and VMO_WRITE.
func (k *Kernel) vmoAccess(t *Thread, right abi.Rights) (*vmo, abi.Errno) {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, right)
	if errno != abi.OK {
		return nil, errno
	}
	v := &k.vmos[n.obj]
	off, length := x[hart.A1], x[hart.A3]
	if length > abi.MaxMessage || off > v.size || length > v.size-off {
		return nil, abi.EINVAL
	}
	return v, abi.OK
}

func (k *Kernel) sysVMORead(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	v, errno := k.vmoAccess(t, abi.RightRead)
	if errno != abi.OK {
		return errno
	}
	buf := k.scratch[:x[hart.A3]]
	k.readVMO(v, x[hart.A1], buf)
	if !p.space.CopyOut(x[hart.A2], buf) {
		return abi.EFAULT
	}
	x[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysVMOWrite(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	v, errno := k.vmoAccess(t, abi.RightWrite)
	if errno != abi.OK {
		return errno
	}
	if v.sealed {
		return abi.ESEALED
	}
	buf := k.scratch[:x[hart.A3]]
	if !p.space.CopyIn(buf, x[hart.A2]) {
		return abi.EFAULT
	}
	for off := x[hart.A1]; len(buf) > 0; {
		n := min(uint64(len(buf)), abi.PageSize-off%abi.PageSize)
		pa, ok := k.page(v, off/abi.PageSize)
		if !ok {
			return abi.ENOMEM
		}
		copy(mem.Bytes(pa+mem.PA(off%abi.PageSize), int(n)), buf[:n])
		buf = buf[n:]
		off += n
	}
	x[hart.A0] = 0
	return abi.OK
}
