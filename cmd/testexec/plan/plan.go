// Package plan reads the list of standard-library packages that `make test-std`
// tests, with what each needs beside its own folder and which of its tests are
// left out. A test is never left out without a reason.
//
// The file has one entry a line, blank lines and lines that start with # aside:
//
//	test <package> [folder]…          in the default set; folders are relative to the package's
//	skip <package> <pattern>  # why   pattern as for go test -skip
//
// "skip" and extra folders also apply to a package that is tested by name only,
// which "extra <package> folder…" describes.
package plan

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Skip is a test that is left out.
type Skip struct {
	Pattern string
	Reason  string
}

// Package says how to test one package.
type Package struct {
	Path    string
	Default bool     // part of the default set
	Folders []string // needed beside its own, relative to it
	Skips   []Skip
}

// Plan is the whole list.
type Plan struct {
	byPath map[string]*Package
	order  []*Package
}

// Parse reads a plan. Its errors name the line.
func Parse(r io.Reader) (*Plan, error) {
	p := &Plan{byPath: make(map[string]*Package)}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := p.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return p, lines.Err()
}

func (p *Plan) line(text string) error {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return nil
	}
	entry, reason, _ := strings.Cut(text, " # ")
	f := strings.Fields(entry)
	if len(f) < 2 {
		return fmt.Errorf("%q names no package", text)
	}
	pkg := p.Package(f[1])
	switch f[0] {
	case "test":
		if pkg.Default {
			return fmt.Errorf("%s is listed twice", pkg.Path)
		}
		pkg.Default = true
		pkg.Folders = append(pkg.Folders, f[2:]...)
	case "extra":
		pkg.Folders = append(pkg.Folders, f[2:]...)
	case "skip":
		reason = strings.TrimSpace(reason)
		if len(f) != 3 || reason == "" {
			return fmt.Errorf("%q: want skip <package> <pattern>  # <reason>", text)
		}
		if _, err := regexp.Compile(f[2]); err != nil {
			return err
		}
		pkg.Skips = append(pkg.Skips, Skip{f[2], reason})
	default:
		return fmt.Errorf("%q: unknown entry %s", text, f[0])
	}
	if p.byPath[pkg.Path] == nil {
		p.byPath[pkg.Path] = pkg
		p.order = append(p.order, pkg)
	}
	return nil
}

// Default returns the packages of the default set, in the order of the file.
func (p *Plan) Default() []*Package {
	var set []*Package
	for _, pkg := range p.order {
		if pkg.Default {
			set = append(set, pkg)
		}
	}
	return set
}

// Package returns the entry of a package, an empty one if there is none.
func (p *Plan) Package(path string) *Package {
	if pkg := p.byPath[path]; pkg != nil {
		return pkg
	}
	return &Package{Path: path}
}

// SkipPattern returns one pattern for all skips, "" if there are none.
func (p *Package) SkipPattern() string {
	patterns := make([]string, len(p.Skips))
	for i, s := range p.Skips {
		patterns[i] = s.Pattern
	}
	return strings.Join(patterns, "|")
}
