//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// Device is a device of the fake machine. Its registers are plain memory: a test
// puts there what a driver is to find.
type Device struct {
	k         *Kernel
	registers []byte
	irq       uint32
	window    *deviceObj // nil if there is none
	line      *deviceObj
	maps      int
	n         *notification // what the interrupt is bound to
	bits      uint64
	latched   bool
	claimed   bool
}

// AddDevice adds a device with registers, whole pages, to the machine. It must be
// there before processes ask for it.
func (k *Kernel) AddDevice(registers []byte) *Device {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := &Device{k: k, registers: registers, irq: uint32(len(k.devices) + 1)}
	k.devices = append(k.devices, d)
	return d
}

// Interrupt makes the device interrupt, once, as soon as it is let in.
func (d *Device) Interrupt() {
	d.k.mu.Lock()
	defer d.k.mu.Unlock()
	d.latched = true
	d.deliver()
}

func (d *Device) deliver() {
	if d.latched && d.n != nil && !d.claimed {
		d.latched, d.claimed = false, true
		d.n.set(d.bits)
	}
}

// Memory returns n bytes of the DMA buffer that has this physical address, nil if none
// has all of them.
func (k *Kernel) Memory(address uint64, n int) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	for base, v := range k.dma {
		if size := uint64(len(v.mem)); address >= base && address-base <= size && uint64(n) <= size-(address-base) {
			return v.mem[address-base:][:n]
		}
	}
	return nil
}

type devicesRight struct{ counted }

func (*devicesRight) kind() abi.Kind { return abi.KindDevices }

// deviceObj is the window or the interrupt of a device.
type deviceObj struct {
	counted
	d  *Device
	of abi.Kind
}

func (o *deviceObj) kind() abi.Kind { return o.of }

func (o *deviceObj) last() {
	if o.of == abi.KindMMIO {
		o.d.window = nil
	} else {
		o.d.line = nil
	}
}

// lose ends what the owner had.
func (o *deviceObj) lose() {
	if o.of == abi.KindMMIO {
		o.d.maps = 0
	} else {
		o.d.n, o.d.claimed = nil, false
	}
}

// busy reports whether c is a window or an interrupt in use, or given on.
func busy(c *cap) bool {
	o, ok := c.obj.(*deviceObj)
	return ok && (len(c.kids) != 0 || o.of == abi.KindMMIO && o.d.maps != 0 || o.of == abi.KindIRQ && o.d.n != nil)
}

// giveable returns the capability that h names if its holder may give it away now.
func (p *Process) giveable(h uint64) (*cap, abi.Errno) {
	c, e := p.get(h, abi.KindNone, abi.RightGrant)
	if e == abi.OK && busy(c) {
		e = abi.EBUSY
	}
	return c, e
}

// owned returns the device of a window or an interrupt that p owns.
func (p *Process) owned(h uint64, kind abi.Kind, rights abi.Rights) (*Device, abi.Errno) {
	c, e := p.get(h, kind, rights)
	if e != abi.OK {
		return nil, e
	}
	if len(c.kids) != 0 {
		return nil, abi.EBUSY
	}
	return c.obj.(*deviceObj).d, abi.OK
}

