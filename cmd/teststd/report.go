package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build events
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// report turns the events of go test -json into what go test prints, plus a line
// for each test that skipped itself, with the reason that it gave.
type report struct {
	out     io.Writer
	verbose bool
	packs   map[string]*packageLog

	ok, failed, skipped int // packages, packages, tests
}

// packageLog is what a package has printed, by test; "" is the package itself.
type packageLog struct {
	output map[string][]string
	order  []string // tests with output, by their first line
}

func newReport(out io.Writer, verbose bool) *report {
	return &report{out: out, verbose: verbose, packs: make(map[string]*packageLog)}
}

// read reports all events of r.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				r.out.Write(line) // of go test itself
			} else {
				r.event(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the events of go test: %w", err)
		}
	}
}

func (r *report) event(e event) {
	name := e.Package
	if name == "" {
		name, _, _ = strings.Cut(e.ImportPath, " ")
	}
	log := r.packs[name]
	if log == nil {
		log = &packageLog{output: make(map[string][]string)}
		r.packs[name] = log
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		if r.verbose {
			fmt.Fprint(r.out, e.Output)
		}
		if log.output[e.Test] == nil {
			log.order = append(log.order, e.Test)
		}
		log.output[e.Test] = append(log.output[e.Test], e.Output)
	case "skip":
		if e.Test != "" {
			r.skipped++
			fmt.Fprintf(r.out, "skip\t%s\t%s: %s\n", name, e.Test, reason(log.output[e.Test]))
			delete(log.output, e.Test)
			return
		}
		r.end(log, name, "ok", e.Elapsed, " [no tests]")
	case "pass":
		if e.Test == "" {
			r.end(log, name, "ok", e.Elapsed, "")
		}
		delete(log.output, e.Test)
	case "fail":
		if e.Test != "" {
			return // its output is printed at the end of the package
		}
		note := ""
		if e.FailedBuild != "" {
			note = " [build failed]"
		}
		r.end(log, name, "FAIL", e.Elapsed, note)
	}
}

// end prints the line of a package, after what its failures printed.
func (r *report) end(log *packageLog, name, verdict string, elapsed float64, note string) {
	delete(r.packs, name)
	if verdict != "FAIL" {
		r.ok++
	} else {
		r.failed++
		if !r.verbose {
			for _, test := range log.order {
				for _, text := range log.output[test] {
					fmt.Fprint(r.out, text)
				}
			}
		}
	}
	fmt.Fprintf(r.out, "%-4s\t%s\t%.3fs%s\n", verdict, name, elapsed, note)
}

// framing are the beginnings of lines that are not a test's own words.
var framing = []string{"=== ", "--- "}

// reason is the last thing that a skipped test said, without the place in the
// source: "    x_test.go:12: no such thing".
func reason(output []string) string {
	text := "no reason given"
lines:
	for _, line := range output {
		line = strings.TrimSpace(line)
		for _, f := range framing {
			if strings.HasPrefix(line, f) {
				continue lines
			}
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, words, ok := strings.Cut(after, ":"); ok {
				line = strings.TrimSpace(words)
			}
		}
		if line != "" {
			text = line
		}
	}
	return text
}
