package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"nexus.internal/cmd/testexec/plan"
)

// insideRoot and insideGo are where a program finds the module that its package
// is of, and the Go tree.
const (
	insideRoot = "/src"
	insideGo   = "/go"
)

// place is where a package's folder is, on this machine and in the process.
type place struct {
	dir    string // here
	inside string // in the process
	std    bool   // the package is of the standard library
	pkg    string // import path, if std
}

// findPlace maps dir: a folder of the Go tree lies below /go, one of a module
// below /src, so that paths between packages stay what they are.
func findPlace(dir, goroot string) (*place, error) {
	if goroot != "" {
		if real, err := filepath.EvalSymlinks(goroot); err == nil {
			goroot = real
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if rel, err := filepath.Rel(filepath.Join(goroot, "src"), dir); err == nil && filepath.IsLocal(rel) && rel != "." {
			rel = filepath.ToSlash(rel)
			return &place{dir: dir, inside: path.Join(insideGo, "src", rel), std: true, pkg: rel}, nil
		}
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			rel, err := filepath.Rel(root, dir)
			if err != nil {
				return nil, err
			}
			return &place{dir: dir, inside: path.Join(insideRoot, filepath.ToSlash(rel))}, nil
		}
		if root == filepath.Dir(root) {
			return &place{dir: dir, inside: insideRoot}, nil
		}
	}
}

// plan returns what file says about the package.
func (p *place) plan(file string) (*plan.Package, error) {
	if file == "" || !p.std {
		return new(plan.Package), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := plan.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list.Package(p.pkg), nil
}

// passed are the variables of this machine that a program gets: those that steer
// the Go runtime. Everything else would make runs depend on the machine.
var passed = []string{"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"}

// env returns the environment of the program on a machine with so many harts.
func (p *place) env(host []string, harts int) []string {
	env := []string{"PWD=" + p.inside, "HOME=/tmp", "TMPDIR=/tmp"}
	if p.std {
		env = append(env, "GOROOT="+insideGo)
	}
	parallel := false
	for _, v := range host {
		name, _, _ := strings.Cut(v, "=")
		for _, want := range passed {
			if name == want {
				env = append(env, v)
				parallel = parallel || name == "GOMAXPROCS"
			}
		}
	}
	if !parallel {
		env = append(env, fmt.Sprint("GOMAXPROCS=", harts))
	}
	return env
}

// What is not the program's own output: go test's output does not have it.
const (
	// banner begins the line that the kernel prints when it has booted. What the
	// firmware said before is of no interest, unless nothing follows.
	banner = "neuron vers. "
	// kernelMarker begins the lines in which the kernel says that its own checks at
	// the end of a run passed, and markerPassed ends them. One that failed reads
	// otherwise, and ends the machine with an error status.
	kernelMarker = "KSELFTEST: "
	markerPassed = " ok"
)

// hartOnline is the line for each further hart.
var hartOnline = regexp.MustCompile(`^KINIT: cpu\d+ online$`)

// console passes on what the machine prints, without the parts above.
type console struct {
	to      io.Writer
	started bool
	held    []string
}

func (c *console) line(text string) {
	switch {
	case strings.HasPrefix(text, kernelMarker) && strings.HasSuffix(text, markerPassed):
	case hartOnline.MatchString(text):
	case c.started:
		fmt.Fprintln(c.to, text)
	case strings.HasPrefix(text, banner):
		c.started = true
		c.held = nil
	default:
		c.held = append(c.held, text)
	}
}

// flush passes on what was held back.
func (c *console) flush() {
	for _, text := range c.held {
		fmt.Fprintln(c.to, text)
	}
}
