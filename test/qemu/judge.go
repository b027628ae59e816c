package qemu

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is a way for a run to fail.
type Kind int

// The ways.
const (
	Missing    Kind = iota // a marker never came
	OutOfOrder             // a marker came behind one that must wait for it
	Repeated               // a marker came twice
	Unknown                // a line that looks like a marker is not in the ladder
	FailLine               // a line contains FAIL
	Panic                  // the system gave up
	ExitStatus             // QEMU ended with another status than 0
	TimedOut               // the run had to be ended
	Flood                  // more output than a run may print
	kinds
)

// String names the kind as it appears in reports.
func (k Kind) String() string {
	return [kinds]string{"missing", "out of order", "repeated", "unknown marker", "FAIL line", "panic", "exit status", "timeout", "flood"}[k]
}

// Failure is one reason for which a run is not good.
type Failure struct {
	Kind  Kind
	Phase string // phase in which it was seen or is missing
	Text  string // the line or the marker
	line  int    // place in the transcript, for the excerpt
}

// String describes the failure in one line.
func (f Failure) String() string { return fmt.Sprintf("[%s] %s: %s", f.Phase, f.Kind, f.Text) }

// failWord in a line says that the side that printed it saw a failure.
const failWord = "FAIL"

// Judge holds a transcript to a ladder, line by line. It keeps at most
// keptLines lines for the excerpt.
type Judge struct {
	ladder   *Ladder
	until    string
	want     []*Marker
	seen     []bool // by Marker.index
	places   []int  // of the lines that were seen
	proven   int    // of want
	failures []Failure
	lines    []string
	dropped  int  // lines no longer kept
	fatal    bool // a fatal line was seen
	reached  bool // the line Until was seen
}

// keptLines bounds the memory of a transcript; excerptLines what is printed of it.
const (
	keptLines    = 20000
	excerptLines = 220
)

// NewJudge returns a judge for the selected part of the ladder.
func NewJudge(l *Ladder, sel Selection) (*Judge, error) {
	want, err := l.selectMarkers(sel)
	if err != nil {
		return nil, err
	}
	return &Judge{ladder: l, until: sel.Until, want: want, seen: make([]bool, len(l.Markers)), places: make([]int, len(l.Markers))}, nil
}

// Line judges the next line, without its end. It returns the marker that the
// line proves for the first time, or nil.
func (j *Judge) Line(line string) *Marker {
	if len(j.lines) >= keptLines {
		cut := keptLines / 2
		j.lines = slices.Delete(j.lines, 0, cut)
		j.dropped += cut
	}
	j.lines = append(j.lines, line)
	if j.until != "" && strings.Contains(line, j.until) {
		j.reached = true
	}
	if matchesAny(j.ladder.fatal, line) {
		j.fatal = true
		j.fail(Panic, line)
		return nil
	}
	if strings.Contains(line, failWord) {
		j.fail(FailLine, line)
		return nil
	}
	m := j.ladder.find(line)
	switch {
	case m == nil:
		if j.ladder.markerShaped(line) {
			j.fail(Unknown, line)
		}
		return nil
	case j.seen[m.index]:
		if !m.Repeats {
			j.fail(Repeated, line)
		}
		return nil
	}
	if behind := j.overtaken(m); behind != nil {
		j.fail(OutOfOrder, fmt.Sprintf("%s (came behind %q)", line, behind.Text))
	}
	j.seen[m.index], j.places[m.index] = true, j.place()
	if slices.Contains(j.want, m) {
		j.proven++
	}
	return m
}

// overtaken returns a marker that has come and should have waited for m, or nil.
func (j *Judge) overtaken(m *Marker) *Marker {
	for _, later := range j.ladder.Markers[m.index+1:] {
		waits := later.By == m.By || !later.Async && !m.Async || slices.ContainsFunc(later.After, m.matches)
		if waits && j.seen[later.index] {
			return later
		}
	}
	return nil
}

func (j *Judge) place() int { return j.dropped + len(j.lines) - 1 }

func (j *Judge) fail(kind Kind, text string) {
	j.failures = append(j.failures, Failure{Kind: kind, Phase: j.phase(), Text: text, line: j.place()})
}

// phase returns the phase that the run is in: that of the first marker that is
// still open.
func (j *Judge) phase() string {
	for _, m := range j.want {
		if !j.seen[m.index] {
			return m.Phase
		}
	}
	return j.ladder.Phases[len(j.ladder.Phases)-1]
}

// Proven reports whether every selected marker has come.
func (j *Judge) Proven() bool { return j.proven == len(j.want) }

// Reached reports whether the line that ends the run has come.
func (j *Judge) Reached() bool { return j.reached }

// Fatal reports whether a line has come after which nothing good can.
func (j *Judge) Fatal() bool { return j.fatal }

// End is how a run of QEMU ended.
type End struct {
	Stopped bool          // by us, because there was no more to see
	Timeout time.Duration // by us, after this time; 0 if not
	Flood   bool          // by us, because of too much output
	Status  int           // exit status, if it ended by itself
}

// Verdict is the result of a run.
type Verdict struct {
	Proven   int // selected markers that came
	Failures []Failure
	judge    *Judge
}

// Finish judges the whole run.
func (j *Judge) Finish(end End) *Verdict {
	phase := j.phase()
	switch {
	case end.Flood:
		j.fail(Flood, "more output than a run may print")
	case end.Timeout > 0:
		j.fail(TimedOut, fmt.Sprintf("ended after %v", end.Timeout))
	case !end.Stopped && end.Status != 0:
		j.fail(ExitStatus, fmt.Sprintf("QEMU ended with status %d", end.Status))
	}
	before := 0 // place of the last marker that came, of those in front
	for _, m := range j.want {
		if !j.seen[m.index] {
			j.failures = append(j.failures, Failure{Kind: Missing, Phase: m.Phase, Text: m.Text, line: before + 1})
		} else {
			before = j.places[m.index]
		}
	}
	if j.until != "" && !j.reached {
		j.failures = append(j.failures, Failure{Kind: Missing, Phase: phase, Text: j.until, line: j.place()})
	}
	v := &Verdict{Proven: j.proven, Failures: j.failures, judge: j}
	if len(j.want) == 0 && j.reached { // a line that is no marker is all there is to see
		v.Proven = 1
	}
	return v
}

// OK reports whether the run was good.
func (v *Verdict) OK() bool { return len(v.Failures) == 0 }

// FirstFailedPhase returns the first phase of the ladder in which something
// failed, or "".
func (v *Verdict) FirstFailedPhase() string {
	for _, p := range v.judge.ladder.Phases {
		if slices.ContainsFunc(v.Failures, func(f Failure) bool { return f.Phase == p }) {
			return p
		}
	}
	return ""
}

// Excerpt returns the part of the transcript around the first failure: from the
// last marker in front of it, at most excerptLines lines.
func (v *Verdict) Excerpt() []string {
	if v.OK() {
		return nil
	}
	const before = excerptLines / 2
	j := v.judge
	at := min(max(0, v.Failures[0].line-j.dropped), len(j.lines))
	start := max(0, at-before)
	for i := at - 1; i > start; i-- {
		if j.ladder.find(j.lines[i]) != nil {
			start = i
			break
		}
	}
	return j.lines[start:min(len(j.lines), start+excerptLines)]
}
