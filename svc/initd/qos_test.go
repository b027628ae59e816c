//go:build !tamago

package initd_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
)

// withQoS lets the manifest ask for a QoS for m.Services[2], and grants it capabilities.
func withQoS(q abi.QoS, granted ...string) func(*manifest.Manifest, map[string][]string, svc.Table) {
	return func(m *manifest.Manifest, r map[string][]string, _ svc.Table) {
		m.Services[2].QoS = q
		r["selftest-client"] = append(slices.Clone(r["selftest-client"]), granted...)
	}
}

// wantQoSAudit waits for the record of a decision of init: its end, from the reason on.
func wantQoSAudit(t *testing.T, env *svc.Env, sys *svctest.System, reason, rest string) {
	t.Helper()
	decision := "deny"
	if reason == "applied" {
		decision = "allow"
	}
	want := fmt.Sprintf("QOS-AUDIT decision=%s reason=%s caller_sid=0x%016x caller_pid=%d %s", decision, reason, manifest.ServiceID("init"), sys.Init.Start().PID, rest)
	j := journal.Client{To: env.Dial("logd", journal.Protocol)}
	_, err := j.Find(deadline(t), 0, func(e *journal.Entry) bool {
		return e.Scope == policy.QoSScope && e.Service == manifest.ServiceID("init") && e.Text == want
	})
	if err != nil {
		t.Errorf("no %q: %v", want, err)
	}
}

// A service has what its manifest says before the system is up, each time that it starts,
// and there is a record of it.
func TestQoS(t *testing.T) {
	want := abi.NewQoS(abi.Interactive, 200, 1)
	sys, p, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
		withQoS(want, "qos.interactive", "qos.share")(m, r, tab)
		m.Services[2].Restart, m.Services[2].Essential = restart(5), false
	})
	for range 2 {
		if q, err := env.Process.QoS(); err != nil || q != want {
			t.Errorf("%#x, %v; want %#x", q, err, want)
		}
		wantQoSAudit(t, env, sys, "applied", fmt.Sprintf("target_pid=%d from=normal to=interactive", env.Process.Start().PID))
		p.exit <- errors.New("again")
		env = <-p.env
		for ctx := deadline(t); ctx.Err() == nil; { // it is up already: nobody waits for the decision
			if q, err := env.Process.QoS(); err != nil || q == want {
				break
			}
		}
	}
}

// The system is not up before it is decided, however long that takes.
func TestQoSBeforeReady(t *testing.T) {
	want := abi.NewQoS(abi.Interactive, 100, 1)
	_, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
		withQoS(want, "qos.interactive")(m, r, tab)
		tab["policyd"] = lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			var question policy.Question
			if question.Decode(q.Payload()) && strings.HasPrefix(question.Capability, policy.QoS) {
				time.Sleep(100 * time.Millisecond)
			}
			return ask(r, q.SenderService, q)
		})
	})
	if q, err := env.Process.QoS(); err != nil || q != want {
		t.Errorf("%#x, %v; want %#x", q, err, want)
	}
}

// Without a yes of policyd a service has no more than the manifest says, and no more than
// everybody.
func TestRejectQoS(t *testing.T) {
	silent := lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
		var question policy.Question
		if question.Decode(q.Payload()) && strings.HasPrefix(question.Capability, policy.QoS) {
			return policy.Decision{Allow: true}, ipc.StatusInternal
		}
		return ask(r, q.SenderService, q)
	})
	for name, tt := range map[string]struct {
		q, want abi.QoS
		granted []string
		policyd svc.Main
	}{
		"class":         {abi.NewQoS(abi.PerfBurst, 50, 1), abi.NewQoS(abi.Normal, 50, 1), []string{"qos.interactive", "qos.share"}, nil},
		"class below":   {abi.NewQoS(abi.Idle, 100, abi.AllHarts), abi.NewQoS(abi.Idle, 100, abi.AllHarts), nil, nil},
		"share":         {abi.NewQoS(abi.Normal, 101, 3), abi.NewQoS(abi.Normal, 100, 3), []string{"qos.normal"}, nil},
		"share and all": {abi.NewQoS(abi.Interactive, 1000, 1), abi.NewQoS(abi.Normal, 100, 1), []string{"qos.interactive"}, nil},
		"no answer":     {abi.NewQoS(abi.Interactive, 100, 1), abi.NewQoS(abi.Normal, 100, 1), []string{"qos.interactive"}, silent},
	} {
		t.Run(name, func(t *testing.T) {
			sys, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
				withQoS(tt.q, tt.granted...)(m, r, tab)
				if tt.policyd != nil {
					tab["policyd"] = tt.policyd
				}
			})
			if q, err := env.Process.QoS(); err != nil || q != tt.want {
				t.Fatalf("%#x, %v; want %#x", q, err, tt.want)
			}
			wantQoSAudit(t, env, sys, "unauthorized_escalation", fmt.Sprintf("target_pid=%d from=%v to=%v", env.Process.Start().PID, tt.want.Class(), tt.q.Class()))
		})
	}
}

// A service whose harts are not there is not started on others.
func TestRejectQoSHarts(t *testing.T) {
	sys, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
		withHostile(m, r, tab)
		m.Services[3].QoS = abi.NewQoS(abi.Idle, 100, 1<<5)
		r["hostile"] = []string{"qos.idle"}
	})
	if _, err := env.Control.Start(deadline(t), "hostile", "spinner"); !errors.Is(err, ipc.StatusUnavailable) {
		t.Errorf("start: %v", err)
	}
	wantQoSAudit(t, env, sys, "invalid_qos_class", "target_pid=0")
}

// One that ends before policyd has decided gets nothing, and neither does its successor by
// that decision.
func TestRejectQoSOfTheDead(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	sys, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
		withHostile(m, r, tab)
		m.Services[3].QoS = abi.NewQoS(abi.Interactive, 100, 1)
		r["hostile"] = []string{"qos.interactive"}
		tab["policyd"] = lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			var question policy.Question
			if question.Decode(q.Payload()) && strings.HasPrefix(question.Capability, policy.QoS) {
				asked <- struct{}{}
				<-answer
			}
			return ask(r, q.SenderService, q)
		})
	})
	ctx := deadline(t)
	pid, err := env.Control.Start(ctx, "hostile", "spinner")
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	if _, err := env.Control.End(ctx, "hostile", true); err != nil {
		t.Fatal(err)
	}
	close(answer)
	wantQoSAudit(t, env, sys, "invalid_target_pid", fmt.Sprintf("target_pid=%d from=normal to=interactive", pid))
}
