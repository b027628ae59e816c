//go:build !tamago

package virt_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/dt"
)

// TestMissingHart boots a machine of two harts with the device tree of one of three. The
// firmware accepts the start of the third, and nothing comes. The kernel says so in time,
// and the system runs on the others, whichever place the missing one has among them.
func TestMissingHart(t *testing.T) {
	file := faultImage(t)
	for name, places := range map[string][3]string{"last": {"0", "1", "2"}, "between": {"0", "2", "1"}, "first": {"2", "0", "1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, cmd := run(ctx, file, "-smp", "2", "-dtb", treeOfThree(t, places), "-no-reboot")
			if s := cmd.ProcessState.ExitCode(); s != 0 {
				t.Errorf("status %d", s)
			}
			inOrder(t, out, "neuron vers.", "KINIT: cpu", "KINIT: cpu", "KSELFTEST: frames returned ok")
			online, missing := strings.Count(out, " online\n"), strings.Count(out, " not online: it does not come\n")
			if n := strings.Count(out, "KINIT: "); n != 2 || online != 1 || missing != 1 {
				t.Errorf("%d lines about harts, %d online, %d missing\n%s", n, online, missing, out)
			}
		})
	}
}

// treeOfThree returns the file of the device tree of a machine with three harts, which
// stand in it as places says, by their ids.
func treeOfThree(t *testing.T, places [3]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tree")
	dump := exec.Command("qemu-system-riscv64", "-M", "virt,dumpdtb="+file, "-smp", "3", "-display", "none")
	if out, err := dump.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", dump, err, out)
	}
	tree, err := dt.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cpus, ok := tree.NodeByName("cpus")
	if !ok {
		t.Fatal("no harts in the tree")
	}
	place := func(n *dt.Node) int {
		id, ok := strings.CutPrefix(n.Name, "cpu@")
		if !ok {
			return -1 // cpu-map
		}
		return slices.Index(places[:], id)
	}
	slices.SortStableFunc(cpus.Children, func(a, b *dt.Node) int { return place(a) - place(b) })
	var b bytes.Buffer
	if _, err := tree.Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
