package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFindPlace(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, goroot string
		want        place
	}{
		{deep, "", place{dir: deep, inside: "/src/a/b"}},
		{root, "/usr/lib/go", place{dir: root, inside: "/src"}},
		{"/g/src/net/http", "/g", place{dir: "/g/src/net/http", inside: "/go/src/net/http", std: true, pkg: "net/http"}},
		{"/elsewhere", "/g", place{dir: "/elsewhere", inside: "/src"}},
	} {
		got, err := findPlace(c.dir, c.goroot)
		if err != nil || *got != c.want {
			t.Errorf("findPlace(%q, %q) = %+v, %v", c.dir, c.goroot, got, err)
		}
	}
}

func TestEnv(t *testing.T) {
	p := place{inside: "/go/src/os", std: true}
	got := p.env([]string{"HOME=/root", "GODEBUG=gctrace=1", "SECRET=x", "GOGCX=1"}, 4)
	want := []string{"PWD=/go/src/os", "HOME=/tmp", "TMPDIR=/tmp", "GOROOT=/go", "GODEBUG=gctrace=1", "GOMAXPROCS=4"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := p.env([]string{"GOMAXPROCS=2"}, 4); !slices.Contains(got, "GOMAXPROCS=2") || slices.Contains(got, "GOMAXPROCS=4") {
		t.Errorf("got %q, want GOMAXPROCS as it is here", got)
	}
}

func TestConsole(t *testing.T) {
	lines := []string{"OpenSBI v1.1", "neuron vers. 0.1.0 - One OS.", "KINIT: cpu1 online", "KINIT: cpu2 not online", "=== RUN   TestA", "PASS", "KSELFTEST: frames returned ok", "KSELFTEST: w^x walk FAIL"}
	var b strings.Builder
	c := console{to: &b}
	for _, l := range lines {
		c.line(l)
	}
	if want := "KINIT: cpu2 not online\n=== RUN   TestA\nPASS\nKSELFTEST: w^x walk FAIL\n"; b.String() != want || !c.started {
		t.Errorf("passed on %q", b.String())
	}
	b.Reset()
	c = console{to: &b}
	c.line("qemu: no such machine")
	c.flush()
	if b.String() != "qemu: no such machine\n" {
		t.Errorf("without a boot: %q", b.String())
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		args []string
		want time.Duration
	}{
		{[]string{"-test.v", "-test.timeout=1m0s"}, time.Minute + grace},
		{[]string{"-test.timeout=0s"}, defaultLimit},
		{nil, defaultLimit},
	} {
		if got := limitOf(c.args); got != c.want {
			t.Errorf("limitOf(%q) = %v, want %v", c.args, got, c.want)
		}
	}
}
