package qemu

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed ladder.toml
var ladderTOML string

// DefaultLadder returns the ladder of this system.
func DefaultLadder() (*Ladder, error) { return ParseLadder(ladderTOML) }

// Times of a run.
const (
	DefaultTimeout = 90 * time.Second
	maxTimeout     = time.Hour
	fatalGrace     = 5 * time.Second  // from a panic to the end of the run: time for its traceback
	powerOffGrace  = 20 * time.Second // from the last marker to the end of QEMU
)

// When says when a run ends.
type When int

// The ways to end a run.
const (
	WhenProven When = iota // all selected markers came; a run of the whole ladder must also power off
	WhenOver               // QEMU ended by itself or the time is over
	WhenLine               // the line Selection.Until came
)

// Options is what a user may choose for a run.
type Options struct {
	Selection
	When    When
	Timeout time.Duration
	SMP     int
	Disk    string // file of an existing disk, which the run may change
}

// OptionsFromEnv reads the variables of a run:
//
//	RUN_PHASE         prove the ladder up to the end of this phase
//	RUN_UNTIL_MARKER  1 (default): end when all is proven; 0: run until QEMU ends or RUN_TIMEOUT;
//	                  any other text: end at the first line that contains it, and prove what the
//	                  ladder has up to there
//	RUN_TIMEOUT       longest run, like 90s (default)
//	SMP               harts (default 1)
//	DISK              file of an existing disk, which the run may change (default: a new one)
//	REQUIRE_…         1: the markers of this gate are required; REQUIRE_SMP needs SMP >= 2,
//	                  REQUIRE_SMP4 SMP >= 4, REQUIRE_SMP8 SMP = 8
//
// gates are the gates of the ladder. An error is one of usage.
func OptionsFromEnv(getenv func(string) string, gates []string) (Options, error) {
	o := Options{Timeout: DefaultTimeout, SMP: 1, Selection: Selection{Phase: getenv("RUN_PHASE"), Gates: map[string]bool{}}}
	switch v := getenv("RUN_UNTIL_MARKER"); v {
	case "", "1":
		o.When = WhenProven
	case "0":
		o.When = WhenOver
	default:
		o.When, o.Until = WhenLine, v
	}
	if v := getenv("RUN_TIMEOUT"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 || d > maxTimeout {
			return o, fmt.Errorf("RUN_TIMEOUT=%q: want a time like 90s, at most %v", v, maxTimeout)
		}
		o.Timeout = d
	}
	o.Disk = getenv("DISK")
	if v := getenv("SMP"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 8 {
			return o, fmt.Errorf("SMP=%q: want 1 to 8, what QEMU's machine has", v)
		}
		o.SMP = n
	}
	for _, gate := range gates {
		switch v := getenv(gate); v {
		case "", "0":
		case "1":
			o.Gates[gate] = true
		default:
			return o, fmt.Errorf("%s=%q: want 0 or 1", gate, v)
		}
	}
	for gate, harts := range map[string]int{"REQUIRE_SMP": 2, "REQUIRE_SMP4": 4, "REQUIRE_SMP8": 8} {
		if o.Gates[gate] && o.SMP < harts {
			return o, fmt.Errorf("%s=1 needs SMP=%d or more, not %d", gate, harts, o.SMP)
		}
	}
	return o, nil
}

// Gates of what a machine says that lacks something.
const (
	gateNoDisk  = "NO_DISK"
	gateNoClock = "NO_CLOCK"
)

// Whole reports whether the options ask for the whole ladder.
func (o *Options) Whole() bool { return o.Phase == "" && o.When == WhenProven }

// Prove boots the machine, prints each marker to out as it is proven, and judges
// the run. An error means that there was no run to judge.
func Prove(ctx context.Context, out io.Writer, l *Ladder, m Machine, o Options) (*Verdict, error) {
	j, err := NewJudge(l, o.Selection)
	if err != nil {
		return nil, err
	}
	m.SMP, m.NoDisk, m.NoClock = o.SMP, o.Gates[gateNoDisk], o.Gates[gateNoClock]
	whole := o.Whole()
	start, phase := time.Now(), ""
	wasFatal, wasProven := false, false
	end, err := m.Run(ctx, o.Timeout, func(line string) time.Duration {
		if marker := j.Line(line); marker != nil {
			if marker.Phase != phase {
				phase = marker.Phase
				fmt.Fprintf(out, "--- phase %s\n", phase)
			}
			fmt.Fprintf(out, "%7.2fs  %-50s %s\n", time.Since(start).Seconds(), line, marker.Proves)
		}
		switch {
		case j.Fatal() && !wasFatal:
			wasFatal = true
			return fatalGrace
		case o.When == WhenLine && j.Reached(), o.When == WhenProven && !whole && j.Proven():
			return 0
		case whole && j.Proven() && !wasProven:
			wasProven = true
			return powerOffGrace
		}
		return -1
	})
	if err != nil {
		return nil, err
	}
	if o.When == WhenOver && j.Proven() {
		end.Timeout = 0 // what was asked for
	}
	return j.Finish(end), nil
}

// Report prints why a run failed: the first failed phase, every failure, and an
// excerpt of the transcript. It prints nothing for a good run.
func (v *Verdict) Report(out io.Writer) {
	if v.OK() {
		return
	}
	fmt.Fprintf(out, "first_failed_phase=%s\n", v.FirstFailedPhase())
	for _, f := range v.Failures {
		fmt.Fprintf(out, "FAIL %v\n", f)
	}
	excerpt := v.Excerpt()
	fmt.Fprintf(out, "--- transcript around the first failure (%d lines)\n", len(excerpt))
	for _, line := range excerpt {
		fmt.Fprintf(out, "    %s\n", strings.ToValidUTF8(line, "?"))
	}
	fmt.Fprintln(out, "---")
}
