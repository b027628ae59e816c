package initd

import (
	"context"
	"errors"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/policy"
)

// A service whose manifest says how it shares the harts starts with what is both within
// that and within what everybody has. The rest it gets when policyd has agreed, which may
// be later: policyd is a service too. Without a yes it stays as it started, so that
// nobody ever has more than the policy grants, and nobody more than the manifest says.
// Each decision is a record of the journal.

// initialQoS returns what a service starts with that is to have q.
func initialQoS(q abi.QoS) abi.QoS {
	if q == 0 {
		return 0
	}
	return abi.NewQoS(min(q.Class(), abi.DefaultQoS.Class()), min(q.Share(), abi.DefaultShare), q.Harts())
}

// classify gives c, which runs as p, the QoS of its manifest if policyd agrees.
func (s *supervisor) classify(c *child, p ipc.Child) {
	reason := policy.QoSEscalation
	if s.mayQoS(c) {
		reason = policy.QoSApplied
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := initialQoS(c.service.QoS)
	if reason == policy.QoSApplied {
		if _, err := p.SetQoS(c.service.QoS); err != nil { // it has ended
			reason = policy.QoSNoTarget
		}
	}
	if c.process == p { // and is no successor
		c.classified = true
		s.change()
	}
	s.auditQoS(c, reason, p.PID, was)
}

// mayQoS asks policyd whether c may have the QoS of its manifest.
func (s *supervisor) mayQoS(c *child) bool {
	return s.awaitPolicy(c) && !slices.ContainsFunc(policy.ForQoS(c.service.QoS), func(needed string) bool {
		return !s.ask(c, needed, c.service.Name)
	})
}

// auditQoS records a decision about the QoS of c.
func (s *supervisor) auditQoS(c *child, reason policy.QoSReason, target uint32, was abi.QoS) {
	self := s.env.Process.Start()
	a := policy.QoSAudit{Reason: reason, Service: self.ServiceID, PID: self.PID, Target: target, From: was, To: c.service.QoS}
	s.qos.Info(a.String())
}

// refusedQoS records that c was not created if that was because of its QoS: none of the
// harts that its manifest names is there.
func (s *supervisor) refusedQoS(c *child, err error) {
	if c.service.QoS != 0 && errors.Is(err, ipc.ErrInvalid) {
		s.auditQoS(c, policy.QoSInvalid, 0, 0)
	}
}

// awaitClassified waits until it is decided about all services that run at boot.
func (s *supervisor) awaitClassified(ctx context.Context) {
	for _, c := range s.children {
		if c.service.QoS != 0 && !c.service.Demand {
			s.await(ctx, func() bool { return c.classified || !c.alive })
		}
	}
}
