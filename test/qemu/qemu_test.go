package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/test/tinykernel"
)

// small is a ladder with one of everything.
const small = `
shapes = ['^K?SELFTEST: ', '^init: ', '^[a-z]+d: ready', '^vers ']
fatal = ['^kernel: PANIC']
[[phase]]
name = "boot"
[[phase.marker]]
prefix = "vers "
by = "kernel"
proves = "The kernel runs."
[[phase.marker]]
text = "KSELFTEST: cpu1 ok"
by = "kernel"
gate = "REQUIRE_SMP"
proves = "There is a second hart."
[[phase.marker]]
text = "init: start"
by = "init"
proves = "init runs."
[[phase.marker]]
text = "logd: ready"
by = "logd"
async = true
repeats = true
after = ["init: start"]
proves = "logd serves."
[[phase.marker]]
text = "init: ready"
by = "init"
proves = "All services are ready."
[[phase]]
name = "work"
[[phase.marker]]
text = "SELFTEST: a ok"
by = "client"
proves = "a works."
[[phase.marker]]
text = "SELFTEST: end"
by = "client"
proves = "The client ended."
`

const good = "OpenSBI\nvers 1\ninit: start\nlogd: ready\ninit: ready\nnoise\nSELFTEST: a ok\nlogd: ready\nSELFTEST: end\n"

