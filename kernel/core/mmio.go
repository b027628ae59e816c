package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

func (k *Kernel) sysMMIOCreate(t *Thread) abi.Errno {
	p := t.proc
	i, authority, errno := k.offer(t)
	if errno != abi.OK {
		return errno
	}
	if k.devices[i].window != 0 {
		return abi.EBUSY
	}
	const rights = abi.RightRead | abi.RightWrite | abi.RightManage | abi.RightGrant
	c := k.newCap(p, abi.KindMMIO, i, rights, 0, authority)
	if c == 0 {
		return abi.ENOSPC
	}
	k.own(c)
	t.Frame.X[hart.A0] = k.handleFor(c)
	return abi.OK
}

// devicePerm is how registers are mapped; nobody can ask for anything else.
const devicePerm = sv39.Perm(sv39.U | sv39.R | sv39.W)

func (k *Kernel) sysMMIOMap(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	va, off, length := x[hart.A1], x[hart.A2], x[hart.A3]
	d, errno := k.owned(p, x[hart.A0], abi.KindMMIO, abi.RightRead|abi.RightWrite)
	if errno != abi.OK {
		return errno
	}
	if (va|off|length)%abi.PageSize != 0 || length == 0 || off > d.Size || length > d.Size-off {
		return abi.EINVAL
	}
	r, errno := p.placeRegion(va, length)
	if errno != abi.OK {
		return errno
	}
	r.perm, r.kind, r.dev, r.off = devicePerm, regionDevice, uint16(k.caps[d.window].obj), off
	k.enterRegion(p)
	x[hart.A0] = r.start
	return abi.OK
}

// touchDevice is touch for a page of registers.
//
//go:noinline
func (k *Kernel) touchDevice(p *Process, r *region, va uint64) int {
	pa := k.devices[r.dev].Base + mem.PA(r.off+va-r.start)
	return touched(p.space.MapDevice(k.pool, va, pa, r.perm))
}

// useWindow and unuseWindow count the mappings of a window.

//go:noinline
func (k *Kernel) useWindow(r *region) {
	d := &k.devices[r.dev]
	d.maps++
	k.caps[d.window].rights |= busy
}

//go:noinline
func (k *Kernel) unuseWindow(r *region) {
	d := &k.devices[r.dev]
	if d.maps--; d.maps == 0 {
		k.caps[d.window].rights &^= busy
	}
}

func (k *Kernel) sysMMIORelease(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	d, errno := k.owned(p, x[hart.A0], abi.KindMMIO, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	x[hart.A0] = k.releaseKept(d)
	return abi.OK
}
