package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/mount/gpt"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, name := range []string{first, second} {
		if err := Create(name, 8, Default); err != nil {
			t.Fatal(err)
		}
	}
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(second)
	if err != nil || len(a) != 8<<20 || !bytes.Equal(a, b) {
		t.Fatalf("%d bytes, the same %v, %v", len(a), bytes.Equal(a, b), err)
	}
	// The library checks both copies, their sums, and that they agree.
	table, err := gpt.New(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	p := table.Primary.Parts
	if p[0].FirstLBA != 2048 || p[0].LastLBA != 4095 || p[1].FirstLBA != 4096 || p[1].LastLBA != 7*2048-1 || p[2] != (gpt.Part{}) {
		t.Errorf("%+v", p[:3])
	}
	if !bytes.HasPrefix(p[0].Name[:], []byte("k\x00e\x00y\x00s\x00\x00\x00")) || p[0].UniqueGUID == p[1].UniqueGUID {
		t.Errorf("%+v", p[:2])
	}
	if a[510] != 0x55 || a[511] != 0xaa || a[450] != 0xee {
		t.Error("no protective boot record")
	}
}

func TestRejectDisk(t *testing.T) {
	var many []Partition
	for range gpt.MaxNPart + 1 {
		many = append(many, Partition{"p", 1})
	}
	for name, c := range map[string]struct {
		mib   uint64
		parts []Partition
	}{
		"too small":       {minMiB - 1, Default},
		"too large":       {maxMiB + 1, Default},
		"no room":         {8, []Partition{{"a", 8}}},
		"no room for two": {8, []Partition{{"a", 4}, {"b", 3}}},
		"no rest":         {8, []Partition{{"a", 6}, {"b", 0}}},
		"rest first":      {8, []Partition{{"a", 0}, {"b", 1}}},
		"two of a name":   {8, []Partition{{"a", 1}, {"a", 1}}},
		"no name":         {8, []Partition{{"", 1}}},
		"a long name":     {8, []Partition{{strings.Repeat("x", 37), 1}}},
		"endless":         {8, []Partition{{"a", 1<<64 - 1}}},
		"too many":        {1024, many},
	} {
		file := filepath.Join(t.TempDir(), "disk")
		if err := Create(file, c.mib, c.parts); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: there is a file", name)
		}
	}
}
