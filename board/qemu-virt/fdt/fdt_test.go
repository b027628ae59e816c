package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The files in testdata come from QEMU 7.2: qemu-* as -machine dumpdtb writes
// them, opensbi-* out of the guest's memory, as OpenSBI 1.1 hands them on.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseQEMU(t *testing.T) {
	slots := func() (s []Device) {
		for i := range 8 {
			s = append(s, Device{Range{0x10001000 + 0x1000*uint64(i), 0x1000}, uint32(1 + i)})
		}
		return s
	}()
	monitor := []Range{{0x80000000, 0x80000}} // OpenSBI itself
	for _, c := range []struct {
		file       string
		ram        uint64
		reserved   []Range
		harts      int
		sstc, seed bool
		args       string
	}{
		{"qemu-128m-1hart.dtb", 128 << 20, nil, 1, true, true, ""},
		{"qemu-2g-1hart.dtb", 2 << 30, nil, 1, true, true, ""},
		{"qemu-128m-8harts.dtb", 128 << 20, nil, 8, true, true, ""},
		{"opensbi-128m-2harts.dtb", 128 << 20, monitor, 2, true, true, "hello a=b"},
		{"opensbi-2g-8harts-nosstc.dtb", 2 << 30, monitor, 8, false, true, "root=boot quiet"},
	} {
		t.Run(c.file, func(t *testing.T) {
			// The kernel does not know the length either: the blob goes on.
			blob := append(golden(t, c.file), bytes.Repeat([]byte{0xa5}, 100)...)
			d, err := Parse(blob)
			if err != nil {
				t.Fatal(err)
			}
			if want := []Range{{0x80000000, c.ram}}; !slices.Equal(d.RAM, want) {
				t.Errorf("RAM %#x, want %#x", d.RAM, want)
			}
			if !slices.Equal(d.Reserved, c.reserved) {
				t.Errorf("Reserved %#x, want %#x", d.Reserved, c.reserved)
			}
			if len(d.Harts) != c.harts {
				t.Fatalf("%d harts, want %d", len(d.Harts), c.harts)
			}
			for i, h := range d.Harts {
				if h.ID != uint64(i) || h.Sstc != c.sstc || h.PLICContext != 2*i+1 || !strings.HasPrefix(h.ISA, "rv64imafdch_") {
					t.Errorf("hart %d: %+v", i, h)
				}
			}
			if want := (Device{Range{0x10000000, 0x100}, 10}); d.Console != want {
				t.Errorf("Console %#x, want %#x", d.Console, want)
			}
			if d.PLIC.Start != 0xc000000 || d.PLIC.Size < 0x200000 || d.PLIC.Sources < 53 {
				t.Errorf("PLIC %#x", d.PLIC)
			}
			if !slices.Equal(d.VirtIO, slots) {
				t.Errorf("VirtIO %#x, want %#x", d.VirtIO, slots)
			}
			if want := (Device{Range{0x101000, 0x1000}, 11}); d.RTC != want {
				t.Errorf("RTC %#x, want %#x", d.RTC, want)
			}
			if want := (Range{0x100000, 0x1000}); d.Finisher != want {
				t.Errorf("Finisher %#x, want %#x", d.Finisher, want)
			}
			if d.Timebase != 10e6 || d.Bootargs != c.args || d.StdoutPath != "/soc/serial@10000000" {
				t.Errorf("Timebase %d, Bootargs %q, StdoutPath %q", d.Timebase, d.Bootargs, d.StdoutPath)
			}
			seed, fault := Seed(blob)
			if fault != 0 || !bytes.Equal(seed, d.RNGSeed) || (len(seed) == 32) != c.seed {
				t.Errorf("Seed %x (%v), RNGSeed %x", seed, fault, d.RNGSeed)
			}
		})
	}
}

func TestSeedAliasesBlob(t *testing.T) {
	blob := golden(t, "opensbi-128m-2harts.dtb")
	seed, fault := Seed(blob)
	if fault != 0 || len(seed) != 32 {
		t.Fatal(seed, fault)
	}
	clear(seed)
	d, err := Parse(blob)
	if err != nil || !bytes.Equal(d.RNGSeed, make([]byte, 32)) {
		t.Errorf("wiped seed reads %x, %v", d.RNGSeed, err)
	}
}

