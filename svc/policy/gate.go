package policy

import (
	"context"
	"sync"
	"time"

	"nexus.internal/ipc"
)

// MaxKnown is about how many services a [Gate] knows at once whether they may pass: as
// many as a manifest has.
const MaxKnown = 64

// Refusal is how long a denial counts without another question, so that who repeats a
// request does not fill the audit.
const Refusal = time.Second

// Gate lets those use a service whom policyd allows it, and remembers what it said. It
// may be used by several goroutines.
type Gate struct {
	To         Client
	Capability string // that takes to pass
	Object     string
	Now        func() int64 // nanoseconds

	mu    sync.Mutex
	known map[uint64]verdict // by service id
}

type verdict struct {
	allow bool  // for ever: the rules of a running policyd do not change
	until int64 // of a denial
}

// Check returns [ipc.StatusOK] if and only if policyd allows it to the service,
// [ipc.StatusDenied] if it does not, and [ipc.StatusUnavailable] if there is no
// decision.
func (g *Gate) Check(ctx context.Context, service uint64) ipc.Status {
	g.mu.Lock()
	now := g.Now()
	v, known := g.known[service]
	if !known && !g.room(now) {
		g.mu.Unlock()
		return ipc.StatusUnavailable
	}
	g.mu.Unlock()
	switch {
	case known && v.allow:
		return ipc.StatusOK
	case known && now < v.until:
		return ipc.StatusDenied
	}
	err := g.To.Check(ctx, Question{Subject: service, Capability: g.Capability, Object: g.Object})
	if err != nil && err != ErrDenied {
		return ipc.StatusUnavailable
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.known = map[uint64]verdict{}
	}
	if len(g.known) < MaxKnown || known {
		g.known[service] = verdict{err == nil, g.Now() + int64(Refusal)}
	}
	if err != nil {
		return ipc.StatusDenied
	}
	return ipc.StatusOK
}

// room forgets denials whose time is over, if it must, and reports whether one more
// service can be known. The lock is held.
func (g *Gate) room(now int64) bool {
	if len(g.known) < MaxKnown {
		return true
	}
	for id, v := range g.known {
		if !v.allow && now >= v.until {
			delete(g.known, id)
		}
	}
	return len(g.known) < MaxKnown
}
