// Teststd builds standard-library packages' own tests with the patched toolchain
// and runs each as a confined process under the kernel in QEMU:
//
//	go run ./cmd/teststd                        the default set of std.txt
//	go run ./cmd/teststd os sync/atomic         these packages
//
// It reports like go test: a line "ok" or "FAIL" with the seconds for each
// package, and exits with 1 if any failed. Tests that std.txt leaves out are
// listed with their reasons first. Tests run with -short and a loopback network
// inside the process (build tag fakenet).
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"nexus.internal/cmd/testexec/plan"
)

//go:embed std.txt
var std string

func main() {
	build := flag.String("build", "build", "folder with toolchain/ and for what is built")
	timeout := flag.String("timeout", "5m", "time limit of each package")
	run := flag.String("run", "", "run only tests that match this pattern")
	verbose := flag.Bool("v", false, "print all tests")
	flag.Parse()
	args := []string{"-timeout", *timeout}
	if *run != "" {
		args = append(args, "-run", *run)
	}
	if *verbose {
		args = append(args, "-v")
	}
	if err := test(*build, args, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "teststd:", err)
		os.Exit(1)
	}
}

// test runs go test with the arguments args on packages, by default those of the
// plan.
func test(build string, args, packages []string) error {
	list, err := plan.Parse(strings.NewReader(std))
	if err != nil {
		return fmt.Errorf("std.txt: %w", err)
	}
	if len(packages) == 0 {
		for _, p := range list.Default() {
			packages = append(packages, p.Path)
		}
	}
	if build, err = filepath.Abs(build); err != nil {
		return err
	}
	goroot := filepath.Join(build, "toolchain")
	goCommand := filepath.Join(goroot, "bin", "go")
	if _, err := os.Stat(goCommand); err != nil {
		return fmt.Errorf("%w; make toolchain builds it", err)
	}
	planFile := filepath.Join(build, "std.txt")
	if err := os.WriteFile(planFile, []byte(std), 0o644); err != nil {
		return err
	}
	testexec, kernel := filepath.Join(build, "testexec"), filepath.Join(build, "kernel.elf")
	if err := command("go", "build", "-o", testexec, "./cmd/testexec").Run(); err != nil {
		return fmt.Errorf("building testexec: %w", err)
	}
	printSkips(os.Stdout, list, packages)
	cmd := command(goCommand, append([]string{
		"test", "-count=1", "-short", "-vet=off", "-tags=fakenet",
		"-exec", fmt.Sprintf("%s -goroot %s -kernel %s -plan %s", testexec, goroot, kernel, planFile),
	}, append(args, packages...)...)...)
	cmd.Env = append(os.Environ(), "GOOS=tamago", "GOARCH=riscv64", "GOFLAGS=", "GOOSPKG=")
	if err := cmd.Run(); err != nil {
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
