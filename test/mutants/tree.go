package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"nexus.internal/test/qemu"
)

// Times of one check.
const (
	testTimeout   = 2 * time.Minute
	buildTimeout  = 5 * time.Minute
	ladderTimeout = 3 * time.Minute
)

// The ways for a mutant not to be caught.
var (
	errEscaped = errors.New("ESCAPED  no check failed")
	errStale   = errors.New("STALE    the patch does not apply")
	errBroken  = errors.New("BROKEN   something else failed")
)

// tree is a copy of the source to plant faults in.
type tree struct{ dir string }

// copyTrees copies the files that git knows, or would add, n times.
func copyTrees(ctx context.Context, n int) ([]*tree, error) {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "-c", "-o", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the source: %w", err)
	}
	var trees []*tree
	for range n {
		dir, err := os.MkdirTemp("", "nexus-mutants-")
		if err != nil {
			return trees, err
		}
		t := &tree{dir}
		trees = append(trees, t)
		for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
			if err := t.copyFile(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return trees, err
			}
		}
		// The toolchain is the same for all; patches may not change it.
		toolchain, err := filepath.Abs("build/toolchain")
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, "build"), 0o755)
		}
		if err == nil {
			err = os.Symlink(toolchain, filepath.Join(dir, "build/toolchain"))
		}
		if err != nil {
			return trees, err
		}
	}
	return trees, nil
}

func removeTrees(trees []*tree) {
	for _, t := range trees {
		os.RemoveAll(t.dir)
	}
}

// copyFile makes a file of the tree what it is in the source.
func (t *tree) copyFile(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	to := filepath.Join(t.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// control runs every check that the mutants name on the unchanged tree.
func (t *tree) control(ctx context.Context, mutants []*mutant) error {
	tests := map[string][]string{} // by package
	ladder := false
	for _, m := range mutants {
		if m.check.marker != "" {
			ladder = true
		} else {
			tests[m.check.pkg] = append(tests[m.check.pkg], m.check.test)
		}
	}
	for pkg, names := range tests {
		out, err := t.goTest(ctx, pkg, strings.Join(names, "|"), "-v")
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
		for _, name := range names {
			if !strings.Contains(out, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s has no test %s, or it was skipped", pkg, name)
			}
		}
	}
	if !ladder {
		return nil
	}
	v, err := t.ladder(ctx, qemu.Selection{})
	if err != nil {
		return err
	}
	if !v.OK() {
		return fmt.Errorf("ladder: %v", v.Failures[0])
	}
	return nil
}

// try plants a fault, runs its check and takes the fault out again. It returns
// nil if the fault was caught.
func (t *tree) try(ctx context.Context, m *mutant) (err error) {
	defer func() {
		for _, name := range m.files {
			if restore := t.copyFile(name); restore != nil {
				err = errors.Join(err, restore)
			}
		}
	}()
	apply := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", m.path)
	apply.Dir = t.dir
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(t.dir))
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", errStale, strings.TrimSpace(string(out)))
	}
	if m.check.marker != "" {
		return t.tryLadder(ctx, m.check.marker)
	}
	out, err := t.goTest(ctx, m.check.pkg, m.check.test)
	switch failed := failedTest(out, m.check.test); {
	case err == nil:
		return errEscaped
	case !failed:
		return fmt.Errorf("%w: %w\n%s", errBroken, err, out)
	}
	return nil
}

// failedTest reports whether go test's output says that the test failed, or did
// not end in time.
func failedTest(out, test string) bool {
	name := regexp.QuoteMeta(test)
	return regexp.MustCompile(`(?m)^(--- FAIL: ` + name + ` |\t+` + name + ` \([0-9a-z.]+\)$|goroutine .*\.` + name + `\()`).MatchString(out)
}

// goTest runs tests of a package in the tree.
func (t *tree) goTest(ctx context.Context, pkg, tests string, flags ...string) (string, error) {
	args := append([]string{"test", "-timeout", testTimeout.String(), "-run", "^(" + tests + ")$"}, flags...)
	return t.command(ctx, testTimeout+buildTimeout, "go", append(args, pkg)...)
}

// tryLadder returns nil if the marker is not proven any more.
func (t *tree) tryLadder(ctx context.Context, marker string) error {
	v, err := t.ladder(ctx, qemu.Selection{Until: marker})
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	for _, f := range v.Failures {
		if strings.HasPrefix(f.Text, marker) {
			return nil
		}
	}
	if !v.OK() {
		return fmt.Errorf("%w: %v", errBroken, v.Failures[0])
	}
	return errEscaped
}

// ladder builds the image of the tree and runs it up to a marker.
func (t *tree) ladder(ctx context.Context, sel qemu.Selection) (*qemu.Verdict, error) {
	if out, err := t.command(ctx, buildTimeout, "make", "--no-print-directory", "build"); err != nil {
		return nil, fmt.Errorf("make build: %w\n%s", err, out)
	}
	l, err := qemu.DefaultLadder()
	if err != nil {
		return nil, err
	}
	opts := qemu.Options{Selection: sel, Timeout: ladderTimeout, SMP: 1}
	if sel.Until != "" {
		opts.When = qemu.WhenLine
	}
	return qemu.Prove(ctx, io.Discard, l, qemu.Machine{Image: filepath.Join(t.dir, "build/nexus-test.img")}, opts)
}

// command runs a command in the tree and returns its output.
func (t *tree) command(ctx context.Context, timeout time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
