// Package keystored keeps the device's identity and other services' secrets, on a
// partition of its own of the disk (package vault.go says how).
//
// Invariants:
//
//   - The private key of the device never leaves the process. It is in the clear for the
//     time of one signature.
//   - An identity is made once, on a partition where nothing ever was. What cannot be read
//     is an error for everybody who asks, and not made anew.
//   - Who asks is known from the kernel, and may only what policyd allows that service.
//     What a service keeps, has derived or counts is found under its id alone.
//   - What is secret is sealed where it is kept, wiped where this package is done with it,
//     and never logged.
package keystored

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/statefs"
)

const (
	depth = 32 // requests that may wait
	// workers: one request waits for the disk, the others for policyd.
	workers = 4
)

// server is the service.
type server struct {
	env   *svc.Env
	log   *slog.Logger
	vault *vault // nil: there are no keys
	gates map[string]*policy.Gate
	fail  context.CancelCauseFunc // ends the service
}

// serve answers for the keys of a partition, or, with the reason why there are none, that
// there are none.
func serve(ctx context.Context, env *svc.Env, v *vault, none error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	s := &server{env: env, log: slog.New(h), vault: v, gates: map[string]*policy.Gate{}, fail: cancel}
	go h.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	policyd := policy.Client{To: env.Dial("policyd", policy.Protocol)}
	for _, capability := range capabilities() {
		s.gates[capability] = &policy.Gate{To: policyd, Capability: capability, Object: "keys", Now: env.Process.Now}
	}
	switch {
	case v == nil:
		env.Say("keystored: no keys: %v", none)
	case v.made:
		s.log.Info("device key generated")
	}
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	err = env.Serve(ctx, ipc.NewServer(ep, keystore.Protocol, workers, func(q *ipc.Request) { s.handle(ctx, q) }), ep)
	if v != nil {
		v.wipe()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// capabilities are all that policyd is asked about.
func capabilities() []string {
	list := []string{keystore.Secrets, keystore.Epoch, keystore.Sign, keystore.Verify, keystore.PublicKey}
	for _, label := range keystore.Labels {
		list = append(list, keystore.Derive+label)
	}
	return list
}

func (s *server) handle(ctx context.Context, q *ipc.Request) {
	defer clear(q.Payload()) // it may have been a secret
	r := request{q.Op, q.SenderService, q.Payload(), q.Take, s.env.Process}
	op, status := r.decode()
	if status == ipc.StatusOK {
		status = s.check(ctx, q.SenderService, op.capability)
	}
	if status == ipc.StatusOK && s.vault == nil {
		status = keystore.StatusNoKeys
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	reply, err := op.do(s.vault)
	defer clear(reply)
	if err != nil {
		q.Reply(s.statusOf(err), nil)
		return
	}
	q.ReplySecret(ipc.StatusOK, reply)
}

// check asks whether a service has a capability. One that there is no gate for is that of
// a label that no key is derived for.
func (s *server) check(ctx context.Context, service uint64, capability string) ipc.Status {
	gate := s.gates[capability]
	if gate == nil {
		return ipc.StatusNotFound
	}
	return gate.Check(ctx, service)
}

// statusOf returns what a client hears of an error.
func (s *server) statusOf(err error) ipc.Status {
	if status, ok := err.(ipc.Status); ok { // not one that an error of the disk wraps
		return status
	}
	switch {
	case errors.Is(err, statefs.ErrNotFound):
		return ipc.StatusNotFound
	case errors.Is(err, errSecrets):
		return ipc.StatusOverLimit
	case errors.Is(err, errBackwards):
		return keystore.StatusBackwards
	case errors.Is(err, statefs.ErrFull), errors.Is(err, statefs.ErrTooManyKeys):
		return keystore.StatusFull
	}
	s.log.Error("cannot serve", "err", err)
	switch {
	case errors.Is(err, errSeal), errors.Is(err, statefs.ErrCorrupt), errors.Is(err, statefs.ErrIntegrity):
		return keystore.StatusDamaged
	case errors.Is(err, statefs.ErrDevice), errors.Is(err, statefs.ErrStopped):
		// The store knows no more what the disk has. It is opened again.
		s.fail(fmt.Errorf("disk: %w", err))
		return ipc.StatusUnavailable
	}
	return ipc.StatusInternal
}
