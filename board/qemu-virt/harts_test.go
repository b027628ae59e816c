//go:build !tamago

package virt_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMissingHart boots a machine of two harts with the device tree of one of three. The
// firmware accepts the start of the third, and nothing comes. The kernel says so in time,
// and the system runs on the others.
func TestMissingHart(t *testing.T) {
	file := faultImage(t)
	tree := filepath.Join(t.TempDir(), "tree")
	dump := exec.Command("qemu-system-riscv64", "-M", "virt,dumpdtb="+tree, "-smp", "3", "-display", "none")
	if out, err := dump.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", dump, err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, cmd := run(ctx, file, "-smp", "2", "-dtb", tree, "-no-reboot")
	if s := cmd.ProcessState.ExitCode(); s != 0 {
		t.Errorf("status %d", s)
	}
	inOrder(t, out, "neuron vers.", "KINIT: cpu1 online\n", "KINIT: cpu2 not online: it does not come\n", "KSELFTEST: frames returned ok")
	if n := strings.Count(out, "KINIT: "); n != 2 {
		t.Errorf("%d lines about harts\n%s", n, out)
	}
}
