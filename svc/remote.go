package svc

import (
	"context"
	"errors"
	"time"

	"nexus.internal/ipc"
)

// Back-off between attempts to connect: doubling, from the first to the last.
const (
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = time.Second
	// maxAttempts ends a connect without deadline: with the back-off above, about
	// ten seconds, longer than a service is given to become ready.
	maxAttempts = 16
)

// Remote is a connection to another service that survives its restarts: a call
// that meets a dead peer fails with ipc.ErrClosed, because only the caller knows
// whether to repeat it, and the next call connects again. Its methods may be used
// by several goroutines.
type Remote struct {
	connect func(context.Context) (ipc.Endpoint[ipc.Send], error)
	proto   ipc.Protocol

	lock   chan struct{} // holds one token: a lock that gives up with its context
	client *ipc.Client
}

// Dial returns a connection to the named service, through init. Nothing is asked
// of init before the first call.
func (e *Env) Dial(name string, proto ipc.Protocol) *Remote {
	return NewRemote(proto, func(ctx context.Context) (ipc.Endpoint[ipc.Send], error) {
		return e.Control.Connect(ctx, name)
	})
}

// NewRemote returns a connection that connect makes.
func NewRemote(proto ipc.Protocol, connect func(context.Context) (ipc.Endpoint[ipc.Send], error)) *Remote {
	r := &Remote{connect: connect, proto: proto, lock: make(chan struct{}, 1)}
	r.lock <- struct{}{}
	return r
}

// Call is [ipc.Client.Call], connecting first if need be. While the service is not
// available, connecting is tried again with growing pauses, until ctx ends or it
// has taken too long; a denial is final.
func (r *Remote) Call(ctx context.Context, op uint16, payload, resp []byte) (int, error) {
	c, err := r.Client(ctx)
	if err != nil {
		return 0, err
	}
	n, err := c.Call(ctx, op, payload, resp)
	if errors.Is(err, ipc.ErrClosed) || errors.Is(err, ipc.ErrBadHandle) {
		r.Lost(c)
		err = ipc.ErrClosed
	}
	return n, err
}

// Client returns the client of the connection, connecting first if need be. If one
// of its calls fails with ipc.ErrClosed, tell [Remote.Lost].
func (r *Remote) Client(ctx context.Context) (*ipc.Client, error) {
	select {
	case <-r.lock:
		defer func() { r.lock <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.client != nil {
		return r.client, nil
	}
	wait := firstBackoff
	for attempt := 1; ; attempt++ {
		ep, err := r.connect(ctx)
		if err == nil {
			r.client = ipc.NewClient(ep, r.proto)
			return r.client, nil
		}
		if !errors.Is(err, ipc.StatusUnavailable) && !errors.Is(err, ipc.ErrQueueFull) || attempt == maxAttempts {
			return nil, err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
		wait = min(2*wait, lastBackoff)
	}
}

// Lost forgets the client c, whose peer is gone, if it is still the one in use.
func (r *Remote) Lost(c *ipc.Client) {
	<-r.lock
	same := r.client == c
	if same {
		r.client = nil
	}
	r.lock <- struct{}{}
	if same {
		c.Close()
	}
}
