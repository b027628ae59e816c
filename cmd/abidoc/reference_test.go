package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexus.internal/ipc/abi"
)

// root is the top of the source tree.
const root = "../.."

func TestReferenceIsCurrent(t *testing.T) {
	want, err := reference(filepath.Join(root, "ipc/abi"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, output))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not say what package abi says: go generate ./cmd/abidoc", output)
	}
}

// The table has every call once, in the place of its number, and says something
// about it.
func TestCalls(t *testing.T) {
	if len(abi.Calls) != abi.SysCount {
		t.Fatalf("%d calls are described, there are %d", len(abi.Calls), abi.SysCount)
	}
	s, err := load(filepath.Join(root, "ipc/abi"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, c := range abi.Calls {
		if c.Number != i || seen[c.Name] {
			t.Errorf("%s: number %d in place %d", c.Name, c.Number, i)
		}
		seen[c.Name] = true
		if c.Doc == "" || c.Returns == "" {
			t.Errorf("%s: no description", c.Name)
		}
		// endpoint_create is SysEndpointCreate.
		name := strings.ToLower(strings.TrimPrefix(s.callConst(i), "Sys"))
		if name != strings.ReplaceAll(c.Name, "_", "") {
			t.Errorf("%s: its number is %s", c.Name, s.callConst(i))
		}
	}
}

// What the reference must show, wherever it comes from.
func TestReferenceHolds(t *testing.T) {
	text, err := reference(filepath.Join(root, "ipc/abi"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 4 | [call](#call) | `a0` endpoint, `a1` length and flags,",
		"### spawn\n",
		"| 12 | `ECLOSED` | the peer died or the endpoint was closed |",
		"| 0x100 | `RightGrant` |",
		"| 3 | `KindVMO` |",
		"| 8192 | `MaxMessage` |",
		"| 0x100000000 | `UserBase` | lowest user address |",
		"| 144 | 32 | `Seed` |",
		"| 16 | 8 | `Badge` |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestRegisters(t *testing.T) {
	for in, want := range map[string]string{
		"a0 status":                        "`a0` status",
		"a0 endpoint, s2-s9 message":       "`a0` endpoint, `s2-s9` message",
		"a0 1 if it lives, a1 exit status": "`a0` 1 if it lives, `a1` exit status",
		"a2 accept: endpoint or 0":         "`a2` accept: endpoint or 0",
		"an event; 0 with FlagNoWait":      "an event; 0 with FlagNoWait",
		"":                                 "",
	} {
		if got := registers(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestRejectSource(t *testing.T) {
	for name, text := range map[string]string{
		"no Go":      "package abi\nfunc {",
		"wrong type": "package abi\nvar x int = \"\"\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := reference(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
