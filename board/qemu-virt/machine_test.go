package virt

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/core"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
	"pgregory.net/rapid"
)

// kernel is a placement such as cpuinit finds it: 2 MiB of kernel, 3 MiB of
// archive.
func kernel() placement {
	const size = 5 << 20
	return placement{
		header: image.Header{Size: size, Archive: 2 << 20},
		segments: []sv39.Region{
			{Range: between(RAMStart+0x10000, RAMStart+0x100000), Perm: sv39.R | sv39.X},
			{Range: between(RAMStart+0x100000, RAMStart+0x180000), Perm: sv39.R},
			{Range: between(RAMStart+0x180000, RAMStart+0x200000), Perm: sv39.R | sv39.W},
		},
		heapEnd: RAMStart + size + goRAM - stackSize - guardSize,
	}
}

// top is the end of that kernel's memory.
const top = RAMStart + 5<<20 + goRAM + recordSize

func board() *fdt.Description {
	return &fdt.Description{
		RAM:      []fdt.Range{{Start: 0x80000000, Size: 128 << 20}},
		Harts:    []fdt.Hart{{ID: 0}},
		Timebase: 10e6,
		Console:  fdt.Device{Range: fdt.Range{Start: 0x10000000, Size: 0x100}},
		PLIC:     fdt.PLIC{Range: fdt.Range{Start: 0xc000000, Size: 0x600000}},
		Finisher: fdt.Range{Start: 0x100000, Size: 0x1000},
	}
}

func TestPlanQEMU(t *testing.T) {
	for file, end := range map[string]uint64{
		"opensbi-128m-2harts.dtb":      0x8800_0000,
		"opensbi-2g-8harts-nosstc.dtb": 0x1_0000_0000,
	} {
		blob, err := os.ReadFile(filepath.Join("fdt", "testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		d, err := fdt.Parse(blob)
		if err != nil {
			t.Fatal(err)
		}
		m, err := plan(d, kernel())
		if err != nil {
			t.Fatal(err)
		}
		if want := []mem.Range{between(top, end)}; !slices.Equal(m.Free, want) {
			t.Errorf("%s: free %#x, want %#x", file, m.Free, want)
		}
		if want := []mem.Range{between(0x100000, 0x101000), between(0xc000000, 0xc600000), between(0x10000000, 0x10001000)}; !slices.Equal(m.MMIO, want) {
			t.Errorf("%s: MMIO %#x, want %#x", file, m.MMIO, want)
		}
		if len(m.Devices) != len(d.VirtIO)+1 || len(m.Devices) != 9 {
			t.Errorf("%s: %d devices of %d slots", file, len(m.Devices), len(d.VirtIO))
		}
		for i, v := range m.Devices {
			want := core.Device{Kind: abi.DeviceVirtIO, Base: mem.PA(0x1000_1000 + i*0x1000), Size: 0x1000, IRQ: uint32(i + 1)}
			if i == len(d.VirtIO) {
				want = core.Device{Kind: abi.DeviceRTC, Base: 0x10_1000, Size: 0x1000, IRQ: 11}
			}
			if v != want {
				t.Errorf("%s: device %d is %+v, want %+v", file, i, v, want)
			}
		}
		if m.TickNS != 100 {
			t.Errorf("%s: tick of %d ns", file, m.TickNS)
		}
		checkRegions(t, m)
	}
}

// checkRegions tests that the kernel's page tables can be built from m, that
// they cover the kernel, and that nothing is mapped that must not be.
func checkRegions(t interface{ Errorf(string, ...any) }, m *Machine) {
	regions := m.Regions()
	at := func(a mem.PA) sv39.Perm {
		for _, r := range regions {
			if r.Start <= a && a < r.End {
				return r.Perm
			}
		}
		return 0
	}
	last := mem.PA(0)
	for _, r := range regions {
		if r.Start < last || r.End <= r.Start || (r.Start|r.End)%abi.PageSize != 0 || r.End > abi.UserBase {
			t.Errorf("region %#x after %#x", r, last)
		}
		if r.Perm&sv39.W != 0 && r.Perm&sv39.X != 0 {
			t.Errorf("region %#x is writable and executable", r)
		}
		last = r.End
	}
	for _, c := range []struct {
		what string
		mem.Range
		perm sv39.Perm
	}{
		{"header", m.Header, sv39.R},
		{"text", m.Segments[0].Range, sv39.R | sv39.X},
		{"archive", m.Archive, sv39.R},
		{"heap", m.Heap, sv39.R | sv39.W},
		{"guard", m.Guard, 0},
		{"stack", m.Stack, sv39.R | sv39.W},
		{"firmware", between(0x80000000, RAMStart), 0},
	} {
		if at(c.Start) != c.perm || at(c.End-1) != c.perm {
			t.Errorf("%s %#x is mapped %v and %v, want %v", c.what, c.Range, at(c.Start), at(c.End-1), c.perm)
		}
	}
}

func TestRejectPlan(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fdt.Description, *placement)
		want   string
	}{
		{"odd clock", func(d *fdt.Description, _ *placement) { d.Timebase = 32768 }, "whole number of nanoseconds"},
		{"no interrupts for the hart", func(d *fdt.Description, _ *placement) { d.Harts[0].PLICContext = -1 }, "no context"},
		{"foreign hart", func(_ *fdt.Description, p *placement) { p.bootHart = 1 }, "boot hart 1"},
		{"no segments", func(_ *fdt.Description, p *placement) { p.segments = nil }, "without segments"},
		{"archive in bss", func(_ *fdt.Description, p *placement) { p.header.Archive -= abi.PageSize }, "archive starts"},
		{"gap before archive", func(_ *fdt.Description, p *placement) { p.header.Archive += abi.PageSize }, "archive starts"},
		{"too little RAM", func(d *fdt.Description, _ *placement) { d.RAM[0].Size = top - 0x80000000 - 1 }, "do not fit"},
		{"RAM split in the kernel", func(d *fdt.Description, _ *placement) {
			d.RAM = []fdt.Range{{Start: 0x80000000, Size: 4 << 20}, {Start: 0x80400000, Size: 64 << 20}}
		}, "do not fit"},
		{"reserved in the kernel", func(d *fdt.Description, _ *placement) {
			d.Reserved = []fdt.Range{{Start: top - 1, Size: 1}}
		}, "overlaps reserved"},
		{"no RAM left", func(d *fdt.Description, _ *placement) { d.RAM[0].Size = top - 0x80000000 + 4095 }, "no RAM is left"},
		{"console above 4 GiB", func(d *fdt.Description, _ *placement) { d.Console.Start = abi.UserBase }, "above the kernel's"},
		{"two devices in a page", func(d *fdt.Description, _ *placement) { d.Finisher = fdt.Range{Start: 0x10000800, Size: 0x100} }, "share a page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, p := board(), kernel()
			c.change(d, &p)
			if m, err := plan(d, p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want an error with %q", m, err, c.want)
			}
		})
	}
}

