package selftest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/child"
	"nexus.internal/svc/control"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
)

// classified is a service whose manifest says that it is interactive.
const classified = "rngd"

// qos: a process raises neither its class nor its share; a service has the class of its
// manifest, and a child the one that execd is asked for, if policyd agrees; and every
// decision is on record.
func qos(ctx context.Context, t *tester) error {
	p := t.env.Process
	own, err := p.QoS()
	if err != nil {
		return err
	}
	if err := want("own class and share", [2]uint16{uint16(own.Class()), own.Share()}, [2]uint16{uint16(abi.Normal), abi.DefaultShare}); err != nil {
		return err
	}
	for _, w := range []struct {
		what string
		to   abi.QoS
		err  error
	}{
		{"the class that it has", own, nil},
		{"a class above", abi.NewQoS(abi.Interactive, own.Share(), own.Harts()), ipc.ErrPermission},
		{"a larger share", abi.NewQoS(own.Class(), own.Share()+1, own.Harts()), ipc.ErrPermission},
		{"a class that is none", abi.NewQoS(0xff, own.Share(), own.Harts()), ipc.ErrInvalid},
	} {
		if err := want("error of changing to "+w.what, p.LowerQoS(w.to), w.err); err != nil {
			return err
		}
		if now, err := p.QoS(); err != nil || now != own {
			return fmt.Errorf("%s: own QoS is %#x, %v; was %#x", w.what, now, err, own)
		}
	}
	if err := t.serviceQoS(ctx); err != nil {
		return err
	}
	return t.childQoS(ctx)
}

// serviceQoS finds init's record of the decision about a service of the manifest.
func (t *tester) serviceQoS(ctx context.Context) error {
	u, err := t.env.Control.Usage(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(u.Services, func(s control.ServiceUsage) bool { return s.Name == classified })
	if i < 0 {
		return fmt.Errorf("%s does not run", classified)
	}
	line := fmt.Sprintf("QOS-AUDIT decision=allow reason=applied caller_sid=0x%016x caller_pid=%d target_pid=%d from=normal to=interactive",
		manifest.ServiceID("init"), u.Services[0].PID, u.Services[i].PID)
	e, err := t.journal.Find(ctx, 0, func(e *journal.Entry) bool { return e.Scope == policy.QoSScope && e.Text == line })
	if err != nil {
		return fmt.Errorf("no %q: %w", line, err)
	}
	return want("writer of the audit", e.Service, manifest.ServiceID("init"))
}

func (t *tester) childQoS(ctx context.Context) error {
	st, err := t.journal.Stats(ctx)
	if err != nil {
		return err
	}
	c, err := t.execd.Client(ctx)
	if err != nil {
		return err
	}
	s, err := exec.Open(ctx, t.env.Process, c)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	g, err := t.greeter(ctx)
	if err != nil {
		return err
	}
	defer g.stop()
	lively := abi.NewQoS(abi.Interactive, abi.DefaultShare, abi.AllHarts)
	idle := abi.NewQoS(abi.Idle, 1, abi.AllHarts)
	burst := abi.NewQoS(abi.PerfBurst, abi.DefaultShare, abi.AllHarts)
	r := bundled("qos", child.Hello)
	r.QoS = lively
	id, h, err := t.greeted(ctx, s, g, r, exec.Program{})
	if err != nil {
		return err
	}
	for _, w := range []struct {
		what    string
		id      uint32
		to, was abi.QoS
		err     error
		audit   string
	}{
		{"asking", id, 0, lively, nil, ""},
		{"going down", id, idle, lively, nil, "decision=allow reason=applied"},
		{"a class that the policy does not grant", id, burst, 0, ipc.StatusDenied, "decision=deny reason=unauthorized_escalation"},
		{"a class that is none", id, abi.NewQoS(0xff, 1, 1), 0, ipc.StatusInvalidArgs, "decision=deny reason=invalid_qos_class"},
		{"a class of nobody", id + 1000, idle, 0, ipc.StatusNotFound, "decision=deny reason=invalid_target_pid"},
		{"asking again", id, 0, idle, nil, ""},
	} {
		was, err := s.QoS(ctx, w.id, w.to)
		if err := errors.Join(want("error", err, w.err), want("QoS before", was, w.was)); err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
		if w.audit == "" {
			continue
		}
		line := fmt.Sprintf("QOS-AUDIT %s caller_sid=0x%016x caller_pid=%d target_pid=", w.audit, t.self, t.env.Process.Start().PID)
		switch {
		case w.id != id:
			line += "0"
		case w.to.Valid():
			// A refusal does not tell what was before: idle, which is number 0.
			line += fmt.Sprintf("%d from=%v to=%v", h.pid, w.was.Class(), w.to.Class())
		default:
			line += fmt.Sprint(h.pid)
		}
		e, err := t.journal.Find(ctx, st.Total, func(e *journal.Entry) bool { return e.Scope == policy.QoSScope && e.Text == line })
		if err != nil {
			return fmt.Errorf("%s: no %q: %w", w.what, line, err)
		}
		if err := want("writer of the audit", e.Service, manifest.ServiceID(execdName)); err != nil {
			return err
		}
	}
	r = bundled("burst", child.Hello)
	r.QoS = burst
	_, _, err = s.Spawn(ctx, r, exec.Program{})
	if err := want("status of a new child of that class", err, error(ipc.StatusDenied)); err != nil {
		return err
	}
	if err := s.Close(ctx); err != nil {
		return err
	}
	return h.ended(ctx)
}
