//go:build !tamago

package example_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/example"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
)

// work is what a client does. The test fails if it returns an error.
type work func(ctx context.Context, env *svc.Env) error

// system boots init, policyd, logd, the service, and a client for each work, all
// with the grants.
func system(t *testing.T, grants []string, works ...work) {
	t.Helper()
	service := func(name string, calls ...manifest.Call) manifest.Service {
		return manifest.Service{Name: name, Program: name, Frames: 1024, Ready: 5 * time.Second, Console: true, Calls: calls}
	}
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		service("policyd", manifest.Call{Name: "logd", Lazy: true}), service("logd"), service("example"),
	}}
	rules := map[string][]string{"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core"}}
	table := svc.Table{"policyd": policyd.Main, "logd": logd.Main, "example": example.Main}
	results := make(chan error)
	for i, w := range works {
		name := fmt.Sprintf("client%d", i)
		m.Services = append(m.Services, service(name, manifest.Call{Name: "example"}))
		rules[name] = grants
		table[name] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			results <- w(ctx, env)
			return nil
		}
	}
	svctest.Boot(t, m, rules, table)
	for range works {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a client does not end")
		}
	}
}

func TestCounters(t *testing.T) {
	system(t, []string{"ipc.core"}, func(ctx context.Context, env *svc.Env) error {
		c := example.Client{To: env.Dial("example", example.Protocol)}
		if _, err := c.Get(ctx, "apples"); err != ipc.StatusNotFound {
			return fmt.Errorf("a counter before its first use: %v", err)
		}
		for i, want := range []uint64{2, 4, 6} {
			if got, err := c.Add(ctx, "apples", 2); err != nil || got != want {
				return fmt.Errorf("add %d: %d, %v; want %d", i, got, err, want)
			}
		}
		if got, err := c.Get(ctx, "apples"); err != nil || got != 6 {
			return fmt.Errorf("get: %d, %v", got, err)
		}
		return nil
	})
}

// The same name means another counter for another client.
func TestCountersApart(t *testing.T) {
	added, looked := make(chan struct{}), make(chan struct{})
	dial := func(env *svc.Env) example.Client { return example.Client{To: env.Dial("example", example.Protocol)} }
	system(t, []string{"ipc.core"}, func(ctx context.Context, env *svc.Env) error {
		_, err := dial(env).Add(ctx, "apples", 5)
		close(added)
		<-looked
		return err
	}, func(ctx context.Context, env *svc.Env) error {
		defer close(looked)
		<-added
		if n, err := dial(env).Get(ctx, "apples"); err != ipc.StatusNotFound {
			return fmt.Errorf("the counter of another client: %d, %v", n, err)
		}
		return nil
	})
}

// Whoever the policy does not let talk to services never gets a capability.
func TestRejectByPolicy(t *testing.T) {
	system(t, nil, func(ctx context.Context, env *svc.Env) error {
		c := example.Client{To: env.Dial("example", example.Protocol)}
		if _, err := c.Add(ctx, "apples", 1); !errors.Is(err, ipc.StatusDenied) {
			return fmt.Errorf("error without a grant: %v", err)
		}
		return nil
	})
}

func TestRejectLimits(t *testing.T) {
	system(t, []string{"ipc.core"}, func(ctx context.Context, env *svc.Env) error {
		remote := env.Dial("example", example.Protocol)
		c := example.Client{To: remote}
		long := strings.Repeat("x", example.MaxName+1)
		if _, err := c.Add(ctx, long, 1); err != ipc.StatusOverLimit {
			return fmt.Errorf("long name: %v", err)
		}
		// What the client refuses, the server must refuse as well.
		for payload, want := range map[string]ipc.Status{
			"\x21" + long: ipc.StatusOverLimit,
			"\x00":        ipc.StatusInvalidArgs,
			"":            ipc.StatusMalformed,
			"\x02a":       ipc.StatusMalformed,
			"\x01ab":      ipc.StatusMalformed,
		} {
			if _, err := remote.Call(ctx, example.OpGet, []byte(payload), nil); err != error(want) {
				return fmt.Errorf("payload %q: %v, want %v", payload, err, want)
			}
		}
		if _, err := remote.Call(ctx, 99, nil, nil); err != error(ipc.StatusUnsupported) {
			return fmt.Errorf("unknown operation: %v", err)
		}
		if _, err := c.Add(ctx, "full", math.MaxUint64); err != nil {
			return err
		}
		if _, err := c.Add(ctx, "full", 1); err != ipc.StatusOverLimit {
			return fmt.Errorf("overflow: %v", err)
		}
		for i := range example.MaxCounters - 1 {
			if _, err := c.Add(ctx, fmt.Sprint(i), 1); err != nil {
				return fmt.Errorf("counter %d: %w", i, err)
			}
		}
		if _, err := c.Add(ctx, "one more", 1); err != ipc.StatusOverLimit {
			return fmt.Errorf("a counter too many: %v", err)
		}
		if _, err := c.Add(ctx, "0", 1); err != nil {
			return fmt.Errorf("an old counter when the table is full: %w", err)
		}
		return nil
	})
}
