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

	"github.com/u-root/u-root/pkg/dt"
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
		{"reservations behind end", put(16, size+7&^7), FaultLayout},
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

// tree is a minimal board to change.
func tree() *dt.FDT {
	cell := func(v ...uint32) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		return b
	}
	n := func(name string, props map[string]any, children ...*dt.Node) *dt.Node {
		node := &dt.Node{Name: name, Children: children}
		for k, v := range props {
			p := dt.Property{Name: k}
			switch v := v.(type) {
			case string:
				p.Value = []byte(v + "\x00")
			case []uint32:
				p.Value = cell(v...)
			}
			node.Properties = append(node.Properties, p)
		}
		slices.SortFunc(node.Properties, func(a, b dt.Property) int { return strings.Compare(a.Name, b.Name) })
		return node
	}
	type m = map[string]any
	type c = []uint32
	return &dt.FDT{
		Header: dt.Header{Magic: magic, Version: 17, LastCompVersion: 16},
		RootNode: n("", m{"#address-cells": c{2}, "#size-cells": c{2}},
			n("memory@80000000", m{"device_type": "memory", "reg": c{0, 0x80000000, 0, 0x8000000}}),
			n("chosen", m{"bootargs": "x"}),
			n("reserved-memory", m{"#address-cells": c{2}, "#size-cells": c{2}, "ranges": c{}}, n("fw@80000000", m{"reg": c{0, 0x80000000, 0, 0x1000}})),
			n("cpus", m{"#address-cells": c{1}, "#size-cells": c{0}, "timebase-frequency": c{10e6}},
				n("cpu@0", m{"device_type": "cpu", "reg": c{0}, "riscv,isa": "rv64imafdc_sstc"})),
			n("soc", m{"#address-cells": c{2}, "#size-cells": c{2}, "ranges": c{}},
				n("serial@10000000", m{"compatible": "ns16550a", "reg": c{0, 0x10000000, 0, 0x100}, "interrupts": c{10}}),
				n("plic@c000000", m{"compatible": "riscv,plic0", "reg": c{0, 0xc000000, 0, 0x600000}, "riscv,ndev": c{53}}),
				n("virtio@10001000", m{"compatible": "virtio,mmio", "reg": c{0, 0x10001000, 0, 0x1000}, "interrupts": c{1}}),
			),
		),
	}
}

func encode(t testing.TB, f *dt.FDT) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func find(t testing.TB, f *dt.FDT, name string) *dt.Node {
	t.Helper()
	n, ok := f.NodeByName(name)
	if !ok {
		t.Fatalf("no node %s", name)
	}
	return n
}

// set replaces or adds a property; a nil value removes it.
func set(n *dt.Node, name string, value []byte) {
	n.Properties = slices.DeleteFunc(n.Properties, func(p dt.Property) bool { return p.Name == name })
	if value != nil {
		n.Properties = append(n.Properties, dt.Property{Name: name, Value: value})
	}
}

