// Package logd keeps the journal: a bounded memory of what services said, with who
// said it as the kernel knows it. What does not fit the limits is refused with a
// status of its own; what is old makes room for what is new, and is counted.
//
// Anybody whom init connects may write; to read takes the capability log.read, about
// which logd asks policyd. That is also all that it asks of anybody.
package logd

import (
	"context"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// depth bounds the requests that wait: every service may log at the same moment.
const depth = 64

// MaxWaiters bounds the callers that wait for the next record.
const MaxWaiters = 16

// MaxReaders bounds the services about which it is known whether they may read: as
// many as a manifest has.
const MaxReaders = 64

type server struct {
	env    *svc.Env
	policy policy.Client

	mu      sync.Mutex // guards what follows: the first query of a reader has a goroutine
	store   *store
	waiters []waiter
	said    map[ipc.Status]bool
	readers map[uint64]reader // by service id
}

// reader is what is known about a service that wants to read.
type reader struct {
	asking bool
	allow  bool  // for ever: the rules of a running policyd do not change
	until  int64 // a denial counts so long, so that who repeats a query does not fill the audit
}

// waiter is a caller that waits for a record newer than after.
type waiter struct {
	after    uint64
	deadline int64 // of its call, 0: none
	reply    ipc.Pending
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	s := &server{env: env, policy: policy.Client{To: env.Dial("policyd", policy.Protocol)},
		store: newStore(), said: map[ipc.Status]bool{}, readers: map[uint64]reader{}}
	// One worker: no request waits for anything.
	return env.Serve(ctx, ipc.NewServer(ep, journal.Protocol, 1, s.handle), ep)
}

func (s *server) handle(q *ipc.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.Op {
	case journal.OpAppend:
		s.append(q)
	case journal.OpQuery:
		s.query(q)
	case journal.OpStats:
		st := s.store.stats()
		q.Reply(ipc.StatusOK, st.Append(q.Inline()))
	case journal.OpAwait:
		s.await(q)
	case journal.OpLogProbe:
		s.add(s.env.Process.Start().ServiceID, &journal.Record{Level: journal.Info, Scope: s.env.Name, Text: "core service log probe: logd"})
		q.Reply(ipc.StatusOK, nil)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// query answers with a page of the journal, if the sender may read it.
func (s *server) query(q *ipc.Request) {
	d := wire.Read(q.Payload())
	after, limit, scope := d.U64(), int(d.U16()), string(d.String8())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	id, now := q.SenderService, s.env.Process.Now()
	switch r, known := s.readers[id]; {
	case r.allow:
		q.Reply(ipc.StatusOK, s.store.query(after, limit, scope).Append(q.Large()))
		return
	case r.asking:
		q.Reply(ipc.StatusUnavailable, nil) // one question about a service at a time
		return
	case known && now < r.until:
		q.Reply(ipc.StatusDenied, nil)
		return
	case !known && !s.roomForReader(now):
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	s.readers[id] = reader{asking: true}
	reply := q.Detach()
	go func() {
		status, page := s.mayRead(id), []byte(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		if status == ipc.StatusOK {
			page = s.store.query(after, limit, scope).Append(nil)
		}
		if err := reply.Reply(status, page); err == ipc.ErrTooLarge {
			reply.Reply(ipc.StatusTooLarge, nil)
		}
	}()
}

// roomForReader forgets denials whose time is over and reports whether one more
// service can be asked about.
func (s *server) roomForReader(now int64) bool {
	if len(s.readers) < MaxReaders {
		return true
	}
	for id, r := range s.readers {
		if !r.allow && !r.asking && now >= r.until {
			delete(s.readers, id)
		}
	}
	return len(s.readers) < MaxReaders
}

// mayRead asks policyd, which audits the question. No decision is no leave, but no
// denial to remember either.
func (s *server) mayRead(id uint64) ipc.Status {
	err := s.policy.Check(context.Background(), policy.Question{Subject: id, Capability: policy.ReadLog, Object: "journal"})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err {
	case nil:
		s.readers[id] = reader{allow: true}
		return ipc.StatusOK
	case policy.ErrDenied:
		s.readers[id] = reader{until: s.env.Process.Now() + int64(journal.Window)}
		return ipc.StatusDenied
	}
	delete(s.readers, id)
	s.env.Log.Warn("no decision about a reader", "err", err)
	return ipc.StatusUnavailable
}

func (s *server) append(q *ipc.Request) {
	var r journal.Record
	status := r.Decode(q.Payload())
	if status == ipc.StatusOK && !s.store.admit(q.SenderService, s.env.Process.Now()) {
		status = ipc.StatusRateLimited
	}
	if status != ipc.StatusOK {
		s.store.rejected++
		s.say(status)
		q.Reply(status, nil)
		return
	}
	id := s.add(q.SenderService, &r)
	b := wire.AppendU64(q.Inline(), id)
	q.Reply(ipc.StatusOK, wire.AppendU64(b, s.store.dropped))
}

// add keeps a record and answers those who wait for one.
func (s *server) add(sender uint64, r *journal.Record) uint64 {
	id := s.store.append(sender, r, s.env.Process.Now())
	for _, w := range s.waiters {
		// A caller that has given up since is none of our business.
		w.reply.Reply(ipc.StatusOK, wire.AppendU64(nil, id))
	}
	s.waiters = s.waiters[:0]
	return id
}

// await answers at once if there is a newer record, and otherwise with the next.
func (s *server) await(q *ipc.Request) {
	d := wire.Read(q.Payload())
	after := d.U64()
	switch {
	case !d.Done():
		q.Reply(ipc.StatusMalformed, nil)
	case after < s.store.total:
		q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), s.store.total))
	case !s.room():
		q.Reply(ipc.StatusOverLimit, nil)
	default:
		deadline := q.Deadline
		if deadline == 0 {
			// Without one it could hold its place for ever.
			deadline = s.env.Process.Now() + int64(time.Minute)
		}
		s.waiters = append(s.waiters, waiter{after, deadline, q.Detach()})
	}
}

// room forgets waiters whose deadline has passed and reports whether one more fits.
func (s *server) room() bool {
	now := s.env.Process.Now()
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if w.deadline > now {
			kept = append(kept, w)
		} else {
			w.reply.Reply(ipc.StatusUnavailable, nil) // in case it still waits
		}
	}
	s.waiters = kept
	return len(s.waiters) < MaxWaiters
}

// say writes the marker of a kind of refusal, the first time.
func (s *server) say(status ipc.Status) {
	if s.said[status] {
		return
	}
	s.said[status] = true
	switch status {
	case ipc.StatusInvalidArgs:
		s.env.Say("logd: reject invalid_args")
	case ipc.StatusOverLimit:
		s.env.Say("logd: reject over_limit")
	case ipc.StatusRateLimited:
		s.env.Say("logd: reject rate_limited")
	case ipc.StatusMalformed:
		s.env.Log.Warn("reject malformed")
	}
}
