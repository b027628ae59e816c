package selftest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/mortal"
)

// What the manifest declares about the service that dies.
const (
	mortalRestarts = 3
	mortalBackoff  = 50 * time.Millisecond
)

var restartProofs = []proof{
	{"service restart", serviceRestart},
	{"restart limit", restartLimit},
	{"memory pressure", memoryPressure},
}

// identity is what the kernel says about a sender.
type identity struct {
	pid     uint32
	service uint64
}

// serviceRestart lets a service die with a call of ours in its hands, and talks to
// its successor.
func serviceRestart(ctx context.Context, t *tester) (err error) {
	pid, err := t.env.Control.Start(ctx, mortal.Name, mortal.Serve)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { err = errors.Join(err, t.endMortal(ctx)) }()

	r := t.env.Dial(mortal.Name, mortal.Protocol)
	before, err := t.shown(ctx, r)
	if err != nil {
		return fmt.Errorf("first process: %w", err)
	}
	if err := want("identity of the first process", before, identity{pid, manifest.ServiceID(mortal.Name)}); err != nil {
		return err
	}
	_, err = r.Call(ctx, mortal.OpDie, nil, nil)
	died := t.env.Process.Now()
	if err := want("error of the call whose server died", err, error(ipc.ErrClosed)); err != nil {
		return err
	}
	after, err := t.shown(ctx, r)
	if err != nil {
		return fmt.Errorf("second process: %w", err)
	}
	if pause := t.env.Process.Now() - died; pause < int64(mortalBackoff) {
		return fmt.Errorf("served again after %v, before the back-off of %v", time.Duration(pause), mortalBackoff)
	}
	if after.pid == before.pid {
		return fmt.Errorf("served by the dead process %d", after.pid)
	}
	if err := want("service id of the second process", after.service, before.service); err != nil {
		return err
	}
	u, err := t.usageOf(ctx, mortal.Name)
	if err != nil {
		return err
	}
	if u == nil || u.PID != after.pid || u.Restarts != 1 {
		return fmt.Errorf("init counts %+v, and it serves as process %d", u, after.pid)
	}
	return nil
}

// restartLimit starts a service that dies each time, and counts how often it gets
// to live: its own records in the journal say when.
func restartLimit(ctx context.Context, t *tester) error {
	st, err := t.journal.Stats(ctx)
	if err != nil {
		return err
	}
	if _, err := t.env.Control.Start(ctx, mortal.Name, mortal.Stillborn); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exit, err := t.env.Control.End(ctx, mortal.Name, false)
	if err != nil {
		return fmt.Errorf("waiting for its end: %w", err)
	}
	if err := want("its end", exit, control.Exit{Status: mortal.Status, Restarts: mortalRestarts}); err != nil {
		return err
	}
	p, err := t.journal.Query(ctx, st.Total, 2*mortalRestarts, mortal.Name)
	if err != nil {
		return err
	}
	births := slices.DeleteFunc(p.Entries, func(e journal.Entry) bool {
		return e.Service != manifest.ServiceID(mortal.Name) || e.Text != mortal.Born
	})
	if err := want("times that it lived", len(births), mortalRestarts+1); err != nil {
		return err
	}
	for i, pause := 1, mortalBackoff; i < len(births); i, pause = i+1, 2*pause {
		if gap := time.Duration(births[i].TimeNS - births[i-1].TimeNS); gap < pause {
			return fmt.Errorf("restart %d came after %v, before the back-off of %v", i, gap, pause)
		}
	}
	u, err := t.usageOf(ctx, mortal.Name)
	if err != nil {
		return err
	}
	if u != nil {
		return fmt.Errorf("given up, and still %+v", u)
	}
	_, err = t.env.Control.Connect(ctx, mortal.Name)
	if err := want("error of connecting to what was given up", err, error(ipc.StatusUnavailable)); err != nil {
		return err
	}
	// Whoever may start it can do so again.
	if _, err := t.env.Control.Start(ctx, mortal.Name, mortal.Serve); err != nil {
		return fmt.Errorf("start after it was given up: %w", err)
	}
	return t.endMortal(ctx)
}

// memoryPressure lets a service make far more garbage than its budget holds, with
// much of that in use: the collector has to keep it from its end.
func memoryPressure(ctx context.Context, t *tester) error {
	if _, err := t.env.Control.Start(ctx, mortal.Name, mortal.Churn); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exit, err := t.env.Control.End(ctx, mortal.Name, false)
	if err != nil {
		return fmt.Errorf("waiting for its end: %w", err)
	}
	return want("its end", exit, control.Exit{})
}

// phoenixName is a service that dies each time at once and is started again.
const phoenixName = "phoenix"

// serviceEndurance lets init start a service again and again, until it has done so as
// often as its manifest says, and sees that nothing stays of all the processes.
func serviceEndurance(ctx context.Context, t *tester, restarts uint32) error {
	before, err := t.calm(ctx)
	if err != nil {
		return err
	}
	if _, err := t.env.Control.Start(ctx, phoenixName, mortal.Brief); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exit, err := t.env.Control.End(ctx, phoenixName, false)
	if err != nil {
		return fmt.Errorf("waiting for its end: %w", err)
	}
	if err := want("its end", exit, control.Exit{Status: mortal.Status, Restarts: restarts}); err != nil {
		return err
	}
	return t.settled(ctx, before)
}

// endMortal kills the service and verifies that it stays dead: it was not its own
// fault, so there is no restart.
func (t *tester) endMortal(ctx context.Context) error {
	exit, err := t.env.Control.End(ctx, mortal.Name, true)
	if err != nil {
		return fmt.Errorf("ending it: %w", err)
	}
	if err := want("status of the killed service", exit.Status, abi.ExitKilled); err != nil {
		return err
	}
	_, err = t.env.Control.End(ctx, mortal.Name, false)
	return err
}

// usageOf returns what init says about a service, nil if it does not live.
func (t *tester) usageOf(ctx context.Context, name string) (*control.ServiceUsage, error) {
	u, err := t.env.Control.Usage(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(u.Services, func(s control.ServiceUsage) bool { return s.Name == name })
	if i < 0 {
		return nil, nil
	}
	return &u.Services[i], nil
}

// shown lets the service behind r call us, and returns who it is according to the
// kernel.
func (t *tester) shown(ctx context.Context, r *svc.Remote) (identity, error) {
	c, err := r.Client(ctx)
	if err != nil {
		return identity{}, err
	}
	ep, err := t.env.Process.NewEndpoint(1, ipc.HeaderSize)
	if err != nil {
		return identity{}, err
	}
	defer ep.Close()
	give, err := ipc.DeriveSendGrant(ep, 0)
	if err != nil {
		return identity{}, err
	}
	sctx, stop := context.WithCancel(ctx)
	seen, served := make(chan identity, 1), make(chan error, 1)
	go func() {
		served <- ipc.NewServer(ep, mortal.Protocol, 1, func(q *ipc.Request) {
			select {
			case seen <- identity{q.SenderPID, q.SenderService}:
			default: // one is enough
			}
			q.Reply(ipc.StatusOK, nil)
		}).Serve(sctx)
	}()
	defer func() { stop(); <-served }()
	call, err := c.NewCall()
	if err != nil {
		return identity{}, err
	}
	defer call.Close()
	call.Move(ipc.MoveSend(give))
	if _, err := call.DoSmall(ctx, mortal.OpShow, nil); err != nil {
		if errors.Is(err, ipc.ErrClosed) {
			r.Lost(c)
		}
		return identity{}, err
	}
	return <-seen, nil
}
