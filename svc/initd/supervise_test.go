//go:build !tamago

package initd_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
	"nexus.internal/svc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/hostile"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
)

// probe is a service that a test runs code in.
type probe struct {
	env  chan *svc.Env
	exit chan error
}

func newProbe() *probe { return &probe{make(chan *svc.Env, 8), make(chan error)} }

func (p *probe) main(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	p.env <- env
	return <-p.exit
}

// boot boots the usual services and a probe of the name.
func boot(t *testing.T, name string, change func(*manifest.Manifest, map[string][]string, svc.Table)) (*svctest.System, *probe, *svc.Env) {
	t.Helper()
	p := newProbe()
	m, r, tab := base(client(name, "probe")), rules(), maps.Clone(table)
	tab["probe"] = p.main
	if change != nil {
		change(m, r, tab)
	}
	sys := svctest.Boot(t, m, r, tab)
	select {
	case env := <-p.env:
		return sys, p, env
	case <-time.After(patience):
		t.Fatal("the probe does not start")
		return nil, nil, nil
	}
}

func wait(t *testing.T, p *ipctest.Process) int {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("%s does not end", p.Name())
	}
	return p.Status()
}

func TestRestartAndReconnect(t *testing.T) {
	sys, _, env := boot(t, "selftest-client", nil)
	ctx := deadline(t)
	logd := env.Dial("logd", journal.Protocol)
	j := journal.Client{To: logd}
	if _, err := j.Append(ctx, &journal.Record{Text: "before"}); err != nil {
		t.Fatal(err)
	}
	old := sys.Kernel.Find("logd")
	old.Exit(3)
	// The client hears of it with an error of its own, then reaches the new one.
	if _, err := j.Append(ctx, &journal.Record{Text: "lost"}); !errors.Is(err, ipc.ErrClosed) {
		t.Fatalf("call after the death: %v", err)
	}
	if _, err := j.Append(ctx, &journal.Record{Text: "after"}); err != nil {
		t.Fatalf("reconnected: %v", err)
	}
	now := sys.Kernel.Find("logd")
	if now == old || now == nil {
		t.Fatal("no new logd")
	}
	if st, err := j.Stats(ctx); err != nil || st.Total == 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	// Only the first one announced itself.
	if n := len(slices.DeleteFunc(sys.Console.Markers(), func(l string) bool { return l != "logd: ready" })); n != 1 {
		t.Errorf("logd: ready %d times", n)
	}
	// policyd too: what it is asked in the meantime is not allowed.
	sys.Kernel.Find("policyd").Exit(3)
	for {
		_, err := env.Control.Connect(ctx, "logd")
		if err == nil {
			break
		}
		if !errors.Is(err, ipc.StatusUnavailable) && !errors.Is(err, ipc.StatusDenied) {
			t.Fatal(err)
		}
	}
	u, err := env.Control.Usage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range u.Services {
		if want := map[string]uint32{"logd": 1, "policyd": 1}[s.Name]; s.Restarts != want {
			t.Errorf("%s was restarted %d times", s.Name, s.Restarts)
		}
	}
}

func TestGiveUpAfterTooManyRestarts(t *testing.T) {
	sys, _, _ := boot(t, "selftest-client", func(m *manifest.Manifest, _ map[string][]string, tab svc.Table) {
		m.Services[1].Restart = restart(2)
		m.Services[1].Essential = true
	})
	for i := range 3 {
		p := sys.Kernel.Find("logd")
		for ctx := deadline(t); p == nil; p = sys.Kernel.Find("logd") {
			if ctx.Err() != nil {
				t.Fatalf("no logd after %d ends", i)
			}
		}
		p.Exit(9)
		wait(t, p)
	}
	if got := wait(t, sys.Init); got != 9 {
		t.Errorf("the system ended with %d", got)
	}
}

