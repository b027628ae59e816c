// Package statefsd serves the store of the system, package statefs, to whoever may use
// it: see package state for the language.
//
// Invariants:
//
//   - Who asks is the service that the kernel names. In the namespace of its own name it
//     may do what it likes, within a quota; for every other one policyd is asked, for each
//     service, namespace and direction, and no answer is a no.
//   - StatusOK for a change says that it is on the disk. There is no store but the one on
//     the disk: without it everybody gets an error.
//   - A list shows no key of a namespace that its reader may not read.
//   - Everything that a client can make grow has a limit, and takes nothing from another
//     client's: namespaces have quotas, memory for long values is taken for few requests
//     at a time, and watches are counted.
package statefsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
)

const (
	// depth bounds the requests that wait to be received.
	depth = 64
	// workers is how many changes can share a flush. Each is a goroutine.
	workers = 32
	// maxLong bounds the requests with values that come or go in a VMO: of each there is a
	// copy in memory, of a change what is encrypted of it, and what is moved to make room.
	maxLong = 1
)

// server is the service.
type server struct {
	env    *svc.Env
	ctx    context.Context
	log    *slog.Logger
	access access
	store  keeper
	sealed map[string]bool // namespaces whose values are encrypted
	work   chan *request
	long   chan struct{} // holds a token for each request with a long value
	watch  watches
}

// Serve is the service, with a store that open opens, when it is started and again when
// the disk has failed. The arguments of the service name what is encrypted:
// sealed=<namespace>.
func Serve(ctx context.Context, env *svc.Env, open func(context.Context) (*statefs.Store, error)) error {
	h := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	s := &server{env: env, ctx: ctx, log: slog.New(h), sealed: map[string]bool{}, work: make(chan *request), long: make(chan struct{}, maxLong)}
	for _, a := range env.Args {
		var namespace string
		if n, err := fmt.Sscanf(a, "sealed=%s", &namespace); n == 1 && err == nil {
			s.sealed[namespace] = true
		}
	}
	s.access = access{policy: policy.Client{To: env.Dial("policyd", policy.Protocol)}, now: env.Process.Now, log: slog.New(h.WithScope("statefsd.audit"))}
	s.store = keeper{open: open, now: env.Process.Now, log: s.log}
	go h.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	if _, err := s.store.get(ctx); err != nil {
		env.Say("statefsd: no store: %v", err)
	}
	for range workers {
		go func() {
			for r := range s.work {
				s.handle(r)
			}
		}()
	}
	// One receives: what it can answer without waiting for anybody is one system call.
	return env.Serve(ctx, ipc.NewServer(ep, state.Protocol, 1, s.receive), ep)
}

// own reports whether a namespace is the one of the service's name.
func own(service uint64, namespace string) bool { return manifest.ServiceID(namespace) == service }

// allowed returns StatusOK if the sender may read, or write, a namespace.
func (s *server) allowed(r *request, namespace string, write bool) ipc.Status {
	if own(r.service, namespace) {
		return ipc.StatusOK
	}
	capability := state.ReadCapability(namespace)
	if write {
		capability = state.WriteCapability(namespace)
	}
	return s.access.check(s.ctx, r.service, capability, namespace)
}

// key decodes the one key of a request and returns it as the store has it, if the sender
// may read or write it.
func (s *server) key(r *request, b []byte, write bool) (key, namespace string, status ipc.Status) {
	key = string(b)
	namespace, _, ok := state.CutKey(key)
	if !ok {
		return "", "", state.StatusInvalidKey
	}
	return key[len(state.Root):], namespace, s.allowed(r, namespace, write)
}

// reach returns the store for a request that may be made, as its status says. Otherwise,
// or if there is no store, it answers and returns nil.
func (s *server) reach(r *request, status ipc.Status) *statefs.Store {
	if status != ipc.StatusOK {
		r.reply(status, nil)
		return nil
	}
	store, err := s.store.get(s.ctx)
	if err != nil {
		r.reply(state.StatusNoStore, nil)
		return nil
	}
	return store
}

// failed answers with what went wrong in the store.
func (s *server) failed(r *request, store *statefs.Store, err error) {
	if gone(err) || store.Info().Stopped != nil {
		s.store.drop(store, err)
	}
	r.reply(statusOf(err), nil)
}

// statusOf returns the status for an error of the store.
func statusOf(err error) ipc.Status {
	for _, c := range []struct {
		err    error
		status ipc.Status
	}{
		{statefs.ErrNotFound, ipc.StatusNotFound},
		{statefs.ErrConflict, state.StatusConflict},
		{statefs.ErrQuota, state.StatusQuota},
		{statefs.ErrFull, state.StatusFull},
		{statefs.ErrTooManyKeys, state.StatusFull},
		{statefs.ErrTooLarge, state.StatusTooLong},
		{statefs.ErrInvalidKey, state.StatusInvalidKey},
		{statefs.ErrMissed, state.StatusMissed},
		{statefs.ErrIntegrity, state.StatusIntegrity},
		{statefs.ErrCorrupt, state.StatusCorrupt},
		{statefs.ErrStopped, state.StatusDevice},
		{statefs.ErrDevice, state.StatusDevice},
	} {
		if errors.Is(err, c.err) {
			return c.status
		}
	}
	return ipc.StatusInternal
}
