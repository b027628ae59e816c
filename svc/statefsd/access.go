package statefsd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"nexus.internal/ipc"
	"nexus.internal/svc/policy"
)

// Limits of what is remembered of policyd's decisions.
const (
	maxSenders = policy.MaxKnown
	// maxDecisions bounds them for one sender: namespaces of others that a service works
	// with, in both directions.
	maxDecisions = 32
)

// access asks policyd who may read or write what is another's, and remembers what it
// said: a yes for ever, because the rules of a running policyd do not change, and a no
// for [policy.Refusal], so that who repeats a request does not fill the audit.
type access struct {
	policy policy.Client
	now    func() int64
	log    *slog.Logger

	mu      sync.Mutex
	senders map[uint64]map[string]decision // by service id and capability
}

type decision struct {
	allow bool
	until int64 // of a denial
}

// check returns [ipc.StatusOK] if and only if policyd allows a capability to a service.
// [ipc.StatusRateLimited]: it asks about too many things at once.
func (a *access) check(ctx context.Context, service uint64, capability, object string) ipc.Status {
	a.mu.Lock()
	d, known := a.senders[service][capability]
	now := a.now()
	if !known && !a.room(service, now) {
		a.mu.Unlock()
		return ipc.StatusRateLimited
	}
	a.mu.Unlock()
	switch {
	case known && d.allow:
		return ipc.StatusOK
	case known && now < d.until:
		return ipc.StatusDenied
	}
	err := a.policy.Check(ctx, policy.Question{Subject: service, Capability: capability, Object: object})
	if err != nil && err != policy.ErrDenied {
		return ipc.StatusUnavailable
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known || a.room(service, now) { // several may have asked at once
		if a.senders == nil {
			a.senders = map[uint64]map[string]decision{}
		}
		if a.senders[service] == nil {
			a.senders[service] = map[string]decision{}
		}
		a.senders[service][capability] = decision{err == nil, a.now() + int64(policy.Refusal)}
	}
	if err != nil {
		a.log.Warn("access denied", "sender", fmt.Sprintf("0x%016x", service), "cap", capability)
		return ipc.StatusDenied
	}
	return ipc.StatusOK
}

// room forgets denials whose time is over, if it must, and reports whether one more
// decision about a service can be remembered. The lock is held.
func (a *access) room(service uint64, now int64) bool {
	of, known := a.senders[service]
	if known && len(of) < maxDecisions || !known && len(a.senders) < maxSenders {
		return true
	}
	for id, of := range a.senders {
		for c, d := range of {
			if !d.allow && now >= d.until {
				delete(of, c)
			}
		}
		if len(of) == 0 {
			delete(a.senders, id)
		}
	}
	of, known = a.senders[service]
	return known && len(of) < maxDecisions || !known && len(a.senders) < maxSenders
}
