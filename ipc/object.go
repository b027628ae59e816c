package ipc

import (
	"context"

	"nexus.internal/ipc/abi"
)

// Start is what the kernel tells a process about itself.
type Start struct {
	PID       uint32
	ServiceID uint64
	TickNS    uint64     // nanoseconds per tick of the time CSR
	WallNS    int64      // wall clock at time 0 in ns since 1970; 0: the board has no clock
	Console   abi.Handle // 0: none
	NumCaps   int        // capabilities given by the parent
	Data      []byte     // bytes chosen by the parent; read-only
}

// BootCap returns the i-th capability given by the parent, as the parent listed
// them; none if there are fewer.
func (p Process) BootCap(i int) Any {
	if i < 0 || i >= p.Start().NumCaps {
		return Any{}
	}
	return Any{ref{p, abi.BootHandle(i)}}
}

// Console returns the console of this process, zero if it has none.
func (p Process) Console() Any { return Any{ref{p, p.Start().Console}} }

// Adopt makes a capability of a bare handle. Only code that tests what the kernel
// refuses has a use for handles that did not come from this package.
func (p Process) Adopt(h abi.Handle) Any { return Any{ref{p, h}} }

// Syscall performs a system call that does not wait. It is the way to calls that
// have no wrapper, for tests of the kernel.
func (p Process) Syscall(num uint64, r *Regs) { p.syscall(num, r) }

// Depth of an endpoint's queue, in messages.
const (
	MaxDepth     = 256
	DefaultDepth = 16 // a service with a few clients, each with a few goroutines
)

// NewEndpoint creates an endpoint that queues up to depth messages (1..MaxDepth)
// of up to maxFrame bytes, header included (0..abi.MaxMessage).
func (p Process) NewEndpoint(depth, maxFrame int) (Endpoint[Serve], error) {
	var r Regs
	r.A[0], r.A[1] = uint64(depth), uint64(maxFrame)
	p.syscall(abi.SysEndpointCreate, &r)
	if err := result(r.A[0]); err != nil {
		return Endpoint[Serve]{}, err
	}
	return Endpoint[Serve]{ref: ref{p, abi.Handle(r.A[0])}}, nil
}

// wakeBit is the bit that a listener sets itself to stop waiting.
const wakeBit = 1 << 63

// NewNotification creates a notification. Bit 63 is for the library.
func (p Process) NewNotification() (Notification[Listen], error) {
	key := p.slotNew()
	if key == 0 {
		return Notification[Listen]{}, ErrNoSlot
	}
	var r Regs
	r.A[0] = key
	p.syscall(abi.SysNotificationCreate, &r)
	if err := result(r.A[0]); err != nil {
		p.slotFree(key)
		return Notification[Listen]{}, err
	}
	return Notification[Listen]{ref: ref{p, abi.Handle(r.A[0])}, key: key}, nil
}

// Set sets bits of a notification, waking its listener.
func Set[R CanSignal](n Notification[R], bits uint64) error {
	var r Regs
	r.A[0], r.A[1] = uint64(n.h), bits
	n.p.syscall(abi.SysNotify, &r)
	return result(r.A[0])
}

