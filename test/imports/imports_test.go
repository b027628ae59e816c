package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the top of the source tree.
const root = "../.."

// source is one Go file of the tree.
type source struct {
	name    string // from the root, with slashes
	pkg     string // its folder
	file    *ast.File
	imports []string
}

// test reports whether the file is only for tests.
func (s *source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// walk gives each file of the tree that may hold code to f.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			base := path.Base(name)
			if name != "." && (name == "build" || name == "runtime-patches" || base == "testdata" || base[0] == '.') {
				return fs.SkipDir
			}
			return nil
		}
		f(name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources parses every Go file of the tree.
func sources(t *testing.T) []*source {
	t.Helper()
	var out []*source
	walk(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		s := &source{name: name, pkg: path.Dir(name), file: file}
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
	})
	if len(out) < 20 {
		t.Fatalf("only %d Go files under %s", len(out), root)
	}
	return out
}

// within reports whether pkg is the folder dir or below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// layerOf returns the layer of a package, or nil.
func layerOf(pkg string) *Layer {
	var best *Layer
	for i, l := range Layers {
		if within(pkg, l.Path) && (best == nil || len(l.Path) > len(best.Path)) {
			best = &Layers[i]
		}
	}
	return best
}

// refuse says why a package may not import path, or "".
func refuse(pkg, imported string) string {
	l := layerOf(pkg)
	if l == nil {
		return "is in no layer"
	}
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(dir string) bool { return within(imported, dir) })
	}
	inside, ours := strings.CutPrefix(imported, Module)
	switch std := !strings.Contains(strings.Split(imported, "/")[0], "."); {
	case ours:
		target := layerOf(inside)
		switch {
		case target == nil:
			return "imports what is in no layer"
		case target.Host && !l.Host:
			return "imports what is only for the host"
		case target == l, within(inside, l.Path), slices.ContainsFunc(l.Inside, func(dir string) bool { return within(inside, dir) }):
			return ""
		}
		return "may not import that layer"
	case std && l.Std != nil && !slices.Contains(l.Std, imported) && !l.Host:
		return "may not import that standard package"
	case std && !l.Host && slices.Contains(Banned, imported):
		return "may not import that standard package"
	case !std && !in(l.Outside):
		return "may not import that module"
	}
	return ""
}

func TestDirections(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			if s.test() {
				continue
			}
			if why := refuse(s.pkg, imported); why != "" {
				t.Errorf("%s %s: %s", s.name, why, imported)
			}
		}
	}
}

// Tests of the lower layers may not need the upper ones.
func TestDirectionsOfTests(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			inside, ours := strings.CutPrefix(imported, Module)
			if !s.test() || !ours {
				continue
			}
			if within(s.pkg, "kernel") && (within(inside, "svc") || within(inside, "board") || within(inside, "cmd") || inside == "ipc") ||
				within(s.pkg, "svc") && within(inside, "kernel") ||
				within(s.pkg, "ipc") && (within(inside, "kernel") || within(inside, "svc")) {
				t.Errorf("%s imports %s", s.name, imported)
			}
		}
	}
}

// The rules themselves refuse what they must.
func TestRejectImports(t *testing.T) {
	for _, tt := range []struct {
		pkg, imported string
		ok            bool
	}{
		{"kernel/core", Module + "ipc/abi", true},
		{"kernel/core", Module + "kernel/mem", true},
		{"kernel/core", Module + "ipc", false},
		{"kernel/core", Module + "svc/policy", false},
		{"kernel/core", Module + "board/qemu-virt", false},
		{"kernel/core", Module + "kernel/mem/memtest", false},
		{"kernel/core", "os", false},
		{"kernel/core", "github.com/fxamacker/cbor/v2", false},
		{"board/qemu-virt", Module + "kernel/mem", true},
		{"board/qemu-virt", Module + "svc/wire", false},
		{"svc/logd", Module + "ipc/abi", true},
		{"svc/logd", Module + "ipc", true},
		{"svc/logd", Module + "kernel/image", false},
		{"svc/logd", Module + "cmd/mkimage/bake", false},
		{"svc/logd", "net/http", false},
		{"svc/logd", "golang.org/x/net", false},
		{"ipc", Module + "ipc/abi", true},
		{"ipc", Module + "kernel/core", false},
		{"ipc/abi", "fmt", false},
		{"ipc/abi", Module + "ipc", false},
		{"cmd/kernel", Module + "svc/policy", false},
		{"cmd/services", Module + "kernel/core", false},
		{"cmd/mkimage", Module + "svc/manifest", true},
		{"stray", "fmt", false},
	} {
		if why := refuse(tt.pkg, tt.imported); (why == "") != tt.ok {
			t.Errorf("%s imports %s: %q", tt.pkg, tt.imported, why)
		}
	}
}

