//go:build tamago

// Waiting for descriptors. Only pipes ever wait (package syscall parks the
// goroutine in the call itself), so all that is left to do here is to end such
// a wait: when a file is closed, and when a deadline passes.

package poll

import (
	"sync"
	"syscall"
	"time"
)

type pollDesc struct {
	fd      *FD
	mu      sync.Mutex // guards the rest
	closing bool
	read    *time.Timer // pending deadlines, nil if none
	write   *time.Timer
}

func (pd *pollDesc) init(fd *FD) error { pd.fd = fd; return nil }

func (pd *pollDesc) close() {}

// evict ends the waits of a descriptor that is being closed.
func (pd *pollDesc) evict() {
	pd.mu.Lock()
	defer pd.mu.Unlock()
	pd.closing = true
	for _, t := range []**time.Timer{&pd.read, &pd.write} {
		cancel(t)
	}
	if pd.fd != nil {
		syscall.StopIO(pd.fd.Sysfd, 'r'+'w', true)
	}
}

func (pd *pollDesc) prepare(isFile bool) error {
	pd.mu.Lock()
	defer pd.mu.Unlock()
	if pd.closing {
		return errClosing(isFile)
	}
	return nil
}

func (pd *pollDesc) prepareRead(isFile bool) error { return pd.prepare(isFile) }

func (pd *pollDesc) prepareWrite(isFile bool) error { return pd.prepare(isFile) }

// wait is called after a call was stopped: it says why.
func (pd *pollDesc) wait(isFile bool) error {
	if err := pd.prepare(isFile); err != nil {
		return err
	}
	return ErrDeadlineExceeded
}

func (pd *pollDesc) waitRead(isFile bool) error { return pd.wait(isFile) }

func (pd *pollDesc) waitWrite(isFile bool) error { return pd.wait(isFile) }

func (pd *pollDesc) waitCanceled(mode int) {}

func (pd *pollDesc) pollable() bool { return pd.fd != nil }

// cancel stops a pending deadline.
func cancel(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// set replaces d, the deadline for mode ('r' or 'w'), by t; a zero t means none.
func (pd *pollDesc) set(d **time.Timer, mode int, t time.Time) error {
	pd.mu.Lock()
	defer pd.mu.Unlock()
	cancel(d)
	left := time.Until(t)
	expired := !t.IsZero() && left <= 0
	if err := syscall.StopIO(pd.fd.Sysfd, mode, expired); err != nil {
		return ErrNoDeadline
	}
	if t.IsZero() || expired {
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		pd.mu.Lock()
		defer pd.mu.Unlock()
		if *d == timer {
			*d = nil
			syscall.StopIO(pd.fd.Sysfd, mode, true)
		}
	})
	*d = timer
	return nil
}

// SetDeadline sets the read and write deadlines associated with fd.
func (fd *FD) SetDeadline(t time.Time) error {
	if err := fd.SetReadDeadline(t); err != nil {
		return err
	}
	return fd.SetWriteDeadline(t)
}

// SetReadDeadline sets the read deadline associated with fd.
func (fd *FD) SetReadDeadline(t time.Time) error {
	return fd.setDeadline(&fd.pd.read, 'r', t)
}

// SetWriteDeadline sets the write deadline associated with fd.
func (fd *FD) SetWriteDeadline(t time.Time) error {
	return fd.setDeadline(&fd.pd.write, 'w', t)
}

func (fd *FD) setDeadline(d **time.Timer, mode int, t time.Time) error {
	if err := fd.incref(); err != nil {
		return err
	}
	defer fd.decref()
	if fd.pd.fd == nil {
		return ErrNoDeadline
	}
	return fd.pd.set(d, mode, t)
}

// IsPollDescriptor reports whether fd belongs to the poller; there is none.
func IsPollDescriptor(fd uintptr) bool { return false }
