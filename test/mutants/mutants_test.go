package main

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"nexus.internal/test/qemu"
)

const patch = `The loader accepts pages that are writable and executable.
Check: host ./kernel/elf TestRejectWX
--- a/kernel/elf/elf.go
+++ b/kernel/elf/elf.go
@@ -1 +1 @@
-a
+b
`

func TestParseMutant(t *testing.T) {
	m, err := parseMutant(patch)
	if err != nil || m.what != "The loader accepts pages that are writable and executable." ||
		m.check != (check{pkg: "./kernel/elf", test: "TestRejectWX"}) || !slices.Equal(m.files, []string{"kernel/elf/elf.go"}) {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = parseMutant(strings.Replace(patch, "host ./kernel/elf TestRejectWX", "ladder SELFTEST: a b ok", 1))
	if err != nil || m.check != (check{marker: "SELFTEST: a b ok", smp: 1}) {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = parseMutant(strings.Replace(patch, "host ./kernel/elf TestRejectWX", "ladder 4 SELFTEST: a b ok", 1))
	if err != nil || m.check != (check{marker: "SELFTEST: a b ok", smp: 4}) {
		t.Errorf("%+v, %v", m, err)
	}
	target := strings.NewReplacer("host ./kernel/elf TestRejectWX", "target 4 sync TestMutex", "kernel/elf/elf.go", "runtime-patches/files/runtime/os.go").Replace(patch)
	if m, err = parseMutant(target); err != nil || m.check != (check{harts: 4, pkg: "sync", test: "TestMutex"}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{
		strings.ReplaceAll(target, "files/runtime/os.go", "copies.txt"),
		strings.ReplaceAll(target, "runtime-patches/files/runtime/os.go", "kernel/elf/elf.go"),
		strings.Replace(target, "target 4", "target 9", 1),
		strings.Replace(target, "target 4 sync", "target sync", 1),
	} {
		if _, err := parseMutant(bad); !errors.Is(err, errFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	m, err = parseMutant(strings.Replace(patch, "host ./kernel/elf TestRejectWX", "soak calls", 1))
	if err != nil || m.check.soak != "calls" {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = parseMutant(strings.Replace(patch, "host ./kernel/elf TestRejectWX", "make test-entropy entropy: with other", 1))
	if err != nil || m.check != (check{make: "test-entropy", says: "entropy: with other"}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, change := range [][2]string{
		{"Check: host", "Check: guess"},
		{"host ./kernel/elf TestRejectWX", "make clean all"},
		{"host ./kernel/elf TestRejectWX", "make test-entropy"},
		{"host ./kernel/elf TestRejectWX", "soak everything"},
		{"Check: host ./kernel/elf TestRejectWX\n", ""},
		{"Check:", "Check: ladder x\nCheck:"},
		{"The loader accepts pages that are writable and executable.\n", ""},
		{"--- a/", "--- b/"},
		{"+++ b/kernel/elf/elf.go", ""},
		{"b/kernel/elf", "b/runtime-patches/files"},
		{"TestRejectWX", ""},
		{"TestRejectWX", "-exec=rm"},
	} {
		if _, err := parseMutant(strings.Replace(patch, change[0], change[1], 1)); !errors.Is(err, errFormat) {
			t.Errorf("%q: %v", change, err)
		}
	}
}

func TestFailedTest(t *testing.T) {
	for _, tt := range []struct {
		out  string
		want bool
	}{
		{"--- FAIL: TestA (0.00s)\n    a_test.go:3: no\nFAIL\n", true},
		{"--- FAIL: TestAB (0.00s)\nFAIL\n", false},
		{"# pkg\na.go:1:1: syntax error\nFAIL\tpkg [build failed]\n", false},
		{"panic: test timed out after 2m0s\n\trunning tests:\n\t\tTestA (2m0s)\n", true},
		{"unexpected fault address 0x10\nfatal error: fault\n\ngoroutine 7 [running]:\npkg.f()\npkg_test.TestA(0x1)\n", true},
		{"panic: x\n\ngoroutine 7 [running]:\npkg_test.TestA.func1(0x1)\n", true},
		{"panic: x\n\ngoroutine 7 [running]:\npkg_test.TestB(0x1)\n", false},
		{"ok  \tpkg\t0.1s\n", false},
	} {
		if got := failedTest(tt.out, "TestA"); got != tt.want {
			t.Errorf("%q: %v", tt.out, got)
		}
	}
}

// Every mutant that is committed is well-formed, applies to the source as it is,
// and names a marker that exists.
func TestMutants(t *testing.T) {
	mutants, err := readMutants("patches")
	if err != nil {
		t.Fatal(err)
	}
	l, err := qemu.DefaultLadder()
	if err != nil {
		t.Fatal(err)
	}
	if len(mutants) < 30 {
		t.Errorf("only %d mutants", len(mutants))
	}
	for _, m := range mutants {
		apply := exec.Command("git", "apply", "--check", "-C1", "--whitespace=nowarn", m.path)
		apply.Dir = "../.."
		if out, err := apply.CombinedOutput(); err != nil {
			t.Errorf("%s does not apply: %s", m.name, out)
		}
		if m.check.marker != "" && !slices.ContainsFunc(l.Markers, func(k *qemu.Marker) bool { return k.Text == m.check.marker }) {
			t.Errorf("%s: the ladder has no marker %q", m.name, m.check.marker)
		}
	}
}
