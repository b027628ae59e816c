// Package rngd gives out entropy: of the machine's entropy device, after health tests,
// through a generator that is seeded from it again and again. There is no other source.
// Without the device, and when that says nothing or fails a test, nobody gets entropy,
// and rngd ends; a restart begins with a reset of the device and the start-up test.
//
// Who asks must have the capability [rng.Capability] by the policy. What is given out,
// or went into it, is never logged, and is wiped where this package is done with it.
package rngd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
	"nexus.internal/svc/wire"
)

const (
	depth = 32 // requests that may wait
	// workers: one request at a time waits for the device, the others for policyd.
	workers = 4
)

// server is the service.
type server struct {
	env    *svc.Env
	gate   policy.Gate
	gen    *generator
	fail   context.CancelCauseFunc // ends the service
	mapped sync.Once
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &server{env: env, fail: cancel, gate: policy.Gate{
		To: policy.Client{To: env.Dial("policyd", policy.Protocol)}, Capability: rng.Capability, Object: "entropy", Now: env.Process.Now}}
	d, err := openDevice(ctx, env)
	if err == nil {
		s.gen, err = start(ctx, d)
	}
	if err != nil {
		env.Say("rngd: no entropy: %v", err)
		return err
	}
	ep, err := env.Process.NewEndpoint(depth, abi.MaxInline)
	if err != nil {
		return err
	}
	err = env.Serve(ctx, ipc.NewServer(ep, rng.Protocol, workers, func(q *ipc.Request) { s.handle(ctx, q) }), ep)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// start returns a generator that a device seeded which has passed the start-up test.
func start(ctx context.Context, d device) (*generator, error) {
	source, err := newSource(ctx, d)
	if err != nil {
		return nil, err
	}
	return newGenerator(ctx, source, time.Now)
}

func (s *server) handle(ctx context.Context, q *ipc.Request) {
	if q.Op != rng.OpGet {
		q.Reply(ipc.StatusUnsupported, nil)
		return
	}
	n, status := size(q.Payload())
	if status == ipc.StatusOK {
		status = s.gate.Check(ctx, q.SenderService)
	}
	if status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	var b [rng.MaxBytes]byte
	defer clear(b[:])
	if err := s.gen.read(ctx, b[:n]); err != nil {
		q.Reply(ipc.StatusUnavailable, nil)
		s.fail(fmt.Errorf("entropy: %w", err))
		return
	}
	s.mapped.Do(func() { s.env.Say("rngd: mmio window mapped ok") })
	q.Reply(ipc.StatusOK, b[:n])
}

// size decodes a request.
func size(payload []byte) (int, ipc.Status) {
	d := wire.Read(payload)
	n := int(d.U16())
	switch {
	case !d.Done():
		return 0, ipc.StatusMalformed
	case n == 0:
		return 0, ipc.StatusInvalidArgs
	case n > rng.MaxBytes:
		return 0, ipc.StatusOverLimit
	}
	return n, ipc.StatusOK
}
