package main

import (
	"strings"
	"testing"
)

func TestSetup(t *testing.T) {
	there := need{"a thing", func() bool { return true }, []string{"thing"}}
	absent := need{"another", func() bool { return false }, []string{"a", "b"}}
	needs["there"], needs["absent"] = []need{there}, []need{there, absent, absent}
	if err := setup([]string{"there", "there"}, false); err != nil {
		t.Errorf("all there: %v", err)
	}
	err := setup([]string{"there", "absent"}, false)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "another") || !strings.Contains(err.Error(), "a or b") {
		t.Errorf("not root: %v, want one line that names what is missing", err)
	}
	if err := setup([]string{"no-such-need"}, true); err == nil {
		t.Error("an unknown name is accepted")
	}
}
