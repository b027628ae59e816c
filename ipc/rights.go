package ipc

import "nexus.internal/ipc/abi"

// The rights of a capability are a type parameter of its Go type. The types below
// are those parameters; they have no values worth having. A function that needs
// a right takes every type that has it, so that using fewer rights compiles and
// using more does not: there is no function from [Send] to [SendGrant].

// Rights of endpoints.
type (
	Send      struct{} // call and send
	SendGrant struct{} // the same, and give copies away
	Serve     struct{} // receive, and everything else
)

// Rights of memory objects.
type (
	Read      struct{} // map and read
	ReadGrant struct{} // the same, and give copies away
	ReadExec  struct{} // map readable or executable, read: programs
	ReadWrite struct{} // map, read and write
	Full      struct{} // what the creator of the object has
)

// Rights of notifications.
type (
	Signal      struct{} // set bits
	SignalGrant struct{} // the same, and give copies away
	Listen      struct{} // receive, and everything else
)

// Sets of rights, for functions that need one of them.
type (
	CanSend      interface{ Send | SendGrant | Serve }
	CanGrantSend interface{ SendGrant | Serve }
	CanRead      interface {
		Read | ReadGrant | ReadExec | ReadWrite | Full | Physical
	}
	CanWrite       interface{ ReadWrite | Full | Physical }
	CanGrantRead   interface{ ReadGrant | Full | Physical }
	CanSignal      interface{ Signal | SignalGrant | Listen }
	CanGrantSignal interface{ SignalGrant | Listen }
)

// ref is a handle together with the process whose table it is in.
type ref struct {
	p Process
	h abi.Handle
}

// Valid reports whether the value names a capability at all. It does not ask the
// kernel: the capability may be stale.
func (c ref) Valid() bool { return c.h != 0 }

// Handle returns the handle, for giving it to the kernel in other ways.
func (c ref) Handle() abi.Handle { return c.h }

// Close drops the capability. Closing a zero value does nothing.
func (c ref) Close() error {
	if c.h == 0 {
		return nil
	}
	var r Regs
	r.A[0] = uint64(c.h)
	c.p.syscall(abi.SysCapClose, &r)
	return result(r.A[0])
}

// Revoke removes every capability that was derived from this one, in every
// process, and returns how many there were.
func (c ref) Revoke() (int, error) {
	var r Regs
	r.A[0] = uint64(c.h)
	c.p.syscall(abi.SysCapRevoke, &r)
	return int(r.A[0]), result(r.A[0])
}

// Info is what the kernel says about a capability.
type Info struct {
	Kind   abi.Kind
	Rights abi.Rights
	Badge  uint64
	Size   uint64 // of a memory object or a window, in bytes
	Sealed bool   // of a memory object: nobody can write it any more
}

// Info asks the kernel what the handle names.
func (c ref) Info() (Info, error) {
	if c.h == 0 {
		return Info{}, ErrBadHandle
	}
	var r Regs
	r.A[0] = uint64(c.h)
	c.p.syscall(abi.SysCapInfo, &r)
	if err := result(r.A[0]); err != nil {
		return Info{}, err
	}
	return Info{abi.Kind(r.A[0]), abi.Rights(r.A[1]), r.A[2], r.A[3], r.A[4] == 1}, nil
}

// derive asks the kernel for a copy with fewer rights.
func (c ref) derive(rights abi.Rights, badge uint64) (ref, error) {
	if c.h == 0 {
		return ref{}, ErrBadHandle
	}
	var r Regs
	r.A[0], r.A[1], r.A[2] = uint64(c.h), uint64(rights), badge
	c.p.syscall(abi.SysCapCopy, &r)
	if err := result(r.A[0]); err != nil {
		return ref{}, err
	}
	return ref{c.p, abi.Handle(r.A[0])}, nil
}

// Endpoint is where messages of one server go. R says what may be done with it.
type Endpoint[R CanSend] struct {
	_ [0]R // makes conversion between different rights an error
	ref
}

// NarrowSend gives up everything but sending. The kernel keeps the rights of the
// handle; use [DeriveSend] for a capability that leaves the process.
func NarrowSend[R CanSend](e Endpoint[R]) Endpoint[Send] { return Endpoint[Send]{ref: e.ref} }

// NarrowSendGrant gives up receiving.
func NarrowSendGrant[R CanGrantSend](e Endpoint[R]) Endpoint[SendGrant] {
	return Endpoint[SendGrant]{ref: e.ref}
}

// DeriveSend makes a capability that can only send. A badge other than 0 is shown
// to the server with every message; it cannot be changed later.
func DeriveSend[R CanGrantSend](e Endpoint[R], badge uint64) (Endpoint[Send], error) {
	c, err := e.derive(abi.RightSend, badge)
	return Endpoint[Send]{ref: c}, err
}

// DeriveSendGrant makes a capability that can send and be given away, which moving
// it in a message needs; see [MoveSend] for what arrives.
func DeriveSendGrant[R CanGrantSend](e Endpoint[R], badge uint64) (Endpoint[SendGrant], error) {
	c, err := e.derive(abi.RightSend|abi.RightGrant, badge)
	return Endpoint[SendGrant]{ref: c}, err
}

// VMO is a memory object. R says what may be done with it.
type VMO[R CanRead] struct {
	_ [0]R
	ref
}

// NarrowRead gives up everything but reading.
func NarrowRead[R CanRead](v VMO[R]) VMO[Read] { return VMO[Read]{ref: v.ref} }

// NarrowReadWrite gives up executing and giving away.
func NarrowReadWrite[R CanWrite](v VMO[R]) VMO[ReadWrite] { return VMO[ReadWrite]{ref: v.ref} }

