// Run runs the tests of Nexus and closes with one line, "N passed, N failed":
//
//	run host                   tests of all packages on this machine, with the race detector
//	run os -image FILE         the marker ladder in QEMU (see package test/qemu)
//	run all -image FILE        both, in this order
//	run all -steps lint,bench  make targets first; each counts as one test
//
// RUN_PHASE, RUN_UNTIL_MARKER, RUN_TIMEOUT, SMP, REQUIRE_SMP and DISK choose what of the
// ladder runs, and how. The exit status is 0 if nothing failed, 1 if something
// did, 2 for a mistake in the arguments or variables.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nexus.internal/test/qemu"
)

// tally counts results.
type tally struct{ passed, failed int }

func (t *tally) add(u tally) { t.passed += u.passed; t.failed += u.failed }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) (status int) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	image := flags.String("image", "build/nexus-test.img", "image to boot")
	steps := flags.String("steps", "", "make targets to run first, with commas between them")
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: run host|os|all [-image file]")
		return 2
	}
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return 2
	}
	// What cannot run is known before minutes of tests, not after.
	var ladder *qemu.Ladder
	var opts qemu.Options
	withHost, withOS := args[0] == "host" || args[0] == "all", args[0] == "os" || args[0] == "all"
	if !withHost && !withOS {
		fmt.Fprintf(os.Stderr, "run: unknown command %q: want host, os or all\n", args[0])
		return 2
	}
	if withOS {
		var err error
		if ladder, err = qemu.DefaultLadder(); err == nil {
			opts, err = qemu.OptionsFromEnv(os.Getenv, ladder.Gates())
		}
		if err == nil {
			_, err = qemu.NewJudge(ladder, opts.Selection)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "run:", err)
			return 2
		}
	}
	var sum tally
	if *steps != "" {
		for _, target := range strings.Split(*steps, ",") {
			sum.add(step(ctx, target))
		}
	}
	if withHost {
		sum.add(host(ctx))
	}
	if withOS {
		sum.add(prove(ctx, ladder, *image, opts))
	}
	fmt.Printf("%d passed, %d failed\n", sum.passed, sum.failed)
	if sum.failed > 0 || sum.passed == 0 {
		return 1
	}
	return 0
}

// step makes a target: one test.
func step(ctx context.Context, target string) tally {
	fmt.Printf("=== make %s\n", target)
	start := time.Now()
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", target)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Printf("FAIL\tmake %s\t%.1fs: %v\n", target, time.Since(start).Seconds(), err)
		return tally{failed: 1}
	}
	fmt.Printf("ok  \tmake %s\t%.1fs\n", target, time.Since(start).Seconds())
	return tally{passed: 1}
}

// prove runs the ladder: each marker that it proves is a test that passed. A run
// of the whole ladder is repeated in part on other machines, each one test.
func prove(ctx context.Context, l *qemu.Ladder, image string, opts qemu.Options) tally {
	fmt.Printf("=== ladder in QEMU: %s\n", image)
	if opts.Disk == "" {
		dir, err := os.MkdirTemp("", "nexus-run-")
		if err == nil {
			defer os.RemoveAll(dir)
			opts.Disk = filepath.Join(dir, "disk.img")
			err = qemu.NewDisk(opts.Disk)
		}
		if err != nil {
			fmt.Printf("FAIL: %v\n", err)
			return tally{failed: 1}
		}
	}
	v, err := qemu.Prove(ctx, os.Stdout, l, qemu.Machine{Image: image, Disk: opts.Disk}, opts)
	if err != nil {
		fmt.Printf("FAIL: %v\n", err)
		return tally{failed: 1}
	}
	v.Report(os.Stdout)
	sum := tally{passed: v.Proven, failed: len(v.Failures)}
	if !opts.Whole() {
		return sum
	}
	for _, variant := range l.Variants {
		fmt.Printf("=== ladder up to %s, %s\n", variant.Phase, variant.Name)
		o := opts
		o.Phase = variant.Phase
		o.Gates = maps.Clone(opts.Gates)
		for _, gate := range variant.Gates {
			o.Gates[gate] = true
		}
		m := qemu.Machine{Image: image, Memory: variant.Memory, CPU: variant.CPU}
		switch variant.Disk {
		case qemu.SameDisk:
			m.Disk = opts.Disk
		case qemu.BadDisk:
			server, remove, err := badDisk()
			if err != nil {
				fmt.Printf("FAIL: %v\n", err)
				sum.failed++
				continue
			}
			defer remove()
			m.NBD = server.Socket()
		}
		v, err := qemu.Prove(ctx, io.Discard, l, m, o)
		switch {
		case err != nil:
			fmt.Printf("FAIL: %v\n", err)
			sum.failed++
		case !v.OK():
			v.Report(os.Stdout)
			sum.failed++
		default:
			fmt.Printf("ok  \t%d markers\n", v.Proven)
			sum.passed++
		}
	}
	return sum
}