// TestFreeIsWhatIsLeft draws memory maps and compares with a page-by-page model.
func TestFreeIsWhatIsLeft(t *testing.T) {
	const pages = 64
	rapid.Check(t, func(t *rapid.T) {
		// In quarters of a page, so that ends fall into pages.
		quarter := func(i int) uint64 { return RAMStart + uint64(i)*abi.PageSize/4 }
		draw := func(name string, n int) (out []fdt.Range) {
			for range rapid.IntRange(0, n).Draw(t, name) {
				a, b := rapid.IntRange(0, 4*pages-1).Draw(t, "start"), rapid.IntRange(1, 40).Draw(t, "size")
				out = append(out, fdt.Range{Start: quarter(a), Size: quarter(a+b) - quarter(a)})
			}
			return out
		}
		var ram []fdt.Range // disjoint and ascending, as package fdt promises
		for at := 0; at < 4*pages; {
			gap, size := rapid.IntRange(0, 20).Draw(t, "gap"), rapid.IntRange(1, 100).Draw(t, "ram")
			ram = append(ram, fdt.Range{Start: quarter(at + gap), Size: quarter(size) - quarter(0)})
			at += gap + size
		}
		used := draw("used", 6)
		got := free(ram, used)

		inside := func(rs []fdt.Range, p fdt.Range) bool {
			return slices.ContainsFunc(rs, func(r fdt.Range) bool { return r.Start <= p.Start && p.End() <= r.End() })
		}
		last := mem.PA(0)
		for _, r := range got {
			if r.Start < last || r.Start >= r.End || (r.Start|r.End)%abi.PageSize != 0 {
				t.Fatalf("%#x is not ascending whole pages", got)
			}
			last = r.End
		}
		for i := range 2 * pages {
			p := fdt.Range{Start: quarter(4 * i), Size: abi.PageSize}
			want := inside(ram, p) && !slices.ContainsFunc(used, p.Overlaps)
			have := slices.ContainsFunc(got, func(r mem.Range) bool { return uint64(r.Start) <= p.Start && p.End() <= uint64(r.End) })
			if want != have {
				t.Fatalf("page %d: free %v, want %v (ram %#x, used %#x, free %#x)", i, have, want, ram, used, got)
			}
		}
	})
}

func TestFreeStopsBelowUserBase(t *testing.T) {
	got := free([]fdt.Range{{Start: 0x8000_0000, Size: 4 << 30}, {Start: 2 << 32, Size: 1 << 20}}, nil)
	if want := []mem.Range{between(0x8000_0000, abi.UserBase)}; !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// TestPlanKeepsInvariants draws boards around a fixed kernel.
func TestPlanKeepsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := board()
		d.RAM[0].Size = rapid.Uint64Range(32<<20, 3<<30).Draw(t, "ram")
		for range rapid.IntRange(0, 5).Draw(t, "reserved") {
			d.Reserved = append(d.Reserved, fdt.Range{
				Start: rapid.Uint64Range(top-1<<20, 0x80000000+3<<30).Draw(t, "start"),
				Size:  rapid.Uint64Range(1, 64<<20).Draw(t, "size"),
			})
		}
		m, err := plan(d, kernel())
		if err != nil {
			return
		}
		checkRegions(t, m)
		for _, f := range m.Free {
			r := fdt.Range{Start: uint64(f.Start), Size: uint64(f.End - f.Start)}
			if r.Start < top || slices.ContainsFunc(d.Reserved, r.Overlaps) {
				t.Fatalf("free %#x overlaps what is in use", f)
			}
		}
	})
}
