// Package session is the client's side of a connection whose end the service learns of.
// execd and timed keep children and timers for whoever has a session with them, and drop
// them when the session is closed or its process dies.
package session

import (
	"context"
	"errors"

	"nexus.internal/ipc"
)

// Session is a connection of this process to a service. Its methods may be used by
// several goroutines.
type Session struct {
	Client *ipc.Client
	tether ipc.Endpoint[ipc.Serve] // nobody receives from it; that it closes is what counts
}

// Open opens a session of process p by the operation op, which gives the service a
// capability to an endpoint of the process: the service calls there, is never answered,
// and the end of that call tells it of the end of the endpoint.
func Open(ctx context.Context, p ipc.Process, c *ipc.Client, op uint16) (*Session, error) {
	ep, err := p.NewEndpoint(1, ipc.HeaderSize)
	if err != nil {
		return nil, err
	}
	s := &Session{c, ep}
	give, err := ipc.DeriveSendGrant(ep, 0)
	if err == nil {
		_, err = s.Move(ctx, op, nil, ipc.MoveSend(give))
	}
	if err != nil {
		ep.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session by the operation op. Afterwards the process can open another.
func (s *Session) Close(ctx context.Context, op uint16) error {
	_, err := s.Client.Call(ctx, op, nil, nil)
	return errors.Join(err, s.tether.Close())
}

// Move makes a call that moves a capability, and returns its payload in memory of its
// own.
func (s *Session) Move(ctx context.Context, op uint16, payload []byte, m ipc.Movable) ([]byte, error) {
	call, err := s.Client.Get()
	if err != nil {
		return nil, err
	}
	defer s.Client.Put(call)
	call.Move(m)
	resp, err := call.DoSmall(ctx, op, payload)
	return append([]byte(nil), resp...), err
}
