package ipc

import (
	"context"
	"errors"

	"nexus.internal/ipc/abi"
)

// Error is a refusal of the kernel. There is one value for each number, so
// errors are compared with == or errors.Is and cost no memory.
type Error struct {
	Errno abi.Errno
	also  error // what errors.Is accepts besides the value itself
}

// Error implements error.
func (e *Error) Error() string { return "ipc: " + e.Errno.Error() }

// Is makes a passed deadline a context.DeadlineExceeded and a call that was given
// up a context.Canceled.
func (e *Error) Is(target error) bool { return e.also != nil && e.also == target }

// Timeout reports whether the deadline passed, as net.Error does.
func (e *Error) Timeout() bool { return e.Errno == abi.ETIMEDOUT }

// The errors of the kernel.
var (
	ErrPermission = &Error{abi.EPERM, nil}
	ErrBadHandle  = &Error{abi.EBADF, nil}
	ErrKind       = &Error{abi.EKIND, nil}
	ErrInvalid    = &Error{abi.EINVAL, nil}
	ErrFault      = &Error{abi.EFAULT, nil}
	ErrNoSyscall  = &Error{abi.ENOSYS, nil}
	ErrNoMemory   = &Error{abi.ENOMEM, nil}
	ErrNoSpace    = &Error{abi.ENOSPC, nil}
	ErrQueueFull  = &Error{abi.EAGAIN, nil}
	ErrTooLarge   = &Error{abi.EMSGSIZE, nil}
	ErrTimedOut   = &Error{abi.ETIMEDOUT, context.DeadlineExceeded}
	ErrClosed     = &Error{abi.ECLOSED, nil}
	ErrCanceled   = &Error{abi.ECANCELED, context.Canceled}
	ErrExists     = &Error{abi.EEXIST, nil}
	ErrOverlap    = &Error{abi.EOVERLAP, nil}
	ErrWX         = &Error{abi.EWX, nil}
	ErrELF        = &Error{abi.EELF, nil}
	ErrBusy       = &Error{abi.EBUSY, nil}
	ErrNoEntry    = &Error{abi.ENOENT, nil}
	ErrPeerSpace  = &Error{abi.EPEERNOSPACE, nil}
	ErrSealed     = &Error{abi.ESEALED, nil}
	ErrFragmented = &Error{abi.EFRAG, nil}
	ErrWritable   = &Error{abi.EWRITABLE, nil}
)

// Errors of the library itself.
var (
	// ErrProtocol: a reply that is not one of this protocol, or answers another request.
	ErrProtocol = errors.New("ipc: reply does not match the request")
	// ErrNoSlot: the process waits for as many things as the runtime can tell apart.
	ErrNoSlot = errors.New("ipc: no free event slot")
	// ErrServerStopped: the server was stopped by its context.
	ErrServerStopped = errors.New("ipc: server stopped")
)

var errorOf = [...]*Error{
	abi.EPERM: ErrPermission, abi.EBADF: ErrBadHandle, abi.EKIND: ErrKind, abi.EINVAL: ErrInvalid, abi.EFAULT: ErrFault,
	abi.ENOSYS: ErrNoSyscall, abi.ENOMEM: ErrNoMemory, abi.ENOSPC: ErrNoSpace, abi.EAGAIN: ErrQueueFull,
	abi.EMSGSIZE: ErrTooLarge, abi.ETIMEDOUT: ErrTimedOut, abi.ECLOSED: ErrClosed, abi.ECANCELED: ErrCanceled,
	abi.EEXIST: ErrExists, abi.EOVERLAP: ErrOverlap, abi.EWX: ErrWX, abi.EELF: ErrELF, abi.EBUSY: ErrBusy,
	abi.ENOENT: ErrNoEntry, abi.EPEERNOSPACE: ErrPeerSpace, abi.ESEALED: ErrSealed,
	abi.EFRAG: ErrFragmented, abi.EWRITABLE: ErrWritable,
}

// FromErrno returns the error for a number: nil for [abi.OK].
func FromErrno(e abi.Errno) error {
	switch {
	case e == abi.OK:
		return nil
	case e > 0 && int(e) < len(errorOf) && errorOf[e] != nil:
		return errorOf[e]
	}
	return &Error{Errno: e}
}

// result turns a0 of a system call into an error.
func result(a0 uint64) error {
	if int64(a0) >= 0 {
		return nil
	}
	return FromErrno(abi.Errno(-int64(a0)))
}
