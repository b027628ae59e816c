// Package virt is what is true of one board only: QEMU's machine "virt" for
// RISC-V, started by OpenSBI in S-mode. It brings the Go runtime of the kernel
// up, and tells the kernel what it runs on.
//
// A program that imports it starts in cpuinit (assembly), which finds the end of
// the image in the boot header and lays the kernel's memory out behind it:
//
//	RAMStart        boot header and kernel segments, archive     (the image)
//	end of image    heap of the Go runtime                       goRAM bytes
//	                guard page                                   in all,
//	                stack of the boot hart (g0)
//	                crash record, never cleared at boot          up to Top
//	Top             free, for the frame pool
//
// Until [Boot] has read the device tree, the console and the power-off device are
// those that every QEMU has. Whatever goes wrong before the kernel installs a
// trap vector of its own, prints a line that starts with "kernel: PANIC:" and
// ends the machine with a status that is not 0: nothing hangs and nothing is
// silent.
//
// cpuinit and Boot run once, on the boot hart. The kernel starts the others itself.
package virt

import (
	"errors"
	"fmt"
	"slices"

	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/core"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// RAMStart is where OpenSBI starts the kernel: behind its own 2 MiB.
const RAMStart = 0x8020_0000

// Layout of the memory behind the image, in bytes. The assembly uses them too.
const (
	// goRAM is heap, guard and stack. The runtime needs 5.6 MiB to start; the
	// rest is for the tables that the kernel makes while it boots.
	goRAM = 24 << 20
	// stackSize is the stack that the runtime assumes below SP at entry, 64 KiB,
	// and a page for the words that it pushes first.
	stackSize = 64<<10 + abi.PageSize
	// guardSize is the hole between heap and stack.
	guardSize = abi.PageSize
	// recordSize is left alone by everybody but the kernel's crash record, at the same
	// place in each boot of an image: what is in it survives a reset.
	recordSize = 192 << 10
)

// Machine is the board as the kernel finds it. Ranges are page aligned.
type Machine struct {
	*fdt.Description
	BootHart uint64 // id of the hart that runs
	TickNS   uint64 // nanoseconds per tick of the time CSR
	WallNS   int64  // wall clock at time CSR 0 in ns since 1970; 0 until Boot has read it, or without a clock

	Segments []sv39.Region // of the kernel's ELF: text, rodata, data and bss
	Header   mem.Range     // boot header: the image in front of the first segment
	Archive  mem.Range     // of the image
	Heap     mem.Range     // of the Go runtime
	Guard    mem.Range     // between heap and stack; never to be mapped
	Stack    mem.Range     // of the boot hart
	Record   mem.Range     // what a reset leaves alone
	Free     []mem.Range   // RAM for the frame pool, ascending, below abi.UserBase
	MMIO     []mem.Range   // registers that the kernel uses, ascending, disjoint
	Devices  []core.Device // whose registers and interrupts processes may have

	// Controller brings interrupts of devices to the boot hart, all disabled at
	// first; nil until Boot has set it up.
	Controller core.Controller
}

// placement is what the boot code knows without the tree.
type placement struct {
	bootHart uint64
	header   image.Header
	segments []sv39.Region
	heapEnd  uint64
}

// plan derives a Machine from the tree and what the boot code knows.
func plan(d *fdt.Description, p placement) (*Machine, error) {
	m := &Machine{Description: d, BootHart: p.bootHart, TickNS: 1e9 / uint64(d.Timebase), Segments: p.segments}
	if 1e9%uint64(d.Timebase) != 0 {
		return nil, fmt.Errorf("timebase of %d Hz: a tick is no whole number of nanoseconds", d.Timebase)
	}
	switch h := m.Hart(); {
	case h == nil:
		return nil, fmt.Errorf("boot hart %d is not in the device tree", p.bootHart)
	case h.PLICContext < 0:
		return nil, fmt.Errorf("boot hart %d has no context at the interrupt controller", p.bootHart)
	}
	if len(p.segments) == 0 {
		return nil, errors.New("kernel without segments")
	}
	archive := RAMStart + p.header.Archive
	if end := uint64(p.segments[len(p.segments)-1].End); end != archive {
		return nil, fmt.Errorf("kernel ends at %#x, but the archive starts at %#x", end, archive)
	}
	heap := RAMStart + p.header.Size
	guard := p.heapEnd
	stack := guard + guardSize
	record := stack + stackSize
	top := record + recordSize
	m.Header = between(RAMStart, uint64(p.segments[0].Start))
	m.Archive = between(archive, heap)
	m.Heap = between(heap, guard)
	m.Guard = between(guard, stack)
	m.Stack = between(stack, record)
	m.Record = between(record, top)

	kernel := fdt.Range{Start: RAMStart, Size: top - RAMStart}
	home := slices.IndexFunc(d.RAM, func(r fdt.Range) bool { return r.Start <= kernel.Start && kernel.End() <= r.End() })
	if home < 0 {
		return nil, fmt.Errorf("RAM ends below %#x: the image of %d MiB and %d MiB for the kernel do not fit", top, p.header.Size>>20, goRAM>>20)
	}
	for _, r := range d.Reserved {
		if r.Overlaps(kernel) {
			return nil, fmt.Errorf("kernel at %#x to %#x overlaps reserved memory at %#x to %#x", kernel.Start, top, r.Start, r.End())
		}
	}
	// Firmware lies in front of the kernel, whether the tree reserves it or not.
	firmware := fdt.Range{Start: d.RAM[home].Start, Size: top - d.RAM[home].Start}
	m.Free = free(d.RAM, append([]fdt.Range{firmware}, d.Reserved...))
	if len(m.Free) == 0 {
		return nil, fmt.Errorf("no RAM is left above %#x", top)
	}
	for _, r := range []fdt.Range{d.Finisher, d.PLIC.Range, d.Console.Range} {
		if r.Size == 0 {
			continue
		}
		pages := between(r.Start&^(abi.PageSize-1), (r.End()+abi.PageSize-1)&^(abi.PageSize-1))
		if pages.End > abi.UserBase {
			return nil, fmt.Errorf("device registers at %#x lie above the kernel's 4 GiB", r.Start)
		}
		m.MMIO = append(m.MMIO, pages)
	}
	slices.SortFunc(m.MMIO, ascending)
	for i := 1; i < len(m.MMIO); i++ {
		if m.MMIO[i].Start < m.MMIO[i-1].End {
			return nil, fmt.Errorf("device registers at %#x and %#x share a page", m.MMIO[i-1].Start, m.MMIO[i].Start)
		}
	}
	m.Devices = devices(d, m.MMIO)
	return m, nil
}

// Hart returns the hart that runs.
func (m *Machine) Hart() *fdt.Hart {
	for i := range m.Harts {
		if m.Harts[i].ID == m.BootHart {
			return &m.Harts[i]
		}
	}
	return nil
}

// devices returns the virtio slots and the clock of the tree, if they can be given to
// a process without giving it anything else: whole pages, apart from memory, from what
// the kernel uses and from each other. An interrupt that is not one device's alone is
// given to none.
func devices(d *fdt.Description, used []mem.Range) []core.Device {
	var taken []fdt.Range
	for _, r := range used {
		taken = append(taken, fdt.Range{Start: uint64(r.Start), Size: uint64(r.End - r.Start)})
	}
	taken = slices.Concat(taken, d.RAM, d.Reserved)
	sources := map[uint32]int{d.Console.IRQ: 2} // the console's stays with the kernel
	offered := slices.Clone(d.VirtIO)
	if d.RTC.Size != 0 {
		offered = append(offered, d.RTC)
	}
	for _, v := range offered {
		taken = append(taken, v.Range)
		sources[v.IRQ]++
	}
	var out []core.Device
	for i, v := range offered {
		overlaps := 0 // one is itself
		for _, t := range taken {
			if t.Overlaps(v.Range) {
				overlaps++
			}
		}
		if (v.Start|v.Size)%abi.PageSize != 0 || overlaps != 1 {
			continue
		}
		dev := core.Device{Kind: abi.DeviceVirtIO, Base: mem.PA(v.Start), Size: v.Size}
		if i >= len(d.VirtIO) {
			dev.Kind = abi.DeviceRTC
		}
		if v.IRQ != 0 && sources[v.IRQ] == 1 {
			dev.IRQ = v.IRQ
		}
		out = append(out, dev)
	}
	return out
}

// free returns the whole pages of ram below abi.UserBase that touch none of the
// ranges in used.
func free(ram, used []fdt.Range) []mem.Range {
	used = slices.Clone(used)
	slices.SortFunc(used, func(a, b fdt.Range) int { return ascending(between(a.Start, 0), between(b.Start, 0)) })
	var out []mem.Range
	add := func(start, end uint64) {
		start, end = (start+abi.PageSize-1)&^(abi.PageSize-1), min(end, abi.UserBase)&^(abi.PageSize-1)
		if start < end {
			out = append(out, between(start, end))
		}
	}
	for _, r := range ram {
		at := r.Start
		for _, u := range used {
			if u.End() > at && u.Start < r.End() {
				add(at, u.Start)
				at = u.End()
			}
		}
		add(at, r.End())
	}
	return out
}

// Regions returns what the kernel maps, each at its own address, in the order
// that sv39.BuildKernel wants: its segments with their permissions, the archive
// read-only, registers, heap, stack, crash record and free frames read-write. The guard page,
// the firmware and the registers of other devices stay out.
//
// The archive is mapped into processes as well, some of it executable; the
// kernel only reads it.
func (m *Machine) Regions() []sv39.Region {
	regions := slices.Clone(m.Segments)
	regions = append(regions, sv39.Region{Range: m.Header, Perm: sv39.R}, sv39.Region{Range: m.Archive, Perm: sv39.R},
		sv39.Region{Range: m.Heap, Perm: sv39.R | sv39.W}, sv39.Region{Range: m.Stack, Perm: sv39.R | sv39.W},
		sv39.Region{Range: m.Record, Perm: sv39.R | sv39.W})
	for _, r := range slices.Concat(m.MMIO, m.Free) {
		regions = append(regions, sv39.Region{Range: r, Perm: sv39.R | sv39.W})
	}
	slices.SortFunc(regions, func(a, b sv39.Region) int { return ascending(a.Range, b.Range) })
	return regions
}

func between(start, end uint64) mem.Range { return mem.Range{Start: mem.PA(start), End: mem.PA(end)} }

func ascending(a, b mem.Range) int {
	switch {
	case a.Start < b.Start:
		return -1
	case a.Start > b.Start:
		return 1
	}
	return 0
}
