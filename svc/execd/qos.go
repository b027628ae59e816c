package execd

import (
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// audit records a decision.
func (s *server) audit(who requester, reason policy.QoSReason, target uint32, from, to abi.QoS) {
	a := policy.QoSAudit{Reason: reason, Service: who.service, PID: who.pid, Target: target, From: from, To: to}
	s.qos.Info(a.String())
}

// mayQoS decides whether a requester may have a child, which has from, changed to q. A
// refusal is audited here. Nothing that is out of range is taken for what is next to it.
func (s *server) mayQoS(r *ipc.Request, q, from abi.QoS, target uint32) ipc.Status {
	who := of(r)
	if !q.Valid() {
		s.audit(who, policy.QoSInvalid, target, from, q)
		return ipc.StatusInvalidArgs
	}
	if slices.ContainsFunc(policy.ForQoS(q), func(needed string) bool { return !s.may(r, needed, s.env.Name) }) {
		s.audit(who, policy.QoSEscalation, target, from, q)
		return ipc.StatusDenied
	}
	return ipc.StatusOK
}

// target returns the child with that id that runs, if it is one of the requester's.
// If not, the reason says whether it is another's.
func (s *server) target(who requester, id uint32) (c *child, reason policy.QoSReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.running {
		switch {
		case c == nil || c.id != id:
		case c.session.who != who:
			return nil, policy.QoSOther
		default:
			return c, ""
		}
	}
	return nil, policy.QoSNoTarget
}

// changeQoS tells and changes how a child shares the harts.
func (s *server) changeQoS(q *ipc.Request) {
	d := wire.Read(q.Payload())
	id, to := d.U32(), abi.QoS(d.U64())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	who := of(q)
	c, reason := s.target(who, id)
	if c == nil {
		if to != 0 {
			s.audit(who, reason, 0, 0, to)
		}
		// Whose it is, if anybody's, is not told to others.
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	was, err := c.process.QoS()
	if err == nil && to != 0 {
		if status := s.mayQoS(q, to, was, c.process.PID); status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
		was, err = c.process.SetQoS(to)
	}
	switch {
	case err == ipc.ErrInvalid: // none of its harts is there
		s.audit(who, policy.QoSInvalid, c.process.PID, was, to)
		q.Reply(ipc.StatusInvalidArgs, nil)
	case err != nil: // it has ended
		if to != 0 {
			s.audit(who, policy.QoSNoTarget, c.process.PID, was, to)
		}
		q.Reply(ipc.StatusNotFound, nil)
	default:
		if to != 0 {
			s.audit(who, policy.QoSApplied, c.process.PID, was, to)
		}
		q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), uint64(was)))
	}
}