func TestSeedAllocatesNothing(t *testing.T) {
	blob := golden(t, "opensbi-2g-8harts-nosstc.dtb")
	if n := testing.AllocsPerRun(10, func() { Seed(blob) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRejectBlob damages the blob where the library would trust it.
func TestRejectBlob(t *testing.T) {
	valid := golden(t, "qemu-128m-1hart.dtb") // it has no slack at its end
	offStruct := binary.BigEndian.Uint32(valid[8:])
	sizeStruct := binary.BigEndian.Uint32(valid[36:])
	size := uint32(len(valid))
	// The first property of the root follows its BEGIN token and empty name.
	firstProp := offStruct + 8
	put := func(off, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[off:], v); return b }
	}
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		want   Fault
	}{
		{"nothing", func([]byte) []byte { return nil }, FaultShort},
		{"header cut", func(b []byte) []byte { return b[:39] }, FaultShort},
		{"header only", func(b []byte) []byte { return b[:40] }, FaultTruncated},
		{"last byte cut", func(b []byte) []byte { return b[:len(b)-1] }, FaultTruncated},
		{"magic", put(0, 0xedfe0dd0), FaultMagic},
		{"total size 0", put(4, 0), FaultLayout},
		{"total size above MaxSize", put(4, MaxSize+1), FaultTooLarge},
		{"total size 4 GiB", put(4, ^uint32(0)), FaultTooLarge},
		{"total size cuts strings", put(4, size-1), FaultLayout},
		{"struct in header", put(8, 36), FaultLayout},
		{"struct misaligned", put(8, offStruct+2), FaultLayout},
		{"struct behind end", put(8, size), FaultLayout},
		{"struct offset wraps", put(8, ^uint32(3)), FaultLayout},
		{"strings behind end", put(12, size-1), FaultLayout},
		{"strings over struct", put(12, offStruct), FaultLayout},
		{"strings offset wraps", put(12, ^uint32(0)), FaultLayout},
		{"reservations in header", put(16, 32), FaultLayout},
		{"reservations misaligned", put(16, 0x2c), FaultLayout},
		{"reservations behind end", put(16, (size+7)&^7), FaultLayout},
		{"reservations without end", put(0x28, 1), FaultReserve},
		{"version 16", put(20, 16), FaultVersion},
		{"compatible with 18 only", put(24, 18), FaultVersion},
		{"strings of 4 GiB", put(32, ^uint32(0)), FaultLayout},
		{"no strings", put(32, 0), FaultBounds},
		{"struct of 4 GiB", put(36, ^uint32(3)), FaultLayout},
		{"struct size odd", put(36, 0x102), FaultLayout},
		{"no struct", put(36, 0), FaultBounds},
		{"struct cut", put(36, 64), FaultBounds},
		{"property before the root", put(offStruct, tokenProp), FaultNesting},
		{"end before the root", put(offStruct, tokenEnd), FaultNesting},
		{"close before the root", put(offStruct, tokenClose), FaultNesting},
		{"unknown token", put(offStruct, 7), FaultToken},
		{"property of 4 GiB", put(firstProp+4, ^uint32(0)), FaultBounds},
		{"property longer than struct", put(firstProp+4, size), FaultBounds},
		{"property name behind strings", put(firstProp+8, size), FaultBounds},
		{"node name with a blank", put(offStruct+4, 0x20000000), FaultName},
		{"node name not ASCII", put(offStruct+4, 0xff000000), FaultName},
		{"end instead of the last close", put(offStruct+sizeStruct-8, tokenEnd), FaultNesting},
		{"close instead of the end", put(offStruct+sizeStruct-4, tokenClose), FaultNesting},
		{"second root", put(offStruct+sizeStruct-4, tokenBegin), FaultNesting},
		{"no end", put(offStruct+sizeStruct-4, tokenNop), FaultBounds},
		{"more after the end", func(b []byte) []byte {
			b = slices.Insert(b, int(offStruct+sizeStruct), 0, 0, 0, tokenNop)
			put(4, size+4)(b)
			put(12, offStruct+sizeStruct+4)(b)
			return put(36, sizeStruct+4)(b)
		}, FaultEnd},
	} {
		t.Run(c.name, func(t *testing.T) {
			blob := c.damage(bytes.Clone(valid))
			_, err := Parse(blob)
			if !errors.Is(err, c.want) {
				t.Errorf("Parse: %v, want %v", err, c.want)
			}
			if _, fault := Seed(blob); fault != 0 && fault != c.want {
				t.Errorf("Seed: %v, want %v", fault, c.want)
			}
		})
	}
}

