package image

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"nexus.internal/ipc/abi"
)

func TestBootRoundTrip(t *testing.T) {
	for _, tt := range []struct{ args, env []string }{
		{nil, nil},
		{[]string{"init"}, nil},
		{[]string{"init", "", "-v"}, []string{"GOMAXPROCS=1", "HOME=/"}},
		{nil, []string{"A=b"}},
	} {
		b, err := AppendBoot(nil, tt.args, tt.env)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseBoot(b)
		if err != nil {
			t.Fatal(err)
		}
		joined := func(list []string) string {
			var s strings.Builder
			for _, v := range list {
				s.WriteString(v + "\x00")
			}
			return s.String()
		}
		if got.Argc != len(tt.args) || got.Envc != len(tt.env) || string(got.Args) != joined(tt.args) || string(got.Env) != joined(tt.env) {
			t.Errorf("ParseBoot(%q, %q) = %+v", tt.args, tt.env, got)
		}
	}
}

func TestRejectBoot(t *testing.T) {
	good, err := AppendBoot(nil, []string{"a", "b"}, []string{"c=d"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   error
	}{
		{"short", func(b []byte) []byte { return b[:bootFixed-1] }, ErrBootShort},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, ErrBootShort},
		{"long", func(b []byte) []byte { return append(b, 0) }, ErrBootLong},
		{"limit", func(b []byte) []byte { copy(b[4:], "\xff\xff\xff\xff"); return b }, ErrBootLimit},
		{"both limits", func(b []byte) []byte {
			copy(b[4:], "\xff\xff\xff\xff")
			copy(b[12:], "\xff\xff\xff\xff")
			return b
		}, ErrBootLimit},
		{"argc", func(b []byte) []byte { b[0]++; return b }, ErrBootString},
		{"envc", func(b []byte) []byte { b[8]--; return b }, ErrBootString},
		{"no NUL", func(b []byte) []byte { b[len(b)-1] = 'x'; return b }, ErrBootString},
		{"argc of nothing", func(b []byte) []byte { return append([]byte{1}, make([]byte, bootFixed-1)...) }, ErrBootString},
	} {
		if _, err := ParseBoot(tt.change(bytes.Clone(good))); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := AppendBoot(nil, []string{"a\x00b"}, nil); !errors.Is(err, ErrBootString) {
		t.Errorf("NUL in argument: %v", err)
	}
	if _, err := AppendBoot(nil, []string{strings.Repeat("x", abi.MaxBootData)}, nil); !errors.Is(err, ErrBootLimit) {
		t.Errorf("long argument: %v", err)
	}
}

func FuzzParseBoot(f *testing.F) {
	b, _ := AppendBoot(nil, []string{"a", "b"}, []string{"c=d"})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		boot, err := ParseBoot(b)
		if err != nil {
			return
		}
		split := func(s []byte, n int) []string { return strings.Split(string(s), "\x00")[:n] }
		again, err := AppendBoot(nil, split(boot.Args, boot.Argc), split(boot.Env, boot.Envc))
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("second encoding differs (%v)", err)
		}
	})
}
