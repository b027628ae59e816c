package selftest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/control"
	"nexus.internal/svc/hostile"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/timer"
)

// Services that attack, started on demand.
const (
	attackerName = "hostile"
	peerName     = "hostile-peer" // one that this service may call
)

// answerWithin is the deadline by which every service must answer while it or
// another one is attacked, and afterwards.
const answerWithin = time.Second

// pings is how often all services are asked while an attack goes on.
const pings = 20

// strike is one attack and how it must end.
type strike struct {
	name   string
	in     string // the service that runs it
	pair   bool   // the other one runs it too
	during func(ctx context.Context, t *tester) error
	kill   bool // ends only when it is killed
	ended  func(control.Exit) error
}

// held: the attacker itself says that everything was refused.
func held(e control.Exit) error { return want("exit status", e.Status, hostile.Held) }

func status(allowed ...int) func(control.Exit) error {
	return func(e control.Exit) error {
		if !slices.Contains(allowed, e.Status) {
			return fmt.Errorf("exit status %d (cause %d at %#x), want one of %d", e.Status, e.Cause, e.Addr, allowed)
		}
		return nil
	}
}

// panicked is the exit status of a Go program that the runtime ends.
const panicked = 2

const loadPageFault = 13 // scause

// strikes returns all attacks, in the order of the ladder.
func strikes() []strike {
	return []strike{
		{name: "kernel-memory", ended: held},
		{name: "foreign-memory", ended: held},
		{name: "text-write", ended: held},
		{name: "heap-exec", ended: held},
		{name: "privileged", ended: held},
		{name: "fault-kernel", ended: func(e control.Exit) error {
			if e.PC < abi.ImageBase || e.PC >= abi.MapBase {
				return fmt.Errorf("recorded pc %#x is not in the program", e.PC)
			}
			e.PC = 0
			return want("how it ended", e, control.Exit{Status: abi.ExitFault, Cause: loadPageFault, Addr: hostile.FaultAddr})
		}},
		{name: "syscall-fuzz", ended: held},
		{name: "frame-fuzz", ended: held},
		{name: "forged-identity", ended: held},
		{name: "handles", ended: held},
		{name: "widening", ended: held},
		{name: "classes", ended: held},
		{name: "entropy", ended: held},
		{name: "disk", ended: held},
		{name: "keys", ended: held},
		{name: "state", ended: held},
		{name: "timers", during: timersUnderAttack, kill: true, ended: status(abi.ExitKilled)},
		{name: "device-misuse", ended: held},
		{name: "device-storm", during: underAttack, kill: true, ended: status(abi.ExitKilled)},
		{name: "device-death", ended: status(hostile.DiedDriving)},
		{name: "flood", during: underAttack, kill: true, ended: status(abi.ExitKilled)},
		{name: "flood-pair", pair: true, during: underAttack, kill: true, ended: status(abi.ExitKilled)},
		{name: "handle-exhaustion", ended: held},
		{name: "thread-bomb", ended: held},
		{name: "vmo-exhaustion", ended: held},
		{name: "heap-exhaustion", ended: status(abi.ExitNoMem, panicked)},
		{name: "stack-exhaustion", ended: status(abi.ExitNoMem, panicked)},
		{name: "fork-bomb", ended: held},
		{name: "spinner", during: underAttack, kill: true, ended: status(abi.ExitKilled)},
		{name: "die-calling", in: peerName, during: calledByDying, ended: status(hostile.DiedCalling)},
		{name: "die-serving", in: peerName, during: callDying, ended: status(hostile.DiedServing)},
	}
}

// attackProofs returns the proofs of the attacks that list names, or of all.
func attackProofs(list string) (ps []proof) {
	for _, s := range strikes() {
		if s.in == "" {
			s.in = attackerName
		}
		if list == "" || slices.Contains(strings.Split(list, ","), s.name) {
			ps = append(ps, proof{"attack " + s.name, func(ctx context.Context, t *tester) error { return t.strike(ctx, s) }})
		}
	}
	return ps
}

