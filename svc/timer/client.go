package timer

import (
	"context"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/session"
	"nexus.internal/svc/wire"
)

// Client asks timed for what takes no session. It may be used by several goroutines.
type Client struct {
	To interface {
		Call(ctx context.Context, op uint16, req, resp []byte) (int, error)
	}
}

// Sleep waits until the window of the class is over that the deadline is in, and returns
// when timed woke up for it. [ipc.StatusOverLimit]: the deadline is more than [MaxSleep]
// ahead, or the service has [MaxTimers]. [ipc.StatusInvalidArgs]: there is no such class,
// or no such time.
func (c Client) Sleep(ctx context.Context, class abi.Class, deadline int64) (woke int64, err error) {
	r := Request{Class: class, Deadline: uint64(deadline)}
	ts, err := times(ctx, c.To.Call, OpSleep, r.Append(nil, OpSleep), 1)
	return ts[0], err
}

// Monotonic returns the time since power-on in ns, by timed's clock.
func (c Client) Monotonic(ctx context.Context) (int64, error) {
	ts, err := times(ctx, c.To.Call, OpMonotonic, nil, 1)
	return ts[0], err
}

// Wall returns the wall-clock time, by timed's clock, and the time since power-on at the
// same moment. [ipc.StatusUnavailable]: the board has no clock that tells it.
func (c Client) Wall(ctx context.Context) (wall time.Time, monotonic int64, err error) {
	ts, err := times(ctx, c.To.Call, OpWall, nil, 2)
	return time.Unix(0, ts[0]), ts[1], err
}

type call = func(ctx context.Context, op uint16, req, resp []byte) (int, error)

// times makes a call that is answered with n times.
func times(ctx context.Context, f call, op uint16, req []byte, n int) (ts [2]int64, err error) {
	var resp [16]byte
	got, err := f(ctx, op, req, resp[:8*n])
	if err != nil {
		return ts, err
	}
	d := wire.Read(resp[:got])
	for i := range n {
		ts[i] = int64(d.U64())
	}
	if !d.Done() {
		return ts, ipc.ErrProtocol
	}
	return ts, nil
}

// Session is a connection to timed with the timers that were registered over it. Its
// methods may be used by several goroutines.
type Session struct{ conn *session.Session }

// Open opens the session of a process, which has one at a time. [ipc.StatusOverLimit]:
// there are [MaxSessions]. [ipc.StatusInvalidArgs]: the process has one.
func Open(ctx context.Context, p ipc.Process, c *ipc.Client) (*Session, error) {
	s, err := session.Open(ctx, p, c, OpOpen)
	if err != nil {
		return nil, err
	}
	return &Session{s}, nil
}

// Close ends the session and its timers. Afterwards the process can open another one.
func (s *Session) Close(ctx context.Context) error { return s.conn.Close(ctx, OpClose) }

// Register registers a timer and returns its id and when it is due. One whose deadline
// has passed is due at once, or at the end of the window that the deadline is in. Next,
// in another goroutine, may tell of it before Register returns. [ipc.StatusOverLimit]: the
// service has [MaxTimers], or all have [MaxTotal]. [ipc.StatusInvalidArgs]: there is no
// such class, or no such time. [ipc.StatusNotFound]: the session has ended.
func (s *Session) Register(ctx context.Context, class abi.Class, deadline int64) (id uint32, due int64, err error) {
	r := Request{Class: class, Deadline: uint64(deadline)}
	var resp [12]byte
	n, err := s.conn.Client.Call(ctx, OpRegister, r.Append(nil, OpRegister), resp[:])
	if err != nil {
		return 0, 0, err
	}
	d := wire.Read(resp[:n])
	id, due = d.U32(), int64(d.U64())
	if !d.Done() {
		return 0, 0, ipc.ErrProtocol
	}
	return id, due, nil
}

// Cancel makes sure that Next does not tell of a timer. [ipc.StatusNotFound]: the session
// has no such timer, or Next has told of it.
func (s *Session) Cancel(ctx context.Context, id uint32) error {
	_, err := s.conn.Client.Call(ctx, OpCancel, (&Request{ID: id}).Append(nil, OpCancel), nil)
	return err
}

// Next waits until timers have fired, and returns those of the first wake-up that was not
// told yet, at most [MaxFired], in the order in which they were due, and when it was. A
// second Next that waits ends the first with [ipc.StatusUnavailable]. [ipc.StatusNotFound]:
// the session has ended.
func (s *Session) Next(ctx context.Context) (woke int64, ids []uint32, err error) {
	var resp [8 + 4*MaxFired]byte
	n, err := s.conn.Client.Call(ctx, OpNext, nil, resp[:])
	if err != nil {
		return 0, nil, err
	}
	d := wire.Read(resp[:n])
	woke = int64(d.U64())
	for d.OK() && !d.Done() {
		ids = append(ids, d.U32())
	}
	if !d.Done() || len(ids) == 0 {
		return 0, nil, ipc.ErrProtocol
	}
	return woke, ids, nil
}
