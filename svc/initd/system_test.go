//go:build !tamago

package initd_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"nexus.internal/svc"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/mortal"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/selftest"
	"nexus.internal/svc/svctest"
)

var table = svc.Table{"policyd": policyd.Main, "logd": logd.Main, "selftest-client": selftest.Main, "mortal": mortal.Main}

// rules are those of the test image.
func rules() map[string][]string {
	return map[string][]string{
		"init":            {"ipc.core", "policy.delegate", "proc.spawn"},
		"policyd":         {"ipc.core"},
		"logd":            {"ipc.core", "policy.delegate"},
		"selftest-client": {"ipc.core", "proc.spawn", "log.read", "device.mmio.rng", "device.mmio.net"},
		"mortal":          {"ipc.core"},
	}
}

func restart(limit int) manifest.Restart {
	return manifest.Restart{Policy: manifest.Always, Backoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond, Limit: limit, Window: time.Minute}
}

func base(more ...manifest.Service) *manifest.Manifest {
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		{Name: "policyd", Program: "policyd", Frames: 1024, Ready: 5 * time.Second, Console: true, Restart: restart(5),
			Calls: []manifest.Call{{Name: "logd", Lazy: true}}},
		{Name: "logd", Program: "logd", Frames: 1024, Ready: 5 * time.Second, Console: true, Restart: restart(5),
			Calls: []manifest.Call{{Name: "policyd", Lazy: true}}},
	}}
	m.Services = append(m.Services, more...)
	return m
}

func client(name, program string) manifest.Service {
	return manifest.Service{Name: name, Program: program, Frames: 1024, Ready: 5 * time.Second, Console: true, Essential: true, Spawn: true,
		Calls: []manifest.Call{{Name: "policyd"}, {Name: "logd"}}, Devices: []string{"rng1"}}
}

// withMortal adds the service that dies and lets m.Services[2] start and call it.
func withMortal(m *manifest.Manifest) {
	m.Services = append(m.Services, manifest.Service{Name: mortal.Name, Program: mortal.Name, Frames: 1024, Ready: 5 * time.Second, Demand: true,
		Calls:   []manifest.Call{{Name: "logd"}},
		Restart: manifest.Restart{Policy: manifest.OnFailure, Backoff: 50 * time.Millisecond, MaxBackoff: time.Second, Limit: 3, Window: time.Minute}})
	m.Services[2].Calls = append(m.Services[2].Calls, manifest.Call{Name: mortal.Name, Lazy: true})
}

// The whole ladder, as far as it does not need a machine. What is wanted stands here and is
// not picked from test/qemu/ladder.toml: which of its markers a manifest of three services
// brings about, as whole lines and with nothing else in between, the ladder does not say.
func TestLadder(t *testing.T) {
	m := base(client("selftest-client", "selftest-client"))
	withMortal(m)
	m.Services[2].Args = []string{"mortal"}
	sys := svctest.Boot(t, m, rules(), table)
	select {
	case <-sys.Init.Done():
	case <-time.After(patience):
		t.Fatal("the system does not end")
	}
	if s := sys.Init.Status(); s != 0 {
		t.Errorf("exit status %d", s)
	}
	want := []string{
		"init: start",
		"init: start rngd", "init: up rngd",
		"init: start policyd", "init: up policyd",
		"init: start logd", "init: up logd",
		"init: start selftest-client", "init: up selftest-client",
		"init: mmio policy deny ok",
		"init: ready", "policyd: ready", "logd: ready",
		"SELFTEST: ipc routing policyd ok",
		"SELFTEST: policy allow ok",
		"SELFTEST: policy deny ok",
		"SELFTEST: mmio policy deny ok",
		"SELFTEST: policyd requester spoof denied ok",
		"SELFTEST: policy malformed ok",
		"SELFTEST: policy allow audit ok",
		"SELFTEST: policy deny audit ok",
		"logd: reject invalid_args",
		"logd: reject over_limit",
		"logd: reject rate_limited",
		"SELFTEST: logd hardening rejects ok",
		"SELFTEST: log query ok",
		"SELFTEST: nexus-log sink-logd ok",
		"SELFTEST: core services log ok",
		"SELFTEST: log query denied ok",
		"SELFTEST: ipc payload roundtrip ok",
		"SELFTEST: ipc deadline timeout ok",
		"SELFTEST: nexus-ipc kernel loopback ok",
		"SELFTEST: ipc sender pid ok",
		"SELFTEST: ipc sender service_id ok",
		"SELFTEST: mmio map ok",
		"SELFTEST: cap query mmio ok",
		"SELFTEST: ipc cap move reply ok",
		"SELFTEST: reply loopback ok",
		"SELFTEST: ipc soak ok",
		"SELFTEST: cap query vmo ok",
		"SELFTEST: ipc routing ok",
		"SELFTEST: goroutines parallel ok",
		"SELFTEST: gc beside spinners ok",
		"SELFTEST: service restart ok",
		"init: give up mortal: ended with status 9 after 3 restarts in 1m0s",
		"SELFTEST: restart limit ok",
		"SELFTEST: memory pressure ok",
		"SELFTEST: end",
	}
	if got := sys.Console.Markers(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// patience is how long a test waits for what must come. Only what hangs reaches it: a
// system with the race detector, beside other tests on two cores, is slow.
const patience = 90 * time.Second

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
