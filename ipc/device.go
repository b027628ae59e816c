package ipc

import (
	"sync/atomic"

	"nexus.internal/ipc/abi"
)

// A driver is a service that owns the window on the registers of a device
// ([MMIO]), its interrupt ([IRQ]) and memory that the device reaches ([DMA]):
//
//	regs, err := ipc.MapMMIO(window, 0, abi.PageSize)
//	buf, err := ipc.NewDMA(window, size)
//	mem, err := ipc.MapWritable(buf, 0, size) // for the driver
//	at, err := ipc.Address(buf)               // for the device
//	err = ipc.Bind(irq, n, 1)
//	for {
//		_, err := ipc.WaitBits(ctx, n)
//		// make the device lower its line, then
//		err = irq.Ack()
//	}

// Rights of windows and interrupts.
type (
	Drive      struct{} // map, have DMA buffers; bind, acknowledge
	DriveGrant struct{} // the same, and give it away
	Own        struct{} // what the creator has: the same, and vouch for a reset
)

// Physical is the rights of a DMA buffer for its creator: those of [Full], and its
// physical address.
type Physical struct{}

// Sets of rights, for functions that need one of them.
type (
	CanDrive      interface{ Drive | DriveGrant | Own }
	CanGrantDrive interface{ DriveGrant | Own }
)

// Devices is the right to the devices that the device tree names.
type Devices struct {
	_ [0]Own
	ref
}

// DeviceInfo is what the kernel says about a device.
type DeviceInfo struct {
	Kind    abi.DeviceKind
	Address uint64 // physical
	Size    uint64 // bytes of its window
	IRQ     uint32 // interrupt source, 0: none
	State   uint64 // abi.DeviceWindow, abi.DeviceIRQ
	Kept    uint64 // frames of DMA buffers kept back until Release
}

// Info describes device i, from 0 on. [ErrNoEntry]: there are no more.
func (d Devices) Info(i int) (DeviceInfo, error) {
	var r Regs
	r.A[0], r.A[1] = uint64(d.h), uint64(i)
	d.p.syscall(abi.SysDeviceInfo, &r)
	if err := result(r.A[0]); err != nil {
		return DeviceInfo{}, err
	}
	return DeviceInfo{abi.DeviceKind(r.A[0]), r.A[1], r.A[2], uint32(r.A[3]), r.A[4], r.A[5]}, nil
}

func (d Devices) create(num uint64, i int) (ref, error) {
	var r Regs
	r.A[0], r.A[1] = uint64(d.h), uint64(i)
	d.p.syscall(num, &r)
	if err := result(r.A[0]); err != nil {
		return ref{}, err
	}
	return ref{d.p, abi.Handle(r.A[0])}, nil
}

// Window creates the window on device i. [ErrBusy]: it exists.
func (d Devices) Window(i int) (MMIO[Own], error) {
	c, err := d.create(abi.SysMMIOCreate, i)
	return MMIO[Own]{ref: c}, err
}

// IRQ creates the capability to the interrupt of device i. [ErrBusy]: it exists.
func (d Devices) IRQ(i int) (IRQ[Own], error) {
	c, err := d.create(abi.SysIRQCreate, i)
	return IRQ[Own]{ref: c}, err
}

// MMIO is the window on the registers of one device. It has one owner: the holder
// of what was derived last. [ErrBusy] is the answer to all others, and to whoever
// gives it away while it is mapped.
type MMIO[R CanDrive] struct {
	_ [0]R
	ref
}

// DeriveMMIO lends the window: the copy owns it until it ends or is revoked.
func DeriveMMIO[R CanGrantDrive](m MMIO[R]) (MMIO[DriveGrant], error) {
	c, err := m.derive(abi.RightRead|abi.RightWrite|abi.RightGrant, 0)
	return MMIO[DriveGrant]{ref: c}, err
}

// MoveMMIO makes m movable. It belongs to the message from then on.
func MoveMMIO[R CanGrantDrive](m MMIO[R]) Movable { return movable(m.ref) }

// Release says that the device was reset and accesses no memory any more: buffers
// that were kept back since a driver ended return to the pool. It returns how many
// frames that were.
func Release(m MMIO[Own]) (frames uint64, err error) {
	var r Regs
	r.A[0] = uint64(m.h)
	m.p.syscall(abi.SysMMIORelease, &r)
	if err := result(r.A[0]); err != nil {
		return 0, err
	}
	return r.A[0], nil
}

// Registers are mapped registers of a device. Each access is one of the size that
// the name says, and ordered with all other accesses to memory and registers.
type Registers struct {
	p     Process
	mem   []byte
	words []uint32
}