func smallLadder(t testing.TB) *Ladder {
	t.Helper()
	l, err := ParseLadder(small)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func judge(t testing.TB, sel Selection, transcript string, end End) *Verdict {
	t.Helper()
	j, err := NewJudge(smallLadder(t), sel)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(transcript) {
		j.Line(strings.TrimSuffix(line, "\n"))
	}
	return j.Finish(end)
}

func TestDefaultLadder(t *testing.T) {
	l, err := DefaultLadder()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l.Markers {
		if !strings.HasSuffix(m.Proves, ".") || strings.Count(m.Proves, ". ") > 0 {
			t.Errorf("%q: what it proves is not one sentence: %q", m.Text, m.Proves)
		}
		if strings.Contains(m.Text, failWord) {
			t.Errorf("%q would fail every run", m.Text)
		}
	}
}

func TestJudge(t *testing.T) {
	smp := Selection{Gates: map[string]bool{"REQUIRE_SMP": true}}
	for _, tt := range []struct {
		name     string
		sel      Selection
		old, new string // what is changed in the good transcript
		end      End
		want     []Kind
		phase    string
	}{
		{name: "good"},
		{name: "async marker late", old: "logd: ready\ninit: ready", new: "init: ready\nlogd: ready"},
		{name: "async marker before what it needs", old: "init: start\nlogd: ready", new: "logd: ready\ninit: start", want: []Kind{OutOfOrder}, phase: "boot"},
		{name: "missing", old: "SELFTEST: a ok\n", want: []Kind{Missing}, phase: "work"},
		{name: "missing at the end", old: "SELFTEST: end\n", want: []Kind{Missing}, phase: "work"},
		{name: "missing async", old: "logd: ready\n", want: nil}, // it comes again
		{name: "out of order", old: "init: ready\nnoise\nSELFTEST: a ok", new: "SELFTEST: a ok\ninit: ready", want: []Kind{OutOfOrder}, phase: "boot"},
		{name: "twice", old: "noise", new: "init: ready", want: []Kind{Repeated}, phase: "work"},
		{name: "FAIL line", old: "noise", new: "SELFTEST: b FAIL: no", want: []Kind{FailLine}, phase: "work"},
		{name: "FAIL in a marker's line", old: "SELFTEST: a ok", new: "SELFTEST: a ok FAIL", want: []Kind{FailLine, Missing}, phase: "work"},
		{name: "panic", old: "noise", new: "kernel: PANIC: frame", want: []Kind{Panic}, phase: "work"},
		{name: "unknown marker", old: "noise", new: "SELFTEST: b ok", want: []Kind{Unknown}, phase: "work"},
		{name: "unknown service", old: "noise", new: "timed: ready", want: []Kind{Unknown}, phase: "work"},
		{name: "marker with more behind it", old: "SELFTEST: a ok", new: "SELFTEST: a okay", want: []Kind{Unknown, Missing}, phase: "work"},
		{name: "marker inside a line", old: "SELFTEST: a ok", new: "KSELFTEST: a ok", want: []Kind{Unknown, Missing}, phase: "work"},
		{name: "exit status", end: End{Status: 3}, want: []Kind{ExitStatus}, phase: "work"},
		{name: "status of a run that we ended", end: End{Status: -1, Stopped: true}},
		{name: "timeout", end: End{Timeout: time.Second}, want: []Kind{TimedOut}, phase: "work"},
		{name: "flood", end: End{Flood: true}, want: []Kind{Flood}, phase: "work"},
		{name: "gate on", sel: smp, want: []Kind{Missing}, phase: "boot"},
		{name: "gate on and there", sel: smp, old: "vers 1\n", new: "vers 1\nKSELFTEST: cpu1 ok\n"},
		{name: "gate off and there", old: "vers 1\n", new: "vers 1\nKSELFTEST: cpu1 ok\n"},
		{name: "phase", sel: Selection{Phase: "boot"}, old: "SELFTEST: a ok\nlogd: ready\nSELFTEST: end\n"},
		{name: "phase incomplete", sel: Selection{Phase: "boot"}, old: "init: ready\n", want: []Kind{Missing}, phase: "boot"},
		{name: "until a marker", sel: Selection{Until: "SELFTEST: a ok"}, old: "SELFTEST: end\n"},
		{name: "until a marker, one before it missing", sel: Selection{Until: "SELFTEST: a ok"}, old: "init: ready\n", want: []Kind{Missing}, phase: "boot"},
		{name: "until part of a marker", sel: Selection{Until: "a ok"}, old: "init: ready\n", want: []Kind{Missing}, phase: "boot"},
		{name: "until any line", sel: Selection{Until: "nois"}, old: "init: ready\n"},
		{name: "until a line that never comes", sel: Selection{Until: "music"}, want: []Kind{Missing}, phase: "work"},
		{name: "nothing", old: good, want: []Kind{Missing, Missing, Missing, Missing, Missing, Missing}, phase: "boot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.old) {
				t.Fatalf("%q is not in the transcript", tt.old)
			}
			v := judge(t, tt.sel, strings.Replace(good, tt.old, tt.new, 1), tt.end)
			var got []Kind
			for _, f := range v.Failures {
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, tt.want) || v.OK() != (len(tt.want) == 0) || v.FirstFailedPhase() != tt.phase {
				t.Errorf("failures %v in phase %q, want %v in %q", v.Failures, v.FirstFailedPhase(), tt.want, tt.phase)
			}
			var out bytes.Buffer
			v.Report(&out)
			if tt.want != nil && !strings.Contains(out.String(), "first_failed_phase="+tt.phase+"\n") {
				t.Errorf("report:\n%s", out.String())
			}
		})
	}
}

// The excerpt is bounded and holds the first failure, however much was printed.
func TestExcerpt(t *testing.T) {
	noise := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "noise %d\n", i)
		}
		return b.String()
	}
	for _, n := range []int{0, 10, excerptLines, 3 * keptLines} {
		v := judge(t, Selection{}, "vers 1\n"+noise(n)+"kernel: PANIC: x\n"+noise(n), End{})
		e := v.Excerpt()
		if len(e) > excerptLines || !slices.Contains(e, "kernel: PANIC: x") && n < keptLines {
			t.Errorf("%d lines: excerpt of %d lines, without the failure", n, len(e))
		}
		if n == 10 && e[0] != "vers 1" {
			t.Errorf("excerpt begins with %q, want the marker in front of the failure", e[0])
		}
	}
}

// A missing marker is shown where it should have been.
func TestExcerptOfMissing(t *testing.T) {
	v := judge(t, Selection{}, strings.Replace(good, "SELFTEST: a ok\n", "", 1), End{})
	if e := v.Excerpt(); len(e) < 2 || e[0] != "init: ready" || e[1] != "noise" {
		t.Errorf("excerpt %q", e)
	}
}

