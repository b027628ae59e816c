package fdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/dt"
)

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

// TestMemoryIsProportional parses the largest trees of the shapes that cost the
// most, and tests what MaxSize says about memory.
func TestMemoryIsProportional(t *testing.T) {
	deep := func(names string, leaf func(int) *dt.Node, leaves int) *dt.FDT {
		f := tree()
		n := f.RootNode
		for range MaxDepth - 2 {
			set(n, "ranges", []byte{})
			c := &dt.Node{Name: names}
			n.Children = append(n.Children, c)
			n = c
		}
		set(n, "ranges", []byte{})
		for i := range leaves {
			n.Children = append(n.Children, leaf(i))
		}
		return f
	}
	for _, c := range []struct {
		name string
		tree *dt.FDT
	}{
		{"small nodes below long names", deep(strings.Repeat("n", MaxName), func(int) *dt.Node { return &dt.Node{Name: "a"} }, 21000)},
		{"long names", deep("a", func(int) *dt.Node { return &dt.Node{Name: strings.Repeat("n", MaxName)} }, 3400)},
		{"list of empty models", deep("a", func(int) *dt.Node {
			n := &dt.Node{Name: "a"}
			set(n, "compatible", make([]byte, MaxSize-4096))
			return n
		}, 1)},
		{"empty properties", deep("a", func(int) *dt.Node {
			p := dt.Property{Name: strings.Repeat("p", MaxName), Value: []byte{}}
			return &dt.Node{Name: "a", Properties: slices.Repeat([]dt.Property{p}, 1000)}
		}, 21)},
	} {
		blob := encode(t, c.tree)
		if len(blob) < MaxSize*9/10 || len(blob) > MaxSize {
			t.Fatalf("%s: %d bytes", c.name, len(blob))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Parse(blob); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64*MaxSize {
			t.Errorf("%s: %d bytes allocated for %d", c.name, n, len(blob))
		} else {
			t.Logf("%s: %d times its size", c.name, n/uint64(len(blob)))
		}
	}
}