// MapMMIO maps length bytes of a window at off, both whole pages.
func MapMMIO[R CanDrive](m MMIO[R], off, length uint64) (*Registers, error) {
	mem, err := m.p.mapMMIO(m.h, off, length)
	if err != nil {
		return nil, err
	}
	return &Registers{m.p, mem, Words32(mem)}, nil
}

// Len returns the length of the mapping in bytes.
func (r *Registers) Len() int { return len(r.mem) }

// Load32 reads the register at the offset off, a multiple of 4.
func (r *Registers) Load32(off uint32) uint32 { return atomic.LoadUint32(&r.words[off/4]) }

// Store32 writes the register at the offset off, a multiple of 4.
func (r *Registers) Store32(off, v uint32) { atomic.StoreUint32(&r.words[off/4], v) }

// Address returns where the registers are in this process, for tests of what may
// be done with them.
func (r *Registers) Address() uint64 { return address(r.mem) }

// Unmap ends the mapping. No register may be accessed afterwards.
func (r *Registers) Unmap() error {
	mem := r.mem
	r.mem, r.words = nil, nil
	return r.p.unmap(mem)
}

// IRQ is the interrupt of one device. It has one owner, like [MMIO].
type IRQ[R CanDrive] struct {
	_ [0]R
	ref
}

// DeriveIRQ lends the interrupt: the copy owns it until it ends or is revoked.
func DeriveIRQ[R CanGrantDrive](q IRQ[R]) (IRQ[DriveGrant], error) {
	c, err := q.derive(abi.RightManage|abi.RightGrant, 0)
	return IRQ[DriveGrant]{ref: c}, err
}

// MoveIRQ makes q movable. It belongs to the message from then on.
func MoveIRQ[R CanGrantDrive](q IRQ[R]) Movable { return movable(q.ref) }

// Bind lets the interrupt set bits of n from now on. After each one it is masked
// until [IRQ.Ack].
func Bind[R CanDrive, S CanSignal](q IRQ[R], n Notification[S], bits uint64) error {
	var r Regs
	r.A[0], r.A[1], r.A[2] = uint64(q.h), uint64(n.h), bits
	q.p.syscall(abi.SysIRQBind, &r)
	return result(r.A[0])
}

// Unbind masks the interrupt; one that has arrived is forgotten.
func (q IRQ[R]) Unbind() error {
	var r Regs
	r.A[0] = uint64(q.h)
	q.p.syscall(abi.SysIRQBind, &r)
	return result(r.A[0])
}

// Ack lets the next interrupt in. [ErrNoEntry]: none has arrived since the last.
func (q IRQ[R]) Ack() error {
	var r Regs
	r.A[0] = uint64(q.h)
	q.p.syscall(abi.SysIRQAck, &r)
	return result(r.A[0])
}

// DMA is memory that a device reaches: its pages lie together and stay where they
// are. Copies that are derived from it do not tell where.
type DMA = VMO[Physical]

// NewDMA creates a buffer of size bytes, at most abi.MaxDMA, for the device of m,
// charged to this process. [ErrFragmented]: there is no such memory in one piece.
func NewDMA[R CanDrive](m MMIO[R], size uint64) (DMA, error) {
	var r Regs
	r.A[0], r.A[1] = uint64(m.h), size
	m.p.syscall(abi.SysDMACreate, &r)
	if err := result(r.A[0]); err != nil {
		return DMA{}, err
	}
	return DMA{ref: ref{m.p, abi.Handle(r.A[0])}}, nil
}

// Address returns the physical address of a buffer, which is what its device wants.
func Address(d DMA) (uint64, error) {
	var r Regs
	r.A[0] = uint64(d.h)
	d.p.syscall(abi.SysDMAAddress, &r)
	if err := result(r.A[0]); err != nil {
		return 0, err
	}
	return r.A[0], nil
}

// Devices returns c as the right to the devices. If it is not that, c is closed.
func (c Any) Devices() (Devices, error) {
	if err := c.check(abi.KindDevices, abi.RightManage); err != nil {
		return Devices{}, err
	}
	return Devices{ref: c.ref}, nil
}

// MMIO returns c as the window on a device. If it is not one, c is closed.
func (c Any) MMIO() (MMIO[Drive], error) {
	if err := c.check(abi.KindMMIO, abi.RightRead|abi.RightWrite); err != nil {
		return MMIO[Drive]{}, err
	}
	return MMIO[Drive]{ref: c.ref}, nil
}

// IRQ returns c as the interrupt of a device. If it is not one, c is closed.
func (c Any) IRQ() (IRQ[Drive], error) {
	if err := c.check(abi.KindIRQ, abi.RightManage); err != nil {
		return IRQ[Drive]{}, err
	}
	return IRQ[Drive]{ref: c.ref}, nil
}
