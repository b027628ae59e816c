package manifest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"nexus.internal/svc/manifest"
)

const withFirst = "[first]\nname = \"probe\"\nbudget_kib = 4096\n"

// With [first], the kernel starts that and gives it what the root process would
// have got.
func TestFirst(t *testing.T) {
	s, err := Parse(Source{"system.toml", sample})
	if err != nil {
		t.Fatal(err)
	}
	if name, frames, args := s.Boot(); name != "init" || frames != 2048 || !slices.Equal(args, []string{"init"}) {
		t.Errorf("without [first]: %q, %d frames, %q", name, frames, args)
	}
	ram := s.RAM
	s, err = Parse(Source{"system.toml", sample}, Source{"test.toml", withFirst})
	if err != nil {
		t.Fatal(err)
	}
	if name, frames, args := s.Boot(); name != "probe" || frames != 1024 || !slices.Equal(args, []string{"probe", "init", "2048", "init"}) {
		t.Errorf("with [first]: %q, %d frames, %q", name, frames, args)
	}
	// Its budget counts.
	var budgets uint64
	for _, svc := range s.Manifest.Services {
		budgets += svc.Frames << 12
	}
	free := ram - s.Kernel - budgets - s.RootFrames<<12 - s.FirstFrames<<12
	if err := s.CheckRAM(free); err != nil {
		t.Errorf("what just fits: %v", err)
	}
	if err := s.CheckRAM(free + 1); !errors.Is(err, ErrRAM) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestRejectFirst(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"no name", `name = "probe"`, ``, ErrFirst},
		{"long name", `probe`, strings.Repeat("p", 33), ErrFirst},
		{"no budget", `budget_kib = 4096`, ``, ErrFirst},
		{"budget past any machine", `4096`, `9999999999`, ErrFirst},
		{"unknown key", `budget_kib`, `budget_mib`, ErrKey},
		{"name of the root process", `probe`, `init`, manifest.ErrDuplicate},
		{"name of a service", `probe`, `logd`, manifest.ErrDuplicate},
	} {
		text := strings.Replace(withFirst, tt.old, tt.new, 1)
		if _, err := Parse(Source{"system.toml", sample}, Source{"test.toml", text}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := Parse(Source{"system.toml", sample}, Source{"a.toml", withFirst}, Source{"b.toml", withFirst}); !errors.Is(err, ErrFirst) {
		t.Errorf("twice: %v, want %v", err, ErrFirst)
	}
}
