// Package timed keeps timers for others, and lets those that are due at about the same
// time fire together; see package timer for what it promises.
//
// Invariants:
//
//   - Whose a timer is, the kernel says. Nobody else can cancel it or is told of it, and
//     when its process has ended it is gone.
//   - Nothing is looked for again and again: one timer of the runtime is set to when the
//     first of all is due.
//   - Nobody waits for another. Who sleeps, or waits for timers to fire, is answered later
//     and holds no worker; each operation costs the logarithm of the timers there are.
//   - Everything that a service can make grow has a limit of its own.
package timed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/timer"
	"nexus.internal/svc/wire"
)

// depth bounds the requests that wait for the worker. None takes it long.
const depth = 64

// server is the state of the service.
type server struct {
	env *svc.Env
	ctx context.Context
	log *slog.Logger

	mu    sync.Mutex // guards what follows
	t     *table
	alarm *time.Timer // goes off when the first of t is due
	set   int64       // for when it is set, 0: it is not
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	h := journal.NewHandler(env.Name, slog.LevelInfo, nil)
	s := &server{env: env, ctx: ctx, log: slog.New(h), t: newTable()}
	s.alarm = time.AfterFunc(time.Hour, s.ring)
	s.alarm.Stop()
	go h.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	ep, err := env.Process.NewEndpoint(depth, ipc.HeaderSize+ipc.MaxInlinePayload)
	if err != nil {
		return err
	}
	return env.Serve(ctx, ipc.NewServer(ep, timer.Protocol, 1, s.handle), ep)
}

func (s *server) handle(q *ipc.Request) {
	if q.OneWay() {
		return // each operation is of use only to who is there for the answer
	}
	var r timer.Request
	status := r.Decode(q.Op, q.Payload())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.t.meet(q.SenderService, q.SenderPID) {
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	if q.Op == timer.OpRegister {
		s.register(q, &r, status)
		return
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	now := s.env.Process.Now()
	switch q.Op {
	case timer.OpMonotonic:
		q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), uint64(now)))
	case timer.OpWall:
		zero := s.env.Process.Start().WallNS
		if zero == 0 {
			q.Reply(ipc.StatusUnavailable, nil)
			return
		}
		q.Reply(ipc.StatusOK, wire.AppendU64(wire.AppendU64(q.Inline(), uint64(zero+now)), uint64(now)))
	case timer.OpSleep:
		s.sleep(q, &r, now)
	case timer.OpOpen:
		s.open(q)
	default:
		s.inSession(q, &r)
	}
}

// register adds a timer, if its request decodes with StatusOK, and audits what it decides.
func (s *server) register(q *ipc.Request, r *timer.Request, status ipc.Status) {
	o := s.t.session(q.SenderService)
	if o == nil {
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	var e *entry
	if status == ipc.StatusOK {
		e, status = s.t.register(o, r.Class, r.Deadline)
	}
	s.audit(o, status)
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	q.Reply(ipc.StatusOK, wire.AppendU64(wire.AppendU32(q.Inline(), e.id), uint64(e.due)))
	s.arm()
}

// inSession does what takes a session and is not audited.
func (s *server) inSession(q *ipc.Request, r *timer.Request) {
	o := s.t.session(q.SenderService)
	if o == nil {
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	switch q.Op {
	case timer.OpCancel:
		q.Reply(s.t.cancel(o, r.ID), nil)
		s.arm()
	case timer.OpClose:
		s.over(o, o.session)
		q.Reply(ipc.StatusOK, nil)
	case timer.OpNext:
		if o.waiting {
			o.next.Reply(ipc.StatusUnavailable, nil) // if its caller is still there
		}
		o.next, o.waiting = q.Detach(), true
		s.tell(o)
	}
}

// sleep keeps the request until it is due.
func (s *server) sleep(q *ipc.Request, r *timer.Request, now int64) {
	e, status := s.t.sleep(q.SenderService, q.SenderPID, r.Class, r.Deadline, now)
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	e.sleep = q.Detach()
	s.arm()
}

// open begins a session. That its process lives is known from a call that it never
// answers, to an endpoint that the kernel closes when it ends.
func (s *server) open(q *ipc.Request) {
	ep, err := q.Take().Send()
	if err != nil {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	o, status := s.t.open(q.SenderService, q.SenderPID)
	q.Reply(status, nil)
	if status != ipc.StatusOK {
		ep.Close()
		return
	}
	tether, session := ipc.NewClient(ep, timer.Protocol), o.session
	go func() {
		tether.Call(s.ctx, timer.OpTether, nil, nil) // however it ends, the session does
		tether.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over(o, session)
	}()
}

// over ends a session of o, if it has not ended yet. The lock is held.
func (s *server) over(o *owner, session uint64) {
	if !s.t.close(o, session) {
		return
	}
	if o.waiting { // of a process that closed its session and lives
		o.waiting = false
		o.next.Reply(ipc.StatusNotFound, nil)
	}
	s.arm()
}

// ring lets everything fire that is due: one wake-up.
func (s *server) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = 0
	now := s.env.Process.Now()
	for e := s.t.fire(now); e != nil; e = s.t.fire(now) {
		if e.id == 0 {
			e.sleep.Reply(ipc.StatusOK, wire.AppendU64(nil, uint64(now))) // if the caller is still there
		}
	}
	for _, o := range s.t.owners { // no more than there are processes
		s.tell(o)
	}
	s.arm()
}

// tell answers the call of o that waits for timers to fire, if some have. A caller who has
// given up takes no answer, and what there is to tell stays for the next. The lock is held.
func (s *server) tell(o *owner) {
	n := o.news()
	if !o.waiting || n == 0 {
		return
	}
	payload := wire.AppendU64(make([]byte, 0, ipc.MaxInlinePayload), uint64(o.fired[0].woke))
	for _, e := range o.fired[:n] {
		payload = wire.AppendU32(payload, e.id)
	}
	o.waiting = false
	if o.next.Reply(ipc.StatusOK, payload) == nil {
		s.t.told(o, n)
	}
}

// arm sets the alarm to when the first is due. The lock is held.
func (s *server) arm() {
	due, ok := s.t.due()
	switch {
	case !ok:
		s.alarm.Stop()
		s.set = 0
	case s.set == 0 || due != s.set:
		s.set = max(due, 1)
		s.alarm.Reset(time.Duration(due - s.env.Process.Now()))
	}
}

// reasons is a set of reasons of decisions about timers, as the audit spells them.
type reasons uint8

// audit records a decision about a timer of o, each kind of it once in a session: what a
// client can have written about it is bounded.
func (s *server) audit(o *owner, status ipc.Status) {
	decision, reason, bit := "deny", "", reasons(0)
	switch status {
	case ipc.StatusOK:
		decision, reason, bit = "allow", "applied", 1
	case ipc.StatusMalformed:
		reason, bit = "malformed", 2
	case ipc.StatusInvalidArgs:
		reason, bit = "invalid_args", 4
	case ipc.StatusOverLimit:
		reason, bit = "over_limit", 8
	}
	if o.audited&bit != 0 {
		return
	}
	o.audited |= bit
	s.log.Info("audit register decision="+decision+" reason="+reason, "owner", fmt.Sprintf("%016x", o.service), "owner_pid", o.pid)
}