// WaitBits parks until bits are set or ctx ends, and returns the bits, which are
// clear again. One goroutine at a time may wait on a notification.
func WaitBits(ctx context.Context, n Notification[Listen]) (uint64, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { Set(n, wakeBit) })
		defer stop()
	}
	for {
		var r Regs
		n.p.wait(n.key, &r)
		if bits := r.A[2] &^ wakeBit; bits != 0 {
			return bits, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// CloseListen ends a notification: nobody may be waiting on it.
func CloseListen(n Notification[Listen]) error {
	err := n.Close()
	n.p.slotFree(n.key)
	return err
}

// Timer is a timer of the kernel. Goroutines of one process use package time;
// this one is for waking through a [Notification].
type Timer struct{ ref }

// NewTimer creates a timer that sets bits of n when it fires.
func NewTimer[R CanSignal](n Notification[R], bits uint64) (Timer, error) {
	var r Regs
	r.A[0], r.A[1] = uint64(n.h), bits
	n.p.syscall(abi.SysTimerCreate, &r)
	if err := result(r.A[0]); err != nil {
		return Timer{}, err
	}
	return Timer{ref{n.p, abi.Handle(r.A[0])}}, nil
}

// Set arms the timer for one firing at deadlineNS, in nanoseconds since power-on
// ([Process.Now]); 0 disarms it.
func (t Timer) Set(deadlineNS int64) error {
	var r Regs
	r.A[0], r.A[1] = uint64(t.h), uint64(deadlineNS)
	t.p.syscall(abi.SysTimerSet, &r)
	return result(r.A[0])
}

// NewVMO creates a memory object of zeroed pages, charged to this process.
func (p Process) NewVMO(size uint64) (VMO[Full], error) {
	var r Regs
	r.A[0] = size
	p.syscall(abi.SysVMOCreate, &r)
	if err := result(r.A[0]); err != nil {
		return VMO[Full]{}, err
	}
	return VMO[Full]{ref: ref{p, abi.Handle(r.A[0])}}, nil
}

// ReadVMO copies len(b) bytes at off out of v.
func ReadVMO[R CanRead](v VMO[R], off uint64, b []byte) error {
	return v.copy(abi.SysVMORead, off, b)
}

// WriteVMO copies b into v at off.
func WriteVMO[R CanWrite](v VMO[R], off uint64, b []byte) error {
	return v.copy(abi.SysVMOWrite, off, b)
}

// copy moves b in pieces that the kernel takes at once.
func (c ref) copy(num, off uint64, b []byte) error {
	for {
		piece := b[:min(len(b), abi.MaxMessage)]
		var r Regs
		r.A[0], r.A[1] = uint64(c.h), off
		c.p.syscallMem(num, &r, piece)
		if err := result(r.A[0]); err != nil {
			return err
		}
		if b = b[len(piece):]; len(b) == 0 {
			return nil
		}
		off += uint64(len(piece))
	}
}

// Map maps length bytes of v at off for reading. [Process.Unmap] undoes it.
func Map[R CanRead](v VMO[R], off, length uint64) ([]byte, error) {
	return v.p.mapVMO(v.h, off, length, abi.RightRead)
}

// MapWritable maps length bytes of v at off for reading and writing.
func MapWritable[R CanWrite](v VMO[R], off, length uint64) ([]byte, error) {
	return v.p.mapVMO(v.h, off, length, abi.RightRead|abi.RightWrite)
}

// ProtectRead takes the right to write from a mapping of v, given exactly as
// [MapWritable] returned it.
func ProtectRead[R CanRead](v VMO[R], mem []byte) error {
	return v.protect(abi.RightRead, mem)
}

// ProtectWrite gives the right to write to a mapping of v, given exactly as [Map]
// returned it.
func ProtectWrite[R CanWrite](v VMO[R], mem []byte) error {
	return v.protect(abi.RightRead|abi.RightWrite, mem)
}

func (c ref) protect(rights abi.Rights, mem []byte) error {
	var r Regs
	r.A[0], r.A[1] = uint64(c.h), uint64(rights)
	c.p.syscallMem(abi.SysVMOProtect, &r, mem)
	return result(r.A[0])
}

// Seal ends writing to v for everybody and for ever: what is mapped writable anywhere
// is read-only when it returns. [Info] of any capability tells of it, so that whoever
// is given memory knows that it will not change while he reads it.
func Seal[R CanWrite](v VMO[R]) error {
	var r Regs
	r.A[0] = uint64(v.h)
	v.p.syscall(abi.SysVMOSeal, &r)
	return result(r.A[0])
}

// Resize changes the size of v, which this process must have created. What is mapped
// anywhere cannot be cut off: that is [ErrBusy].
func Resize[R CanWrite](v VMO[R], size uint64) error {
	var r Regs
	r.A[0], r.A[1] = uint64(v.h), size
	v.p.syscall(abi.SysVMOResize, &r)
	return result(r.A[0])
}

// Unmap removes a mapping, given exactly as Map returned it. No slice of it may
// be used afterwards.
func (p Process) Unmap(mem []byte) error { return p.unmap(mem) }
