package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/ipc/abi"
)

// sample returns a valid manifest of three services.
func sample() *Manifest {
	return &Manifest{Version: Version, Binaries: []string{"storage"}, Services: []Service{
		{Name: "policyd", Program: "policyd", Frames: 1024, Ready: time.Second, Essential: true, Calls: []Call{{Name: "logd", Lazy: true}}},
		{Name: "logd", Program: "logd", Binary: "storage", Frames: 1024, Ready: time.Second, Console: true,
			Restart: Restart{Policy: OnFailure, Backoff: time.Millisecond, MaxBackoff: time.Second, Limit: 3, Window: time.Minute}},
		{Name: "selftest-client", Program: "selftest-client", Frames: 1024, Ready: time.Second, Spawn: true,
			QoS:  abi.NewQoS(abi.Interactive, 50, 3),
			Args: []string{"-v"}, Env: []string{"A=b"}, Devices: []string{"rng", "blk1"}, Calls: []Call{{Name: "policyd"}, {Name: "logd"}}},
	}}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	b, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Decode = %+v, want %+v", got, want)
	}
	again, err := Encode(got)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("second encoding differs (%v)", err)
	}
	client := got.Lookup("selftest-client")
	if client == nil || !client.MayCall("logd") || client.MayCall("init") || !client.MayOwn("blk1") || client.MayOwn("blk") {
		t.Errorf("selftest-client = %+v", client)
	}
	if got.Lookup("nobody") != nil {
		t.Error("Lookup finds nobody")
	}
}

// The identities that other systems of this kind have for these names.
func TestServiceID(t *testing.T) {
	for name, want := range map[string]uint64{
		"logd": 0xce07e8ad70ec4c6f, "policyd": 0xc4b6d847aa573fa1, "selftest-client": 0x52c6c4a34ffb3f69,
	} {
		if got := ServiceID(name); got != want {
			t.Errorf("ServiceID(%q) = %#x, want %#x", name, got, want)
		}
	}
}

func TestParseDevice(t *testing.T) {
	for _, class := range DeviceClasses() {
		for number := range maxDevice + 1 {
			d, ok := ParseDevice(DeviceName(class, number))
			if !ok || d.Class != class || d.Number != number || DeviceClass(d.ID) != class {
				t.Errorf("%s %d: %+v, %v", class, number, d, ok)
			}
		}
	}
	for _, name := range []string{"", "r", "rng0", "rng01", "rng+1", "rng-1", "rng 1", "rng1x", "rng32", "rng99999999999999999999", "Rng", "uart", "1", "netrng"} {
		if d, ok := ParseDevice(name); ok {
			t.Errorf("%q is %+v", name, d)
		}
	}
	if c := DeviceClass(0); c != "" {
		t.Errorf("an empty slot is %q", c)
	}
}