func TestRejectEveryTruncation(t *testing.T) {
	valid := golden(t, "qemu-128m-1hart.dtb")
	for n := range valid {
		if _, err := Parse(valid[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(valid))
		}
	}
}

func TestRejectSize(t *testing.T) {
	valid := golden(t, "qemu-128m-1hart.dtb")
	if n, fault := Size(valid[:40]); fault != 0 || n != len(valid) {
		t.Errorf("Size = %d, %v", n, fault)
	}
	for _, c := range []struct {
		name string
		size uint32
		want Fault
	}{{"small", 39, FaultTruncated}, {"large", MaxSize + 1, FaultTooLarge}} {
		b := bytes.Clone(valid)
		binary.BigEndian.PutUint32(b[4:], c.size)
		if _, fault := Size(b); fault != c.want {
			t.Errorf("%s: %v, want %v", c.name, fault, c.want)
		}
	}
	if _, fault := Size(valid[:39]); fault != FaultShort {
		t.Errorf("short: %v", fault)
	}
	if _, fault := Size(make([]byte, 40)); fault != FaultMagic {
		t.Errorf("zeros: %v", fault)
	}
}

// checkInvariants fails if d breaks what the package promises.
func checkInvariants(d *Description) error {
	ranges := slices.Concat(d.RAM, d.Reserved, []Range{d.Console.Range, d.PLIC.Range})
	for _, v := range d.VirtIO {
		ranges = append(ranges, v.Range)
	}
	for _, r := range ranges {
		if err := r.check(); err != nil {
			return err
		}
	}
	for i := 1; i < len(d.RAM); i++ {
		if d.RAM[i].Start < d.RAM[i-1].End() {
			return fmt.Errorf("RAM not sorted or not disjoint: %#x", d.RAM)
		}
	}
	if len(d.RAM) == 0 || len(d.Harts) == 0 || d.Timebase == 0 || d.Timebase > MaxTimebase ||
		len(d.RAM) > MaxRAM || len(d.Harts) > MaxHarts || len(d.VirtIO) > MaxVirtIO || len(d.Reserved) > 2*MaxReserved {
		return fmt.Errorf("incomplete or beyond the limits: %+v", d)
	}
	return nil
}

// TestDamagedTreesKeepTheInvariants flips words of a real tree.
func TestDamagedTreesKeepTheInvariants(t *testing.T) {
	valid := golden(t, "opensbi-128m-2harts.dtb")
	rapid.Check(t, func(t *rapid.T) {
		blob := bytes.Clone(valid)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(blob)/4-1).Draw(t, "word") * 4
			v := rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, 2, 3, 4, 9, ^uint32(0)})).Draw(t, "value")
			binary.BigEndian.PutUint32(blob[at:], v)
		}
		if d, err := Parse(blob); err == nil {
			if err := checkInvariants(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.dtb")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		f.Add(golden(f, filepath.Base(name)))
	}
	f.Add(encode(f, tree()))
	f.Fuzz(func(t *testing.T, blob []byte) {
		seed, fault := Seed(blob)
		d, err := Parse(blob)
		if err != nil {
			return
		}
		if err := checkInvariants(d); err != nil {
			t.Error(err)
		}
		if fault != 0 {
			t.Errorf("Parse accepts what Seed refuses: %v", fault)
		}
		// Seed reads the first /chosen; a second one may replace it in Parse.
		if d.RNGSeed == nil && seed != nil {
			t.Errorf("Parse finds no seed where Seed finds %x", seed)
		}
	})
}
