package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"nexus.internal/test/qemu"
	"nexus.internal/test/scratch"
)

// Times of one check.
const (
	applyTimeout  = 20 * time.Second
	testTimeout   = 2 * time.Minute
	buildTimeout  = 5 * time.Minute
	ladderTimeout = 45 * time.Second
	makeTimeout   = 3 * time.Minute
	soakTimeout   = 2 * time.Minute // a wake-up that is lost is found after half a minute
)

// The ways for a mutant not to be caught.
var (
	errEscaped = errors.New("ESCAPED  no check failed")
	errStale   = errors.New("STALE    the patch does not apply")
	errBroken  = errors.New("BROKEN   something else failed")
)

// tree is a copy of the source to plant faults in.
type tree struct{ *scratch.Tree }

// copyTrees copies the source n times.
func copyTrees(ctx context.Context, n int) ([]tree, error) {
	var trees []tree
	for range n {
		t, err := scratch.Copy(ctx, ".")
		if err != nil {
			return trees, err
		}
		trees = append(trees, tree{t})
	}
	return trees, nil
}

func removeTrees(trees []tree) {
	for _, t := range trees {
		t.Remove()
	}
}

// control runs every check that the mutants name on the unchanged tree.
func (t tree) control(ctx context.Context, mutants []*mutant) error {
	type place struct {
		pkg   string
		harts int
	}
	tests, targets := map[place][]string{}, map[string]bool{}
	ladders, soak := map[int]bool{}, false
	for _, m := range mutants {
		switch {
		case m.check.marker != "":
			ladders[m.check.smp] = true
		case m.check.soak != "":
			soak = true
		case m.check.make != "":
			targets[m.check.make] = true
		default:
			p := place{m.check.pkg, m.check.harts}
			tests[p] = append(tests[p], m.check.test)
		}
	}
	for p, names := range tests {
		out, err := t.test(ctx, check{pkg: p.pkg, harts: p.harts, test: strings.Join(names, "|")}, nil, "-v")
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", p.pkg, err, brief(out))
		}
		for _, name := range names {
			if !strings.Contains(out, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s has no test %s, or it was skipped", p.pkg, name)
			}
		}
	}
	for target := range targets {
		if out, err := t.make(ctx, target); err != nil {
			return fmt.Errorf("make %s: %w\n%s", target, err, brief(out))
		}
	}
	if soak {
		if out, err := t.soak(ctx); err != nil {
			return fmt.Errorf("soak: %w\n%s", err, brief(out))
		}
	}
	for smp := range ladders {
		v, err := t.ladder(ctx, qemu.Selection{}, smp)
		if err != nil {
			return err
		}
		if !v.OK() {
			return fmt.Errorf("ladder on %d harts: %v", smp, v.Failures[0])
		}
	}
	return nil
}

