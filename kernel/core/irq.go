package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// Controller is the interrupt controller, as the hart sees it that takes the
// interrupts of devices.
type Controller interface {
	// Enable and Disable say whether interrupts of a source come in. All are
	// disabled at first.
	Enable(source uint32)
	Disable(source uint32)
	// Claim takes an interrupt that has come in and returns its source, 0 if there
	// is none. The source is silent from then on, until Complete. It must be enabled
	// for that.
	Claim() uint32
	Complete(source uint32)
}

// States of a line.
const (
	lineOff     = iota // disabled at the controller
	lineOn             // enabled, nothing has come in
	lineClaimed        // an interrupt has come in; the owner has not acknowledged it
)

// External takes the interrupts of devices that have come in, and tells their
// owners. The hart loop calls it after an external interrupt and whenever the hart
// has been idle.
//
// An interrupt stays claimed until its owner acknowledges it, so each source comes
// in once at most, however long its line stays raised, and this ends.
func (k *Kernel) External() {
	if k.controller == nil {
		return
	}
	for source := k.controller.Claim(); source != 0; source = k.controller.Claim() {
		var d *device
		if source <= maxSource {
			d = &k.devices[k.sources[source]] // device 0 has no line
		}
		if d == nil || d.state != lineOn {
			// Latched before the line was masked.
			k.controller.Complete(source)
			k.controller.Disable(source)
			continue
		}
		d.state = lineClaimed
		k.signal(d.notif, d.bits)
	}
}

// maskLine leaves the line of d masked, with no interrupt outstanding and bound to
// nothing.
func (k *Kernel) maskLine(d *device) {
	if d.state == lineClaimed {
		k.controller.Complete(d.IRQ) // before Disable: see Controller
	}
	if d.state != lineOff {
		k.controller.Disable(d.IRQ)
	}
	d.state, d.notif, d.bits = lineOff, notifRef{}, 0
	k.caps[d.line].rights &^= busy
}

func (k *Kernel) sysIRQCreate(t *Thread) abi.Errno {
	p := t.proc
	i, authority, errno := k.offer(t)
	if errno != abi.OK {
		return errno
	}
	d := &k.devices[i]
	if d.IRQ == 0 {
		return abi.ENOENT
	}
	if d.line != 0 {
		return abi.EBUSY
	}
	c := k.newCap(p, abi.KindIRQ, i, abi.RightManage|abi.RightGrant, 0, authority)
	if c == 0 {
		return abi.ENOSPC
	}
	k.own(c)
	t.Frame.X[hart.A0] = k.handleFor(c)
	return abi.OK
}

func (k *Kernel) sysIRQBind(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	d, errno := k.owned(p, x[hart.A0], abi.KindIRQ, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	bits := x[hart.A2]
	if (x[hart.A1] == 0) != (bits == 0) {
		return abi.EINVAL
	}
	if bits == 0 {
		k.maskLine(d)
		x[hart.A0] = 0
		return abi.OK
	}
	n, errno := k.signalable(p, x[hart.A1])
	if errno != abi.OK {
		return errno
	}
	d.notif, d.bits = n, bits
	if d.state == lineOff {
		d.state = lineOn
		k.caps[d.line].rights |= busy
		k.controller.Enable(d.IRQ)
	}
	x[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysIRQAck(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	d, errno := k.owned(p, x[hart.A0], abi.KindIRQ, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	if d.state != lineClaimed {
		return abi.ENOENT
	}
	d.state = lineOn
	k.controller.Complete(d.IRQ)
	x[hart.A0] = 0
	return abi.OK
}
