package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexus.internal/cmd/mkimage/bake"
)

func TestParseLine(t *testing.T) {
	for _, tt := range []struct {
		line string
		name string
		n    uint64
		ok   bool
		bad  bool
	}{
		{"bench: yield 412 insns", "yield", 412, true, false},
		{"init: ready", "", 0, false, false},
		{"bench: yield 412", "", 0, false, true},
		{"bench: yield -1 insns", "", 0, false, true},
		{"bench: yield 41.2 insns", "", 0, false, true},
		{"bench: yield  412 insns", "", 0, false, true},
		{"bench: a panic", "", 0, false, true},
	} {
		name, n, ok, err := parseLine(tt.line)
		if name != tt.name || n != tt.n || ok != tt.ok || (err != nil) != tt.bad {
			t.Errorf("%q: %q %d %v %v", tt.line, name, n, ok, err)
		}
	}
}

func TestReport(t *testing.T) {
	list := []bench{{Name: "a", Goal: 1000}, {Name: "b", Goal: 1000, Grain: 10}}
	for _, tt := range []struct {
		name     string
		got, old figures
		ok       bool
		text     string
	}{
		{"same", figures{"a": 100, "b": 100}, figures{"a": 100, "b": 100}, true, "+0.0 %"},
		{"2 % worse", figures{"a": 102, "b": 100}, figures{"a": 100, "b": 100}, true, "+2.0 %"},
		{"3 % worse", figures{"a": 103, "b": 100}, figures{"a": 100, "b": 100}, false, "WORSE"},
		{"worse within the grain", figures{"a": 100, "b": 110}, figures{"a": 100, "b": 100}, true, "+10.0 %"},
		{"worse beyond the grain", figures{"a": 100, "b": 111}, figures{"a": 100, "b": 100}, false, "WORSE"},
		{"better", figures{"a": 50, "b": 100}, figures{"a": 100, "b": 100}, true, "better"},
		{"new", figures{"a": 50, "b": 100}, figures{"a": 100}, true, "new"},
		{"missing", figures{"a": 50}, figures{"a": 100, "b": 100}, false, "MISSING"},
		{"over the goal", figures{"a": 1001, "b": 1}, figures{"a": 1001, "b": 1}, true, "over the goal"},
	} {
		var out strings.Builder
		if ok := report(&out, list, tt.got, tt.old); ok != tt.ok || !strings.Contains(out.String(), tt.text) {
			t.Errorf("%s: %v\n%s", tt.name, ok, out.String())
		}
	}
}

func TestBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.txt")
	if old, err := readBaseline(file); err != nil || len(old) != 0 {
		t.Errorf("no file: %v, %v", old, err)
	}
	list := []bench{{Name: "a"}, {Name: "b"}}
	if err := writeBaseline(file, list, figures{"a": 1, "b": 2, "c": 3}); err != nil {
		t.Fatal(err)
	}
	old, err := readBaseline(file)
	if err != nil || len(old) != 2 || old["b"] != 2 {
		t.Errorf("read back: %v, %v", old, err)
	}
	if err := writeBaseline(file, list, figures{"a": 1}); err == nil {
		t.Error("an incomplete run becomes the baseline")
	}
	for _, text := range []string{"a", "a x", "a 1\na 2", "a 0", "a -1"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBaseline(file); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestList(t *testing.T) {
	list, err := parseBenches(benchesTOML)
	if err != nil || len(names(list, "bench", "")) < 10 || len(names(list, "system", "")) < 1 || len(names(list, "bench", "yield")) != 1 {
		t.Errorf("%d benchmarks, %v", len(list), err)
	}
	for _, text := range []string{"[[bench]]\nname = \"a\"", "[[bench]]\nnom = \"a\"", "[["} {
		if _, err := parseBenches(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestMinimalProgramLoads(t *testing.T) {
	if _, err := bake.Strip(minimal()); err != nil {
		t.Error(err)
	}
}
