package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
)

const sample = `
[system]
ram_mib = 128
kernel_mib = 26
root = { name = "init", budget_kib = 8192, args = ["init"] }

[[service]]
name = "selftest-client"
budget_kib = 4096
console = true
spawn = true
calls = ["logd", "policyd"]
devices = ["rng", "blk1"]
essential = true

[[service]]
name = "policyd"
budget_kib = 4096
calls = ["logd"]
lazy = ["logd"]
restart = "on-failure"
backoff = "20ms"
ready = "2s"

[[service]]
name = "logd"
program = "journal"
budget_kib = 2048
restart = "always"
restart_limit = 9
`

func parse(text string) (*System, error) { return Parse(Source{"system.toml", text}) }

// Which files there are follows from the services, each once, in order.
func TestFiles(t *testing.T) {
	s, err := parse(sample + `
[[service]]
name = "a"
budget_kib = 2048
files = ["two", "one"]
spawner = true
[[service]]
name = "b"
budget_kib = 2048
files = ["two", "three"]
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Manifest.Files, " "); got != "one three two" {
		t.Errorf("files %q", got)
	}
	a, b := s.Manifest.Lookup("a"), s.Manifest.Lookup("b")
	if !a.MayHave("one") || !a.MayHave("three") || !a.Spawner || b.Spawner || !b.MayHave("three") || b.MayHave("one") {
		t.Errorf("%+v, %+v", a, b)
	}
	r := Rules{"selftest-client": {policy.Core, policy.Spawn, "device.mmio.rng", "device.mmio.blk"}, "policyd": {policy.Core}, "a": {policy.Spawn}}
	if err := s.CheckGrants(r); !errors.Is(err, ErrGrant) {
		t.Errorf("a spawner that the policy lets create nothing: %v", err)
	}
	for _, tt := range []struct {
		caps []string
		want error
	}{{[]string{policy.Create}, ErrGrant}, {[]string{rng.Capability}, ErrGrant}, {[]string{policy.Create, rng.Capability}, nil}} {
		r["a"] = tt.caps
		if err := s.CheckGrants(r); !errors.Is(err, tt.want) {
			t.Errorf("a spawner with %q: %v", tt.caps, err)
		}
	}
}

// init needs entropy for the services that it starts.
func TestRejectNoEntropy(t *testing.T) {
	s, err := parse("[system]\nram_mib = 128\nkernel_mib = 26\nroot = { name = \"init\", budget_kib = 8192 }\n[[service]]\nname = \"rngd\"\nbudget_kib = 2048\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CheckGrants(Rules{}); !errors.Is(err, ErrGrant) {
		t.Errorf("init without entropy: %v", err)
	}
	if err := s.CheckGrants(Rules{"init": {rng.Capability}}); err != nil {
		t.Error(err)
	}
}

// Which binaries there are follows from the services as well.
func TestBinaries(t *testing.T) {
	const more = "[[service]]\nname = %q\nbudget_kib = 2048\nbinary = %q\n"
	s, err := parse(sample + fmt.Sprintf(more, "a", "two") + fmt.Sprintf(more, "b", "one") + fmt.Sprintf(more, "c", "two"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Manifest.Binaries, " "); got != "one two" {
		t.Errorf("binaries %q", got)
	}
	if b, logd := s.Manifest.Lookup("b"), s.Manifest.Lookup("logd"); b.Binary != "one" || logd.Binary != "" {
		t.Errorf("%+v, %+v", b, logd)
	}
}

// A description may be spread over files; one of them has [system].
func TestParseFiles(t *testing.T) {
	more := Source{"test.toml", "[[service]]\nname = \"probe\"\nbudget_kib = 2048\ncalls = [\"logd\"]\n"}
	s, err := Parse(more, Source{"system.toml", sample})
	if err != nil || len(s.Manifest.Services) != 4 {
		t.Fatalf("Parse = %+v, %v", s, err)
	}
	if _, err := Parse(more); !errors.Is(err, ErrSystem) {
		t.Errorf("no [system]: %v", err)
	}
	if _, err := Parse(Source{"a.toml", sample}, Source{"b.toml", sample}); !errors.Is(err, ErrSystem) {
		t.Errorf("two [system]: %v", err)
	}
	if _, err := Parse(Source{"system.toml", sample}, more, more); !errors.Is(err, manifest.ErrDuplicate) {
		t.Errorf("a file twice: %v", err)
	}
}

func TestParse(t *testing.T) {
	s, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	if s.RAM != 128<<20 || s.Kernel != 26<<20 || s.Root != "init" || s.RootFrames != 2048 || len(s.Args) != 1 {
		t.Errorf("system = %+v", s)
	}
	var order []string
	for _, svc := range s.Manifest.Services {
		order = append(order, svc.Name)
	}
	if got := strings.Join(order, " "); got != "logd policyd selftest-client" {
		t.Errorf("start order %q", got)
	}
	logd, policyd := s.Manifest.Lookup("logd"), s.Manifest.Lookup("policyd")
	if logd.Program != "journal" || logd.Frames != 512 || logd.Restart.Limit != 9 || logd.Restart.Policy != manifest.Always {
		t.Errorf("logd = %+v", logd)
	}
	if c := s.Manifest.Lookup("selftest-client"); !c.MayOwn("rng") || !c.MayOwn("blk1") || c.MayOwn("blk") {
		t.Errorf("selftest-client = %+v", c)
	}
	if policyd.Program != "policyd" || policyd.Ready != 2*time.Second || policyd.Restart.Backoff != 20*time.Millisecond || !policyd.Calls[0].Lazy {
		t.Errorf("policyd = %+v", policyd)
	}
}

func TestRejectSystem(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
		text           string
	}{
		{"syntax", "[system]", "[system", ErrSyntax, "line 3"},
		{"unknown key", "console = true", "consol = true", ErrKey, "service.consol"},
		{"unknown table", "[system]", "[sistem]", ErrKey, "sistem"},
		{"bare duration", `ready = "2s"`, `ready = 2`, ErrSyntax, ""},
		{"bad duration", `ready = "2s"`, `ready = "2 s"`, ErrSyntax, ""},
		{"restart policy", `"always"`, `"sometimes"`, ErrSyntax, "sometimes"},
		{"no RAM", "ram_mib = 128", "ram_mib = 0", ErrSystem, ""},
		{"negative RAM", "ram_mib = 128", "ram_mib = -1", ErrSystem, ""},
		{"kernel over RAM", "kernel_mib = 26", "kernel_mib = 128", ErrSystem, ""},
		{"root budget", "budget_kib = 8192", "budget_kib = 0", ErrSystem, ""},
		{"root name", `name = "init"`, `name = ""`, ErrSystem, ""},
		{"service named like root", `name = "policyd"`, `name = "init"`, manifest.ErrDuplicate, "init"},
		{"duplicate", `name = "policyd"`, `name = "logd"`, manifest.ErrDuplicate, "logd"},
		{"unknown service", `"logd", "policyd"`, `"logd", "samgrd"`, manifest.ErrUnknown, `"selftest-client" calls "samgrd"`},

		{"cycle of two", `program = "journal"`, `calls = ["selftest-client"]`, ErrCycle, "selftest-client calls logd calls selftest-client"},
		{"lazy without call", `lazy = ["logd"]`, `lazy = ["selftest-client"]`, ErrLazy, ""},
		{"own call", `"logd", "policyd"`, `"logd", "selftest-client"`, manifest.ErrCalls, ""},
		{"small budget", "budget_kib = 2048", "budget_kib = 100", manifest.ErrBudget, `"logd"`},
		{"never with bounds", `restart = "always"`, ``, manifest.ErrRestart, `"logd"`},
		{"program", `"journal"`, `"../journal"`, manifest.ErrProgram, ""},
		{"unknown device", `"rng", "blk1"`, `"rng", "uart"`, manifest.ErrDevices, "uart"},
		{"class", `backoff = "20ms"`, `qos = "realtime"`, ErrSyntax, "realtime"},
		{"class by number", `backoff = "20ms"`, `qos = 2`, ErrSyntax, ""},
		{"no share", `backoff = "20ms"`, `share = 0`, manifest.ErrQoS, "share = 0"},
		{"large share", `backoff = "20ms"`, `share = 1001`, manifest.ErrQoS, "share = 1001"},
		{"negative share", `backoff = "20ms"`, `share = -1`, manifest.ErrQoS, ""},
		{"share of 16 bits", `backoff = "20ms"`, `share = 65636`, manifest.ErrQoS, ""},
		{"no harts", `backoff = "20ms"`, `harts = []`, manifest.ErrQoS, "no harts"},
		{"negative hart", `backoff = "20ms"`, `harts = [0, -1]`, manifest.ErrQoS, "hart -1"},
		{"hart that cannot be", `backoff = "20ms"`, `harts = [31]`, manifest.ErrQoS, "hart 31"},
		{"hart far away", `backoff = "20ms"`, `harts = [64]`, manifest.ErrQoS, "hart 64"},
		{"hart twice", `backoff = "20ms"`, `harts = [1, 1]`, manifest.ErrQoS, "hart 1"},
		{"no services", sample[strings.Index(sample, "[[service]]"):], "", manifest.ErrServices, ""},
	} {
		if !strings.Contains(sample, tt.old) {
			t.Fatalf("%s: %q is not in the sample", tt.name, tt.old)
		}
		_, err := parse(strings.Replace(sample, tt.old, tt.new, 1))
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
}

// What a description leaves open of class, share and harts is as for everybody; about a
// service of which it says nothing nobody is asked.
func TestQoS(t *testing.T) {
	for text, want := range map[string]abi.QoS{
		"":                0,
		`qos = "idle"`:    abi.NewQoS(abi.Idle, abi.DefaultShare, abi.AllHarts),
		`qos = "normal"`:  abi.DefaultQoS,
		`share = 1`:       abi.NewQoS(abi.Normal, 1, abi.AllHarts),
		`share = 1000`:    abi.NewQoS(abi.Normal, abi.MaxShare, abi.AllHarts),
		`harts = [30, 0]`: abi.NewQoS(abi.Normal, abi.DefaultShare, 1<<30|1),
		"qos = \"perfburst\"\nshare = 200\nharts = [1]": abi.NewQoS(abi.PerfBurst, 200, 2),
	} {
		s, err := parse(strings.Replace(sample, `backoff = "20ms"`, text, 1))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := s.Manifest.Lookup("policyd").QoS; got != want {
			t.Errorf("%q: %#x, want %#x", text, got, want)
		}
	}
}

// A class and a large share need a capability each.
func TestRejectQoSGrants(t *testing.T) {
	s, err := parse(strings.Replace(sample, `backoff = "20ms"`, "qos = \"perfburst\"\nshare = 200", 1))
	if err != nil {
		t.Fatal(err)
	}
	r := Rules{"selftest-client": {"ipc.core", "proc.spawn", "device.mmio.rng", "device.mmio.blk"}}
	for caps, ok := range map[string]bool{
		"ipc.core qos.perfburst qos.share": true, "ipc.core qos.perfburst": false, "ipc.core qos.interactive qos.share": false, "ipc.core": false,
	} {
		r["policyd"] = strings.Fields(caps)
		if err := s.CheckGrants(r); (err == nil) != ok || err != nil && !errors.Is(err, ErrGrant) {
			t.Errorf("%q: %v", caps, err)
		}
	}
}

func TestRejectRAM(t *testing.T) {
	s, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	fits := uint64(128<<20 - 26<<20 - (8192+4096+4096+2048)<<10)
	if err := s.CheckRAM(fits); err != nil {
		t.Errorf("what fits exactly: %v", err)
	}
	if err := s.CheckRAM(fits + 1); !errors.Is(err, ErrRAM) || !strings.Contains(err.Error(), "1 KiB more") {
		t.Errorf("one byte too much: %v", err)
	}
}

func TestGrants(t *testing.T) {
	s, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	r := Rules{}
	for _, f := range []string{
		"[allow]\n\"Selftest-Client\" = [\"proc.spawn\", \"IPC.core\", \"ipc.core\", \"device.mmio.rng\", \"device.mmio.blk\"]\npolicyd = [\"ipc.core\"]",
		"[allow]\nlogd = []",
	} {
		if err := r.AddRules("base.toml", f); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(r["selftest-client"], " "); got != "device.mmio.blk device.mmio.rng ipc.core proc.spawn" {
		t.Errorf("rules = %q", got)
	}
	if err := s.CheckGrants(r); err != nil {
		t.Errorf("complete rules: %v", err)
	}
	for _, f := range []string{`[allow]
policyd = []`, `[allow]
selftest-client = ["ipc.core", "device.mmio.rng", "device.mmio.blk"]`, `[allow]
selftest-client = ["proc.spawn", "device.mmio.rng", "device.mmio.blk"]`, `[allow]
selftest-client = ["ipc.core", "proc.spawn", "device.mmio.rng"]`} {
		less := Rules{"selftest-client": r["selftest-client"], "policyd": r["policyd"]}
		if err := less.AddRules("local.toml", f); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckGrants(less); !errors.Is(err, ErrGrant) {
			t.Errorf("%q: %v", f, err)
		}
	}
}

func TestRejectRules(t *testing.T) {
	many := strings.Repeat(`"a",`, maxCaps+1)
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"table":            {"[deny]\nlogd = []", ErrKey},
		"syntax":           {"[allow", ErrSyntax},
		"type":             {"[allow]\nlogd = 1", ErrSyntax},
		"capability space": {"[allow]\nlogd = [\"a b\"]", ErrRule},
		"no capability":    {"[allow]\nlogd = [\"\"]", ErrRule},
		"long capability":  {"[allow]\nlogd = [\"" + strings.Repeat("x", policy.MaxCapability+1) + "\"]", ErrRule},
		"many":             {"[allow]\nlogd = [" + many + "]", ErrRule},
		"long name":        {"[allow]\n" + strings.Repeat("x", 33) + " = []", ErrRule},
		"case":             {"[allow]\nlogd = []\nLogd = []", ErrRule},
	} {
		if err := (Rules{}).AddRules("p.toml", tt.text); !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "p.toml: ") {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse(text)
		if err != nil {
			return
		}
		if _, err := manifest.Encode(&s.Manifest); err != nil && !errors.Is(err, manifest.ErrTooLong) {
			t.Fatalf("a checked system does not encode: %v", err)
		}
	})
}
