package qemu

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// ErrLadder is the reason for which a ladder file is refused.
var ErrLadder = errors.New("ladder")

// Ladder is the list of markers, in order.
type Ladder struct {
	Phases  []string // in order
	Markers []*Marker
	// Variants are machines on which a part of the ladder must hold as well.
	Variants []Variant
	shapes   []*regexp.Regexp // what a marker looks like
	fatal    []*regexp.Regexp // lines that end a run
}

// Variant is another machine than the default one.
type Variant struct {
	Name        string
	Memory, CPU string // the default one's if empty
	Disk        string // SameDisk, BadDisk or NoDisk; its own if empty
	Phase       string // up to its end the ladder is proven
	Gates       []string
}

// The disks of variants.
const (
	SameDisk = "same" // the one that the run of the whole ladder has written
	BadDisk  = "bad"  // one of its own, with sectors that cannot be read or written
	NoDisk   = "none"
)

// Marker is one line of evidence.
type Marker struct {
	Text    string // the whole line; with Prefix, how it begins
	Prefix  bool
	Proves  string   // one sentence
	By      string   // the side that prints it
	Gate    string   // required only if this variable is 1; always if empty
	Async   bool     // ordered only behind earlier markers of By, and After
	After   []string // texts of markers that must come before
	Repeats bool     // may come again
	Phase   string
	index   int
}

// matches reports whether the line is this marker.
func (m *Marker) matches(line string) bool {
	return line == m.Text || m.Prefix && strings.HasPrefix(line, m.Text)
}

// ParseLadder reads a ladder from TOML.
func ParseLadder(text string) (*Ladder, error) {
	var f struct {
		Shapes  []string
		Fatal   []string
		Variant []Variant
		Phase   []struct {
			Name   string
			Marker []struct {
				Text, Prefix, Proves, By, Gate string
				Async, Repeats                 bool
				After                          []string
			}
		}
	}
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLadder, err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		return nil, fmt.Errorf("%w: unknown key %v", ErrLadder, keys[0])
	}
	l := &Ladder{}
	if l.shapes, err = compileAll(f.Shapes); err != nil {
		return nil, err
	}
	if l.fatal, err = compileAll(f.Fatal); err != nil {
		return nil, err
	}
	for _, p := range f.Phase {
		if p.Name == "" || slices.Contains(l.Phases, p.Name) || len(p.Marker) == 0 {
			return nil, fmt.Errorf("%w: phase %q is empty or there twice", ErrLadder, p.Name)
		}
		l.Phases = append(l.Phases, p.Name)
		for _, src := range p.Marker {
			m := &Marker{
				Text: src.Text, Proves: src.Proves, By: src.By, Gate: src.Gate, Async: src.Async,
				After: src.After, Repeats: src.Repeats, Phase: p.Name, index: len(l.Markers),
			}
			if src.Prefix != "" && src.Text == "" {
				m.Text, m.Prefix = src.Prefix, true
			} else if src.Prefix != "" || src.Text == "" {
				return nil, fmt.Errorf("%w: phase %q: a marker needs either text or prefix", ErrLadder, p.Name)
			}
			if err := l.add(m); err != nil {
				return nil, err
			}
		}
	}
	if len(l.Markers) == 0 {
		return nil, fmt.Errorf("%w: no markers", ErrLadder)
	}
	for _, v := range f.Variant {
		if v.Name == "" || !slices.Contains(l.Phases, v.Phase) {
			return nil, fmt.Errorf("%w: variant %q has no name or no phase", ErrLadder, v.Name)
		}
		if !slices.Contains([]string{"", SameDisk, BadDisk, NoDisk}, v.Disk) {
			return nil, fmt.Errorf("%w: variant %q has the disk %q", ErrLadder, v.Name, v.Disk)
		}
		for _, gate := range v.Gates {
			if !slices.Contains(l.Gates(), gate) {
				return nil, fmt.Errorf("%w: variant %q has an unknown gate %q", ErrLadder, v.Name, gate)
			}
		}
	}
	l.Variants = f.Variant
	return l, nil
}

// add checks m and appends it.
func (l *Ladder) add(m *Marker) error {
	if m.Proves == "" || m.By == "" {
		return fmt.Errorf("%w: %q does not say what it proves, or who prints it", ErrLadder, m.Text)
	}
	if !l.markerShaped(m.Text) {
		return fmt.Errorf("%w: %q does not look like a marker", ErrLadder, m.Text)
	}
	for _, other := range l.Markers {
		if other.matches(m.Text) || m.matches(other.Text) {
			return fmt.Errorf("%w: %q and %q match the same line", ErrLadder, other.Text, m.Text)
		}
	}
	for _, after := range m.After {
		if l.find(after) == nil {
			return fmt.Errorf("%w: %q comes after %q, which is not in front of it", ErrLadder, m.Text, after)
		}
	}
	l.Markers = append(l.Markers, m)
	return nil
}

// find returns the marker that the line is, or nil.
func (l *Ladder) find(line string) *Marker {
	for _, m := range l.Markers {
		if m.matches(line) {
			return m
		}
	}
	return nil
}

func (l *Ladder) markerShaped(line string) bool { return matchesAny(l.shapes, line) }

func compileAll(patterns []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLadder, err)
		}
		out = append(out, re)
	}
	return out, nil
}

func matchesAny(patterns []*regexp.Regexp, line string) bool {
	return slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(line) })
}

// Selection is the part of a ladder that a run must prove.
type Selection struct {
	Phase string          // the last phase; all if empty
	Until string          // part of the line that ends the run: nothing behind it, if it is a marker
	Gates map[string]bool // gates that are on
}

// selectMarkers returns the markers that must be proven.
func (l *Ladder) selectMarkers(sel Selection) ([]*Marker, error) {
	end := len(l.Markers)
	if sel.Phase != "" {
		if !slices.Contains(l.Phases, sel.Phase) {
			return nil, fmt.Errorf("unknown phase %q: want one of %s", sel.Phase, strings.Join(l.Phases, ", "))
		}
		for end > 0 && l.Markers[end-1].Phase != sel.Phase {
			end--
		}
	}
	if sel.Until != "" {
		at := slices.IndexFunc(l.Markers, func(m *Marker) bool {
			return m.matches(sel.Until) || strings.Contains(m.Text, sel.Until)
		})
		end = min(end, at+1)
	}
	var out []*Marker
	for _, m := range l.Markers[:end] {
		if m.Gate == "" || sel.Gates[m.Gate] {
			out = append(out, m)
		}
	}
	return out, nil
}

// Gates lists the gates that the ladder knows.
func (l *Ladder) Gates() []string {
	var out []string
	for _, m := range l.Markers {
		if m.Gate != "" && !slices.Contains(out, m.Gate) {
			out = append(out, m.Gate)
		}
	}
	return out
}
