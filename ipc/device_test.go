//go:build !tamago

package ipc_test

import (
	"context"
	"io"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

// device returns a machine with one device, the device, and its root process with
// the window and the interrupt.
func device(t *testing.T) (*ipctest.Kernel, *ipctest.Device, ipc.Process, ipc.MMIO[ipc.Own], ipc.IRQ[ipc.Own]) {
	t.Helper()
	k := ipctest.New(io.Discard)
	t.Cleanup(k.Shutdown)
	d := k.AddDevice(make([]byte, 2*abi.PageSize))
	p := k.Boot("root").Self()
	devices, err := p.BootCap(2).Devices()
	if err != nil {
		t.Fatal(err)
	}
	info, err := devices.Info(0)
	if err != nil || info.Kind != abi.DeviceVirtIO || info.Size != 2*abi.PageSize || info.IRQ == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := devices.Info(1); err != ipc.ErrNoEntry {
		t.Errorf("second device: %v", err)
	}
	w, err := devices.Window(0)
	if err != nil {
		t.Fatal(err)
	}
	q, err := devices.IRQ(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := devices.Window(0); err != ipc.ErrBusy {
		t.Errorf("second window: %v", err)
	}
	return k, d, p, w, q
}

func TestRegisters(t *testing.T) {
	_, _, _, w, _ := device(t)
	if info, err := w.Info(); err != nil || info.Kind != abi.KindMMIO || info.Size != 2*abi.PageSize {
		t.Errorf("%+v, %v", info, err)
	}
	r, err := ipc.MapMMIO(w, abi.PageSize, abi.PageSize)
	if err != nil || r.Len() != abi.PageSize {
		t.Fatal(err)
	}
	r.Store32(8, 0x12345678)
	all, err := ipc.MapMMIO(w, 0, 2*abi.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if v := all.Load32(abi.PageSize + 8); v != 0x12345678 {
		t.Errorf("read %#x", v)
	}
	for _, off := range []uint32{abi.PageSize, 1 << 31, ^uint32(0)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("register at %#x", off)
				}
			}()
			r.Load32(off)
		}()
	}
	if _, err := ipc.MapMMIO(w, 2*abi.PageSize, abi.PageSize); err != ipc.ErrInvalid {
		t.Errorf("mapped past the end: %v", err)
	}
	if _, err := ipc.DeriveMMIO(w); err != ipc.ErrBusy {
		t.Errorf("lent while mapped: %v", err)
	}
	if err := r.Unmap(); err != nil {
		t.Error(err)
	}
	all.Unmap()
	lent, err := ipc.DeriveMMIO(w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ipc.MapMMIO(w, 0, abi.PageSize); err != ipc.ErrBusy {
		t.Errorf("mapped what was lent: %v", err)
	}
	if _, err := ipc.DeriveMMIO(w); err != ipc.ErrBusy {
		t.Errorf("lent twice: %v", err)
	}
	if _, err := ipc.MapMMIO(lent, 0, abi.PageSize); err != nil {
		t.Error(err)
	}
	if n, err := w.Revoke(); n != 1 || err != nil {
		t.Errorf("%d revoked, %v", n, err)
	}
	if _, err := ipc.Release(w); err != nil {
		t.Error(err)
	}
}

func TestInterrupt(t *testing.T) {
	_, d, p, _, q := device(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := p.NewNotification()
	if err != nil {
		t.Fatal(err)
	}
	d.Interrupt() // latched
	if err := ipc.Bind(q, n, 2); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if bits, err := ipc.WaitBits(ctx, n); bits != 2 || err != nil {
			t.Fatalf("bits %#x, %v", bits, err)
		}
		d.Interrupt() // masked until then
		if err := q.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	ipc.WaitBits(ctx, n)
	if err := q.Ack(); err != nil {
		t.Error(err)
	}
	if err := q.Ack(); err != ipc.ErrNoEntry {
		t.Errorf("acknowledged without an interrupt: %v", err)
	}
	if _, err := ipc.DeriveIRQ(q); err != ipc.ErrBusy {
		t.Errorf("lent while bound: %v", err)
	}
	if err := q.Unbind(); err != nil {
		t.Error(err)
	}
	if _, err := ipc.DeriveIRQ(q); err != nil {
		t.Error(err)
	}
}

func TestDMA(t *testing.T) {
	k, _, _, w, _ := device(t)
	buf, err := ipc.NewDMA(w, 5000)
	if err != nil {
		t.Fatal(err)
	}
	at, err := ipc.Address(buf)
	if err != nil || at == 0 {
		t.Fatal(at, err)
	}
	mem, err := ipc.MapWritable(buf, 0, 2*abi.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	copy(mem[5000:], "hello")
	if got := string(k.Memory(at+5000, 5)); got != "hello" {
		t.Errorf("the device reads %q", got)
	}
	ro, err := ipc.DeriveReadGrant(buf)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := ro.Info(); info.Rights&abi.RightDMA != 0 {
		t.Error("a copy tells the address")
	}
	if _, err := ipc.NewDMA(w, abi.MaxDMA+1); err != ipc.ErrInvalid {
		t.Errorf("too large: %v", err)
	}
}

// What came in a message is what it is, or nothing.
func TestAnyDevice(t *testing.T) {
	_, _, p, w, q := device(t)
	lent, _ := ipc.DeriveMMIO(w)
	irq, _ := ipc.DeriveIRQ(q)
	if _, err := p.Adopt(lent.Handle()).MMIO(); err != nil {
		t.Error(err)
	}
	if _, err := p.Adopt(irq.Handle()).IRQ(); err != nil {
		t.Error(err)
	}
	if _, err := p.Adopt(irq.Handle()).MMIO(); err != ipc.ErrKind {
		t.Error(err)
	}
	if _, err := p.Adopt(lent.Handle()).IRQ(); err != ipc.ErrKind {
		t.Error(err)
	}
	if _, err := p.Adopt(lent.Handle()).Info(); err != ipc.ErrBadHandle {
		t.Errorf("what it was not is still there: %v", err)
	}
	if _, err := p.BootCap(0).Devices(); err != ipc.ErrKind {
		t.Error(err)
	}
}