// TestDependencies looks at everything that the programs of the system link, as
// the target's own go command sees it.
func TestDependencies(t *testing.T) {
	goCommand := os.Getenv("NEXUS_GO")
	if goCommand == "" {
		goCommand, _ = filepath.Abs(filepath.Join(root, "build/toolchain/bin/go"))
		if _, err := os.Stat(goCommand); err != nil {
			t.Skip("the toolchain is not built; make dep-gate builds it")
		}
	}
	for program, board := range map[string]string{"cmd/kernel": "github.com/usbarmory/tamago", "cmd/services": "", "cmd/storage": ""} {
		cmd := exec.Command(goCommand, "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", "./"+program)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS=tamago", "GOARCH=riscv64", "GOFLAGS=", "GOOSPKG="+board)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", program, err, errs.String())
			continue
		}
		n, zones := 0, false
		for line := range strings.Lines(string(out)) {
			pkg, module, _ := strings.Cut(strings.TrimSpace(line), " ")
			n++
			zones = zones || pkg == "time/tzdata"
			switch {
			case module == "" && slices.Contains(Banned, pkg):
				t.Errorf("%s links %s", program, pkg)
			case module != "" && module+"/" != Module && !slices.Contains(OutsideDeps, module):
				t.Errorf("%s links %s of module %s", program, pkg, module)
			case program == "cmd/services" && slices.ContainsFunc(Costly, func(c string) bool { return within(pkg, c) }):
				t.Errorf("%s links %s, for which every process would pay", program, pkg)
			}
		}
		if n < 20 {
			t.Errorf("%s links only %d packages", program, n)
		}
		if want := program != "cmd/kernel"; zones != want { // of services any may ask for one
			t.Errorf("%s links time zones: %v, want %v", program, zones, want)
		}
	}
}

// TestUnsafe keeps unsafe code in few, named places.
func TestUnsafe(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		linkname := slices.ContainsFunc(s.file.Comments, func(c *ast.CommentGroup) bool {
			return slices.ContainsFunc(c.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:linkname ") })
		})
		if !linkname && !slices.Contains(s.imports, "unsafe") {
			continue
		}
		used[s.pkg] = true
		if !slices.Contains(Unsafe, s.pkg) {
			t.Errorf("%s: package may not be unsafe", s.name)
		}
		if !strings.Contains(path.Base(s.name), "_unsafe") {
			t.Errorf("%s: unsafe or go:linkname in a file without _unsafe in its name", s.name)
		}
	}
	walk(t, func(name string) {
		if path.Ext(name) == ".s" {
			used[path.Dir(name)] = true
			if !slices.Contains(Unsafe, path.Dir(name)) {
				t.Errorf("%s: package may not hold assembly", name)
			}
		}
	})
	for _, pkg := range Unsafe {
		if !used[pkg] {
			t.Errorf("%s may be unsafe and is not; take it off the list", pkg)
		}
	}
}

// TestDocComments asks every package to say what it is for.
func TestDocComments(t *testing.T) {
	docs := map[string]string{}
	var pkgs []string
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		if !slices.Contains(pkgs, s.pkg) {
			pkgs = append(pkgs, s.pkg)
		}
		if s.file.Doc != nil && docs[s.pkg] == "" {
			docs[s.pkg] = s.file.Doc.Text()
			if name := s.file.Name.Name; name != "main" && !strings.HasPrefix(docs[s.pkg], "Package "+name+" ") {
				t.Errorf("%s: doc comment begins %.40q", s.name, docs[s.pkg])
			}
		}
	}
	for _, pkg := range pkgs {
		if len(docs[pkg]) < 60 {
			t.Errorf("%s: no doc comment that says what the package is for", pkg)
		}
	}
}
