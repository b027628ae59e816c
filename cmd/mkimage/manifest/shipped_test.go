package manifest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Some capabilities are for one service, whatever image it is in: who else had one could
// read or change what that service protects.
func TestExclusive(t *testing.T) {
	owner := map[string]string{
		"disk.keys": "keystored", "disk.state": "statefsd", "crypto.derive.statefs": "statefsd",
		"device.mmio.blk": "blkd",
	}
	files, err := filepath.Glob("../system/policy/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	more, err := filepath.Glob("../system/*/policy/*.toml")
	if err != nil || len(more) == 0 {
		t.Fatal(more, err)
	}
	seen := map[string]bool{}
	for _, file := range slices.Concat(files, more) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := Rules{}
		if err := r.AddRules(file, string(text)); err != nil {
			t.Fatal(err)
		}
		for service, caps := range r {
			for _, c := range caps {
				if want, ok := owner[c]; ok && service != want {
					t.Errorf("%s: %q has %q, which is %q's", file, service, c, want)
				} else if ok {
					seen[c] = true
				}
			}
		}
	}
	if !seen["disk.keys"] || !seen["device.mmio.blk"] {
		t.Errorf("only %v are in the policies", seen)
	}
}