// syscallDevice has the calls on devices.
func (p *Process) syscallDevice(num uint64, r *ipc.Regs, out *[8]uint64) abi.Errno {
	give := func(c *cap) abi.Errno {
		h := p.install(c)
		if h == 0 {
			return abi.ENOSPC
		}
		out[0] = uint64(h)
		return abi.OK
	}
	switch num {
	case abi.SysDeviceInfo, abi.SysMMIOCreate, abi.SysIRQCreate:
		c, e := p.get(r.A[0], abi.KindDevices, abi.RightManage)
		if e != abi.OK {
			return e
		}
		if r.A[1] >= uint64(len(p.k.devices)) {
			return abi.ENOENT
		}
		d := p.k.devices[r.A[1]]
		if num == abi.SysDeviceInfo {
			out[0], out[1], out[2], out[3] = uint64(abi.DeviceVirtIO), 0x1000_1000+r.A[1]*abi.PageSize, uint64(len(d.registers)), uint64(d.irq)
			return abi.OK
		}
		at, o, rights := &d.window, &deviceObj{d: d, of: abi.KindMMIO}, abi.RightRead|abi.RightWrite|abi.RightManage|abi.RightGrant
		if num == abi.SysIRQCreate {
			at, o.of, rights = &d.line, abi.KindIRQ, abi.RightManage|abi.RightGrant
		}
		if *at != nil {
			return abi.EBUSY
		}
		*at = o
		n := &cap{obj: o, rights: rights, parent: c}
		e = give(n)
		c.kids[n] = true
		return e
	case abi.SysMMIORelease:
		_, e := p.owned(r.A[0], abi.KindMMIO, abi.RightManage)
		return e
	case abi.SysIRQBind:
		d, e := p.owned(r.A[0], abi.KindIRQ, abi.RightManage)
		if e != abi.OK {
			return e
		}
		if (r.A[1] == 0) != (r.A[2] == 0) {
			return abi.EINVAL
		}
		if r.A[1] == 0 {
			d.n, d.claimed = nil, false
			return abi.OK
		}
		c, e := p.get(r.A[1], abi.KindNotification, abi.RightSignal)
		if e != abi.OK {
			return e
		}
		d.n, d.bits = c.obj.(*notification), r.A[2]
		d.deliver()
	case abi.SysIRQAck:
		d, e := p.owned(r.A[0], abi.KindIRQ, abi.RightManage)
		if e != abi.OK {
			return e
		}
		if !d.claimed {
			return abi.ENOENT
		}
		d.claimed = false
		d.deliver()
	case abi.SysDMACreate:
		if _, e := p.owned(r.A[0], abi.KindMMIO, abi.RightWrite); e != abi.OK {
			return e
		}
		if r.A[1] == 0 || r.A[1] > abi.MaxDMA {
			return abi.EINVAL
		}
		v := &vmo{mem: make([]byte, (r.A[1]+abi.PageSize-1)&^(abi.PageSize-1)), owner: p}
		p.k.nextPA += 1 << 20
		v.address = 0x8000_0000 + p.k.nextPA
		if e := give(&cap{obj: v, rights: abi.RightRead | abi.RightWrite | abi.RightGrant | abi.RightDMA}); e != abi.OK {
			return e
		}
		p.k.dma[v.address] = v
	case abi.SysDMAAddress:
		c, e := p.get(r.A[0], abi.KindVMO, abi.RightDMA)
		if e != abi.OK {
			return e
		}
		out[0] = c.obj.(*vmo).address
	default:
		return abi.ENOSYS
	}
	return abi.OK
}

// MapMMIO implements [ipc.Kernel]. The mapping is the registers themselves.
func (p *Process) MapMMIO(h abi.Handle, off, length uint64) ([]byte, abi.Errno) {
	p.lock()
	defer p.k.mu.Unlock()
	d, e := p.owned(uint64(h), abi.KindMMIO, abi.RightRead|abi.RightWrite)
	if e != abi.OK {
		return nil, e
	}
	if size := uint64(len(d.registers)); (off|length)%abi.PageSize != 0 || length == 0 || off > size || length > size-off {
		return nil, abi.EINVAL
	}
	d.maps++
	return d.registers[off : off+length : off+length], abi.OK
}

// unmapMMIO undoes MapMMIO, if mem is of a device.
func (k *Kernel) unmapMMIO(mem []byte) {
	for _, d := range k.devices {
		for at := 0; at < len(d.registers); at += abi.PageSize {
			if &d.registers[at] == &mem[0] && d.maps > 0 {
				d.maps--
			}
		}
	}
}
