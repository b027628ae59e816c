package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"nexus.internal/ipc/abi"
	"pgregory.net/rapid"
)

// sample returns an archive of two entries and its bytes.
func sample(t testing.TB) (*Archive, []byte) {
	t.Helper()
	a := &Archive{Root: "init", RootFrames: 1024, Kernel: [32]byte{1, 2, 3}, Count: 2}
	a.Table[0] = Entry{Name: EntryPrograms, Data: bytes.Repeat([]byte("x"), 5000), SHA256: [32]byte{4}}
	a.Table[1] = Entry{Name: EntryManifest, Data: []byte("m"), SHA256: [32]byte{5}}
	b, err := Append(nil, a)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// reseal gives a changed directory a checksum that fits, as an attacker would.
func reseal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[offCRC:], checksum(b))
	return b
}

func TestRoundTrip(t *testing.T) {
	want, b := sample(t)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != want.Root || got.RootFrames != want.RootFrames || got.Kernel != want.Kernel || got.Count != want.Count {
		t.Errorf("Parse = %q %d %v %d", got.Root, got.RootFrames, got.Kernel, got.Count)
	}
	for i, w := range want.Entries() {
		g := got.Entries()[i]
		if g.Name != w.Name || g.SHA256 != w.SHA256 || g.Offset != w.Offset || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("entry %d = %q at %d", i, g.Name, g.Offset)
		}
		if g.Offset%abi.PageSize != 0 || cap(g.Data) != len(g.Data) {
			t.Errorf("entry %d at %d with room for %d more bytes", i, g.Offset, cap(g.Data)-len(g.Data))
		}
	}
	if e := got.Lookup(EntryManifest); e == nil || string(e.Data) != "m" {
		t.Errorf("Lookup(manifest) = %v", e)
	}
	if e := got.Lookup("absent"); e != nil {
		t.Errorf("Lookup(absent) = %v", e)
	}
	if got.Program().Name != EntryPrograms {
		t.Errorf("Program = %q", got.Program().Name)
	}
}