func TestRejectManifest(t *testing.T) {
	long := strings.Repeat("x", MaxString+1)
	for _, tt := range []struct {
		name   string
		change func(m *Manifest, client *Service)
		want   error
	}{
		{"version", func(m *Manifest, _ *Service) { m.Version++ }, ErrVersion},
		{"no services", func(m *Manifest, _ *Service) { m.Services = nil }, ErrServices},
		{"too many services", func(m *Manifest, _ *Service) { m.Services = make([]Service, MaxServices+1) }, ErrServices},
		{"no name", func(_ *Manifest, c *Service) { c.Name = "" }, ErrName},
		{"name in capitals", func(_ *Manifest, c *Service) { c.Name = "Logd" }, ErrName},
		{"long name", func(_ *Manifest, c *Service) { c.Name = strings.Repeat("n", 33) }, ErrName},
		{"duplicate", func(_ *Manifest, c *Service) { c.Name = "logd" }, ErrDuplicate},
		{"unknown device", func(_ *Manifest, c *Service) { c.Devices = []string{"uart"} }, ErrDevices},
		{"device twice", func(_ *Manifest, c *Service) { c.Devices = []string{"rng", "rng"} }, ErrDevices},
		{"too many devices", func(_ *Manifest, c *Service) {
			c.Devices = nil
			for i := range MaxDevices + 1 {
				c.Devices = append(c.Devices, DeviceName("blk", i))
			}
		}, ErrDevices},
		{"no program", func(_ *Manifest, c *Service) { c.Program = "" }, ErrProgram},
		{"unknown", func(_ *Manifest, c *Service) { c.Calls[0].Name = "samgrd" }, ErrUnknown},
		{"itself", func(_ *Manifest, c *Service) { c.Calls[0].Name = c.Name }, ErrCalls},
		{"itself lazily", func(_ *Manifest, c *Service) { c.Calls[0] = Call{c.Name, true} }, ErrCalls},
		{"twice", func(_ *Manifest, c *Service) { c.Calls[0].Name = "logd" }, ErrCalls},
		{"too many calls", func(_ *Manifest, c *Service) { c.Calls = make([]Call, MaxCalls+1) }, ErrCalls},
		{"order", func(m *Manifest, _ *Service) { m.Services[0].Calls[0].Lazy = false }, ErrOrder},
		{"small budget", func(_ *Manifest, c *Service) { c.Frames = MinFrames - 1 }, ErrBudget},
		{"large budget", func(_ *Manifest, c *Service) { c.Frames = MaxFrames + 1 }, ErrBudget},
		{"no class", func(_ *Manifest, c *Service) { c.QoS = abi.NewQoS(abi.Classes, 100, 1) }, ErrQoS},
		{"no share", func(_ *Manifest, c *Service) { c.QoS = abi.NewQoS(abi.Normal, 0, 1) }, ErrQoS},
		{"large share", func(_ *Manifest, c *Service) { c.QoS = abi.NewQoS(abi.Normal, abi.MaxShare+1, 1) }, ErrQoS},
		{"no harts", func(_ *Manifest, c *Service) { c.QoS = abi.NewQoS(abi.Normal, 100, 0) }, ErrQoS},
		{"a hart that cannot be", func(_ *Manifest, c *Service) { c.QoS = abi.NewQoS(abi.Normal, 100, 1<<31) }, ErrQoS},
		{"other bits of QoS", func(_ *Manifest, c *Service) { c.QoS = abi.DefaultQoS | 1<<24 }, ErrQoS},
		{"no readiness", func(_ *Manifest, c *Service) { c.Ready = 0 }, ErrReady},
		{"long readiness", func(_ *Manifest, c *Service) { c.Ready = MaxReady + 1 }, ErrReady},
		{"arguments", func(_ *Manifest, c *Service) { c.Args = make([]string, MaxStrings+1) }, ErrStrings},
		{"long argument", func(_ *Manifest, c *Service) { c.Args[0] = long }, ErrStrings},
		{"NUL", func(_ *Manifest, c *Service) { c.Args[0] = "a\x00" }, ErrStrings},
		{"environment", func(_ *Manifest, c *Service) { c.Env[0] = "A" }, ErrStrings},
		{"unknown file", func(_ *Manifest, c *Service) { c.Files = []string{"other"} }, ErrFiles},
		{"file twice", func(m *Manifest, c *Service) { m.Files, c.Files = []string{"a"}, []string{"a", "a"} }, ErrFiles},
		{"files out of order", func(m *Manifest, _ *Service) { m.Files = []string{"b", "a"} }, ErrFiles},
		{"bad file", func(m *Manifest, _ *Service) { m.Files = []string{"../a"} }, ErrFiles},
		{"many files", func(m *Manifest, _ *Service) { m.Files = make([]string, MaxFiles+1) }, ErrFiles},
		{"unknown binary", func(_ *Manifest, c *Service) { c.Binary = "other" }, ErrBinaries},
		{"binary twice", func(m *Manifest, _ *Service) { m.Binaries = []string{"a", "a"} }, ErrBinaries},
		{"many binaries", func(m *Manifest, _ *Service) { m.Binaries = make([]string, MaxBinaries+1) }, ErrBinaries},
		{"policy", func(_ *Manifest, c *Service) { c.Restart.Policy = policies }, ErrRestart},
		{"bounds of never", func(_ *Manifest, c *Service) { c.Restart.Limit = 1 }, ErrRestart},
		{"no back-off", func(m *Manifest, _ *Service) { m.Services[1].Restart.Backoff = 0 }, ErrRestart},
		{"back-off shrinks", func(m *Manifest, _ *Service) { m.Services[1].Restart.MaxBackoff = 1 }, ErrRestart},
		{"long back-off", func(m *Manifest, _ *Service) { m.Services[1].Restart.MaxBackoff = MaxBackoff + 1 }, ErrRestart},
		{"no limit", func(m *Manifest, _ *Service) { m.Services[1].Restart.Limit = 0 }, ErrRestart},
		{"high limit", func(m *Manifest, _ *Service) { m.Services[1].Restart.Limit = MaxRestarts + 1 }, ErrRestart},
		{"no window", func(m *Manifest, _ *Service) { m.Services[1].Restart.Window = 0 }, ErrRestart},
		{"long window", func(m *Manifest, _ *Service) { m.Services[1].Restart.Window = MaxWindow + 1 }, ErrRestart},
	} {
		m := sample()
		tt.change(m, &m.Services[2])
		if _, err := Encode(m); !errors.Is(err, tt.want) {
			t.Errorf("%s: Encode = %v, want %v", tt.name, err, tt.want)
		}
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); !errors.Is(err, tt.want) && !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: Decode = %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRejectEncoding(t *testing.T) {
	good, err := Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	type unknown struct {
		Manifest
		More int `cbor:"99,keyasint"`
	}
	extra, err := cbor.Marshal(unknown{*sample(), 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"truncated":      good[:len(good)-1],
		"trailing":       append(slices.Clone(good), 0),
		"unknown field":  extra,
		"huge array":     {0xa1, 0x02, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"duplicate key":  {0xa2, 0x01, 0x01, 0x01, 0x01},
		"indefinite map": {0xbf, 0x01, 0x01, 0xff},
	} {
		if _, err := Decode(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v, want %v", name, err, ErrEncoding)
		}
	}
	if _, err := Decode(make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	big := &Manifest{Version: Version}
	for i := range MaxServices {
		s := Service{Name: fmt.Sprintf("s%d", i), Program: "p", Frames: MinFrames, Ready: 1}
		for range MaxStrings {
			s.Args = append(s.Args, strings.Repeat("x", MaxString))
		}
		big.Services = append(big.Services, s)
	}
	if _, err := Encode(big); !errors.Is(err, ErrTooLong) {
		t.Errorf("Encode of too much: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if _, err := Encode(m); err != nil {
			t.Fatalf("Encode refuses what Decode accepts: %v", err)
		}
	})
}
