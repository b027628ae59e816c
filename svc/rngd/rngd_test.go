//go:build !tamago

package rngd_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/svc"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/rngd"
	"nexus.internal/svc/svctest"
)

// Without a device that works there is no entropy, and without entropy no system: it
// says so and stops. The device of this machine has none of the features that the
// driver needs; that is what it hears of it, although it asks before policyd is there.
func TestRejectNoEntropy(t *testing.T) {
	const ready = 5 * time.Second
	lazily := []manifest.Call{{Name: "policyd", Lazy: true}, {Name: "logd", Lazy: true}}
	restart := manifest.Restart{Policy: manifest.Always, Backoff: time.Millisecond, MaxBackoff: time.Millisecond, Limit: 1, Window: time.Minute}
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		{Name: "rngd", Program: "rngd", Frames: 1024, Ready: ready, Console: true, Restart: restart, Calls: lazily, Devices: []string{"rng"}, Essential: true},
		{Name: "policyd", Program: "policyd", Frames: 1024, Ready: ready, Console: true, Restart: restart, Calls: lazily[1:]},
		{Name: "logd", Program: "logd", Frames: 1024, Ready: ready, Console: true, Restart: restart, Calls: lazily[:1]},
	}}
	rules := map[string][]string{
		"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core", "policy.delegate"},
		"rngd": {"ipc.core", "policy.delegate", "device.mmio.rng"},
	}
	sys := svctest.Boot(t, m, rules, svc.Table{"rngd": rngd.Main, "policyd": policyd.Main, "logd": logd.Main})
	select {
	case <-sys.Init.Done():
	case <-time.After(time.Minute):
		t.Fatal("the system goes on")
	}
	if sys.Init.Status() == 0 {
		t.Error("the system ended well")
	}
	lines := sys.Console.Lines()
	said := func(begin string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, begin) })
	}
	if !said("rngd: no entropy: virtio: features") || said("rngd: no entropy: window") || said("rngd: ready") || said("init: ready") {
		t.Errorf("it says\n%s", strings.Join(lines, "\n"))
	}
}