func TestRejectArchive(t *testing.T) {
	le := binary.LittleEndian
	entry := func(i int) int { return fixedSize + i*entrySize }
	tests := []struct {
		name   string
		change func(b []byte) []byte // the checksum is made to fit afterwards
		want   error
	}{
		{"short", func(b []byte) []byte { return b[:DirectorySize-1] }, ErrShort},
		{"empty", func(b []byte) []byte { return nil }, ErrShort},
		{"magic", func(b []byte) []byte { b[0] ^= 1; return b }, ErrMagic},
		{"version", func(b []byte) []byte { b[8]++; return b }, ErrVersion},
		{"abi", func(b []byte) []byte { b[12]++; return b }, ErrABI},
		{"no entries", func(b []byte) []byte { b[16] = 0; return b }, ErrCount},
		{"too many entries", func(b []byte) []byte { b[16] = MaxEntries + 1; return b }, ErrCount},
		{"huge count", func(b []byte) []byte { le.PutUint32(b[16:], 1<<32-1); return b }, ErrCount},
		{"count below", func(b []byte) []byte { b[16] = 1; return b }, ErrSize},
		{"count above", func(b []byte) []byte { b[16] = 3; return b }, ErrName},
		{"truncated", func(b []byte) []byte { return b[:len(b)-1] }, ErrSize},
		{"longer", func(b []byte) []byte { return append(b, 0) }, ErrSize},
		{"longer in both", func(b []byte) []byte {
			le.PutUint64(b[24:], uint64(len(b)+abi.PageSize))
			return append(b, make([]byte, abi.PageSize)...)
		}, ErrSize},
		{"no root", func(b []byte) []byte { b[offRoot] = 0; return b }, ErrName},
		{"root frames 0", func(b []byte) []byte { le.PutUint64(b[offFrames:], 0); return b }, ErrRootFrames},
		{"root frames", func(b []byte) []byte { le.PutUint64(b[offFrames:], MaxRootFrames+1); return b }, ErrRootFrames},
		{"name empty", func(b []byte) []byte { b[entry(0)] = 0; return b }, ErrName},
		{"name case", func(b []byte) []byte { b[entry(0)] = 'P'; return b }, ErrName},
		{"name slash", func(b []byte) []byte { b[entry(0)] = '/'; return b }, ErrName},
		{"name behind NUL", func(b []byte) []byte { b[entry(0)+MaxName-1] = 'x'; return b }, ErrName},
		{"duplicate", func(b []byte) []byte { copy(b[entry(1):], b[entry(0):][:MaxName]); return b }, ErrDuplicate},
		{"offset 0", func(b []byte) []byte { le.PutUint64(b[entry(0)+32:], 0); return b }, ErrOffset},
		{"offset overlap", func(b []byte) []byte { le.PutUint64(b[entry(1)+32:], DirectorySize); return b }, ErrOffset},
		{"offset huge", func(b []byte) []byte { le.PutUint64(b[entry(1)+32:], 1<<64-abi.PageSize); return b }, ErrOffset},
		{"size 0", func(b []byte) []byte { le.PutUint64(b[entry(1)+40:], 0); return b }, ErrEmpty},
		{"size beyond", func(b []byte) []byte { le.PutUint64(b[entry(1)+40:], abi.PageSize+1); return b }, ErrBounds},
		{"size huge", func(b []byte) []byte { le.PutUint64(b[entry(1)+40:], 1<<64-1); return b }, ErrBounds},
		{"reserved", func(b []byte) []byte { b[offPadding] = 1; return b }, ErrReserved},
		{"behind entries", func(b []byte) []byte { b[DirectorySize-1] = 1; return b }, ErrReserved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, b := sample(t)
			b = tt.change(b)
			if len(b) >= DirectorySize {
				reseal(b)
			}
			if _, err := Parse(b); !errors.Is(err, tt.want) {
				t.Errorf("Parse = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRejectTooLong(t *testing.T) {
	_, b := sample(t)
	if _, err := Parse(append(b, make([]byte, MaxSize)...)); !errors.Is(err, ErrTooLong) {
		t.Errorf("Parse = %v, want %v", err, ErrTooLong)
	}
}

// Every single damaged bit of the directory is seen.
func TestRejectFlippedBits(t *testing.T) {
	_, b := sample(t)
	for i := range DirectorySize {
		b[i] ^= 1 << (i % 8)
		if _, err := Parse(b); err == nil {
			t.Errorf("byte %d: damage not seen", i)
		}
		b[i] ^= 1 << (i % 8)
	}
}

func TestRejectAppend(t *testing.T) {
	full := &Archive{Root: "init", RootFrames: 1, Count: MaxEntries + 1}
	long := &Archive{Root: "init", RootFrames: 1, Count: 1}
	long.Table[0] = Entry{Name: "big", Data: make([]byte, MaxSize)}
	longName := &Archive{Root: "init", RootFrames: 1, Count: 1}
	longName.Table[0] = Entry{Name: strings.Repeat("n", MaxName+1), Data: []byte("x")}
	longRoot := &Archive{Root: strings.Repeat("r", MaxName+1), RootFrames: 1, Count: 1}
	longRoot.Table[0] = Entry{Name: "e", Data: []byte("x")}
	hollow := &Archive{Root: "init", RootFrames: 1, Count: 1}
	hollow.Table[0] = Entry{Name: "e"}
	for _, tt := range []struct {
		name string
		a    *Archive
		want error
	}{
		{"no entries", &Archive{Root: "init", RootFrames: 1}, ErrCount},
		{"too many entries", full, ErrCount},
		{"too long", long, ErrTooLong},
		{"name", longName, ErrName},
		{"root", longRoot, ErrName},
		{"empty entry", hollow, ErrEmpty},
	} {
		if _, err := Append(nil, tt.a); !errors.Is(err, tt.want) {
			t.Errorf("%s: Append = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Whatever Append accepts, Parse returns; and it is the only encoding.
func TestAppendParseProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &Archive{
			Root:       rapid.StringMatching(`[a-z0-9._-]{1,32}`).Draw(t, "root"),
			RootFrames: rapid.Uint64Range(1, MaxRootFrames).Draw(t, "frames"),
			Count:      rapid.IntRange(1, MaxEntries).Draw(t, "count"),
		}
		for i := range a.Entries() {
			a.Table[i] = Entry{
				Name: fmt.Sprintf("e%d", i),
				Data: rapid.SliceOfN(rapid.Byte(), 1, 2*abi.PageSize).Draw(t, "data"),
			}
		}
		prefix := []byte("in front")
		b, err := Append(prefix, a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		again, err := Append(nil, got)
		if err != nil || !bytes.Equal(again, b[len(prefix):]) {
			t.Fatalf("second encoding differs (%v)", err)
		}
	})
}

func FuzzParse(f *testing.F) {
	_, b := sample(f)
	f.Add(b)
	f.Add(b[:DirectorySize])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= DirectorySize {
			reseal(b)
		}
		a, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Append(nil, a)
		if err != nil {
			t.Fatalf("Append refuses what Parse accepts: %v", err)
		}
		if !bytes.Equal(again[:DirectorySize], b[:DirectorySize]) {
			t.Fatal("directory has two encodings")
		}
	})
}
