package selftest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc/child"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/mortal"
)

// execWaits waits for children in every way.
func execWaits(ctx context.Context, t *tester) error {
	g, err := t.greeter(ctx)
	if err != nil {
		return err
	}
	defer g.stop()
	var ids [2]uint32
	var calls [2]hello
	for i := range ids {
		if ids[i], calls[i], err = t.greeted(ctx, t.session, g, bundled(fmt.Sprint("wait-", i), child.Hello), exec.Program{}); err != nil {
			return err
		}
	}
	_, err = t.session.Ended(ctx, 0)
	if err := want("status of asking while all live", err, error(ipc.StatusUnavailable)); err != nil {
		return err
	}
	// The second ends first, with the status that it is told; a wait for any is told.
	any, anyErr := make(chan exec.End, 1), make(chan error, 1)
	go func() {
		e, err := t.session.Wait(ctx, 0)
		any <- e
		anyErr <- err
	}()
	if err := calls[1].reply.Reply(ipc.StatusOK, []byte{23}); err != nil {
		return err
	}
	e := <-any
	if err := errors.Join(<-anyErr, want("end of the second", e, exec.End{ID: ids[1], PID: calls[1].pid, Status: 23})); err != nil {
		return err
	}
	_, err = t.session.Ended(ctx, ids[1])
	if err := want("status of asking a second time", err, error(ipc.StatusNotFound)); err != nil {
		return err
	}
	// A call that waits for the first one times out; the end that comes later is still
	// there for the next.
	c, err := t.execd.Client(ctx)
	if err != nil {
		return err
	}
	call, err := c.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	due := t.env.Process.Now() + 5_000_000
	call.SetDeadline(due)
	_, err = call.DoSmall(context.Background(), exec.OpWait, append(binary.LittleEndian.AppendUint32(nil, ids[0]), 0))
	if err := want("error of a wait with a deadline", err, error(ipc.ErrTimedOut)); err != nil {
		return err
	}
	if t.env.Process.Now() < due {
		return errors.New("a wait ended before its deadline")
	}
	if err := calls[0].reply.Reply(ipc.StatusOK, []byte{0}); err != nil {
		return err
	}
	for {
		e, err = t.session.Ended(ctx, ids[0])
		if err != ipc.StatusUnavailable {
			return errors.Join(err, want("end of the first", e, exec.End{ID: ids[0], PID: calls[0].pid}))
		}
	}
}

// execOrphans lets requesters and execd die, and sees their children die with them.
func execOrphans(ctx context.Context, t *tester) error {
	g, err := t.greeter(ctx)
	if err != nil {
		return err
	}
	defer g.stop()
	// A service has a child and dies.
	if _, err := t.env.Control.Start(ctx, askerName, mortal.Serve); err != nil {
		return err
	}
	remote := t.env.Dial(askerName, mortal.Protocol)
	c, err := remote.Client(ctx)
	if err != nil {
		return err
	}
	call, err := c.NewCall()
	if err != nil {
		return err
	}
	m, err := g.give()
	if err != nil {
		return err
	}
	call.Move(m.WithGrant())
	_, err = call.DoSmall(ctx, mortal.OpAdopt, nil)
	call.Close()
	if err != nil {
		return fmt.Errorf("a service starts a child: %w", err)
	}
	var h hello
	select {
	case h = <-g.hellos:
	case <-ctx.Done():
		return errors.New("the child of a service does not call")
	}
	// It is not ours: we can neither wait for it nor end it.
	_, err = t.session.Ended(ctx, 0)
	if err := want("status of waiting for another's child", err, error(ipc.StatusNotFound)); err != nil {
		return err
	}
	if _, err := remote.Call(ctx, mortal.OpDie, nil, nil); err != ipc.ErrClosed {
		return fmt.Errorf("the service does not die: %v", err)
	}
	if err := h.ended(ctx); err != nil {
		return fmt.Errorf("after its requester: %w", err)
	}
	if _, err := t.env.Control.End(ctx, askerName, false); err != nil {
		return err
	}
	// execd itself dies.
	if _, err := t.env.Control.Start(ctx, spareName, ""); err != nil {
		return err
	}
	sc, err := t.env.Dial(spareName, exec.Protocol).Client(ctx)
	if err != nil {
		return err
	}
	s, err := exec.Open(ctx, t.env.Process, sc)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	id, h, err := t.greeted(ctx, s, g, bundled("spare", child.Hello), exec.Program{})
	if err != nil {
		return err
	}
	waited := make(chan error, 1)
	go func() {
		_, err := s.Wait(ctx, id)
		waited <- err
	}()
	if err := t.end(ctx, spareName); err != nil {
		return err
	}
	if err := h.ended(ctx); err != nil {
		return fmt.Errorf("after execd: %w", err)
	}
	return want("error of a wait at an execd that died", <-waited, error(ipc.ErrClosed))
}

// rounds is how many children come and go.
const rounds = 60

// execRounds starts and waits for children, one after another, and sees that nothing
// stays.
func execRounds(ctx context.Context, t *tester) error {
	before, err := t.calm(ctx)
	if err != nil {
		return err
	}
	for i := range rounds {
		id, pid, err := t.started(ctx, bundled("round", child.Exit0))
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		e, err := t.session.Wait(ctx, id)
		if err := errors.Join(err, want("end", e, exec.End{ID: id, PID: pid})); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return t.settled(ctx, before)
}
