package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testTree writes files below a new directory and returns it.
func testTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var stockFiles = map[string]string{
	"runtime/a.go":    "package runtime\n\nconst a = 1\n",
	"runtime/b_js.go": "//go:build js\n\npackage runtime\n",
	"os/c.go":         "//go:build unix\n\npackage os\n",
}

// patchFiles returns a patch set that applies, with changes.
func patchFiles(change map[string]string) map[string]string {
	files := map[string]string{
		"VERSION":                       "go1.26.8\ntest\n",
		"constraints.txt":               "os/c.go +tamago  # like Unix\n",
		"copies.txt":                    "runtime/b_js.go runtime/b_tamago.go  # the same\n",
		"patches/0001-a.patch":          "Why.\n\n--- a/runtime/a.go\n+++ b/runtime/a.go\n@@ -1,3 +1,3 @@\n package runtime\n \n-const a = 1\n+const a = 2\n",
		"files/runtime/new_tamago.go":   "//go:build tamago\n\npackage runtime\n",
		"files/cmd/go/internal/x/x.go":  "package x\n",
		"files/os/testdata/plain_go.go": "package plain\n",
	}
	for name, text := range change {
		files[name] = text
	}
	return files
}

func TestApply(t *testing.T) {
	stock := testTree(t, stockFiles)
	ps, err := loadPatchSet(testTree(t, patchFiles(nil)))
	if err != nil {
		t.Fatal(err)
	}
	ov, err := apply(ps, stock)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"runtime/a.go":            "package runtime\n\nconst a = 2\n",
		"runtime/b_tamago.go":     "//go:build tamago\n\npackage runtime\n",
		"os/c.go":                 "//go:build unix || tamago\n\npackage os\n",
		"runtime/new_tamago.go":   "//go:build tamago\n\npackage runtime\n",
		"cmd/go/internal/x/x.go":  "package x\n",
		"os/testdata/plain_go.go": "package plain\n",
	}
	for name, text := range want {
		if got := string(ov.files[name]); got != text {
			t.Errorf("%s: got %q, want %q", name, got, text)
		}
	}
	if len(ov.files) != len(want) {
		t.Errorf("%d files changed, want %d: %v", len(ov.files), len(want), sortedKeys(ov.files))
	}
	if v := version(ps, ov); !strings.HasPrefix(v, "go1.26.8-test.") {
		t.Errorf("version %s", v)
	}
}

// TestRejectPatchSet: each defect stops with the file and the reason.
func TestRejectPatchSet(t *testing.T) {
	stock := testTree(t, stockFiles)
	tests := []struct {
		name   string
		change map[string]string
		want   []string
	}{
		{"hunk does not apply", map[string]string{"patches/0001-a.patch": "--- a/runtime/a.go\n+++ b/runtime/a.go\n@@ -1,3 +1,3 @@\n package runtime\n \n-const a = 7\n+const a = 2\n"},
			[]string{"patches/0001-a.patch", "runtime/a.go", "does not apply"}},
		{"patch of missing file", map[string]string{"patches/0001-a.patch": "--- a/runtime/z.go\n+++ b/runtime/z.go\n@@ -1 +1 @@\n-a\n+b\n"},
			[]string{"patches/0001-a.patch", "runtime/z.go", "no such file"}},
		{"empty patch", map[string]string{"patches/0002-b.patch": "Only words.\n"}, []string{"patches/0002-b.patch", "changes no file"}},
		{"constraint of missing file", map[string]string{"constraints.txt": "os/none.go +tamago # why\n"}, []string{"constraints.txt:1", "os/none.go", "no such file"}},
		{"constraint already so", map[string]string{"constraints.txt": "# c\n\nos/c.go +tamago # why\nos/c.go -tamago # why\n"}, []string{"constraints.txt:4", "os/c.go", "already mentions"}},
		{"constraint listed twice", map[string]string{"constraints.txt": "os/c.go +tamago # why\nos/c.go +tamago # why\n"}, []string{"constraints.txt:2", "twice"}},
		{"constraint without reason", map[string]string{"constraints.txt": "os/c.go +tamago\n"}, []string{"constraints.txt:1", "os/c.go", "no reason"}},
		{"constraint unknown", map[string]string{"constraints.txt": "os/c.go tamago # why\n"}, []string{"constraints.txt:1", "want +tamago or -tamago"}},
		{"constraint one word", map[string]string{"constraints.txt": "os/c.go # why\n"}, []string{"constraints.txt:1", "two words"}},
		{"copy of missing file", map[string]string{"copies.txt": "os/none.go os/x.go # why\n"}, []string{"copies.txt:1", "os/none.go", "no such file"}},
		{"copy onto stock file", map[string]string{"copies.txt": "os/c.go runtime/a.go # why\n"}, []string{"copies.txt:1", "runtime/a.go", "exists already"}},
		{"new file is a stock file", map[string]string{"files/os/c.go": "//go:build tamago\n\npackage os\n"}, []string{"files/os/c.go", "change it by a patch"}},
		{"new file without constraint", map[string]string{"files/os/d_tamago.go": "package os\n"}, []string{"files/os/d_tamago.go", "explicit //go:build"}},
		{"bad VERSION", map[string]string{"VERSION": "1.26\n"}, []string{"VERSION", "two lines"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps, err := loadPatchSet(testTree(t, patchFiles(tt.change)))
			if err == nil {
				_, err = apply(ps, stock)
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// TestWriteOverlay: a tree follows the patch set, also when it gives files up.
func TestWriteOverlay(t *testing.T) {
	stock := testTree(t, stockFiles)
	out := t.TempDir()
	if err := copyTree(stock, filepath.Join(out, "src")); err != nil {
		t.Fatal(err)
	}
	first := &overlay{stock: stock, files: map[string][]byte{"runtime/a.go": []byte("a2"), "new/x.go": []byte("x")}}
	if n, err := writeOverlay(out, nil, first); err != nil || n != 2 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	second := &overlay{stock: stock, files: map[string][]byte{"os/c.go": []byte("c2")}}
	if n, err := writeOverlay(out, sortedKeys(first.files), second); err != nil || n != 3 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	for name, want := range map[string]string{"runtime/a.go": stockFiles["runtime/a.go"], "os/c.go": "c2"} {
		if got, err := os.ReadFile(filepath.Join(out, "src", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "src", "new")); err == nil {
		t.Error("directory of a file that was given up is still there")
	}
	if n, err := writeOverlay(out, sortedKeys(second.files), second); err != nil || n != 0 {
		t.Errorf("unchanged set wrote %d files, %v", n, err)
	}
}

// TestRejectForeignDirectory: only a toolchain is ever replaced.
func TestRejectForeignDirectory(t *testing.T) {
	out := testTree(t, map[string]string{"precious.txt": "x"})
	if err := copyStock(t.TempDir(), out); err == nil {
		t.Fatal("accepted")
	}
	if _, err := os.Stat(filepath.Join(out, "precious.txt")); err != nil {
		t.Error(err)
	}
}

func TestPinToolchain(t *testing.T) {
	dir := testTree(t, map[string]string{"go.env": "GOPROXY=x\nGOTOOLCHAIN=auto\n"})
	path := filepath.Join(dir, "go.env")
	if err := pinToolchain(path); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "GOPROXY=x\nGOTOOLCHAIN=local\n" {
		t.Errorf("got %q", text)
	}
}