func TestEssentialEndsTheSystem(t *testing.T) {
	for want, err := range map[int]error{0: nil, 1: errors.New("failed"), 42: svc.Exit(42)} {
		sys, p, _ := boot(t, "selftest-client", nil)
		p.exit <- err
		if got := wait(t, sys.Init); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
}

func TestRejectServiceThatIsNotReady(t *testing.T) {
	m, tab := base(client("selftest-client", "stuck")), maps.Clone(table)
	m.Services[2].Ready = 50 * time.Millisecond
	tab["stuck"] = func(ctx context.Context, _ *svc.Env) error { <-ctx.Done(); return nil }
	sys := svctest.Boot(t, m, rules(), tab)
	if wait(t, sys.Init) == 0 {
		t.Error("the system came up")
	}
	if ms := sys.Console.Markers(); !slices.Contains(ms, "init: fail selftest-client: not ready after 50ms") || slices.Contains(ms, "init: ready") {
		t.Errorf("%q", ms)
	}
}

func TestRejectConnect(t *testing.T) {
	t.Run("manifest", func(t *testing.T) {
		_, _, env := boot(t, "selftest-client", nil)
		for _, name := range []string{"init", "nobody", "", strings.Repeat("x", 200)} {
			if _, err := env.Control.Connect(deadline(t), name); !errors.Is(err, ipc.StatusDenied) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
	t.Run("policy", func(t *testing.T) {
		_, _, env := boot(t, "selftest-client", func(_ *manifest.Manifest, r map[string][]string, _ svc.Table) { r["selftest-client"] = nil })
		if _, err := env.Control.Connect(deadline(t), "logd"); !errors.Is(err, ipc.StatusDenied) {
			t.Error(err)
		}
		if _, err := env.Control.Usage(deadline(t)); !errors.Is(err, ipc.StatusDenied) {
			t.Error(err)
		}
	})
	// A policyd that says nothing allows nothing.
	t.Run("timeout", func(t *testing.T) {
		_, _, env := boot(t, "selftest-client", func(_ *manifest.Manifest, _ map[string][]string, tab svc.Table) {
			tab["policyd"] = func(ctx context.Context, env *svc.Env) error {
				ep, err := env.Process.NewEndpoint(8, abi.MaxMessage)
				if err != nil {
					return err
				}
				return env.Serve(ctx, ipc.NewServer(ep, policy.Protocol, 1, func(q *ipc.Request) { q.Detach() }), ep)
			}
		})
		start := time.Now()
		if _, err := env.Control.Connect(deadline(t), "logd"); !errors.Is(err, ipc.StatusDenied) || time.Since(start) < policy.Timeout/2 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Who may not read the journal gets nothing of it, nor does anybody without a
// decision.
func TestRejectQuery(t *testing.T) {
	for name, tt := range map[string]struct {
		grants  []string
		replace svc.Main // policyd
		want    error
	}{
		"granted":     {[]string{"ipc.core", "log.read"}, nil, nil},
		"not granted": {[]string{"ipc.core"}, nil, ipc.StatusDenied},
		"no decision": {[]string{"ipc.core", "log.read"}, lax(func(r *policyd.Rules, q *ipc.Request) (policy.Decision, ipc.Status) {
			var question policy.Question
			if question.Decode(q.Payload()) && question.Capability == policy.ReadLog {
				return policy.Decision{}, ipc.StatusInternal
			}
			return ask(r, q.SenderService, q)
		}), ipc.StatusUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, env := boot(t, "selftest-client", func(_ *manifest.Manifest, r map[string][]string, tab svc.Table) {
				r["selftest-client"] = tt.grants
				if tt.replace != nil {
					tab["policyd"] = tt.replace
				}
			})
			j := journal.Client{To: env.Dial("logd", journal.Protocol)}
			if _, err := j.Append(deadline(t), &journal.Record{Text: "for readers"}); err != nil {
				t.Fatal(err)
			}
			for range 3 { // the first asks policyd, the others may not have to
				p, err := j.Query(deadline(t), 0, 9, "")
				if err != tt.want || err == nil && len(p.Entries) == 0 || err != nil && p != nil {
					t.Errorf("%+v, %v", p, err)
				}
			}
		})
	}
}

// A control endpoint in other hands than those it was made for is good for nothing.
func TestRejectForeignBadge(t *testing.T) {
	sys, _, _ := boot(t, "selftest-client", nil)
	victim, thief := sys.Kernel.Find("selftest-client"), sys.Kernel.Boot("thief")
	// init would not do this; the test takes the capability by force.
	stolen, err := ipctest.Steal(victim, thief, abi.BootHandle(0))
	if err != nil {
		t.Fatal(err)
	}
	ep, err := stolen.Send()
	if err != nil {
		t.Fatal(err)
	}
	c := control.Client{Client: ipc.NewClient(ep, control.Protocol)}
	if _, err := c.Connect(deadline(t), "logd"); !errors.Is(err, ipc.StatusDenied) {
		t.Error(err)
	}
	if _, _, _, err := c.WhoAmI(deadline(t)); !errors.Is(err, ipc.StatusDenied) {
		t.Error(err)
	}
}

func TestRejectSecondReady(t *testing.T) {
	_, _, env := boot(t, "selftest-client", nil)
	ep, err := env.Process.NewEndpoint(1, 64)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.Control.Ready(deadline(t), ep); !errors.Is(err, ipc.StatusInvalidArgs) {
		t.Error(err)
	}
}

// withHostile adds services on demand to the manifest.
func withHostile(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
	tab["hostile"] = hostile.Main
	for _, name := range []string{"hostile", "hostile-peer"} {
		m.Services = append(m.Services, manifest.Service{Name: name, Program: "hostile", Frames: 1024, Ready: 5 * time.Second, Demand: true})
	}
	m.Services[2].Calls = append(m.Services[2].Calls, manifest.Call{Name: "hostile-peer", Lazy: true})
}

func TestRejectManage(t *testing.T) {
	_, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
		withHostile(m, r, tab)
		m.Services[2].Spawn = false
	})
	ctx := deadline(t)
	if _, err := env.Control.Start(ctx, "hostile", "spinner"); !errors.Is(err, ipc.StatusDenied) {
		t.Errorf("start without the manifest's leave: %v", err)
	}
	if _, err := env.Control.End(ctx, "hostile", true); !errors.Is(err, ipc.StatusDenied) {
		t.Errorf("end: %v", err)
	}
	_, _, env = boot(t, "selftest-client", withHostile)
	for _, name := range []string{"logd", "init", "nobody"} {
		if _, err := env.Control.Start(ctx, name, ""); !errors.Is(err, ipc.StatusNotFound) {
			t.Errorf("start of %s: %v", name, err)
		}
		if _, err := env.Control.End(ctx, name, true); !errors.Is(err, ipc.StatusNotFound) {
			t.Errorf("kill of %s: %v", name, err)
		}
	}
	if _, err := env.Control.Start(ctx, "hostile", "a\x00b"); !errors.Is(err, ipc.StatusMalformed) {
		t.Errorf("argument with NUL: %v", err)
	}
	if _, err := env.Control.Start(ctx, "hostile", "die-serving"); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Control.Start(ctx, "hostile", "die-serving"); !errors.Is(err, ipc.StatusUnavailable) {
		t.Errorf("second start: %v", err)
	}
	if e, err := env.Control.End(ctx, "hostile", true); err != nil || e.Status != abi.ExitKilled {
		t.Errorf("%+v, %v", e, err)
	}
}

// The attacks that need no machine, with the proofs of selftest-client.
func TestAttacks(t *testing.T) {
	m, r, tab := base(client("selftest-client", "selftest-client")), rules(), maps.Clone(table)
	withHostile(m, r, tab)
	list := "forged-identity,classes,flood,fork-bomb,frame-fuzz,die-serving"
	m.Services[2].Args = []string{"attacks=" + list}
	sys := svctest.Boot(t, m, r, tab)
	if got := wait(t, sys.Init); got != 0 {
		t.Errorf("status %d", got)
	}
	for _, name := range strings.Split(list, ",") {
		if want := "SELFTEST: attack " + name + " ok"; !slices.Contains(sys.Console.Markers(), want) {
			t.Errorf("no %q", want)
		}
	}
}
