package policyd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"

	"errors"

	"nexus.internal/ipc"
)

// AuditScope is the scope of audit records in the journal.
const AuditScope = "policyd.audit"

// AuditQueue is how many audit records wait while logd is away: at logd's rate,
// what twenty seconds can deliver. Beyond that the oldest are lost, and their
// number is audited.
const AuditQueue = 512

// auditRecord is one decision.
type auditRecord struct {
	seq      uint64
	timeNS   int64
	asker    uint64
	question policy.Question
	allow    bool
	reason   policy.Reason
	bad      bool // the question did not decode
}

// record returns what the journal gets.
func (a *auditRecord) record() journal.Record {
	decision, level := "deny", journal.Warn
	if a.allow {
		decision, level = "allow", journal.Info
	}
	if a.bad {
		return journal.Record{Level: level, Scope: AuditScope, Text: "audit v1 decision=deny reason=malformed",
			Fields: fmt.Sprintf("sequence=%d\ntime_ns=%d\nenforcer=%016x\n", a.seq, a.timeNS, a.asker)}
	}
	q := &a.question
	return journal.Record{Level: level, Scope: AuditScope, Text: fmt.Sprintf("audit v1 decision=%s reason=%v", decision, a.reason),
		Fields: fmt.Sprintf("sequence=%d\ntime_ns=%d\nenforcer=%016x\nsubject=%016x\ncapability=%s\nobject=%s\ndecision=%s\nreason=%v\n",
			a.seq, a.timeNS, a.asker, q.Subject, q.Capability, q.Object, decision, a.reason)}
}

// auditor numbers decisions and brings them to the journal, in order.
type auditor struct {
	now    func() int64
	pace   int   // audits in a window of the journal
	began  int64 // of the one in which audits were sent last
	recent int   // sent in it

	mu      sync.Mutex
	seq     uint64
	queue   []auditRecord // oldest first
	sent    uint64        // sequence of the newest that is in the journal or lost
	lost    uint64        // not yet told
	changed chan struct{} // closed and replaced when queue or sent changes
}

func newAuditor(now func() int64) *auditor {
	return &auditor{now: now, pace: pace, changed: make(chan struct{})}
}

func (a *auditor) signal() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// add takes a decision and returns its number. It never blocks.
func (a *auditor) add(r auditRecord) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	r.seq, r.timeNS = a.seq, a.now()
	if len(a.queue) == AuditQueue {
		a.queue = a.queue[:copy(a.queue, a.queue[1:])]
		a.lost++
	}
	a.queue = append(a.queue, r)
	a.signal()
	return r.seq
}

// pace is how many audits are sent within a window of the journal: a little less than
// it takes from one sender, which leaves room for what policyd logs.
const pace = journal.Rate - 4

// wait returns when the next audit may be sent, and false when ctx has ended.
func (a *auditor) wait(ctx context.Context) bool {
	rest := a.began + int64(journal.Window) - a.now()
	if rest <= 0 {
		a.recent = 0
	} else if a.recent >= a.pace {
		t := time.NewTimer(time.Duration(rest))
		defer t.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		a.recent = 0
	}
	return true
}

// counted counts an audit that the journal has taken. A window begins when the first of
// it is there, which is not before the journal's own begins.
func (a *auditor) counted() {
	if a.recent == 0 {
		a.began = a.now()
	}
	a.recent++
}

// run sends the queue to the journal until ctx ends.
func (a *auditor) run(ctx context.Context, to journal.Client, log *slog.Logger) {
	for {
		a.mu.Lock()
		for len(a.queue) == 0 {
			changed := a.changed
			a.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			a.mu.Lock()
		}
		next, lost := a.queue[0], a.lost
		a.mu.Unlock()

		if lost > 0 {
			r := journal.Record{Level: journal.Error, Scope: AuditScope, Text: fmt.Sprintf("audit v1 lost=%d", lost)}
			if !a.send(ctx, to, &r, log) {
				return
			}
			a.mu.Lock()
			a.lost -= lost
			a.mu.Unlock()
		}
		r := next.record()
		if !a.send(ctx, to, &r, log) {
			return
		}
		a.mu.Lock()
		if len(a.queue) > 0 && a.queue[0].seq == next.seq { // not lost in the meantime
			a.queue = a.queue[:copy(a.queue, a.queue[1:])]
		}
		a.sent = next.seq
		a.signal()
		a.mu.Unlock()
	}
}

// send appends r, again and again, until the journal has it. It reports false when
// ctx has ended.
func (a *auditor) send(ctx context.Context, to journal.Client, r *journal.Record, log *slog.Logger) bool {
	if !a.wait(ctx) {
		return false
	}
	for {
		_, err := to.Append(ctx, r)
		if err == nil {
			a.counted()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, ipc.ErrClosed) {
			continue // connects again, with a back-off of its own
		}
		if !errors.Is(err, ipc.StatusRateLimited) {
			log.Error("audit does not reach the journal", "err", err)
		}
		t := time.NewTimer(journal.Window)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

// sync returns when every decision made so far is in the journal.
func (a *auditor) sync(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := a.seq
	for a.sent < want {
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			a.mu.Lock()
			return ctx.Err()
		case <-changed:
		}
		a.mu.Lock()
	}
	return nil
}
