package exec

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/session"
	"nexus.internal/svc/wire"
)

// Session is a connection to execd with the children that were started over it. Its
// methods may be used by several goroutines.
type Session struct{ conn *session.Session }

// Open opens the session of a process, which has one at a time. [ipc.StatusDenied]:
// policyd does not let it have programs started.
func Open(ctx context.Context, p ipc.Process, c *ipc.Client) (*Session, error) {
	s, err := session.Open(ctx, p, c, OpOpen)
	if err != nil {
		return nil, err
	}
	return &Session{s}, nil
}

// Close ends the session and its children. Afterwards the process can open another one.
func (s *Session) Close(ctx context.Context) error { return s.conn.Close(ctx, OpClose) }

// Program is what a child is made from, beside its [Request]: memory that holds it and
// that nobody can write any more. It goes to execd.
type Program = ipc.VMO[ipc.ReadGrant]

// Spawn creates a child. With [FlagHold] it waits for [Session.Start]. An error of the
// kernel or of policyd is a [Reason]; see [ReasonOf].
func (s *Session) Spawn(ctx context.Context, r *Request, program Program) (id, pid uint32, err error) {
	if status := r.Check(); status != ipc.StatusOK {
		return 0, 0, status
	}
	m := ipc.Movable{}
	if r.File == "" {
		m = ipc.MoveVMO(program)
	}
	resp, err := s.conn.Move(ctx, OpSpawn, r.Append(nil), m)
	if err != nil {
		return 0, 0, err
	}
	d := wire.Read(resp)
	id, pid = d.U32(), d.U32()
	if !d.Done() {
		return 0, 0, ipc.ErrProtocol
	}
	return id, pid, nil
}

// Give gives a child that is held a capability with these rights, and returns where it
// will find it: see abi.BootHandle. The capability must have the right Grant; it goes
// to execd. [CapTableFull]: a child starts with [MaxCaps] at most.
func (s *Session) Give(ctx context.Context, id uint32, m ipc.Movable, rights abi.Rights) (index int, err error) {
	resp, err := s.conn.Move(ctx, OpGive, wire.AppendU32(wire.AppendU32(nil, id), uint32(rights)), m.WithGrant())
	if err == nil && len(resp) != 1 {
		err = ipc.ErrProtocol
	}
	if err != nil {
		return 0, err
	}
	return int(resp[0]), nil
}

// Start starts a child that was held.
func (s *Session) Start(ctx context.Context, id uint32) (pid uint32, err error) {
	var resp [4]byte
	n, err := s.conn.Client.Call(ctx, OpStart, wire.AppendU32(nil, id), resp[:])
	d := wire.Read(resp[:n])
	pid = d.U32()
	if err == nil && !d.Done() {
		err = ipc.ErrProtocol
	}
	return pid, err
}

// Wait waits until a child, or any for id 0, has ended, and returns how. Each end is
// told once. [ipc.StatusNotFound]: there is no such child. A deadline of ctx ends the
// wait and nothing else.
func (s *Session) Wait(ctx context.Context, id uint32) (End, error) { return s.wait(ctx, id, 0) }

// Ended is [Session.Wait] without waiting: if no such child has ended, that is
// [ipc.StatusUnavailable].
func (s *Session) Ended(ctx context.Context, id uint32) (End, error) {
	return s.wait(ctx, id, FlagNoWait)
}

func (s *Session) wait(ctx context.Context, id uint32, flags byte) (End, error) {
	var resp [40]byte
	n, err := s.conn.Client.Call(ctx, OpWait, append(wire.AppendU32(nil, id), flags), resp[:])
	var e End
	if err == nil && !e.Decode(resp[:n]) {
		err = ipc.ErrProtocol
	}
	return e, err
}

// QoS tells how a child shares the harts, and changes it if q is not 0. It takes the
// capability of the policy for the class, and the one for shares if q has more than the
// default: else [ipc.StatusDenied]. [ipc.StatusInvalidArgs]: q is out of range.
// [ipc.StatusNotFound]: there is no such child that runs.
func (s *Session) QoS(ctx context.Context, id uint32, q abi.QoS) (was abi.QoS, err error) {
	var resp [8]byte
	n, err := s.conn.Client.Call(ctx, OpQoS, wire.AppendU64(wire.AppendU32(nil, id), uint64(q)), resp[:])
	d := wire.Read(resp[:n])
	was = abi.QoS(d.U64())
	if err == nil && !d.Done() {
		err = ipc.ErrProtocol
	}
	return was, err
}

// Kill ends a child; its end can be waited for. One that was held is forgotten.
func (s *Session) Kill(ctx context.Context, id uint32) error {
	_, err := s.conn.Client.Call(ctx, OpKill, wire.AppendU32(nil, id), nil)
	return err
}
