package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A target check runs a test of the standard library, in a parallel process on the
// target. It is for faults in the new files of runtime-patches: the toolchain is shared
// and stays what it is, but the go command takes the runtime's files from the
// tree.

const (
	targetFiles   = "runtime-patches/files/"
	targetTimeout = 90 * time.Second // of the tests of one run; the machine needs some more
	machineEnded  = "testexec: ended after "
)

// prepareTarget builds what target checks run on. The tree must be without a fault.
func (t tree) prepareTarget(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(t.Dir, "build/testexec")); err == nil {
		return nil
	}
	if out, err := t.Command(ctx, buildTimeout, "make", "--no-print-directory", "programs"); err != nil {
		return fmt.Errorf("make programs: %w\n%s", err, out)
	}
	if out, err := t.Command(ctx, buildTimeout, "go", "build", "-o", "build/testexec", "./cmd/testexec"); err != nil {
		return fmt.Errorf("building testexec: %w\n%s", err, out)
	}
	return nil
}

// target runs a check's tests, with the given files of the tree in place of the
// toolchain's.
func (t tree) target(ctx context.Context, c check, files, flags []string) (string, error) {
	toolchain, err := filepath.EvalSymlinks(filepath.Join(t.Dir, "build/toolchain"))
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, f := range files {
		overlay.Replace[filepath.Join(toolchain, "src", strings.TrimPrefix(f, targetFiles))] = filepath.Join(t.Dir, f)
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	overlayFile := filepath.Join(t.Dir, "build/overlay.json")
	if err := os.WriteFile(overlayFile, text, 0o644); err != nil {
		return "", err
	}
	exec := fmt.Sprintf("%s -goroot %s -smp %d", filepath.Join(t.Dir, "build/testexec"), toolchain, c.harts)
	args := append([]string{
		"GOOS=tamago", "GOARCH=riscv64", "GOFLAGS=", "GOOSPKG=", filepath.Join(toolchain, "bin/go"), "test",
		"-count=1", "-short", "-vet=off", "-overlay", overlayFile, "-timeout", targetTimeout.String(), "-exec", exec,
		"-run", "^(" + c.test + ")$",
	}, flags...)
	out, err := t.Command(ctx, targetTimeout+buildTimeout, "env", append(args, c.pkg)...)
	if strings.Contains(out, machineEnded) {
		out += "--- FAIL: " + c.test + " \n" // it kept even its own time limit from ending it
	}
	return out, err
}
