//go:build !tamago

package initd_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/rng"
	"nexus.internal/svc/svctest"
)

// Every process of init has entropy that rngd gave out for it alone, also when it is
// started again; but for rngd, which the kernel gives what it has.
func TestSeeds(t *testing.T) {
	sys, _, env := boot(t, "selftest-client", func(m *manifest.Manifest, _ map[string][]string, tab svc.Table) {
		withMortal(m)
		tab["mortal"] = func(ctx context.Context, _ *svc.Env) error { <-ctx.Done(); return nil }
	})
	seen := map[uint64]string{}
	verify := func(name string) {
		t.Helper()
		seed := sys.Kernel.Find(name).Seed()
		n, ok := svctest.Entropy(seed[:])
		if !ok || seen[n] != "" {
			t.Errorf("%s: seed %q, which %q has", name, seed, seen[n])
		}
		seen[n] = name
	}
	for _, name := range []string{"policyd", "logd", "selftest-client"} {
		verify(name)
	}
	if seed := sys.Kernel.Find("rngd").Seed(); seed != [32]byte{} {
		t.Errorf("rngd: seed %q", seed)
	}
	if _, err := env.Control.Start(deadline(t), "mortal", ""); err != nil {
		t.Fatal(err)
	}
	verify("mortal")
	old := sys.Kernel.Find("logd")
	old.Exit(3)
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if now := sys.Kernel.Find("logd"); now != nil && now != old {
			break
		}
		if time.Now().After(until) {
			t.Fatal("logd is not started again")
		}
	}
	verify("logd")
}

// rngd answers what answer says.
func fakeRNG(ready bool, answer func(*ipc.Request)) svc.Main {
	return func(ctx context.Context, env *svc.Env) error {
		if !ready {
			<-ctx.Done()
			return nil
		}
		ep, err := env.Process.NewEndpoint(8, abi.MaxInline)
		if err != nil {
			return err
		}
		return env.Serve(ctx, ipc.NewServer(ep, rng.Protocol, 1, answer), ep)
	}
}

// withRNGd puts an rngd in front that calls policyd.
func withRNGd(m *manifest.Manifest, tab svc.Table, main svc.Main) {
	tab["rngd"] = main
	m.Services = slices.Insert(m.Services, 0, manifest.Service{Name: "rngd", Program: "rngd", Frames: 1024, Ready: 300 * time.Millisecond, Console: true,
		Calls: []manifest.Call{{Name: "policyd", Lazy: true}}})
}

// What rngd needs is started before it is asked, and everything else after.
func TestEarly(t *testing.T) {
	sys, _, _ := boot(t, "selftest-client", func(m *manifest.Manifest, _ map[string][]string, tab svc.Table) {
		// In front of those that must come first.
		m.Services = slices.Insert(m.Services, 0, manifest.Service{Name: "first", Program: "first", Frames: 1024, Ready: time.Second})
		tab["first"] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
		withRNGd(m, tab, fakeRNG(true, func(q *ipc.Request) { q.Reply(ipc.StatusOK, []byte("thirty-two bytes of the real one")) }))
	})
	want := []string{"init: start rngd", "init: start policyd", "init: start logd", "init: start first", "init: start selftest-client"}
	got := slices.DeleteFunc(sys.Console.Markers(), func(l string) bool { return !strings.HasPrefix(l, "init: start ") })
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for name, early := range map[string]bool{"rngd": true, "policyd": true, "logd": true, "first": false, "selftest-client": false} {
		if seed := sys.Kernel.Find(name).Seed(); (seed == [32]byte{}) != early || !early && string(seed[:]) != "thirty-two bytes of the real one" {
			t.Errorf("%s: seed %q", name, seed)
		}
	}
}

// Without entropy the system does not come up: it waits for rngd as long as the manifest
// says, says so and ends, and no process runs that would have needed some.
func TestRejectNoSeed(t *testing.T) {
	for name, tt := range map[string]struct {
		rngd svc.Main
		says string
	}{
		"not ready": {fakeRNG(false, nil), "init: no entropy"},
		"ended":     {func(context.Context, *svc.Env) error { return svc.Exit(3) }, "init: no entropy"},
		"denied":    {fakeRNG(true, func(q *ipc.Request) { q.Reply(ipc.StatusDenied, nil) }), "init: fail selftest-client: no entropy: ipc: status denied"},
		"too short": {fakeRNG(true, func(q *ipc.Request) { q.Reply(ipc.StatusOK, make([]byte, 31)) }), "init: fail selftest-client: no entropy: "},
	} {
		t.Run(name, func(t *testing.T) {
			m, tab := base(client("selftest-client", "probe")), maps.Clone(table)
			tab["probe"] = func(context.Context, *svc.Env) error { t.Error("it runs"); return nil }
			withRNGd(m, tab, tt.rngd)
			sys := svctest.Boot(t, m, rules(), tab)
			if wait(t, sys.Init) == 0 {
				t.Error("the system ended well")
			}
			if !slices.ContainsFunc(sys.Console.Lines(), func(l string) bool { return strings.HasPrefix(l, tt.says) }) {
				t.Errorf("it does not say %q", tt.says)
			}
		})
	}
}
