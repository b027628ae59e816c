package initd

import (
	"context"
	"errors"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// serve answers the requests of c.
func (s *supervisor) serve(ctx context.Context, c *child) {
	err := ipc.NewServer(c.control, control.Protocol, 1, func(q *ipc.Request) { s.handle(q, c) }).Serve(ctx)
	if ctx.Err() == nil {
		s.env.Log.Error("control endpoint", "svc", c.service.Name, "err", err)
	}
}

// sent reports whether q, which came to the control endpoint of c, is from the
// process that c is now.
func (s *supervisor) sent(q *ipc.Request, c *child) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.alive && q.Badge == c.badge() && q.SenderService == c.id && q.SenderPID == c.process.PID
}

func (s *supervisor) handle(q *ipc.Request, from *child) {
	if !s.sent(q, from) {
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	switch q.Op {
	case control.OpReady:
		s.opReady(q, from)
	case control.OpAnnounced:
		s.mu.Lock()
		from.announced = true
		s.change()
		s.mu.Unlock()
		q.Reply(ipc.StatusOK, nil)
	case control.OpConnect:
		s.opConnect(q, from)
	case control.OpWindow, control.OpInterrupt:
		s.opDevice(q, from)
	case control.OpFile:
		s.opFile(q, from)
	case control.OpSpawner:
		s.opSpawner(q, from)
	case control.OpWhoAmI:
		b := wire.AppendU64(q.Inline(), q.SenderService)
		b = wire.AppendU64(b, q.Badge)
		q.Reply(ipc.StatusOK, wire.AppendU32(b, q.SenderPID))
	case control.OpLogProbe:
		s.env.Log.Info("core service log probe: init")
		q.Reply(ipc.StatusOK, nil)
	case control.OpStart, control.OpEnd, control.OpUsage:
		s.opManage(q, from)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// opReady takes the endpoint of a service. The answer waits until all services are
// ready.
func (s *supervisor) opReady(q *ipc.Request, from *child) {
	var ep ipc.Endpoint[ipc.SendGrant]
	if c := q.Take(); c.Valid() {
		var err error
		if ep, err = c.SendGrant(); err != nil {
			q.Reply(ipc.StatusInvalidArgs, nil)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.ready {
		ep.Close()
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	from.ep, from.ready = ep, true
	if from.released || from.service.Demand {
		q.Reply(ipc.StatusOK, []byte{0})
	} else {
		from.readyReply, from.readyWaits = q.Detach(), true
	}
	s.change()
}

// opConnect gives a capability to send to a service, if the manifest and policyd
// allow it. A name that the manifest does not grant is denied whether there is such
// a service or not.
func (s *supervisor) opConnect(q *ipc.Request, from *child) {
	d := wire.Read(q.Payload())
	name := string(d.String8())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if !from.service.MayCall(name) {
		s.refuse(from, "manifest", policy.Core, name)
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	to := s.byName(name)
	if !s.serves(to) || !s.policyReady() {
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	if !s.allowed(q, from, policy.Core, name) {
		return
	}
	s.mu.Lock()
	c, err := ipc.DeriveSendGrant(to.ep, from.badge())
	s.mu.Unlock()
	if err != nil { // it died in the meantime
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	q.ReplyCap(ipc.StatusOK, nil, ipc.MoveSend(c))
}

// serves reports whether c can be called. It asks the kernel, so that whoever has
// seen the death of c is not connected to the dead process, even if init has not
// heard of it yet.
func (s *supervisor) serves(c *child) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.ep.Valid() {
		return false
	}
	info, err := c.process.State()
	return err == nil && info.Alive
}

// policyReady reports whether there is a policyd to ask. While there is none,
// callers are told to try again, which is not an allow either.
func (s *supervisor) policyReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byName(policydName)
	return c != nil && c.ep.Valid()
}

// allowed asks policyd whether from has the capability. If not, it answers q.
func (s *supervisor) allowed(q *ipc.Request, from *child, capability, object string) bool {
	if s.ask(from, capability, object) {
		return true
	}
	q.Reply(ipc.StatusDenied, nil)
	return false
}

// ask asks policyd whether from has the capability. No decision is a refusal, too.
func (s *supervisor) ask(from *child, capability, object string) bool {
	question := policy.Question{Subject: from.id, Capability: capability, Object: object}
	err := s.policy.Check(context.Background(), question)
	if errors.Is(err, ipc.ErrClosed) {
		// That policyd died. The next question goes to its successor.
		err = s.policy.Check(context.Background(), question)
	}
	if err == nil {
		return true
	}
	reason := "policy"
	if err != policy.ErrDenied {
		reason = err.Error() // no decision
	}
	s.refuse(from, reason, capability, object)
	return false
}

// opManage has the operations for those that the manifest and policyd let have
// processes started.
func (s *supervisor) opManage(q *ipc.Request, from *child) {
	d := wire.Read(q.Payload())
	var name, argument string
	var kill uint8
	switch q.Op {
	case control.OpStart:
		name, argument = string(d.String8()), string(d.String8())
	case control.OpEnd:
		name, kill = string(d.String8()), d.U8()
	}
	if !d.Done() || kill > 1 || len(name) > policy.MaxObject || len(argument) > control.MaxArgument || strings.IndexByte(argument, 0) >= 0 {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if !from.service.Spawn {
		s.refuse(from, "manifest", policy.Spawn, name)
		q.Reply(ipc.StatusDenied, nil)
		return
	}
	if !s.allowed(q, from, policy.Spawn, name) {
		return
	}
	if q.Op == control.OpUsage {
		u, err := s.usage()
		if err != nil {
			s.env.Log.Error("usage", "err", err)
			q.Reply(ipc.StatusInternal, nil)
			return
		}
		q.Reply(ipc.StatusOK, u.Append(q.Large()))
		return
	}
	c := s.byName(name)
	if c == nil || !c.service.Demand {
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	if q.Op == control.OpEnd {
		s.opEnd(q, c, kill == 1)
		return
	}
	pid, err := s.start(c, argument)
	if err != nil {
		s.env.Log.Warn("start", "svc", name, "err", err)
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	q.Reply(ipc.StatusOK, wire.AppendU32(q.Inline(), pid))
}

// refuse logs a refusal. A child that is refused all the time does not fill the
// log with it.
func (s *supervisor) refuse(from *child, reason, capability, object string) {
	s.mu.Lock()
	from.refusals++
	n := from.refusals
	s.mu.Unlock()
	switch {
	case n < maxRefusals:
		s.env.Log.Warn("refused", "reason", reason, "from", from.service.Name, "capability", capability, "object", object)
	case n == maxRefusals:
		s.env.Log.Warn("refused more often than is worth saying", "from", from.service.Name)
	}
}

// opEnd answers when c has ended for good, which kill brings about.
func (s *supervisor) opEnd(q *ipc.Request, c *child, kill bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kill && c.pause != nil {
		c.pause.Stop()
		c.pause = nil
		s.giveUp(c)
		s.change()
	}
	if !c.alive && c.pause == nil {
		q.Reply(ipc.StatusOK, c.exit.Append(q.Inline()))
		return
	}
	if len(c.endWaiters) == maxEndWaiters {
		q.Reply(ipc.StatusOverLimit, nil)
		return
	}
	if kill {
		// ErrNoEntry: it has just ended by itself. Either way the notification comes.
		if err := c.process.Kill(); err != nil && !errors.Is(err, ipc.ErrNoEntry) {
			s.env.Log.Error("kill", "svc", c.service.Name, "err", err)
			q.Reply(ipc.StatusInternal, nil)
			return
		}
		c.stopped = true
	}
	c.endWaiters = append(c.endWaiters, q.Detach())
}
