package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
)

func (k *Kernel) sysDMACreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	d, errno := k.owned(p, x[hart.A0], abi.KindMMIO, abi.RightWrite)
	if errno != abi.OK {
		return errno
	}
	if x[hart.A1] == 0 || x[hart.A1] > abi.MaxDMA {
		return abi.EINVAL
	}
	if p.numVMOs >= vmosPerProcess || k.freeVMOs == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	size := pageUp(x[hart.A1])
	frames := int(size / abi.PageSize)
	i := k.freeVMOs
	v := &k.vmos[i]
	if !k.pool.Move(&p.acct, &v.account, frames) {
		return abi.ENOMEM
	}
	base, ok := k.pool.TakeRun(&v.account, frames, 1)
	if !ok {
		k.pool.Move(&v.account, &p.acct, frames)
		return abi.EFRAG
	}
	for at := base; at < base+mem.PA(size); at += abi.PageSize {
		mem.Zero(at)
	}
	k.freeVMOs = v.next
	v.refs, v.maps, v.next, v.index = 0, 0, 0, 0
	v.owner, v.pid, v.size, v.base = p.id, p.pid, size, base
	v.dev, v.epoch = k.caps[d.window].obj, d.epoch
	p.numVMOs++
	const rights = abi.RightRead | abi.RightWrite | abi.RightGrant | abi.RightDMA
	x[hart.A0] = k.handleFor(k.newCap(p, abi.KindVMO, i, rights, 0, 0))
	return abi.OK
}

// keepBack keeps DMA buffer i, which nobody names or maps any more, from the pool
// if its device may still write to it: the process that the device worked for has
// ended, or lost the window, and the device was not reset since. It reports
// whether it did.
func (k *Kernel) keepBack(i uint32) bool {
	v := &k.vmos[i]
	d := &k.devices[v.dev]
	p := &k.procs[v.owner]
	inCharge := p.state == procLive && p.pid == v.pid && d.window != 0 && k.caps[d.window].owner == p.id
	if inCharge || v.epoch != d.epoch {
		return false
	}
	v.next, d.kept = d.kept, i
	return true
}

// releaseKept returns the buffers that were kept back, as the device was reset.
// Those still in use return like other memory from now on.
func (k *Kernel) releaseKept(d *device) (frames uint64) {
	d.epoch++
	for d.kept != 0 {
		i := d.kept
		d.kept = k.vmos[i].next
		frames += k.vmos[i].size / abi.PageSize
		k.freeVMO(i)
	}
	return frames
}

func (k *Kernel) sysDMAAddress(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindVMO, abi.RightDMA)
	if errno != abi.OK {
		return errno
	}
	x[hart.A0] = uint64(k.vmos[n.obj].base)
	return abi.OK
}
