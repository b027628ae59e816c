package virt

import (
	"slices"
	"testing"

	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/core"
	"pgregory.net/rapid"
)

func slot(start, size uint64, irq uint32) fdt.Device {
	return fdt.Device{Range: fdt.Range{Start: start, Size: size}, IRQ: irq}
}

// A tree that says that something else is a device gives it to nobody.
func TestRejectDevices(t *testing.T) {
	good := slot(0x1000_8000, 0x1000, 8)
	for _, c := range []struct {
		name string
		slot fdt.Device
	}{
		{"RAM", slot(0x8500_0000, 0x1000, 1)},
		{"the kernel", slot(RAMStart, 0x1000, 1)},
		{"all of RAM", slot(0x8000_0000, 128<<20, 1)},
		{"reserved memory", slot(0x9000_0000, 0x1000, 1)},
		{"the interrupt controller", slot(0xc20_0000, 0x1000, 1)},
		{"in front of the interrupt controller", slot(0xbff_f000, 0x2000, 1)},
		{"the console", slot(0x1000_0000, 0x1000, 1)},
		{"the rest of the console's page", slot(0x1000_0200, 0x200, 1)},
		{"the power-off device", slot(0x10_0000, 0x1000, 1)},
		{"part of a page", slot(0x1000_1000, 0x200, 1)},
		{"not at a page", slot(0x1000_1200, 0x1000, 1)},
		{"another device", slot(0x1000_7000, 0x2000, 1)},
		{"the same device", good},
	} {
		d := board()
		d.Reserved = []fdt.Range{{Start: 0x9000_0000, Size: 0x2000}}
		d.VirtIO = []fdt.Device{good, c.slot}
		if c.slot.Start > good.Start {
			slices.Reverse(d.VirtIO)
		}
		m, err := plan(d, kernel())
		if err != nil {
			t.Fatal(err)
		}
		want := []core.Device{{Kind: abi.DeviceVirtIO, Base: 0x1000_8000, Size: 0x1000, IRQ: 8}}
		if c.slot.Overlaps(good.Range) {
			want = nil
		}
		if !slices.Equal(m.Devices, want) {
			t.Errorf("%s: %+v, want %+v", c.name, m.Devices, want)
		}
	}
}

// An interrupt that is shared cannot be masked for one of its devices alone.
func TestRejectSharedInterrupts(t *testing.T) {
	d := board()
	d.Console.IRQ = 10
	d.VirtIO = []fdt.Device{slot(0x1000_1000, 0x1000, 1), slot(0x1000_2000, 0x1000, 5), slot(0x1000_3000, 0x1000, 5), slot(0x1000_4000, 0x1000, 10), slot(0x1000_5000, 0x1000, 0)}
	m, err := plan(d, kernel())
	if err != nil {
		t.Fatal(err)
	}
	var irqs []uint32
	for _, v := range m.Devices {
		irqs = append(irqs, v.IRQ)
	}
	if !slices.Equal(irqs, []uint32{1, 0, 0, 0, 0}) {
		t.Errorf("interrupts %v", irqs)
	}
}

// Whatever the tree says, a device overlaps nothing that is mapped or memory, and
// the kernel takes the list.
func TestDevicesAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := board()
		address := rapid.OneOf(rapid.Uint64Range(0, 0x20), rapid.Uint64Range(0xc00, 0x1260), rapid.Uint64Range(0x1_0000, 0x1_0010), rapid.Uint64Range(0x8_0000, 0x8_8010))
		for range rapid.IntRange(0, 8).Draw(t, "slots") {
			d.VirtIO = append(d.VirtIO, slot(address.Draw(t, "page")*0x1000+0x200*rapid.Uint64Range(0, 1).Draw(t, "off"), 0x1000*rapid.Uint64Range(1, 3).Draw(t, "pages"), rapid.Uint32Range(0, 6).Draw(t, "irq")))
		}
		m, err := plan(d, kernel())
		if err != nil {
			t.Fatal(err)
		}
		irqs := map[uint32]bool{}
		for i, v := range m.Devices {
			r := fdt.Range{Start: uint64(v.Base), Size: v.Size}
			for _, g := range m.Regions() {
				if r.Overlaps(fdt.Range{Start: uint64(g.Start), Size: uint64(g.End - g.Start)}) {
					t.Fatalf("device %+v in what the kernel maps, %#x", v, g.Range)
				}
			}
			for _, ram := range d.RAM {
				if r.Overlaps(ram) {
					t.Fatalf("device %+v in RAM", v)
				}
			}
			for _, o := range m.Devices[:i] {
				if r.Overlaps(fdt.Range{Start: uint64(o.Base), Size: o.Size}) {
					t.Fatalf("devices %+v and %+v overlap", v, o)
				}
			}
			if v.IRQ != 0 && irqs[v.IRQ] {
				t.Fatalf("interrupt %d twice", v.IRQ)
			}
			irqs[v.IRQ] = true
			if (uint64(v.Base)|v.Size)%abi.PageSize != 0 || v.Size == 0 {
				t.Fatalf("device %+v is not pages", v)
			}
		}
	})
}