func cells(v ...uint32) []byte {
	b := []byte{}
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// TestRejectTree changes a well-formed tree into one that describes no board.
func TestRejectTree(t *testing.T) {
	if _, err := Parse(encode(t, tree())); err != nil {
		t.Fatalf("the minimal tree: %v", err)
	}
	type change struct {
		node, prop string
		value      []byte
	}
	for _, c := range []struct {
		name string
		change
		want string
	}{
		{"no RAM", change{"memory@80000000", "reg", nil}, "no memory node"},
		{"RAM disabled", change{"memory@80000000", "status", []byte("disabled\x00")}, "no memory node"},
		{"RAM of no bytes", change{"memory@80000000", "reg", cells(0, 0x80000000, 0, 0)}, "is empty"},
		{"RAM wraps", change{"memory@80000000", "reg", cells(0, 0x80000000, ^uint32(0), ^uint32(0))}, "ends above"},
		{"RAM above Sv39", change{"memory@80000000", "reg", cells(1<<24, 0, 0, 4096)}, "ends above"},
		{"RAM overlaps", change{"memory@80000000", "reg", cells(0, 0x80000000, 0, 0x1000, 0, 0x80000fff, 0, 0x1000)}, "overlap"},
		{"RAM reg cut", change{"memory@80000000", "reg", cells(0, 0x80000000, 0)}, "not a multiple of 16"},
		{"RAM in too many pieces", change{"memory@80000000", "reg", bytes.Repeat(cells(0, 1, 0, 1), MaxRAM+1)}, "more than 16"},
		{"reserved wraps", change{"fw@80000000", "reg", cells(^uint32(0), 0, ^uint32(0), 0)}, "ends above"},
		{"too many reserved", change{"fw@80000000", "reg", bytes.Repeat(cells(0, 1, 0, 1), MaxReserved+1)}, "more than 64"},
		{"three address cells", change{"soc", "#address-cells", cells(3)}, "3 address cells"},
		{"no address cells", change{"soc", "#address-cells", cells(0)}, "0 address cells"},
		{"three size cells", change{"soc", "#size-cells", cells(3)}, "3 size cells"},
		{"no size cells", change{"soc", "#size-cells", cells(0)}, "has no sizes"},
		{"address cells cut", change{"soc", "#address-cells", []byte{0, 0, 2}}, "has 3 bytes"},
		{"no clock", change{"cpus", "timebase-frequency", nil}, "no timebase"},
		{"clock 0", change{"cpus", "timebase-frequency", cells(0)}, "no timebase"},
		{"clock too fast", change{"cpus", "timebase-frequency", cells(MaxTimebase + 1)}, "more than 1000000000"},
		{"clock cut", change{"cpus", "timebase-frequency", []byte{1}}, "has 1 bytes"},
		{"no hart", change{"cpu@0", "status", []byte("disabled\x00")}, "no usable hart"},
		{"hart without id", change{"cpu@0", "reg", nil}, "reg has 0 bytes"},
		{"isa without end", change{"cpu@0", "riscv,isa", []byte("rv64")}, "NUL-terminated"},
		{"isa with control byte", change{"cpu@0", "riscv,isa", []byte("rv64\n\x00")}, "holds the byte"},
		{"no console", change{"serial@10000000", "compatible", nil}, "no console"},
		{"console with wide registers", change{"serial@10000000", "reg-shift", cells(2)}, "no console"},
		{"console too small", change{"serial@10000000", "reg", cells(0, 0x10000000, 0, 7)}, "no console"},
		{"console without registers", change{"serial@10000000", "reg", nil}, "no reg"},
		{"console behind a translating bus", change{"soc", "ranges", cells(0, 0, 0, 0, 0, 1)}, "no console"},
		{"interrupt 0", change{"serial@10000000", "interrupts", cells(0)}, "interrupt 0"},
		{"interrupt above the PLIC's", change{"serial@10000000", "interrupts", cells(54)}, "54, but the PLIC has 53"},
		{"interrupt above any PLIC's", change{"virtio@10001000", "interrupts", cells(MaxIRQ + 1)}, "want 1..1023"},
		{"interrupt cut", change{"serial@10000000", "interrupts", []byte{10}}, "at least 4"},
		{"no PLIC", change{"plic@c000000", "compatible", []byte("arm,gic\x00")}, "no PLIC"},
		{"two PLICs", change{"virtio@10001000", "compatible", []byte("riscv,plic0\x00")}, "second PLIC"},
		{"PLIC without sources", change{"plic@c000000", "riscv,ndev", nil}, "riscv,ndev is 0"},
		{"PLIC with too many sources", change{"plic@c000000", "riscv,ndev", cells(MaxIRQ + 1)}, "1024"},
		{"bootargs without end", change{"chosen", "bootargs", []byte("a")}, "NUL-terminated"},
		{"bootargs too long", change{"chosen", "bootargs", append(bytes.Repeat([]byte("a"), MaxBootargs+1), 0)}, "more than 4096"},
		{"bootargs in two strings", change{"chosen", "bootargs", []byte("a\x00b\x00")}, "one NUL-terminated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := tree()
			set(find(t, f, c.node), c.prop, c.value)
			if d, err := Parse(encode(t, f)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want an error with %q", d, err, c.want)
			}
		})
	}
}

