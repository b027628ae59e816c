//go:build !tamago

package initd_test

import (
	"slices"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/manifest"
)

// withFiles gives the archive two files, of which m.Services[2] may have the second.
func withFiles(m *manifest.Manifest, _ map[string][]string, _ svc.Table) {
	m.Files = []string{"one", "two"}
	m.Services[2].Files = m.Files[1:]
}

// withSpawner makes m.Services[2] one, for manifest and policy.
func withSpawner(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
	withFiles(m, r, tab)
	m.Services[2].Spawner = true
	r["selftest-client"] = append(slices.Clone(r["selftest-client"]), "proc.create")
}

func TestFile(t *testing.T) {
	_, _, env := boot(t, "selftest-client", withFiles)
	ctx := deadline(t)
	c, err := env.Control.File(ctx, "two")
	if err != nil {
		t.Fatal(err)
	}
	// The archive's entry is a program, and may be executed; not by everybody.
	if info, err := c.Info(); err != nil || info.Kind != abi.KindVMO || info.Rights != abi.RightRead {
		t.Errorf("%+v, %v", info, err)
	}
	for _, name := range []string{"one", "three", "", "manifest"} {
		if _, err := env.Control.File(ctx, name); err != ipc.StatusDenied {
			t.Errorf("file %q: %v", name, err)
		}
	}
	if _, err := env.Control.Call(ctx, control.OpFile, []byte("\x09two"), nil); err != ipc.StatusMalformed {
		t.Errorf("cut: %v", err)
	}
}

func TestSpawner(t *testing.T) {
	_, _, env := boot(t, "selftest-client", withSpawner)
	ctx := deadline(t)
	s, ids, err := env.Control.Spawner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := s.Info(); err != nil || info.Rights != abi.RightManage {
		t.Errorf("%+v, %v: it can be given on, or used for nothing", info, err)
	}
	for _, name := range []string{"init", "policyd", "logd", "selftest-client"} {
		if !slices.Contains(ids, manifest.ServiceID(name)) {
			t.Errorf("the identity of %s is not reserved", name)
		}
	}
	if info, err := env.Process.Console().Info(); err != nil || info.Rights != abi.RightWrite|abi.RightGrant {
		t.Errorf("its console: %+v, %v", info, err)
	}
	c, err := env.Control.File(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := c.Info(); err != nil || info.Rights != abi.RightRead|abi.RightExec {
		t.Errorf("a file for a spawner: %+v, %v", info, err)
	}
	if _, err := env.Control.Call(ctx, control.OpSpawner, []byte{0}, nil); err != ipc.StatusMalformed {
		t.Errorf("with a payload: %v", err)
	}
}

func TestRejectSpawner(t *testing.T) {
	for what, change := range map[string]func(*manifest.Manifest, map[string][]string, svc.Table){
		"manifest": func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
			withSpawner(m, r, tab)
			m.Services[2].Spawner = false
		},
		"policy": func(m *manifest.Manifest, r map[string][]string, tab svc.Table) {
			withSpawner(m, r, tab)
			r["selftest-client"] = []string{"ipc.core", "proc.spawn"}
		},
	} {
		_, _, env := boot(t, "selftest-client", change)
		if _, _, err := env.Control.Spawner(deadline(t)); err != ipc.StatusDenied {
			t.Errorf("without the leave of the %s: %v", what, err)
		}
		if info, err := env.Process.Console().Info(); what == "manifest" && (err != nil || info.Rights != abi.RightWrite) {
			t.Errorf("the console of one who is no spawner: %+v, %v", info, err)
		}
	}
}
