package main

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// document is a Markdown file of the tree.
type document struct {
	name  string // from the root, with slashes
	text  string
	prose string   // without fenced blocks
	code  []string // contents of code spans, in prose
}

var (
	fence      = regexp.MustCompile("(?ms)^```.*?^```$")
	span       = regexp.MustCompile("`([^`\n]+)`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	target     = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	function   = regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	assignment = regexp.MustCompile(`(?m)^\s*(?:const\s+|var\s+)?(\w+)(?:\s+\w+)?\s+=\s+([^/\n]*?)\s*(?://.*)?$`)
	quoted     = regexp.MustCompile(`^\w+ = [^=]+$`)
)

func parse(name, text string) *document {
	d := &document{name: name, text: text, prose: fence.ReplaceAllString(text, "")}
	for _, m := range span.FindAllStringSubmatch(d.prose, -1) {
		d.code = append(d.code, m[1])
	}
	return d
}

// documents returns README.md and everything in docs.
func documents(t *testing.T) []*document {
	t.Helper()
	var out []*document
	add := func(name string) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parse(name, string(text)))
	}
	add("README.md")
	err := fs.WalkDir(os.DirFS(root), "docs", func(name string, d fs.DirEntry, err error) error {
		if err == nil && path.Ext(name) == ".md" {
			add(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d documents", len(out))
	}
	return out
}

// slug is the anchor of a heading, as the usual renderers make it.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.ReplaceAll(text, "`", "")) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-', r == '_', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (d *document) anchors() map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(d.prose, -1) {
		out[slug(m[1])] = true
	}
	return out
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
	return err == nil
}

// deadLinks returns the relative links of d that lead nowhere.
func deadLinks(d *document, all map[string]*document) (dead []string) {
	for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		file, anchor, hasAnchor := strings.Cut(m[1], "#")
		name := d.name
		if file != "" {
			name = path.Join(path.Dir(d.name), file)
		}
		to := all[name]
		if !exists(name) || strings.HasPrefix(name, "..") || hasAnchor && (to == nil || !to.anchors()[anchor]) {
			dead = append(dead, m[1])
		}
	}
	return dead
}

func TestLinks(t *testing.T) {
	all := map[string]*document{}
	for _, d := range documents(t) {
		all[d.name] = d
	}
	for _, d := range all {
		for _, l := range deadLinks(d, all) {
			t.Errorf("%s: %s leads nowhere", d.name, l)
		}
	}
}

// Every document can be found from README.md.
func TestReachable(t *testing.T) {
	all := map[string]*document{}
	for _, d := range documents(t) {
		all[d.name] = d
	}
	seen := map[string]bool{}
	for todo := []string{"README.md"}; len(todo) > 0; {
		d := all[todo[0]]
		todo = todo[1:]
		if d == nil || seen[d.name] {
			continue
		}
		seen[d.name] = true
		for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
			file, _, _ := strings.Cut(m[1], "#")
			todo = append(todo, path.Join(path.Dir(d.name), file))
		}
	}
	for name := range all {
		if !seen[name] {
			t.Errorf("no link leads to %s", name)
		}
	}
}

// pathOf returns the file of the tree that a code span names, "" if it is not
// about a file that must exist: what is built, a pattern or a placeholder.
func pathOf(code string, top map[string]bool) string {
	if strings.ContainsAny(code, " *<>{}$=[]()|,\"'") || strings.Contains(code, "…") {
		return ""
	}
	code = strings.TrimPrefix(code, "./")
	first, _, deeper := strings.Cut(code, "/")
	if !deeper || !top[first] || strings.Contains(code, "NAME") || strings.Contains(code, "...") {
		return ""
	}
	return strings.TrimSuffix(code, "/")
}

func TestNamedFiles(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	top := map[string]bool{}
	for _, e := range entries {
		top[e.Name()] = e.IsDir() && e.Name() != "build" && e.Name() != ".git"
	}
	for _, d := range documents(t) {
		for _, c := range d.code {
			if name := pathOf(c, top); name != "" && !exists(name) {
				t.Errorf("%s names %s, which is not there", d.name, c)
			}
		}
	}
}

func TestNamedTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	named := regexp.MustCompile("(?m)(?:`|^\\s*\\$ |^\\s{4,})(?:[A-Z_]+=\\S+ )*make ([a-z-]+)")
	for _, d := range documents(t) {
		for _, m := range named.FindAllStringSubmatch(d.text, -1) {
			if !targets[m[1]] {
				t.Errorf("%s names make %s, which is no target", d.name, m[1])
			}
		}
	}
}

