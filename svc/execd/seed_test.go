//go:build !tamago

package execd_test

import (
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/svctest"
)

// Every child has entropy that rngd gave out for it alone, whether it was held or not.
func TestSeeds(t *testing.T) {
	r := boot(t, grants)
	seen := map[uint64]bool{}
	verify := func(name string) {
		t.Helper()
		seed := r.Kernel.Find(exec.Prefix + name).Seed()
		if n, ok := svctest.Entropy(seed[:]); !ok || seen[n] {
			t.Errorf("%s: seed %q", name, seed)
		} else {
			seen[n] = true
		}
	}
	r.spawn(t, request("a"))
	r.spawn(t, request("b"))
	held := request("c")
	held.Flags = exec.FlagHold
	id, _ := r.spawn(t, held)
	if _, err := r.session.Start(r.ctx, id); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		verify(name)
	}
}

// Without entropy there is no child.
func TestRejectNoEntropy(t *testing.T) {
	r := boot(t, grants)
	held := request("a")
	held.Flags = exec.FlagHold
	id, _ := r.spawn(t, held)
	r.Kernel.Find("rngd").Exit(1)
	spawned := make(chan error)
	go func() { // each waits for an rngd that does not come
		_, _, err := r.session.Spawn(r.ctx, request("b"), exec.Program{})
		spawned <- err
	}()
	if _, err := r.session.Start(r.ctx, id); err != ipc.StatusUnavailable {
		t.Errorf("start: %v", err)
	}
	if err := <-spawned; err != ipc.StatusUnavailable {
		t.Errorf("spawn: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if r.Kernel.Find(exec.Prefix+name) != nil {
			t.Errorf("%s runs", name)
		}
	}
}
