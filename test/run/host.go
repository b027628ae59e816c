package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// hostTimeout bounds the tests of one package.
const hostTimeout = 10 * time.Minute

// host runs the tests of all packages and prints what go test would: a line for
// each package, and the output of what failed.
func host(ctx context.Context) tally {
	fmt.Println("=== host tests: go test -race ./...")
	cmd := exec.CommandContext(ctx, "go", "test", "-race", "-json", "-timeout", hostTimeout.String(), "./...")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Printf("FAIL: go test: %v\n", err)
		return tally{failed: 1}
	}
	sum, err := count(out, os.Stdout)
	err = errors.Join(err, cmd.Wait())
	if err != nil && sum.failed == 0 {
		fmt.Printf("FAIL: go test: %v\n", err)
		sum.failed++
	}
	return sum
}

// event is a line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// count reads the events of go test -json from in, writes a report to out and
// counts tests, not their subtests. A package that fails without a failed test,
// because it does not build, is one failure.
func count(in io.Reader, out io.Writer) (tally, error) {
	var sum tally
	output := map[string]*strings.Builder{} // by package and top-level test, until it passes
	failed := map[string]bool{}             // packages with a failed test
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go itself complains in plain text
			continue
		}
		top, _, sub := strings.Cut(e.Test, "/")
		key := e.Package + " " + top
		if e.Package == "" {
			key = e.ImportPath + " "
		}
		switch e.Action {
		case "output", "build-output":
			if output[key] == nil {
				output[key] = &strings.Builder{}
			}
			output[key].WriteString(e.Output)
			continue
		case "pass", "skip", "fail", "build-fail":
		default:
			continue
		}
		switch {
		case sub:
		case e.Test != "":
			switch e.Action {
			case "pass":
				sum.passed++
			case "fail":
				sum.failed++
				failed[e.Package] = true
				fmt.Fprint(out, output[key])
			}
			delete(output, key)
		case e.Action == "build-fail":
			fmt.Fprint(out, output[key])
		case e.Action == "fail":
			if !failed[e.Package] {
				sum.failed++
				fmt.Fprint(out, output[key])
			}
			fmt.Fprintf(out, "FAIL\t%s\t%.1fs\n", e.Package, e.Elapsed)
		case e.Action == "pass":
			fmt.Fprintf(out, "ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
		}
	}
	return sum, lines.Err()
}