// goFiles returns the Go source of the tree by name.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (name == "build" || name == "runtime-patches" || name == ".git") {
			return fs.SkipDir
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Tests that are named exist, and so do constants with the values that are quoted
// as `name = value`.
func TestNamedTestsAndConstants(t *testing.T) {
	tests, constants := map[string]bool{}, map[string]bool{}
	for _, text := range goFiles(t) {
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			tests[m[1]] = true
		}
		for _, m := range assignment.FindAllStringSubmatch(text, -1) {
			constants[m[1]+" = "+m[2]] = true
		}
	}
	if len(tests) < 100 || !constants["MaxInline = 64"] {
		t.Fatalf("found %d tests and %d constants", len(tests), len(constants))
	}
	for _, d := range documents(t) {
		for _, c := range d.code {
			switch {
			case regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w*$`).MatchString(c) && !tests[c]:
				t.Errorf("%s names the test %s, which is not there", d.name, c)
			case quoted.MatchString(c) && !constants[c]:
				name, _, _ := strings.Cut(c, " ")
				near := slices.DeleteFunc(slices.Sorted(maps.Keys(constants)), func(s string) bool { return !strings.HasPrefix(s, name+" ") })
				t.Errorf("%s quotes %q; the source has %q", d.name, c, near)
			}
		}
	}
}

// Identifiers of our packages that are named, like `ipc.ErrClosed` or
// `core.(*Kernel).Direct`, are there.
func TestNamedIdentifiers(t *testing.T) {
	packages := map[string]string{} // by the last element of the folder: the source
	var all strings.Builder
	for name, text := range goFiles(t) {
		packages[path.Base(path.Dir(name))] += text
		all.WriteString(text)
	}
	qualified := regexp.MustCompile(`^(\w+)\.(?:\(\*?(\w+)\)\.)?(\w+)$`)
	named := 0
	for _, d := range documents(t) {
		for _, c := range d.code {
			m := qualified.FindStringSubmatch(c)
			// Names of capabilities, like ipc.core, look the same.
			if m == nil || packages[m[1]] == "" || strings.Contains(all.String(), strconv.Quote(c)) {
				continue
			}
			named++
			for _, ident := range m[2:] {
				if ident != "" && !regexp.MustCompile(`\b`+ident+`\b`).MatchString(packages[m[1]]) {
					t.Errorf("%s names %s, which is not there", d.name, c)
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d identifiers are named", named)
	}
}

// What documents must not have: paths of one machine, and promises.
func TestRejectText(t *testing.T) {
	bad := regexp.MustCompile(`(?m)(/work/|/tmp/|/home/|/root/|TODO|FIXME|XXX|coming soon)`)
	for _, d := range documents(t) {
		if m := bad.FindString(d.text); m != "" {
			t.Errorf("%s has %q", d.name, m)
		}
	}
}

// The checks themselves see what they must.
func TestRejectDeadLinks(t *testing.T) {
	a := parse("docs/a.md", "# A `b` c\n[x](b.md) [y](b.md#two-words) [z](#a-b-c)\n[bad](c.md) [bad](b.md#three) [bad](../../x) [w](https://example.org/)\n```\n[no](link)\n```\n")
	b := parse("docs/b.md", "## Two words\n")
	all := map[string]*document{"docs/a.md": a, "docs/b.md": b}
	// None of these files exists in the tree, so that every link but the first anchors is dead.
	if got := deadLinks(a, all); !slices.Contains(got, "c.md") || !slices.Contains(got, "../../x") || slices.Contains(got, "link") || slices.Contains(got, "https://example.org/") {
		t.Errorf("%q", got)
	}
	if !a.anchors()["a-b-c"] || !b.anchors()["two-words"] {
		t.Errorf("anchors %v %v", a.anchors(), b.anchors())
	}
	top := map[string]bool{"kernel": true}
	for code, want := range map[string]string{"kernel/core": "kernel/core", "./kernel/core/": "kernel/core", "kernel/*.go": "", "build/x": "", "go/ast": "", "kernel": ""} {
		if got := pathOf(code, top); got != want {
			t.Errorf("%q names %q, want %q", code, got, want)
		}
	}
}