// strike runs an attack and verifies that it changed nothing for anybody else.
func (t *tester) strike(ctx context.Context, s strike) error {
	if t.base == nil {
		base, err := t.calm(ctx)
		if err != nil {
			return fmt.Errorf("usage before: %w", err)
		}
		t.base = base
	}
	if _, err := t.env.Control.Start(ctx, s.in, s.name); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	var err error
	if s.pair {
		_, err = t.env.Control.Start(ctx, peerName, s.name)
	}
	if s.during != nil && err == nil {
		err = s.during(ctx, t)
	}
	if s.pair {
		peer, endErr := t.env.Control.End(ctx, peerName, true)
		err = errors.Join(err, endErr, want("status of the second attacker", peer.Status, abi.ExitKilled))
	}
	exit, endErr := t.env.Control.End(ctx, s.in, s.kill || err != nil)
	if err != nil {
		return fmt.Errorf("while it went on: %w", err)
	}
	if endErr != nil {
		return fmt.Errorf("waiting for its end: %w", endErr)
	}
	if err := s.ended(exit); err != nil {
		return err
	}
	if err := t.answers(ctx); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return t.unchanged(ctx)
}

// answers asks every service something, each with a deadline.
func (t *tester) answers(ctx context.Context) error {
	for _, s := range []struct {
		name string
		ask  func(context.Context) error
	}{
		{"init", func(ctx context.Context) error {
			_, _, _, err := t.env.Control.WhoAmI(ctx)
			return err
		}},
		{"policyd", func(ctx context.Context) error {
			_, err := t.policyd.Call(ctx, 0x50, nil, nil)
			if errors.Is(err, ipc.StatusUnsupported) {
				return nil // an answer, and one without an audit
			}
			return fmt.Errorf("unknown operation: %v", err)
		}},
		{"execd", func(ctx context.Context) error {
			if t.session == nil {
				return nil // not in this system
			}
			_, err := t.session.Ended(ctx, 0)
			if errors.Is(err, ipc.StatusNotFound) {
				return nil // no children
			}
			return fmt.Errorf("wait for no children: %v", err)
		}},
		{"logd", func(ctx context.Context) error {
			_, err := t.journal.Stats(ctx)
			return err
		}},
		{"keystored", func(ctx context.Context) error {
			if t.device == [keystore.PublicKeySize]byte{} {
				return nil // not in this system
			}
			key, err := t.keys().PublicKey(ctx)
			return errors.Join(err, want("key of the device", key, t.device))
		}},
		{"timed", func(ctx context.Context) error {
			if t.timed == nil {
				return nil // not in this system
			}
			_, err := timer.Client{To: t.timed}.Sleep(ctx, abi.PerfBurst, 1)
			return err
		}},
	} {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		err := s.ask(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// underAttack asks all services again and again while an attack goes on, and policyd
// for a real decision too.
func underAttack(ctx context.Context, t *tester) error {
	for i := range pings {
		if err := t.answers(ctx); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	ep, err := t.env.Control.Connect(ctx, "logd")
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	ep.Close()
	q := policy.Question{Subject: t.self, Capability: granted, Object: "selftest.attack"}
	return t.policy.Check(ctx, q)
}

// callDying calls a service that answers, hangs and dies.
func callDying(ctx context.Context, t *tester) error {
	r := t.env.Dial(peerName, hostile.ServeProtocol)
	var resp [8]byte
	n, err := r.Call(ctx, hostile.OpEcho, []byte("alive"), resp[:])
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if err := want("echo", string(resp[:n]), "alive"); err != nil {
		return err
	}
	c, err := r.Client(ctx)
	if err != nil {
		return err
	}
	call, err := c.NewCall()
	if err != nil {
		return err
	}
	call.SetDeadline(t.env.Process.Now() + int64(20*time.Millisecond))
	_, err = call.DoSmall(context.Background(), hostile.OpHang, nil)
	call.Close()
	if err := want("error of a call that is not answered", err, error(ipc.ErrTimedOut)); err != nil {
		return err
	}
	_, err = r.Call(ctx, hostile.OpDie, nil, nil)
	if err := want("error of a call whose server dies", err, error(ipc.ErrClosed)); err != nil {
		return err
	}
	_, err = t.env.Control.Connect(ctx, peerName)
	return want("error of connecting to a dead service", err, error(ipc.StatusUnavailable))
}

// calledByDying is called by a service that then dies: the request in our hands is
// given up, and we are told.
func calledByDying(ctx context.Context, t *tester) error {
	ep, err := t.env.Process.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
	if err != nil {
		return err
	}
	defer ep.Close()
	give, err := ipc.DeriveSendGrant(ep, 0)
	if err != nil {
		return err
	}
	taken, result := make(chan struct{}), make(chan error, 1)
	sctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		served <- ipc.NewServer(ep, hostile.ServeProtocol, 1, func(q *ipc.Request) {
			rctx, cancel := q.Context(ctx)
			defer cancel()
			reply := q.Detach()
			close(taken)
			<-rctx.Done()
			if ctx.Err() != nil {
				result <- errors.New("not told that the caller died")
				return
			}
			if err := reply.Reply(ipc.StatusOK, nil); err != ipc.ErrNoEntry && err != ipc.ErrBadHandle {
				result <- fmt.Errorf("reply to a dead caller: %v", err)
				return
			}
			result <- nil
		}).Serve(sctx)
	}()
	defer func() { stop(); <-served }()

	r := t.env.Dial(peerName, hostile.ServeProtocol)
	c, err := r.Client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	call, err := c.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	call.Move(ipc.MoveSend(give))
	if _, err := call.DoSmall(ctx, hostile.OpCallBack, nil); err != nil {
		return fmt.Errorf("asking to be called: %w", err)
	}
	select {
	case <-taken:
	case <-ctx.Done():
		return errors.New("not called")
	}
	_, err = call.DoSmall(ctx, hostile.OpDie, nil)
	if err := want("error of a call whose server dies", err, error(ipc.ErrClosed)); err != nil {
		return err
	}
	return <-result
}

// How often the system is looked at, because what is under way in other services,
// an audit on its way to logd, may be in the picture.
const (
	looks  = 3
	settle = 50
)

// underWay is how many calls the services may be making of their own accord:
// policyd's audit and log record, and init's log record, on their way to logd.
const underWay = 3

// calm returns what the system uses while nothing but this question is under way:
// of several looks, the one with the fewest calls.
func (t *tester) calm(ctx context.Context) (*control.Usage, error) {
	var best *control.Usage
	for range looks {
		u, err := t.env.Control.Usage(ctx)
		if err != nil {
			return nil, err
		}
		if best == nil || u.Calls < best.Calls {
			best = u
		}
	}
	return best, nil
}

// unchanged verifies that the system uses what it used before the first attack: all
// memory is back, and nobody else was started again or has another budget.
func (t *tester) unchanged(ctx context.Context) error {
	return t.settled(ctx, t.base)
}

// settled verifies that the system comes to use what it used before.
func (t *tester) settled(ctx context.Context, before *control.Usage) error {
	var err error
	for range settle {
		after, uerr := t.env.Control.Usage(ctx)
		if uerr != nil {
			return fmt.Errorf("usage afterwards: %w", uerr)
		}
		if err = same(before, after); err == nil {
			return nil
		}
	}
	return err
}

func same(before, after *control.Usage) error {
	if err := errors.Join(
		want("number of processes", after.Processes, before.Processes),
		want("unreserved frames", after.Unreserved, before.Unreserved),
		want("capabilities in use", after.Caps, before.Caps),
		want("more calls in use than the services make", after.Calls > before.Calls+underWay, false),
		want("frames free or used by the services", total(after), total(before)),
		want("number of services", len(after.Services), len(before.Services)),
	); err != nil {
		return err
	}
	for i, a := range after.Services {
		b := before.Services[i]
		if a.Name != b.Name || a.PID != b.PID || a.Budget != b.Budget || a.Restarts != b.Restarts || a.Used > a.Budget {
			return fmt.Errorf("service was %+v and is %+v", b, a)
		}
	}
	return nil
}

// total returns the frames that are free or used by a live service. It is the same
// whatever those do, unless frames got lost.
func total(u *control.Usage) uint64 {
	n := u.Free
	for _, s := range u.Services {
		n += s.Used
	}
	return n
}
