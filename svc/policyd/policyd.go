// Package policyd is the one authority on who may do what. It denies what its
// rules do not grant, knows who asks from the kernel alone, and brings an audit of
// every decision to the journal.
//
// The rules come with the process, as boot data; there is no way to change them
// while it runs. A policyd without valid rules does not start, and then nothing in
// the system is allowed.
package policyd

import (
	"context"
	"errors"
	"log/slog"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
)

// workers bounds the requests handled at once: syncs wait, so that one of them
// must not keep decisions from being made.
const workers = 4

// depth bounds the questions that wait. Enforcers ask one at a time.
const depth = 32

// server answers questions.
type server struct {
	rules *Rules
	audit *auditor
	log   *slog.Logger
	syncs chan struct{} // one token for each sync under way
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	rules, err := Decode(env.Process.Start().Data)
	if err != nil {
		return err
	}
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	logd := journal.Client{To: env.Dial("logd", journal.Protocol)}
	h := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	s := &server{rules: rules, audit: newAuditor(env.Process.Now), log: slog.New(h), syncs: make(chan struct{}, workers-1)}
	go h.Run(ctx, logd)
	go s.audit.run(ctx, logd, env.Log)
	return env.Serve(ctx, ipc.NewServer(ep, policy.Protocol, workers, s.handle), ep)
}

func (s *server) handle(q *ipc.Request) {
	switch q.Op {
	case policy.OpCheck:
		s.check(q)
	case policy.OpSync:
		s.sync(q)
	case policy.OpLogProbe:
		s.log.Info("core service log probe: policyd")
		q.Reply(ipc.StatusOK, nil)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

func (s *server) check(q *ipc.Request) {
	var question policy.Question
	if !question.Decode(q.Payload()) {
		s.audit.add(auditRecord{asker: q.SenderService, bad: true})
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	allow, reason := s.rules.Decide(q.SenderService, question)
	seq := s.audit.add(auditRecord{asker: q.SenderService, question: question, allow: allow, reason: reason})
	d := policy.Decision{Allow: allow, Reason: reason, Sequence: seq}
	q.Reply(ipc.StatusOK, d.Append(q.Inline()))
}

// sync lets all workers but one wait for the journal at the same time.
func (s *server) sync(q *ipc.Request) {
	select {
	case s.syncs <- struct{}{}:
		defer func() { <-s.syncs }()
	default:
		q.Reply(ipc.StatusOverLimit, nil)
		return
	}
	ctx, cancel := q.Context(context.Background())
	defer cancel()
	if err := s.audit.sync(ctx); err != nil && !errors.Is(err, context.Canceled) {
		q.Reply(ipc.StatusUnavailable, nil)
		return
	}
	q.Reply(ipc.StatusOK, nil)
}