// try plants a fault, runs its check and takes the fault out again. It returns
// nil if the fault was caught.
func (t tree) try(ctx context.Context, m *mutant) (err error) {
	defer func() {
		for _, name := range m.files {
			if restore := t.Restore(name); restore != nil {
				err = errors.Join(err, restore)
			}
		}
	}()
	if m.check.harts != 0 {
		if err := t.prepareTarget(ctx); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	if out, err := t.Command(ctx, applyTimeout, "git", "apply", "-C1", "--whitespace=nowarn", m.path); err != nil {
		return fmt.Errorf("%w: %s", errStale, strings.TrimSpace(out))
	}
	if m.check.marker != "" {
		return t.tryLadder(ctx, m.check.marker, m.check.smp)
	}
	if m.check.soak != "" {
		return t.trySoak(ctx, m.check.soak)
	}
	if m.check.make != "" {
		return t.tryMake(ctx, m.check)
	}
	out, err := t.test(ctx, m.check, m.files)
	switch failed := failedTest(out, m.check.test); {
	case err == nil:
		return errEscaped
	case !failed:
		return fmt.Errorf("%w: %w\n%s", errBroken, err, brief(out))
	}
	return nil
}

// failedTest reports whether go test's output says that the test failed, did not
// end in time, or brought the test program down.
func failedTest(out, test string) bool {
	name := regexp.QuoteMeta(test)
	if regexp.MustCompile(`(?m)^(--- FAIL: ` + name + ` |\t+` + name + ` \([0-9a-z.]+\)$)`).MatchString(out) {
		return true
	}
	crashed := regexp.MustCompile(`(?m)^(panic:|fatal error:|unexpected fault address|SIG[A-Z]+:)`).MatchString(out)
	return crashed && regexp.MustCompile(`(?m)\.`+name+`(\.func[0-9.]+)?\(`).MatchString(out)
}

// brief returns the first lines of a command's output.
func brief(out string) string {
	const lines = 20
	parts := strings.SplitAfterN(out, "\n", lines+1)
	if len(parts) > lines {
		parts[lines] = "...\n"
	}
	return strings.Join(parts, "")
}

// test runs tests of a package in the tree, of which the given files may differ from
// the source.
func (t tree) test(ctx context.Context, c check, files []string, flags ...string) (string, error) {
	if c.harts != 0 {
		if err := t.prepareTarget(ctx); err != nil {
			return "", err
		}
		return t.target(ctx, c, files, flags)
	}
	args := append([]string{"test", "-timeout", testTimeout.String(), "-run", "^(" + c.test + ")$"}, flags...)
	return t.Command(ctx, testTimeout+buildTimeout, "go", append(args, c.pkg)...)
}

// tryLadder returns nil if the marker is not proven any more.
func (t tree) tryLadder(ctx context.Context, marker string, smp int) error {
	v, err := t.ladder(ctx, qemu.Selection{Until: marker}, smp)
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

// soak builds the programs of the tree and lets them run a little.
func (t tree) soak(ctx context.Context) (string, error) {
	if err := t.Build(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", errBroken, err)
	}
	return t.Command(ctx, soakTimeout+buildTimeout, "go", "run", "./cmd/soak", "-runs", "1", "-calls", "20000", "-turns", "12000", "-timeout", soakTimeout.String())
}

// trySoak returns nil if the soak fails in that part or, as nobody knows when harts meet,
// before it.
func (t tree) trySoak(ctx context.Context, part string) error {
	out, err := t.soak(ctx)
	switch {
	case errors.Is(err, errBroken):
		return err
	case err == nil || strings.Contains(out, "soak: "+part+" ok"):
		return errEscaped
	case !strings.Contains(out, "soak: FAIL: "):
		return fmt.Errorf("%w: %w\n%s", errBroken, err, brief(out))
	}
	return nil
}

// make builds the programs of the tree, then the target.
func (t tree) make(ctx context.Context, target string) (string, error) {
	if err := t.Build(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", errBroken, err)
	}
	return t.Command(ctx, makeTimeout+buildTimeout, "make", "--no-print-directory", target)
}

// tryMake returns nil if the target fails and says so in the way that the check names.
func (t tree) tryMake(ctx context.Context, c check) error {
	out, err := t.make(ctx, c.make)
	switch {
	case errors.Is(err, errBroken):
		return err
	case err == nil:
		return errEscaped
	case !strings.Contains("\n"+out, "\n"+c.says):
		return fmt.Errorf("%w: %w\n%s", errBroken, err, brief(out))
	}
	return nil
}

// ladder builds the image of the tree and runs it up to a marker on so many harts.
func (t tree) ladder(ctx context.Context, sel qemu.Selection, smp int) (*qemu.Verdict, error) {
	if err := t.Build(ctx); err != nil {
		return nil, err
	}
	l, err := qemu.DefaultLadder()
	if err != nil {
		return nil, err
	}
	sel.Gates = map[string]bool{"REQUIRE_SMP": smp > 1, "REQUIRE_SMP4": smp >= 4, "REQUIRE_SMP8": smp == 8}
	opts := qemu.Options{Selection: sel, Timeout: time.Duration(smp) * ladderTimeout, SMP: smp}
	if sel.Until != "" {
		opts.When = qemu.WhenLine
	}
	return qemu.Prove(ctx, io.Discard, l, qemu.Machine{Image: filepath.Join(t.Dir, "build/nexus-test.img")}, opts)
}
