package rngd

import (
	"context"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/virtio"
)

// deviceName is the device that rngd owns.
const deviceName = "rng"

// Of the virtio specification: the number of entropy devices, and their one queue.
const (
	entropyID    = 4
	requestQueue = 0
)

// virtioRNG is a virtio entropy device: a request is a buffer, which the device fills
// as far as it likes.
type virtioRNG struct {
	dev  *virtio.Device
	q    *virtio.Queue
	irq  ipc.IRQ[ipc.Drive]
	n    ipc.Notification[ipc.Listen]
	buf  []byte // that the device writes to
	at   uint64 // where it is for the device
	used bool   // the device may still write to buf
}

// errNoDevice is why there is no entropy on a machine without the device.
var errNoDevice = errors.New("the machine has no entropy device")

// openDevice takes the device into use. Its queue has the first page of the DMA memory,
// the buffer begins at the second.
func openDevice(ctx context.Context, env *svc.Env) (*virtioRNG, error) {
	w, err := env.Control.Window(ctx, deviceName)
	if errors.Is(err, ipc.StatusNotFound) {
		return nil, errNoDevice
	}
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	d := &virtioRNG{}
	if d.irq, err = env.Control.Interrupt(ctx, deviceName); err != nil {
		return nil, fmt.Errorf("interrupt: %w", err)
	}
	regs, err := ipc.MapMMIO(w, 0, abi.PageSize)
	if err != nil {
		return nil, fmt.Errorf("registers: %w", err)
	}
	if d.dev, err = virtio.Open(regs, entropyID, 0); err != nil {
		return nil, err
	}
	dma, err := ipc.NewDMA(w, 2*abi.PageSize)
	if err != nil {
		return nil, fmt.Errorf("DMA memory: %w", err)
	}
	at, err := ipc.Address(dma)
	if err != nil {
		return nil, err
	}
	mem, err := ipc.MapWritable(dma, 0, 2*abi.PageSize)
	if err != nil {
		return nil, err
	}
	if d.q, err = d.dev.Queue(requestQueue, 1, ipc.Words32(mem[:abi.PageSize]), at); err != nil {
		return nil, err
	}
	d.buf, d.at = mem[abi.PageSize:][:chunk], at+abi.PageSize
	if d.n, err = env.Process.NewNotification(); err != nil {
		return nil, err
	}
	if err := ipc.Bind(d.irq, d.n, 1); err != nil {
		return nil, err
	}
	d.dev.Start()
	return d, nil
}

// fill implements device. After an error the device may still write to its buffer, and
// is not used again.
func (d *virtioRNG) fill(ctx context.Context, b []byte) (int, error) {
	if d.used {
		return 0, virtio.ErrBroken
	}
	clear(d.buf)
	if _, ok, err := d.q.Add(virtio.Part{Address: d.at, Length: uint32(len(d.buf)), Write: true}); err != nil || !ok {
		return 0, fmt.Errorf("request: %w", err)
	}
	d.used = true
	d.q.Notify()
	for {
		if _, err := ipc.WaitBits(ctx, d.n); err != nil {
			return 0, fmt.Errorf("interrupt: %w", err)
		}
		d.dev.Interrupted()
		if err := d.irq.Ack(); err != nil {
			return 0, fmt.Errorf("interrupt: %w", err)
		}
		_, written, ok, err := d.q.Used()
		if err != nil {
			return 0, err
		}
		if !ok {
			continue // it interrupted for something else
		}
		d.used = false
		n := copy(b, d.buf[:written])
		clear(d.buf)
		return n, nil
	}
}
