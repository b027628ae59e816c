package plan

import (
	"os"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	p, err := Parse(strings.NewReader(`
# comment
test sync
test compress/flate ../testdata
skip sync ^TestA$ # no threads
skip sync ^TestB/c$  # no signals
extra go/types ../../internal/types
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Default(); len(d) != 2 || d[0].Path != "sync" || d[1].Folders[0] != "../testdata" {
		t.Errorf("default set: %v", d)
	}
	if got := p.Package("sync").SkipPattern(); got != "^TestA$|^TestB/c$" {
		t.Errorf("pattern %q", got)
	}
	if got := p.Package("go/types"); got.Default || len(got.Folders) != 1 {
		t.Errorf("go/types: %+v", got)
	}
	if got := p.Package("unknown"); got.SkipPattern() != "" {
		t.Errorf("unknown: %+v", got)
	}
}

func TestReject(t *testing.T) {
	for _, text := range []string{"test", "run sync", "skip sync TestA", "skip sync TestA #", "skip sync TestA # ", "skip sync ( # bad", "test a\ntest a"} {
		if _, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestCommitted checks the plan that is in use.
func TestCommitted(t *testing.T) {
	f, err := os.Open("../../teststd/std.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	in := make(map[string]bool)
	for _, pkg := range p.Default() {
		in[pkg.Path] = true
	}
	const least = 50 // what the project promises
	if len(in) < least {
		t.Errorf("%d packages, want at least %d", len(in), least)
	}
	for _, path := range strings.Fields(`sync sync/atomic time context os io/fs encoding/json compress/flate
		crypto/sha256 crypto/ed25519 math/big regexp reflect strings sort text/template log/slog runtime/debug iter`) {
		if !in[path] {
			t.Errorf("%s is missing", path)
		}
	}
}
