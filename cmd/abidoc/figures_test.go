package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestFiguresAreCurrent(t *testing.T) {
	table, err := figures(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, performance))
	if err != nil {
		t.Fatal(err)
	}
	want, err := splice(got, table)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has other figures than the baseline: go generate ./cmd/abidoc", performance)
	}
}

func TestRejectFigures(t *testing.T) {
	if _, err := figures(t.TempDir()); err == nil {
		t.Error("no error without a baseline")
	}
	for _, text := range []string{"", tableBegin, tableEnd} {
		if _, err := splice([]byte(text), nil); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestCommas(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 100000: "100,000"} {
		if got := commas(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
