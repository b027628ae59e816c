// Setup makes sure that a machine has what the make targets need beside make and
// Go:
//
//	setup qemu cc git
//
// What is missing is installed with apt-get when it runs as root on Debian or
// Ubuntu; otherwise it is named in one line and the exit status is 1. It does
// nothing, and takes milliseconds, where everything is there.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// need is something that a target wants on the machine.
type need struct {
	name     string
	present  func() bool
	packages []string // the first that apt knows brings it
}

// firmware is the file name of QEMU's own OpenSBI.
const firmware = "opensbi-riscv64-generic-fw_dynamic.bin"

// needs are the names that may be asked for; some stand for several things.
var needs = map[string][]need{
	"qemu": {
		// Newer releases have a package for each architecture.
		{"qemu-system-riscv64", inPath("qemu-system-riscv64"), []string{"qemu-system-riscv", "qemu-system-misc"}},
		{"OpenSBI", hasFirmware, []string{"opensbi"}},
	},
	"cc":  {{"a C compiler, for the race detector", inPath("gcc"), []string{"gcc"}}, {"C headers, for the race detector", hasHeaders, []string{"libc6-dev"}}},
	"git": {{"git", inPath("git"), []string{"git"}}},
}

func main() {
	if err := setup(os.Args[1:], os.Geteuid() == 0); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func setup(names []string, root bool) error {
	var missing []need
	for _, name := range names {
		list, ok := needs[name]
		if !ok {
			return fmt.Errorf("nothing is called %q here", name)
		}
		for _, n := range list {
			if !n.present() {
				missing = append(missing, n)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || !root {
		return missingError(missing)
	}
	if err := install(missing); err != nil {
		return fmt.Errorf("%w; %w", missingError(missing), err)
	}
	for _, n := range missing {
		if !n.present() {
			return fmt.Errorf("%s is still missing after its package was installed", n.name)
		}
	}
	return nil
}

// missingError names everything that is missing, and its packages, in one line.
func missingError(missing []need) error {
	var what, packages []string
	for _, n := range missing {
		what = append(what, n.name)
		packages = append(packages, strings.Join(n.packages, " or "))
	}
	return fmt.Errorf("missing: %s (on Debian and Ubuntu: apt-get install %s)", strings.Join(what, ", "), strings.Join(packages, " "))
}

// install installs a package for each need.
func install(missing []need) error {
	if err := apt("update"); err != nil {
		return err
	}
	args := []string{"install", "-y", "--no-install-recommends"}
	for _, n := range missing {
		pick := n.packages[len(n.packages)-1]
		for _, p := range n.packages {
			if exec.Command("apt-cache", "show", p).Run() == nil {
				pick = p
				break
			}
		}
		args = append(args, pick)
	}
	return apt(args...)
}

func apt(args ...string) error {
	fmt.Fprintln(os.Stderr, "setup: apt-get", strings.Join(args, " "))
	cmd := exec.Command("apt-get", append([]string{"-q"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func inPath(command string) func() bool {
	return func() bool { _, err := exec.LookPath(command); return err == nil }
}

// hasFirmware reports whether QEMU finds the OpenSBI that it boots by default.
func hasFirmware() bool {
	out, err := exec.Command("qemu-system-riscv64", "-L", "help").Output()
	if err != nil {
		return false
	}
	for _, dir := range strings.Fields(string(out)) {
		if _, err := os.Stat(filepath.Join(dir, firmware)); err == nil {
			return true
		}
	}
	return false
}

// hasHeaders reports whether the C compiler has the headers of a C library.
func hasHeaders() bool {
	return exec.Command("gcc", "-E", "-include", "stdlib.h", "-x", "c", "/dev/null", "-o", "/dev/null").Run() == nil
}