// The kernel says on the console which process a fault ended. Such a line is good
// only where the ladder expects it.
func TestRejectFaultNotAnnounced(t *testing.T) {
	l, err := DefaultLadder()
	if err != nil {
		t.Fatal(err)
	}
	const where = " pid=9 scause=13 pc=0x100011000 addr=0x0"
	for _, tt := range []struct {
		lines []string
		want  []Kind
	}{
		{[]string{"kernel: fault: fault-load" + where}, nil},
		{[]string{"kernel: fault: logd" + where}, []Kind{Unknown}},
		{[]string{"kernel: fault: fault-load" + where, "kernel: fault: fault-load" + where}, []Kind{Repeated}},
		{[]string{"KSELFTEST: fault record ok", "kernel: fault: fault-load" + where}, []Kind{OutOfOrder}},
	} {
		j, err := NewJudge(l, Selection{})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range tt.lines {
			j.Line(line)
		}
		var got []Kind
		for _, f := range j.failures {
			got = append(got, f.Kind)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.lines, got, tt.want)
		}
	}
}

func TestRejectLadder(t *testing.T) {
	for _, tt := range []struct{ name, old, new string }{
		{"syntax", "shapes", "shapes ="},
		{"unknown key", "proves = \"init runs.\"", "prove = \"init runs.\""},
		{"no proof", "proves = \"init runs.\"", ""},
		{"no printer", "by = \"init\"\n", ""},
		{"no text", "text = \"init: start\"", ""},
		{"text and prefix", "prefix = \"vers \"", "prefix = \"vers \"\ntext = \"vers 1\""},
		{"not marker-shaped", "text = \"init: start\"", "text = \"start\""},
		{"twice", "text = \"init: ready\"", "text = \"init: start\""},
		{"hidden by a prefix", "text = \"init: start\"", "text = \"vers 2\""},
		{"after nothing", "after = [\"init: start\"]", "after = [\"init: ready\"]"},
		{"phase twice", "name = \"work\"", "name = \"boot\""},
		{"bad shape", "'^init: '", "'^init: ('"},
		{"bad fatal", "PANIC'", "PANIC('"},
		{"no markers", small, ""},
		{"variant of no phase", "[[phase]]\nname = \"boot\"", "[[variant]]\nname = \"v\"\nphase = \"x\"\n[[phase]]\nname = \"boot\""},
	} {
		if _, err := ParseLadder(strings.Replace(small, tt.old, tt.new, 1)); !errors.Is(err, ErrLadder) {
			t.Errorf("%s: %v, want %v", tt.name, err, ErrLadder)
		}
	}
}

func TestOptionsFromEnv(t *testing.T) {
	gates := []string{"REQUIRE_SMP"}
	for _, tt := range []struct {
		env  map[string]string
		want func(o *Options) bool
		err  string
	}{
		{nil, func(o *Options) bool { return o.When == WhenProven && o.Timeout == DefaultTimeout && o.SMP == 1 }, ""},
		{map[string]string{"RUN_UNTIL_MARKER": "0"}, func(o *Options) bool { return o.When == WhenOver }, ""},
		{map[string]string{"RUN_UNTIL_MARKER": "SELFTEST: x"}, func(o *Options) bool { return o.When == WhenLine && o.Until == "SELFTEST: x" }, ""},
		{map[string]string{"RUN_PHASE": "boot", "RUN_TIMEOUT": "3m"}, func(o *Options) bool { return o.Phase == "boot" && o.Timeout == 3*time.Minute }, ""},
		{map[string]string{"SMP": "2", "REQUIRE_SMP": "1"}, func(o *Options) bool { return o.SMP == 2 && o.Gates["REQUIRE_SMP"] }, ""},
		{map[string]string{"REQUIRE_SMP": "1"}, nil, "SMP=2"},
		{map[string]string{"REQUIRE_SMP": "yes"}, nil, "0 or 1"},
		{map[string]string{"SMP": "0"}, nil, "SMP="},
		{map[string]string{"SMP": "two"}, nil, "SMP="},
		{map[string]string{"RUN_TIMEOUT": "90"}, nil, "RUN_TIMEOUT="},
		{map[string]string{"RUN_TIMEOUT": "-1s"}, nil, "RUN_TIMEOUT="},
		{map[string]string{"RUN_TIMEOUT": "1000h"}, nil, "RUN_TIMEOUT="},
	} {
		o, err := OptionsFromEnv(func(k string) string { return tt.env[k] }, gates)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v: %v, want %q", tt.env, err, tt.err)
			}
		} else if err != nil || !tt.want(&o) {
			t.Errorf("%v: %+v, %v", tt.env, o, err)
		}
	}
	if _, err := NewJudge(smallLadder(t), Selection{Phase: "ota"}); err == nil || !strings.Contains(err.Error(), "want one of boot, work") {
		t.Errorf("unknown phase: %v", err)
	}
}