// DeriveRead makes a capability that can only read.
func DeriveRead[R CanGrantRead](v VMO[R]) (VMO[Read], error) {
	c, err := v.derive(abi.RightRead, 0)
	return VMO[Read]{ref: c}, err
}

// DeriveReadGrant makes a capability that can read and be given away.
func DeriveReadGrant[R CanGrantRead](v VMO[R]) (VMO[ReadGrant], error) {
	c, err := v.derive(abi.RightRead|abi.RightGrant, 0)
	return VMO[ReadGrant]{ref: c}, err
}

// DeriveFull makes a capability that can read, write and be given away, which moving it
// in a message needs; see [MoveVMO] for what arrives.
func DeriveFull[R Full | Physical](v VMO[R]) (VMO[Full], error) {
	c, err := v.derive(abi.RightRead|abi.RightWrite|abi.RightGrant, 0)
	return VMO[Full]{ref: c}, err
}

// Notification is a word of bits that wakes its listener. R says what may be done.
type Notification[R CanSignal] struct {
	_ [0]R
	ref
	key uint64 // of the listener's slot; 0 for those who only signal
}

// NarrowSignal gives up listening and giving away.
func NarrowSignal[R CanSignal](n Notification[R]) Notification[Signal] {
	return Notification[Signal]{ref: n.ref}
}

// DeriveSignalGrant makes a capability that can signal and be given away.
func DeriveSignalGrant[R CanGrantSignal](n Notification[R]) (Notification[SignalGrant], error) {
	c, err := n.derive(abi.RightSignal|abi.RightGrant, 0)
	return Notification[SignalGrant]{ref: c}, err
}

// Any is a capability whose kind and rights are not known to the compiler: it came
// in a message or at the start. Whoever has one turns it into a typed one or
// closes it.
type Any struct{ ref }

// DeriveAny makes a capability with some of the rights of c.
func DeriveAny(c Any, rights abi.Rights) (Any, error) {
	n, err := c.derive(rights, 0)
	return Any{n}, err
}

// Movable is a capability that may go along with a message. It arrives without the
// right to be given away, see [Movable.WithGrant].
type Movable struct {
	_ [0]Send // no conversion from other types
	ref
	flags uint64 // in a1
}

// movable lets c arrive without the right to be given away: least privilege is what
// a caller gets who asks for nothing.
func movable(c ref) Movable { return Movable{ref: c, flags: abi.FlagDropGrant} }

// WithGrant lets the receiver give the capability, or copies of it, to others.
func (m Movable) WithGrant() Movable {
	m.flags = 0
	return m
}

// Move makes a capability of unknown rights movable; the kernel refuses it when it
// lacks the right to be given away.
func (c Any) Move() Movable { return movable(c.ref) }

// MoveSend makes e movable. It belongs to the message from then on.
func MoveSend[R CanGrantSend](e Endpoint[R]) Movable { return movable(e.ref) }

// MoveVMO makes v movable. It belongs to the message from then on.
func MoveVMO[R CanGrantRead](v VMO[R]) Movable { return movable(v.ref) }

// MoveSignal makes n movable. It belongs to the message from then on.
func MoveSignal[R CanGrantSignal](n Notification[R]) Movable { return movable(n.ref) }

// check verifies that c names an object of the kind with at least these rights.
// Otherwise it closes c.
func (c Any) check(kind abi.Kind, rights abi.Rights) error {
	if c.h == 0 {
		return ErrBadHandle
	}
	info, err := c.Info()
	switch {
	case err != nil:
		return err
	case info.Kind != kind:
		err = ErrKind
	case info.Rights&rights != rights:
		err = ErrPermission
	default:
		return nil
	}
	c.Close()
	return err
}

// Send returns c as an endpoint to send to. If it is not one, c is closed.
func (c Any) Send() (Endpoint[Send], error) {
	if err := c.check(abi.KindEndpoint, abi.RightSend); err != nil {
		return Endpoint[Send]{}, err
	}
	return Endpoint[Send]{ref: c.ref}, nil
}

// SendGrant returns c as an endpoint whose copies may be given away. If it is not
// one, c is closed.
func (c Any) SendGrant() (Endpoint[SendGrant], error) {
	if err := c.check(abi.KindEndpoint, abi.RightSend|abi.RightGrant); err != nil {
		return Endpoint[SendGrant]{}, err
	}
	return Endpoint[SendGrant]{ref: c.ref}, nil
}

// Memory returns c as readable memory. If it is not that, c is closed.
func (c Any) Memory() (VMO[Read], error) {
	if err := c.check(abi.KindVMO, abi.RightRead); err != nil {
		return VMO[Read]{}, err
	}
	return VMO[Read]{ref: c.ref}, nil
}

// Writable returns c as memory to read and write. If it is not that, c is closed.
func (c Any) Writable() (VMO[ReadWrite], error) {
	if err := c.check(abi.KindVMO, abi.RightRead|abi.RightWrite); err != nil {
		return VMO[ReadWrite]{}, err
	}
	return VMO[ReadWrite]{ref: c.ref}, nil
}

// Program returns c as memory that holds a program. If it is not that, c is closed.
func (c Any) Program() (VMO[ReadExec], error) {
	if err := c.check(abi.KindVMO, abi.RightRead|abi.RightExec); err != nil {
		return VMO[ReadExec]{}, err
	}
	return VMO[ReadExec]{ref: c.ref}, nil
}

// Spawner returns c as the right to create processes. If it is not that, c is closed.
func (c Any) Spawner() (Spawner, error) {
	if err := c.check(abi.KindSpawn, abi.RightManage); err != nil {
		return Spawner{}, err
	}
	return Spawner{ref: c.ref}, nil
}
