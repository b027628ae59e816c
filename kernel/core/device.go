package core

import (
	"fmt"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Device is a device of the board that processes may have.
type Device struct {
	Kind abi.DeviceKind
	Base mem.PA // of its registers, page aligned
	Size uint64 // bytes, whole pages
	IRQ  uint32 // its own source at the interrupt controller, 0 if it has none
}

// device is a Device with what is held of it. Its window and its interrupt have at
// most one owner each: the holder of the capability that was derived last. What
// that one was derived from sleeps until it ends.
//
// Whatever the owner could reach through the device ends with its capability:
// mappings and the interrupt at once; buffers, which the device may still write
// to, when somebody says that it was reset.
type device struct {
	Device
	window uint32 // capability of the owner, 0 if there is no window
	maps   uint32 // regions, all of them the owner's
	line   uint32 // capability of the interrupt's owner, 0 if there is none
	state  uint8  // of the line
	notif  notifRef
	bits   uint64
	epoch  uint64 // resets so far
	kept   uint32 // DMA buffers that wait for the next one: a list in vmos
}

// addDevices takes over the devices of the board. It refuses what would give a
// process more than a device: whatever the kernel maps itself, which is all of RAM
// and the devices that it uses, and what two devices share.
func (k *Kernel) addDevices() error {
	if len(k.offered) > maxDevices {
		return fmt.Errorf("%d devices, more than %d", len(k.offered), maxDevices)
	}
	for i, d := range k.offered {
		if err := k.checkDevice(d, k.offered[:i]); err != nil {
			return fmt.Errorf("device %d at %#x: %w", i, uint64(d.Base), err)
		}
		k.numDevices++
		k.devices[k.numDevices].Device = d
		if d.IRQ != 0 {
			k.sources[d.IRQ] = uint8(k.numDevices)
		}
	}
	k.offered = nil
	return nil
}

func (k *Kernel) checkDevice(d Device, others []Device) error {
	switch {
	case d.Size == 0 || (uint64(d.Base)|d.Size)%abi.PageSize != 0:
		return fmt.Errorf("%#x bytes are not whole pages", d.Size)
	case d.Base >= maxDevicePA || d.Size > uint64(maxDevicePA-d.Base):
		return fmt.Errorf("%#x bytes end above the physical addresses", d.Size)
	case d.IRQ > maxSource || d.IRQ != 0 && k.controller == nil:
		return fmt.Errorf("no interrupt source %d", d.IRQ)
	}
	for _, o := range others {
		if d.Base < o.Base+mem.PA(o.Size) && o.Base < d.Base+mem.PA(d.Size) {
			return fmt.Errorf("shares registers with the one at %#x", uint64(o.Base))
		}
		if d.IRQ != 0 && d.IRQ == o.IRQ {
			return fmt.Errorf("shares interrupt %d with the one at %#x", d.IRQ, uint64(o.Base))
		}
	}
	for at := d.Base; at < d.Base+mem.PA(d.Size); at += abi.PageSize {
		if sv39.Maps(k.kernelRoot, uint64(at)) {
			return fmt.Errorf("the kernel uses %#x itself", uint64(at))
		}
	}
	return nil
}

// maxDevicePA is the end of what a leaf can name.
const maxDevicePA mem.PA = 1 << 56

// exclusive reports whether objects of the kind have one owner at a time: windows
// and interrupts. It is one comparison, because every capability that is given away
// passes here; what follows for them stays out of the way.
func exclusive(kind abi.Kind) bool { return kind-abi.KindMMIO <= abi.KindIRQ-abi.KindMMIO }

// own makes capability i, new or derived from the owner's, the owner's.
//
//go:noinline
func (k *Kernel) own(i uint32) {
	n := &k.caps[i]
	if n.kind == abi.KindMMIO {
		k.devices[n.obj].window = i
	} else {
		k.devices[n.obj].line = i
	}
	if from := &k.caps[n.parent]; from.kind == n.kind {
		from.rights |= busy
	}
}

// disown ends what the holder of capability i, which is about to end, has by it.
// What it was derived from, if it is still there, is the owner's again.
//
//go:noinline
func (k *Kernel) disown(i uint32) {
	n := &k.caps[i]
	d := &k.devices[n.obj]
	from := n.parent
	if k.caps[from].kind != n.kind {
		from = 0
	}
	switch {
	case n.kind == abi.KindMMIO && d.window == i:
		k.caps[from].rights &^= busy
		p := &k.procs[n.owner]
		for r := p.numRegions - 1; r >= 0 && d.maps != 0; r-- {
			if p.regions[r].dev == uint16(n.obj) {
				k.removeRegion(p, r)
			}
		}
		d.window = from
	case n.kind == abi.KindIRQ && d.line == i:
		k.caps[from].rights &^= busy
		k.maskLine(d)
		d.line = from
	}
}

// owned returns the device whose window or interrupt h names, if p is its owner
// and has the rights.
func (k *Kernel) owned(p *Process, h uint64, kind abi.Kind, rights abi.Rights) (*device, abi.Errno) {
	n, errno := k.need(p, h, kind, rights)
	if errno != abi.OK {
		return nil, errno
	}
	if n.child != 0 {
		return nil, abi.EBUSY
	}
	return &k.devices[n.obj], abi.OK
}

// offer returns the number of a device that p may query or create the window or
// the interrupt of, and p's capability that says so.
func (k *Kernel) offer(t *Thread) (dev, authority uint32, errno abi.Errno) {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindDevices, abi.RightManage); errno != abi.OK {
		return 0, 0, errno
	}
	if x[hart.A1] >= k.numDevices {
		return 0, 0, abi.ENOENT
	}
	return uint32(x[hart.A1]) + 1, k.lookup(p, x[hart.A0]), abi.OK
}

func (k *Kernel) sysDeviceInfo(t *Thread) abi.Errno {
	i, _, errno := k.offer(t)
	if errno != abi.OK {
		return errno
	}
	d := &k.devices[i]
	state := uint64(0)
	if d.window != 0 {
		state |= abi.DeviceWindow
	}
	if d.line != 0 {
		state |= abi.DeviceIRQ
	}
	frames := uint64(0)
	for v := d.kept; v != 0; v = k.vmos[v].next {
		frames += k.vmos[v].size / abi.PageSize
	}
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3] = uint64(d.Kind), uint64(d.Base), d.Size, uint64(d.IRQ)
	x[hart.A4], x[hart.A5] = state, frames
	return abi.OK
}