// machine returns a machine whose kernel prints text and exits.
func machine(t *testing.T, text string, exit int) Machine {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-riscv64"); err != nil {
		t.Skip("qemu-system-riscv64 is not installed")
	}
	img, err := bake.Bake(bake.Config{
		Kernel: tinykernel.ELF(text, exit), Root: "init", RootFrames: 1,
		Entries: []bake.Entry{{Name: "programs", Data: elftest.Hello().Build()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Machine{Data: img}
}

// Whole runs in QEMU, with kernels that print a transcript.
func TestProve(t *testing.T) {
	forever := -1
	for _, tt := range []struct {
		name string
		text string
		exit int
		opts Options
		want []Kind
	}{
		{"good", good, 0, Options{Timeout: time.Minute}, nil},
		{"exit status", good, 7, Options{Timeout: time.Minute}, []Kind{ExitStatus}},
		{"hangs", "vers 1\n", forever, Options{Timeout: 2 * time.Second}, []Kind{TimedOut, Missing, Missing, Missing, Missing, Missing}},
		{"stops at the phase", good, forever, Options{Timeout: time.Minute, Selection: Selection{Phase: "boot"}}, nil},
		{"stops at the line", good, forever, Options{Timeout: time.Minute, When: WhenLine, Selection: Selection{Until: "SELFTEST: a"}}, nil},
		{"runs until it is over", good, forever, Options{Timeout: 3 * time.Second, When: WhenOver}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			v, err := Prove(context.Background(), &out, smallLadder(t), machine(t, tt.text, tt.exit), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []Kind
			for _, f := range v.Failures {
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("failures %v, want %v\n%s", v.Failures, tt.want, out.String())
			}
			if tt.want == nil && !strings.Contains(out.String(), "init: ready") {
				t.Errorf("markers are not shown:\n%s", out.String())
			}
		})
	}
}

func TestRunErrors(t *testing.T) {
	never := func(string) time.Duration { return -1 }
	if _, err := (&Machine{QEMU: "/nonexistent/qemu", Image: "x"}).Run(t.Context(), time.Second, never); err == nil {
		t.Error("a machine without QEMU runs")
	}
	m := machine(t, "", 0)
	m.Args = []string{"-no-such-flag"}
	if _, err := m.Run(t.Context(), time.Minute, never); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("bad flag: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Machine{Data: m.Data}).Run(ctx, time.Minute, never); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	var got []string
	err := readLines(strings.NewReader("a\r\n\n"+long+"\nlast"), func(s string) bool { got = append(got, s); return true })
	if want := []string{"a", "", long[:maxLine], "last"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%d lines, %v", len(got), err)
	}
	if err := readLines(strings.NewReader("a\nb\n"), func(string) bool { return false }); !errors.Is(err, errStop) {
		t.Errorf("stopped: %v", err)
	}
	if err := readLines(endless{}, func(string) bool { return true }); !errors.Is(err, errFlood) {
		t.Errorf("endless: %v", err)
	}
}

// endless prints for ever.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'y'
	}
	b[len(b)-1] = '\n'
	return len(b), nil
}
