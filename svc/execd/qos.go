package execd

import (
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// Why a request for a class of service is decided as it is, in the words of the
// described system.
const (
	qosApplied    = "applied"
	qosInvalid    = "invalid_qos_class"
	qosNoTarget   = "invalid_target_pid"
	qosOther      = "unauthorized_other_pid"
	qosEscalation = "unauthorized_escalation"
)

// audit has a line for each decision. Without a target, or with classes that are none,
// the line ends before them.
func (s *server) audit(who requester, decision, reason string, target uint32, from, to abi.QoS) {
	line := fmt.Sprintf("QOS-AUDIT decision=%s reason=%s caller_sid=0x%016x caller_pid=%d target_pid=%d", decision, reason, who.service, who.pid, target)
	if from.Valid() && to.Valid() {
		line += fmt.Sprintf(" from=%v to=%v", from.Class(), to.Class())
	}
	s.qos.Info(line)
}

// mayQoS decides whether a requester may have a child, which has from, changed to q. A
// refusal is audited here. Nothing that is out of range is taken for what is next to it.
func (s *server) mayQoS(r *ipc.Request, q, from abi.QoS, target uint32) ipc.Status {
	who := of(r)
	if !q.Valid() {
		s.audit(who, "deny", qosInvalid, target, from, q)
		return ipc.StatusInvalidArgs
	}
	if !s.may(r, policy.QoS+q.Class().String(), s.env.Name) || q.Share() > abi.DefaultShare && !s.may(r, policy.QoSShare, s.env.Name) {
		s.audit(who, "deny", qosEscalation, target, from, q)
		return ipc.StatusDenied
	}
	return ipc.StatusOK
}

// target returns the child with that id that runs, if it is one of the requester's.
// If not, the reason says whether it is another's.
func (s *server) target(who requester, id uint32) (c *child, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.running {
		switch {
		case c == nil || c.id != id:
		case c.session.who != who:
			return nil, qosOther
		default:
			return c, ""
		}
	}
	return nil, qosNoTarget
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
			s.audit(who, "deny", reason, 0, 0, to)
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
		s.audit(who, "deny", qosInvalid, c.process.PID, was, to)
		q.Reply(ipc.StatusInvalidArgs, nil)
	case err != nil: // it has ended
		q.Reply(ipc.StatusNotFound, nil)
	default:
		if to != 0 {
			s.audit(who, "allow", qosApplied, c.process.PID, was, to)
		}
		q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), uint64(was)))
	}
}
