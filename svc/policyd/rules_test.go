package policyd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
)

func rules(t testing.TB) *Rules {
	t.Helper()
	b, err := cbor.Marshal(map[string][]string{
		"init":       {"ipc.core", "policy.delegate", "proc.spawn"},
		"bundlemgrd": {"ipc.core", "fs.read"},
		"execd":      {"ipc.core", "proc.spawn"},
		"updated":    {"ipc.core", "route.execd"},
		"Demo":       {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecide(t *testing.T) {
	r := rules(t)
	for _, tt := range []struct {
		asker, subject, capability, object string
		reason                             policy.Reason
	}{
		{"bundlemgrd", "bundlemgrd", "fs.read", "x", policy.ByRule},
		{"bundlemgrd", "bundlemgrd", "ipc.core", "logd", policy.ByRule},
		{"bundlemgrd", "bundlemgrd", "ipc.core", "execd", policy.NoRoute},
		{"updated", "updated", "ipc.core", "execd", policy.ByRule},
		{"bundlemgrd", "bundlemgrd", "proc.spawn", "x", policy.NoRule},
		{"bundlemgrd", "bundlemgrd", "policy.delegate", "", policy.NoRule},
		{"nobody", "nobody", "ipc.core", "x", policy.NoSubject},
		{"demo", "demo", "ipc.core", "x", policy.NoRule},
		{"init", "bundlemgrd", "fs.read", "x", policy.ByRule},
		{"init", "bundlemgrd", "proc.spawn", "x", policy.NoRule},
		{"init", "nobody", "ipc.core", "x", policy.NoSubject},
		{"bundlemgrd", "execd", "proc.spawn", "x", policy.Spoof},
		{"bundlemgrd", "init", "policy.delegate", "x", policy.Spoof},
		{"nobody", "init", "ipc.core", "x", policy.Spoof},
	} {
		q := policy.Question{Subject: manifest.ServiceID(tt.subject), Capability: tt.capability, Object: tt.object}
		allow, reason := r.Decide(manifest.ServiceID(tt.asker), q)
		if reason != tt.reason || allow != (tt.reason == policy.ByRule) {
			t.Errorf("%s asks about %s %s %s: %v, %v", tt.asker, tt.subject, tt.capability, tt.object, allow, reason)
		}
	}
}

// What is not in the rules is denied, whatever is asked.
func TestDenyByDefault(t *testing.T) {
	r := rules(t)
	rapid.Check(t, func(t *rapid.T) {
		asker, subject := rapid.Uint64().Draw(t, "asker"), rapid.Uint64().Draw(t, "subject")
		q := policy.Question{Subject: subject, Capability: rapid.StringMatching(`[a-z.]{1,20}`).Draw(t, "capability")}
		if allow, _ := r.Decide(asker, q); allow {
			t.Fatalf("%x may %+v", asker, q)
		}
		if allow, _ := (&Rules{}).Decide(asker, q); allow {
			t.Fatal("no rules allow something")
		}
	})
}

func TestRejectPolicy(t *testing.T) {
	many := map[string][]string{}
	for i := range MaxSubjects + 1 {
		many[fmt.Sprint("s", i)] = nil
	}
	var caps []string
	for i := range MaxCapabilities + 1 {
		caps = append(caps, fmt.Sprint("c", i))
	}
	for name, tt := range map[string]struct {
		file any
		want error
	}{
		"too many subjects":     {many, ErrEncoding},
		"too many capabilities": {map[string][]string{"a": caps}, ErrEncoding},
		"empty capability":      {map[string][]string{"a": {""}}, ErrCapability},
		"long capability":       {map[string][]string{"a": {strings.Repeat("c", policy.MaxCapability+1)}}, ErrCapability},
		"capital letters":       {map[string][]string{"a": {"IPC.core"}}, ErrCapability},
		"line feed":             {map[string][]string{"a": {"a\nb"}}, ErrCapability},
		"one name twice":        {map[string][]string{"a": {"c"}, "A": {"d"}}, ErrCollision},
		"not a map":             {[]string{"a"}, ErrEncoding},
		"numbers":               {map[string]int{"a": 1}, ErrEncoding},
		"long":                  {strings.Repeat("x", MaxBytes+1), ErrTooMany},
	} {
		b, err := cbor.Marshal(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewRules(many); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if _, err := NewRules(map[string][]string{"a": caps}); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if _, err := Decode(nil); !errors.Is(err, ErrEncoding) {
		t.Error("no policy is a policy")
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := cbor.Marshal(map[string][]string{"init": {"ipc.core"}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		if allow, _ := r.Decide(1, policy.Question{Subject: 2, Capability: "ipc.core"}); allow && !r.grants[1][policy.Delegate] {
			t.Fatal("a spoof was allowed")
		}
	})
}