func TestRejectLimits(t *testing.T) {
	multiply := func(parent, child string, n int) func(*dt.FDT) {
		return func(f *dt.FDT) {
			p, c := find(t, f, parent), find(t, f, child)
			for i := range n {
				d := *c
				d.Name = fmt.Sprintf("%s%d", c.Name, i)
				d.Properties = slices.Clone(c.Properties)
				p.Children = append(p.Children, &d)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*dt.FDT)
		want   string
	}{
		{"harts", multiply("cpus", "cpu@0", MaxHarts), "more than 64 harts"},
		{"same hart id", multiply("cpus", "cpu@0", 1), "two harts have the id 0"},
		{"virtio slots", multiply("soc", "virtio@10001000", MaxVirtIO), "more than 32 virtio slots"},
		{"memory nodes", multiply("", "memory@80000000", MaxRAM), "more than 16 ranges"},
		{"memory nodes overlap", multiply("", "memory@80000000", 1), "overlap"},
		{"reserved nodes", multiply("reserved-memory", "fw@80000000", MaxReserved), "more than 64 reserved"},
		{"reservation entries", func(f *dt.FDT) {
			f.ReserveEntries = slices.Repeat([]dt.ReserveEntry{{Address: 1, Size: 1}}, MaxReserved+1)
		}, FaultReserve.Error()},
		{"reservation entry wraps", func(f *dt.FDT) {
			f.ReserveEntries = []dt.ReserveEntry{{Address: 1, Size: ^uint64(0)}}
		}, "ends above"},
		{"depth", func(f *dt.FDT) {
			for n, i := f.RootNode, 0; i < MaxDepth; i++ {
				c := &dt.Node{Name: "n"}
				n.Children = append(n.Children, c)
				n = c
			}
		}, FaultDepth.Error()},
		{"node name", func(f *dt.FDT) { find(t, f, "soc").Name = strings.Repeat("s", MaxName+1) }, FaultName.Error()},
		{"property name", func(f *dt.FDT) {
			set(find(t, f, "soc"), strings.Repeat("s", MaxName+1), []byte{})
		}, FaultName.Error()},
		{"size", func(f *dt.FDT) { set(f.RootNode, "pad", make([]byte, MaxSize)) }, FaultTooLarge.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := tree()
			c.change(f)
			if _, err := Parse(encode(t, f)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestConsoleChoice(t *testing.T) {
	f := tree()
	second := *find(t, f, "serial@10000000")
	second.Name = "serial@20000000"
	second.Properties = slices.Clone(second.Properties)
	set(&second, "reg", cells(0, 0x20000000, 0, 0x100))
	soc := find(t, f, "soc")
	soc.Children = slices.Insert(soc.Children, 0, &second)
	for path, want := range map[string]uint64{
		"":                                0x10000000, // the lowest address
		"/soc/serial@20000000":            0x20000000,
		"/soc/serial@20000000:115200n8":   0x20000000,
		"/soc/serial@10000000":            0x10000000,
		"serial0":                         0x10000000,
		"/soc/serial@20000000/not/a/uart": 0x10000000,
	} {
		set(find(t, f, "chosen"), "stdout-path", []byte(path+"\x00"))
		d, err := Parse(encode(t, f))
		if err != nil || d.Console.Start != want {
			t.Errorf("stdout-path %q: console %#x, %v; want %#x", path, d.Console.Start, err, want)
		}
	}
}

func TestSstc(t *testing.T) {
	for isa, want := range map[string]bool{
		"rv64imafdch_zicsr_sstc":      true,
		"rv64imafdch_sstc_zicsr":      true,
		"RV64IMAFDCH_ZICSR_SSTC":      true,
		"rv64imafdch":                 false,
		"rv64imafdch_sstc2":           false,
		"sstc":                        false,
		"rv64imafdch_zicsr_smaia_sst": false,
	} {
		f := tree()
		set(find(t, f, "cpu@0"), "riscv,isa", []byte(isa+"\x00"))
		d, err := Parse(encode(t, f))
		if err != nil || d.Harts[0].Sstc != want {
			t.Errorf("%q: %+v, %v", isa, d, err)
		}
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
