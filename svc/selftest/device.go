package selftest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/virtio"
)

// The devices of this service: ownDevice by manifest and policy, refusedDevice by
// neither, undeclaredDevice by the policy only.
const (
	ownDevice        = "rng1" // the first is rngd's
	refusedDevice    = "blk"
	undeclaredDevice = "net"
)

// rngID is the virtio specification's number for entropy devices.
const rngID = 4

// mmioDeny: init gives no device away that policyd does not allow, nor one that the
// manifest does not list.
func mmioDeny(ctx context.Context, t *tester) error {
	d, err := t.policy.Decide(ctx, policy.Question{Subject: t.self, Capability: policy.Device + refusedDevice, Object: "selftest.device"})
	if err != nil {
		return err
	}
	if err := want("decision", d, policy.Decision{Reason: policy.NoRule, Sequence: d.Sequence}); err != nil {
		return err
	}
	for _, name := range []string{refusedDevice, undeclaredDevice} {
		if _, err := t.env.Control.Window(ctx, name); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("window on %s: %v, want a denial", name, err)
		}
		if _, err := t.env.Control.Interrupt(ctx, name); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("interrupt of %s: %v, want a denial", name, err)
		}
	}
	for _, name := range []string{"", "disk", "rng0", "rng01", "rng99", "rng 1"} {
		if _, err := t.env.Control.Window(ctx, name); !errors.Is(err, ipc.StatusInvalidArgs) {
			return fmt.Errorf("window on %q: %v", name, err)
		}
	}
	return nil
}

// deviceAudit verifies that the journal has what mmioDeny asked init for.
func (t *tester) deviceAudit(ctx context.Context) error {
	subject := fmt.Sprintf("subject=%016x\n", t.self)
	e, err := t.journal.Find(ctx, t.mark, func(e *journal.Entry) bool {
		return e.Scope == policyd.AuditScope && strings.Contains(e.Fields, "object="+refusedDevice+"\n") && strings.Contains(e.Fields+"\n", subject)
	})
	if err != nil {
		return fmt.Errorf("audit of the device: %w", err)
	}
	return t.checkAudit(e, "init", t.env.Name, "capability="+policy.Device+refusedDevice, "decision=deny", "reason=no-rule")
}

// window asks for the own device, of which it has to be the only owner.
func (t *tester) window(ctx context.Context) (ipc.MMIO[ipc.Drive], error) {
	w, err := t.env.Control.Window(ctx, ownDevice)
	if err != nil {
		return w, fmt.Errorf("window on %s: %w", ownDevice, err)
	}
	return w, nil
}

// syscall makes a raw system call and returns a0 and the errno in it.
func (t *tester) syscall(num uint64, args ...uint64) (uint64, abi.Errno) {
	var r ipc.Regs
	copy(r.A[:7], args)
	t.env.Process.Syscall(num, &r)
	if v := int64(r.A[0]); v < 0 {
		return 0, abi.Errno(-v)
	}
	return r.A[0], abi.OK
}

