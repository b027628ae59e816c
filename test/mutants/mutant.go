package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// errFormat is the reason for which a mutant's file is refused.
var errFormat = errors.New("not a mutant")

// mutant is a fault to plant.
type mutant struct {
	name  string
	what  string
	files []string // that the patch changes, from the root of the tree
	path  string   // of the patch
	check check
}

// check is what must see a mutant: a test of a package, on this machine or on so many
// harts of the target, a marker, a part of the soak, or a target of the Makefile that
// fails with a line that begins with what it says.
type check struct {
	pkg, test string
	harts     int
	marker    string
	smp       int // harts of the machine on which the marker must come
	soak      string
	make      string
	says      string
}

// onHost reports whether it is a test on this machine.
func (c check) onHost() bool { return c.pkg != "" && c.harts == 0 }

// makeTargets are those that mutants may name.
var makeTargets = []string{"test-entropy", "powercut"}

// soakParts are the parts of package svc/soak, in their order.
var soakParts = []string{"fuzz", "calls", "notifications", "futexes", "apart"}

var changed = regexp.MustCompile(`(?m)^\+\+\+ b/(\S+)$`)

// readMutants reads all mutants of a folder.
func readMutants(dir string) ([]*mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var out []*mutant
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		m.name = strings.TrimSuffix(filepath.Base(f), ".patch")
		if m.path, err = filepath.Abs(f); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// parseMutant reads the head of a patch.
func parseMutant(text string) (*mutant, error) {
	head, body, ok := strings.Cut(text, "\n--- a/")
	if !ok {
		return nil, fmt.Errorf("%w: no patch in it", errFormat)
	}
	m := &mutant{}
	checks := 0
	for line := range strings.Lines(head) {
		line = strings.TrimSpace(line)
		what, ok := strings.CutPrefix(line, "Check: ")
		if !ok {
			m.what = strings.TrimSpace(m.what + " " + line)
			continue
		}
		checks++
		kind, arg, _ := strings.Cut(what, " ")
		switch f := strings.Fields(arg); {
		case kind == "host" && len(f) == 2 && strings.HasPrefix(f[0], "./") && !strings.HasPrefix(f[1], "-"):
			m.check = check{pkg: f[0], test: f[1]}
		case kind == "ladder" && arg != "":
			m.check = check{marker: arg, smp: 1}
			if n, rest, ok := strings.Cut(arg, " "); ok && len(n) == 1 && strings.Contains("2345678", n) {
				m.check = check{marker: rest, smp: int(n[0] - '0')}
			}
		case kind == "target" && len(f) == 3 && len(f[0]) == 1 && strings.Contains("12345678", f[0]) && !strings.HasPrefix(f[1]+f[2], "-"):
			m.check = check{harts: int(f[0][0] - '0'), pkg: f[1], test: f[2]}
		case kind == "make" && len(f) >= 2 && slices.Contains(makeTargets, f[0]):
			m.check = check{make: f[0], says: strings.Join(f[1:], " ")}
		case kind == "soak" && slices.Contains(soakParts, arg):
			m.check = check{soak: arg}
		default:
			return nil, fmt.Errorf("%w: check %q: want host ./package Test, target harts package Test, ladder [harts] marker, make target line, or soak part", errFormat, what)
		}
	}
	for _, f := range changed.FindAllStringSubmatch("\n--- a/"+body, -1) {
		m.files = append(m.files, f[1])
		if strings.HasPrefix(f[1], targetFiles) != (m.check.harts != 0) || strings.HasPrefix(f[1], "runtime-patches/") && m.check.harts == 0 {
			return nil, fmt.Errorf("%w: %s: target checks, and only these, are for what is in %s", errFormat, f[1], targetFiles)
		}
	}
	if m.what == "" || checks != 1 || len(m.files) == 0 {
		return nil, fmt.Errorf("%w: it needs a sentence, one check and a patch", errFormat)
	}
	return m, nil
}
