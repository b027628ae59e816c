//go:build tamago

package hostile

import (
	"context"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/virtio"
)

// deviceName is the device that these attacks get, by manifest and policy: what
// somebody does who may own one.
const deviceName = "rng1"

const rngID = 4 // of the virtio specification

// driver is an attacker that owns a device.
type driver struct {
	*attacker
	window ipc.MMIO[ipc.Drive]
	irq    ipc.IRQ[ipc.Drive]
	regs   *ipc.Registers
}

func newDriver(ctx context.Context, a *attacker) (*driver, error) {
	d := &driver{attacker: a}
	var err error
	if d.window, err = a.env.Control.Window(ctx, deviceName); err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	if d.irq, err = a.env.Control.Interrupt(ctx, deviceName); err != nil {
		return nil, fmt.Errorf("interrupt: %w", err)
	}
	d.regs, err = ipc.MapMMIO(d.window, 0, abi.PageSize)
	return d, err
}

// attempt is a call that must be refused.
type attempt struct {
	what string
	want abi.Errno
	num  uint64
	args []uint64
}

func (a *attacker) refuseAll(list []attempt) error {
	for _, t := range list {
		_, errno := a.syscall(t.num, t.args...)
		if err := refused(t.what, errno, t.want); err != nil {
			return err
		}
	}
	return nil
}

// deviceMisuse tries to get more out of a device than its registers, its interrupt
// and memory for it.
func deviceMisuse(ctx context.Context, a *attacker) error {
	d, err := newDriver(ctx, a)
	if err != nil {
		return err
	}
	w, q, at := uint64(d.window.Handle()), uint64(d.irq.Handle()), d.regs.Address()
	const page, rw, far = abi.PageSize, uint64(abi.RightRead | abi.RightWrite), abi.MapBase + 16<<30
	v, err := a.p.NewVMO(page)
	if err != nil {
		return err
	}
	defer v.Close()
	vmo := uint64(v.Handle())
	note, errno := a.syscall(abi.SysNotificationCreate, 1<<40)
	if errno != abi.OK {
		return fmt.Errorf("notification: %v", errno)
	}
	// Other kinds of objects are no devices, and a device is no other object.
	for _, num := range deviceCalls {
		for _, h := range []uint64{control, note} {
			if _, errno := a.syscall(num, h, 0, 0, page); errno != abi.EKIND {
				return fmt.Errorf("%s of another kind: %v", abi.Calls[num].Name, errno)
			}
		}
	}
	if err := a.refuseAll([]attempt{
		{"mapping registers as memory", abi.EKIND, abi.SysVMOMap, []uint64{w, 0, 0, page, rw}},
		{"mapping registers executable", abi.EKIND, abi.SysVMOMap, []uint64{w, 0, 0, page, uint64(abi.RightRead | abi.RightExec)}},
		{"protecting registers", abi.EKIND, abi.SysVMOProtect, []uint64{w, uint64(abi.RightRead), at, page}},
		{"protecting registers as a VMO", abi.ENOENT, abi.SysVMOProtect, []uint64{vmo, uint64(abi.RightRead), at, page}},
		{"reading registers", abi.EKIND, abi.SysVMORead, []uint64{w, 0, at, 4}},
		{"sealing registers", abi.EKIND, abi.SysVMOSeal, []uint64{w}},
		{"mapping twice", abi.EOVERLAP, abi.SysMMIOMap, []uint64{w, at, 0, page}},
		{"mapping memory over registers", abi.EOVERLAP, abi.SysVMOMap, []uint64{vmo, at, 0, page, rw}},
		{"mapping past the window", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far, page, page}},
		{"mapping more than the window", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far, 0, 2 * page}},
		{"mapping before the window", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far, ^uint64(page - 1), page}},
		{"mapping all there is", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far, 0, ^uint64(page - 1)}},
		{"mapping at no page", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far + 8, 0, page}},
		{"mapping from no page", abi.EINVAL, abi.SysMMIOMap, []uint64{w, far, 8, page}},
		{"mapping over the kernel", abi.EINVAL, abi.SysMMIOMap, []uint64{w, 0x8020_0000, 0, page}},
		{"mapping over the program", abi.EINVAL, abi.SysMMIOMap, []uint64{w, abi.ImageBase, 0, page}},
		{"mapping over the stack", abi.EINVAL, abi.SysMMIOMap, []uint64{w, abi.StackTop - page, 0, page}},
		{"the kernel reading registers for us", abi.EFAULT, abi.SysVMOWrite, []uint64{vmo, 0, at, 64}},
		{"the kernel writing registers for us", abi.EFAULT, abi.SysVMORead, []uint64{vmo, 0, at, 64}},
		{"a copy of the window", abi.EPERM, abi.SysCapCopy, []uint64{w, rw}},
		{"a copy of the interrupt", abi.EPERM, abi.SysCapCopy, []uint64{q, uint64(abi.RightManage)}},
		{"moving the window", abi.EBUSY, abi.SysSend, []uint64{control, 0, 0, 0, w}},
		{"moving the interrupt", abi.EPERM, abi.SysSend, []uint64{control, 0, 0, 0, q}},
		{"vouching for a reset", abi.EPERM, abi.SysMMIORelease, []uint64{w}},
		{"acknowledging nothing", abi.ENOENT, abi.SysIRQAck, []uint64{q}},
		{"binding to a stranger", abi.EBADF, abi.SysIRQBind, []uint64{q, note + 1<<32, 1}},
		{"binding to an endpoint", abi.EKIND, abi.SysIRQBind, []uint64{q, control, 1}},
		{"binding no bits", abi.EINVAL, abi.SysIRQBind, []uint64{q, note, 0}},
		{"the address of ordinary memory", abi.EPERM, abi.SysDMAAddress, []uint64{vmo}},
		{"DMA memory without end", abi.EINVAL, abi.SysDMACreate, []uint64{w, abi.MaxDMA + 1}},
		{"no DMA memory", abi.EINVAL, abi.SysDMACreate, []uint64{w, 0}},
		{"DMA memory for an interrupt", abi.EKIND, abi.SysDMACreate, []uint64{q, page}},
	}); err != nil {
		return err
	}
	if err := d.stealAddress(); err != nil {
		return err
	}
	if err := d.touchBeyond(); err != nil {
		return err
	}
	// What was given back is gone.
	if err := d.window.Close(); err != nil {
		return err
	}
	if err := d.irq.Close(); err != nil {
		return err
	}
	if err := a.refuseAll([]attempt{
		{"a window that was closed", abi.EBADF, abi.SysMMIOMap, []uint64{w, far, 0, page}},
		{"DMA memory of a window that was closed", abi.EBADF, abi.SysDMACreate, []uint64{w, page}},
		{"an interrupt that was closed", abi.EBADF, abi.SysIRQBind, []uint64{q, note, 1}},
		{"unmapping what went with the window", abi.ENOENT, abi.SysUnmap, []uint64{at, page}},
	}); err != nil {
		return err
	}
	return noRegisters(at)
}

