package initd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/control"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/virtio"
	"nexus.internal/svc/wire"
)

// device is a device of the machine. init holds its window and its interrupt, and
// lends both to one child at a time.
type device struct {
	name   string
	class  string
	window ipc.MMIO[ipc.Own]
	irq    ipc.IRQ[ipc.Own] // invalid if it has none
	owner  *child           // that it was lent to, nil if it was reset since
}

// findDevices looks into every virtio slot that the kernel offers, and keeps the
// windows of the devices that have a name.
func findDevices(all ipc.Devices, log *slog.Logger) ([]*device, error) {
	var found []*device
	for i := 0; ; i++ {
		info, err := all.Info(i)
		if errors.Is(err, ipc.ErrNoEntry) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
		if info.Kind != abi.DeviceVirtIO {
			continue // nothing here drives it
		}
		window, err := all.Window(i)
		if err != nil {
			return nil, fmt.Errorf("window of device %d: %w", i, err)
		}
		d := &device{window: window}
		err = d.identify(info.Size)
		if errors.Is(err, virtio.ErrLegacy) {
			log.Error("device is not used", "device", i, "err", err)
		} else if err != nil && !errors.Is(err, virtio.ErrNoDevice) {
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
		if d.class == "" { // an empty slot, or nothing that anybody here drives
			window.Close()
			continue
		}
		d.name = manifest.DeviceName(d.class, count(found, d.class))
		if info.IRQ != 0 {
			if d.irq, err = all.IRQ(i); err != nil {
				return nil, fmt.Errorf("interrupt of device %d: %w", i, err)
			}
		}
		found = append(found, d)
	}
}

func count(all []*device, class string) (n int) {
	for _, d := range all {
		if d.class == class {
			n++
		}
	}
	return n
}

// identify finds out what is behind the window of d.
func (d *device) identify(size uint64) error {
	regs, err := ipc.MapMMIO(d.window, 0, size)
	if err != nil {
		return err
	}
	defer regs.Unmap()
	id, err := virtio.ID(regs)
	d.class = manifest.DeviceClass(id)
	return err
}

// quiesce makes sure that a device which nobody has does nothing, and gives back
// the memory that it might have written to until now.
func (d *device) quiesce() error {
	info, err := d.window.Info()
	if err != nil {
		return err
	}
	regs, err := ipc.MapMMIO(d.window, 0, info.Size)
	if err != nil {
		return err
	}
	err = virtio.Reset(regs)
	if err := errors.Join(err, regs.Unmap()); err != nil {
		return err
	}
	_, err = ipc.Release(d.window)
	return err
}

// reclaim takes the devices of c, which has ended, back. The lock is held.
func (s *supervisor) reclaim(c *child) {
	for _, d := range s.devices {
		if d.owner != c {
			continue
		}
		d.owner = nil
		// A device that cannot be reset is tried again before it is lent; the memory
		// that it might write to stays out of use until then.
		if err := d.quiesce(); err != nil {
			s.env.Log.Error("device is not quiet", "device", d.name, "svc", c.service.Name, "err", err)
		}
	}
}

// opDevice lends the window or the interrupt of a device, if policyd and the
// manifest allow it. policyd is asked first, so that its audit has every request;
// a name that is none is refused before.
func (s *supervisor) opDevice(q *ipc.Request, from *child) {
	r := wire.Read(q.Payload())
	name := string(r.String8())
	if !r.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	kind, ok := manifest.ParseDevice(name)
	if !ok {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	if !s.awaitPolicy(from) {
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	capability := policy.Device + kind.Class
	if !s.allowed(q, from, capability, name) {
		return
	}
	if !from.service.MayOwn(name) {
		s.refuse(from, "manifest", capability, name)
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if d.name != name {
			continue
		}
		var c ipc.Movable
		var err error
		if q.Op == control.OpWindow {
			c, err = d.lendWindow(from)
		} else {
			c, err = d.lendIRQ(from)
		}
		if status := ipc.Status(0); errors.As(err, &status) {
			q.Reply(status, nil)
		} else if err != nil { // somebody has it
			s.env.Log.Info("device is not free", "device", name, "svc", from.service.Name, "err", err)
			q.Reply(ipc.StatusUnavailable, nil)
		} else {
			q.ReplyCap(ipc.StatusOK, nil, c)
		}
		return
	}
	q.Reply(ipc.StatusNotFound, nil)
}

// awaitPolicy waits until there is a policyd to ask, for as long as a child that needs
// a device may take until it is ready: drivers start before policyd. Nobody but the
// child waits here.
func (s *supervisor) awaitPolicy(from *child) bool {
	ctx, cancel := context.WithTimeout(context.Background(), from.service.Ready)
	defer cancel()
	policyd := s.byName(policydName)
	return policyd != nil && s.await(ctx, func() bool { return policyd.ep.Valid() })
}

// lendWindow lends the window, after a reset, to a child that asked. The kernel
// refuses it as long as anybody has it.
func (d *device) lendWindow(to *child) (ipc.Movable, error) {
	if err := d.quiesce(); err != nil {
		return ipc.Movable{}, err
	}
	lent, err := ipc.DeriveMMIO(d.window)
	if err != nil {
		return ipc.Movable{}, err
	}
	d.owner = to
	return ipc.MoveMMIO(lent), nil
}

// lendIRQ lends the interrupt to the owner of the window.
func (d *device) lendIRQ(to *child) (ipc.Movable, error) {
	if d.owner != to {
		return ipc.Movable{}, ipc.StatusUnavailable
	}
	if !d.irq.Valid() {
		return ipc.Movable{}, ipc.StatusNotFound
	}
	lent, err := ipc.DeriveIRQ(d.irq)
	if err != nil {
		return ipc.Movable{}, err
	}
	return ipc.MoveIRQ(lent), nil
}

// proveDeviceDenial asks policyd whether a service that declares no devices may own
// some, and says so when it may not. That policyd denies what no rule grants is what
// keeps every other service from them.
func (s *supervisor) proveDeviceDenial(ctx context.Context) {
	if !s.policyReady() {
		return
	}
	i := slices.IndexFunc(s.children, func(c *child) bool { return len(c.service.Devices) == 0 })
	if i < 0 {
		return
	}
	c := s.children[i]
	for _, class := range manifest.DeviceClasses() {
		question := policy.Question{Subject: c.id, Capability: policy.Device + class, Object: class}
		if err := s.policy.Check(ctx, question); err != policy.ErrDenied {
			s.env.Say("init: mmio policy deny FAIL: %s and %s: %v", c.service.Name, class, err)
			return
		}
	}
	s.env.Say("init: mmio policy deny ok")
}
