package powercut

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nexus.internal/test/qemu"
)

// machine is a QEMU of this test: a script that prints lines and goes on until it is
// ended.
func machine(t *testing.T, lines string) qemu.Machine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nprintf '"+lines+"'\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return qemu.Machine{QEMU: file, Image: file}
}

// A load that does not start is no campaign that went well, and what a load says is bad
// ends it.
func TestRejectLoad(t *testing.T) {
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		lines string
		line  func(int, string) error
		want  error
	}{
		"never starts":   {"hello\\n", func(int, string) error { return nil }, ErrSilent},
		"does not go on": {"go\\n", func(int, string) error { return nil }, ErrSilent},
		"is bad":         {"hello\\ngo\\n", func(_ int, line string) error { return bad }, bad},
	} {
		l := Load{Machine: machine(t, c.lines), Start: "go", Most: 5, Timeout: 300 * time.Millisecond, Line: c.line}
		if err := l.Run(context.Background(), make([]byte, 4096), 1, 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	l := Load{Machine: machine(t, "go\\n"), Start: "go", Most: 5, Timeout: time.Minute, Line: func(int, string) error { return nil }}
	if err := l.Run(context.Background(), make([]byte, 4096), 1, 0); err != nil {
		t.Errorf("without a cut: %v", err)
	}
}
