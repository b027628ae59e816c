//go:build !tamago

package initd_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
)

// lax returns a policyd that answers with decide and audits nothing.
func lax(decide func(*policyd.Rules, *ipc.Request) (policy.Decision, ipc.Status)) svc.Main {
	return func(ctx context.Context, env *svc.Env) error {
		rules, err := policyd.Decode(env.Process.Start().Data)
		if err != nil {
			return err
		}
		ep, err := env.Process.NewEndpoint(16, abi.MaxMessage)
		if err != nil {
			return err
		}
		return env.Serve(ctx, ipc.NewServer(ep, policy.Protocol, 2, func(q *ipc.Request) {
			if q.Op != policy.OpCheck {
				q.Reply(ipc.StatusUnsupported, nil)
				return
			}
			d, status := decide(rules, q)
			q.Reply(status, d.Append(q.Inline()))
		}), ep)
	}
}

func ask(r *policyd.Rules, asker uint64, q *ipc.Request) (policy.Decision, ipc.Status) {
	var question policy.Question
	if !question.Decode(q.Payload()) {
		return policy.Decision{}, ipc.StatusMalformed
	}
	if asker == 0 {
		asker = question.Subject // what the payload says
	}
	allow, reason := r.Decide(asker, question)
	return policy.Decision{Allow: allow, Reason: reason}, ipc.StatusOK
}

// Each proof can fail: with the thing broken that it proves, its line is the first
// that does not come.
func TestProofsFindFaults(t *testing.T) {
	type change func(*manifest.Manifest, map[string][]string, svc.Table)
	grant := func(capability string) change {
		return func(_ *manifest.Manifest, r map[string][]string, _ svc.Table) {
			r["selftest-client"] = append(r["selftest-client"], capability)
		}
	}
	replace := func(m svc.Main) change {
		return func(_ *manifest.Manifest, _ map[string][]string, tab svc.Table) { tab["policyd"] = m }
	}
	for _, tt := range []struct {
		fault string
		marks string // the proof that must find it
		do    change
	}{
		{"no policy", "ipc routing policyd", func(_ *manifest.Manifest, r map[string][]string, _ svc.Table) { r["selftest-client"] = nil }},
		{"no grant in the manifest", "policy allow", func(m *manifest.Manifest, _ map[string][]string, _ svc.Table) {
			m.Services[2].Calls = m.Services[2].Calls[:1]
		}},
		{"too much granted", "policy deny", grant("crypto.sign")},
		{"a device too many granted", "mmio policy deny", grant(policy.Device + "blk")},
		{"a device too many in the manifest", "mmio policy deny", func(m *manifest.Manifest, _ map[string][]string, _ svc.Table) {
			m.Services[2].Devices = append(m.Services[2].Devices, "net")
		}},
		{"no device in the manifest", "mmio map", func(m *manifest.Manifest, _ map[string][]string, _ svc.Table) {
			m.Services[2].Devices = nil
		}},
		{"anybody may ask about anybody", "policyd requester spoof denied", grant(policy.Delegate)},
		{"policyd allows everything", "policy deny", replace(lax(func(*policyd.Rules, *ipc.Request) (policy.Decision, ipc.Status) {
			return policy.Decision{Allow: true, Reason: policy.ByRule}, ipc.StatusOK
		}))},
		{"policyd believes the payload", "policyd requester spoof denied", replace(lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			return ask(r, 0, q)
		}))},
		{"policyd takes broken questions", "policy malformed", replace(lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			d, status := ask(r, q.SenderService, q)
			if status == ipc.StatusMalformed {
				return policy.Decision{Reason: policy.NoRule}, ipc.StatusOK
			}
			return d, status
		}))},
		{"policyd audits nothing", "policy allow audit", replace(lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			return ask(r, q.SenderService, q)
		}))},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			m, r, tab := base(client("selftest-client", "selftest-client")), rules(), maps.Clone(table)
			m.Services[2].Args = []string{"patience=2s"}
			tt.do(m, r, tab)
			sys := svctest.Boot(t, m, r, tab)
			if wait(t, sys.Init) == 0 {
				t.Error("the run passes")
			}
			ms := sys.Console.Markers()
			i := slices.IndexFunc(ms, func(l string) bool { return strings.HasPrefix(l, "SELFTEST: ") && strings.Contains(l, " FAIL") })
			if i < 0 || !strings.HasPrefix(ms[i], "SELFTEST: "+tt.marks+" FAIL: ") || i != len(ms)-1 {
				t.Errorf("markers %q", ms)
			}
		})
	}
}
