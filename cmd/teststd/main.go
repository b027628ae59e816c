// Teststd builds standard-library packages' own tests with the patched toolchain
// and runs each as a confined process under the kernel in QEMU:
//
//	go run ./cmd/teststd                        the default set of std.txt
//	go run ./cmd/teststd os sync/atomic         these packages
//
// It reports like go test: a line "ok" or "FAIL" with the seconds for each
// package, and exits with 1 if any failed. Every test that does not run is listed
// with the reason: that of std.txt, or the test's own. Tests run with -short and a
// loopback network inside the process (build tag fakenet).
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nexus.internal/cmd/testexec/plan"
)

//go:embed std.txt
var std string

func main() {
	o := options{}
	flag.StringVar(&o.build, "build", "build", "folder with toolchain/ and kernel.elf, and for what is built")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "time limit of each package")
	flag.StringVar(&o.run, "run", "", "run only tests that match this pattern")
	flag.IntVar(&o.harts, "smp", 1, "harts of each machine, as many of which the tests may use")
	flag.BoolVar(&o.verbose, "v", false, "print what tests print")
	flag.Parse()
	if err := o.test(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "teststd:", err)
		os.Exit(1)
	}
}

type options struct {
	build, run string
	timeout    time.Duration
	harts      int
	verbose    bool
}

// test runs the tests of packages, by default those of the plan.
func (o *options) test(packages []string) error {
	list, err := plan.Parse(strings.NewReader(std))
	if err != nil {
		return fmt.Errorf("std.txt: %w", err)
	}
	if len(packages) == 0 {
		for _, p := range list.Default() {
			packages = append(packages, p.Path)
		}
	}
	build, err := filepath.Abs(o.build)
	if err != nil {
		return err
	}
	goroot, kernel := filepath.Join(build, "toolchain"), filepath.Join(build, "kernel.elf")
	for _, need := range []string{goroot, kernel} {
		if _, err := os.Stat(need); err != nil {
			return fmt.Errorf("%w; make programs builds it", err)
		}
	}
	planFile, testexec := filepath.Join(build, "std.txt"), filepath.Join(build, "testexec")
	if err := os.WriteFile(planFile, []byte(std), 0o644); err != nil {
		return err
	}
	if err := command("go", "build", "-o", testexec, "./cmd/testexec").Run(); err != nil {
		return fmt.Errorf("building testexec: %w", err)
	}
	printSkips(os.Stdout, list, packages)
	args := []string{
		"test", "-json", "-count=1", "-short", "-vet=off", "-tags=fakenet", "-timeout", o.timeout.String(),
		"-exec", fmt.Sprintf("%s -goroot %s -kernel %s -plan %s -smp %d", testexec, goroot, kernel, planFile, o.harts),
	}
	if o.run != "" {
		args = append(args, "-run", o.run)
	}
	cmd := command(filepath.Join(goroot, "bin", "go"), append(args, packages...)...)
	cmd.Env = append(os.Environ(), "GOOS=tamago", "GOARCH=riscv64", "GOFLAGS=", "GOOSPKG=")
	cmd.Stdout = nil
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := newReport(os.Stdout, o.verbose)
	readErr := r.read(events)
	err = cmd.Wait()
	fmt.Printf("%d packages ok, %d failed; %d tests skipped themselves\n", r.ok, r.failed, r.skipped)
	if err := errors.Join(readErr, err); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// printSkips says which tests of the packages are left out, and why.
func printSkips(w io.Writer, list *plan.Plan, packages []string) {
	for _, path := range packages {
		for _, s := range list.Package(path).Skips {
			fmt.Fprintf(w, "skip\t%s\t%s: %s\n", path, s.Pattern, s.Reason)
		}
	}
}

func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}