// stealAddress asks for the address of DMA memory without the right to it.
func (d *driver) stealAddress() error {
	buf, err := ipc.NewDMA(d.window, abi.PageSize)
	if err != nil {
		return err
	}
	defer buf.Close()
	ro, err := ipc.DeriveReadGrant(buf)
	if err != nil {
		return err
	}
	defer ro.Close()
	h, copied := uint64(buf.Handle()), uint64(ro.Handle())
	return d.refuseAll([]attempt{
		{"the address, from a copy", abi.EPERM, abi.SysDMAAddress, []uint64{copied}},
		{"the right to the address, from a copy", abi.EPERM, abi.SysCapCopy, []uint64{copied, uint64(abi.RightDMA)}},
		{"executable DMA memory", abi.EPERM, abi.SysVMOMap, []uint64{h, 0, 0, abi.PageSize, uint64(abi.RightRead | abi.RightExec)}},
		{"sealed DMA memory", abi.EINVAL, abi.SysVMOSeal, []uint64{h}},
		{"longer DMA memory", abi.EINVAL, abi.SysVMOResize, []uint64{h, 2 * abi.PageSize}},
	})
}

// start makes the device ready to fill buffers, and returns its queue, the physical
// address of size bytes of DMA memory behind it, and a notification that its
// interrupt is bound to.
func (d *driver) start(size uint64) (dev *virtio.Device, q *virtio.Queue, at uint64, n ipc.Notification[ipc.Listen], err error) {
	if dev, err = virtio.Open(d.regs, rngID, 0); err != nil {
		return
	}
	buf, err := ipc.NewDMA(d.window, abi.PageSize+size)
	if err != nil {
		return
	}
	if at, err = ipc.Address(buf); err != nil {
		return
	}
	mem, err := ipc.MapWritable(buf, 0, abi.PageSize)
	if err != nil {
		return
	}
	if q, err = dev.Queue(0, 8, ipc.Words32(mem), at); err != nil {
		return
	}
	if n, err = d.p.NewNotification(); err != nil {
		return
	}
	if err = ipc.Bind(d.irq, n, 1); err != nil {
		return
	}
	dev.Start()
	return dev, q, at + abi.PageSize, n, nil
}

// deviceStorm lets its device interrupt as fast as it can, and never does what makes
// it lower the line. It is killed.
func deviceStorm(ctx context.Context, a *attacker) error {
	d, err := newDriver(ctx, a)
	if err != nil {
		return err
	}
	_, q, at, n, err := d.start(abi.PageSize)
	if err != nil {
		return err
	}
	for {
		if _, ok, err := q.Add(virtio.Part{Address: at, Length: 1, Write: true}); err != nil {
			return err
		} else if ok {
			q.Notify()
		}
		if _, err := ipc.WaitBits(ctx, n); err != nil {
			return err
		}
		for ok := true; ok; {
			if _, _, ok, err = q.Used(); err != nil {
				return err
			}
		}
		if err := d.irq.Ack(); err != nil {
			return fmt.Errorf("acknowledging: %w", err)
		}
	}
}

// deviceDeath dies while its device writes to its memory.
func deviceDeath(ctx context.Context, a *attacker) error {
	d, err := newDriver(ctx, a)
	if err != nil {
		return err
	}
	const size = 256 << 10
	_, q, at, _, err := d.start(size)
	if err != nil {
		return err
	}
	for i := range uint64(8) {
		if _, ok, err := q.Add(virtio.Part{Address: at + i*size/8, Length: size / 8, Write: true}); err != nil || !ok {
			return fmt.Errorf("buffer %d does not fit: %w", i, err)
		}
	}
	q.Notify()
	a.syscall(abi.SysExit, DiedDriving)
	return fmt.Errorf("exit returned")
}