// queryMMIO: the kernel says what the capability is.
func queryMMIO(ctx context.Context, t *tester) error {
	w, err := t.window(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	info, err := w.Info()
	if err != nil {
		return err
	}
	return want("the window", info, ipc.Info{Kind: abi.KindMMIO, Rights: abi.RightRead | abi.RightWrite, Size: abi.PageSize})
}

// mmioMap: the window shows the registers of the right device, to one owner.
func mmioMap(ctx context.Context, t *tester) error {
	w, err := t.window(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	regs, err := ipc.MapMMIO(w, 0, abi.PageSize)
	if err != nil {
		return err
	}
	id, err := virtio.ID(regs)
	if err != nil {
		return err
	}
	if err := want("device id", id, rngID); err != nil {
		return err
	}
	if _, err := t.env.Control.Window(ctx, ownDevice); !errors.Is(err, ipc.StatusUnavailable) {
		return fmt.Errorf("a second window: %v", err)
	}
	if _, err := ipc.MapMMIO(w, abi.PageSize, abi.PageSize); err != ipc.ErrInvalid {
		return fmt.Errorf("mapped past the end: %v", err)
	}
	if err := regs.Unmap(); err != nil {
		return err
	}
	// It is free again as soon as it is closed, and reset before it is used again.
	if err := w.Close(); err != nil {
		return err
	}
	again, err := t.window(ctx)
	if err != nil {
		return err
	}
	return again.Close()
}

// Sizes for irqDMA: a queue in the first page, and buffers in the second.
const (
	queueSize  = 8
	dmaSize    = 2 * abi.PageSize
	drawn      = 64 // bytes in one buffer
	interrupts = 500
)

// irqDMA drives a device: it writes entropy into memory that only its driver can
// name, and says so with an interrupt, which is masked until it is acknowledged.
func irqDMA(ctx context.Context, t *tester) error {
	w, err := t.window(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	irq, err := t.env.Control.Interrupt(ctx, ownDevice)
	if err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	defer irq.Close()
	regs, err := ipc.MapMMIO(w, 0, abi.PageSize)
	if err != nil {
		return err
	}
	defer regs.Unmap()
	dev, err := virtio.Open(regs, rngID, 0)
	if err != nil {
		return err
	}
	buf, err := ipc.NewDMA(w, dmaSize)
	if err != nil {
		return err
	}
	defer buf.Close()
	at, err := ipc.Address(buf)
	if err != nil {
		return err
	}
	mem, err := ipc.MapWritable(buf, 0, dmaSize)
	if err != nil {
		return err
	}
	defer t.env.Process.Unmap(mem)
	q, err := dev.Queue(0, queueSize, ipc.Words32(mem[:abi.PageSize]), at)
	if err != nil {
		return err
	}
	n, err := t.env.Process.NewNotification()
	if err != nil {
		return err
	}
	defer ipc.CloseListen(n)
	if err := ipc.Bind(irq, n, 1); err != nil {
		return err
	}
	defer irq.Unbind()
	if err := irq.Ack(); err != ipc.ErrNoEntry {
		return fmt.Errorf("acknowledging what has not arrived: %v", err)
	}
	dev.Start()
	for round := range interrupts {
		off := abi.PageSize + round%4*drawn
		b := mem[off:][:drawn]
		clear(b)
		id, ok, err := q.Add(virtio.Part{Address: at + uint64(off), Length: drawn, Write: true})
		if err != nil || !ok {
			return fmt.Errorf("the queue is full: %w", err)
		}
		q.Notify()
		bits, err := ipc.WaitBits(ctx, n)
		if err != nil {
			return fmt.Errorf("round %d: no interrupt: %w", round, err)
		}
		if err := want("bits", bits, 1); err != nil {
			return err
		}
		if why := dev.Interrupted(); why&virtio.InterruptQueue == 0 {
			return fmt.Errorf("round %d: interrupted for %#x", round, why)
		}
		if err := irq.Ack(); err != nil {
			return err
		}
		got, written, ok, err := q.Used()
		if err != nil || !ok {
			return fmt.Errorf("round %d: an interrupt without a buffer: %w", round, err)
		}
		if got != id || written == 0 || zero(b[:written]) {
			return fmt.Errorf("round %d: buffer %d, want %d; %d bytes, all zero %v", round, got, id, written, zero(b[:written]))
		}
		if !zero(b[written:]) {
			return fmt.Errorf("round %d: more was written than the device says", round)
		}
	}
	if err := irq.Ack(); err != ipc.ErrNoEntry {
		return fmt.Errorf("acknowledged twice: %v", err)
	}
	// A copy of the buffer tells nobody where it is.
	ro, err := ipc.DeriveRead(buf)
	if err != nil {
		return err
	}
	defer ro.Close()
	if _, errno := t.syscall(abi.SysDMAAddress, uint64(ro.Handle())); errno != abi.EPERM {
		return fmt.Errorf("a copy of the buffer tells its address: %v", errno)
	}
	return dev.Reset() // before the memory that it knows is anybody else's
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
