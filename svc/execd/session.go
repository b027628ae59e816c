package execd

import (
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// requester is a process as the kernel names it.
type requester struct {
	service uint64
	pid     uint32
}

func of(q *ipc.Request) requester { return requester{q.SenderService, q.SenderPID} }

// session is what one process has started.
type session struct {
	who      requester
	children []*child // in the order of their ids; those that ended stay until they were waited for
	frames   uint64   // budgets of those that have a process
	waits    []wait   // calls that wait, the first one first
}

// wait is a call that waits for the end of a child, or of any for id 0.
type wait struct {
	id       uint32
	deadline int64 // of the call, 0: none
	reply    ipc.Pending
}

// room reports whether a requester has a session with room for a child: if not, it is
// refused before policyd is asked.
func (s *server) room(who requester) ipc.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.sessions[who]
	switch {
	case ss == nil:
		return ipc.StatusNotFound
	case len(ss.children) == exec.MaxChildren:
		return exec.Quota.Status()
	}
	return ipc.StatusOK
}

// inSession does something with the requester's session, with the lock held, or answers
// that there is none.
func (s *server) inSession(q *ipc.Request, do func(ss *session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss := s.sessions[of(q)]; ss != nil {
		do(ss)
	} else {
		q.Reply(ipc.StatusNotFound, nil)
	}
}

// open begins a session. That its process lives is known from a call that it never
// answers, to an endpoint that the kernel closes when it ends.
func (s *server) open(q *ipc.Request) {
	if len(q.Payload()) != 0 {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	ep, err := q.Take().Send()
	if err != nil {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	status := ipc.StatusDenied
	if s.may(q, policy.Spawn, s.env.Name) {
		status = s.begin(of(q), ipc.NewClient(ep, exec.Protocol))
	}
	if status != ipc.StatusOK {
		ep.Close()
	}
	q.Reply(status, nil)
}

func (s *server) begin(who requester, tether *ipc.Client) ipc.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[who] != nil {
		return ipc.StatusInvalidArgs
	}
	if len(s.sessions) == exec.MaxSessions {
		return ipc.StatusOverLimit
	}
	ss := &session{who: who}
	s.sessions[who] = ss
	go func() {
		tether.Call(s.ctx, exec.OpTether, nil, nil) // however it ends, the session does
		tether.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over(ss)
	}()
	return ipc.StatusOK
}

// close ends the session of a requester.
func (s *server) close(q *ipc.Request) {
	if len(q.Payload()) != 0 {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	s.inSession(q, func(ss *session) {
		s.over(ss)
		q.Reply(ipc.StatusOK, nil)
	})
}

// over ends a session, if it has not ended yet, and its children. The lock is held.
func (s *server) over(ss *session) {
	if s.sessions[ss.who] != ss {
		return
	}
	delete(s.sessions, ss.who)
	for _, c := range slices.Clone(ss.children) {
		c.killed = true
		if c.bit < 0 {
			s.forget(c)
		} else if err := c.process.Kill(); err != nil && err != ipc.ErrNoEntry {
			s.log.Error("kill", "pid", c.process.PID, "err", err)
		}
	}
	for _, w := range ss.waits { // of a process that closed its session and lives
		w.reply.Reply(ipc.StatusNotFound, nil)
	}
	ss.waits = nil
}

// wait answers with the end of a child: at once if it is there, later if the caller
// wants to wait.
func (s *server) wait(q *ipc.Request) {
	d := wire.Read(q.Payload())
	id, flags := d.U32(), d.U8()
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	if flags&^exec.FlagNoWait != 0 {
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	s.inSession(q, func(ss *session) { s.await(ss, q, id, flags) })
}

// await is wait in a session. The lock is held.
func (s *server) await(ss *session, q *ipc.Request, id uint32, flags uint8) {
	known := false
	for _, c := range ss.children {
		if id != 0 && c.id != id {
			continue
		}
		known = true
		if c.ended {
			q.Reply(ipc.StatusOK, c.end.Append(q.Inline()))
			s.forget(c)
			return
		}
	}
	switch {
	case !known:
		q.Reply(ipc.StatusNotFound, nil)
	case flags&exec.FlagNoWait != 0:
		q.Reply(ipc.StatusUnavailable, nil)
	case !ss.room(s.env.Process.Now()):
		q.Reply(ipc.StatusOverLimit, nil)
	default:
		ss.waits = append(ss.waits, wait{id, q.Deadline, q.Detach()})
	}
}

// room forgets calls whose deadline has passed and reports whether one more fits.
func (ss *session) room(now int64) bool {
	ss.waits = slices.DeleteFunc(ss.waits, func(w wait) bool { return w.deadline != 0 && w.deadline <= now })
	return len(ss.waits) < exec.MaxWaits
}

// tell brings the end of c to the first call that waits for it. One that its caller
// has given up takes no answer, and the end stays for the next. The lock is held.
func (s *server) tell(c *child) {
	ss := c.session
	for i := 0; i < len(ss.waits); {
		w := ss.waits[i]
		if w.id != 0 && w.id != c.id {
			i++
			continue
		}
		ss.waits = slices.Delete(ss.waits, i, i+1)
		if err := w.reply.Reply(ipc.StatusOK, c.end.Append(nil)); err == nil {
			s.forget(c)
			return
		}
	}
}
