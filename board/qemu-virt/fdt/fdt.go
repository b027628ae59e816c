// Package fdt turns the flattened device tree that firmware hands to the kernel
// into a [Description] of the board: memory, harts, clock, console, interrupt
// controller and virtio slots.
//
// The blob is not trusted. Every bound is checked, and size, depth and names are
// limited (see [MaxSize] and its neighbours) before the library that builds the
// tree sees it; numbers are checked before they leave the package. A bad blob is
// an error, never a fault, and takes memory in proportion to its own length.
//
// What a Description guarantees: ranges are not empty, do not wrap and lie below
// 2^56; RAM ranges are sorted and disjoint; device slots are sorted by address;
// there is at least one hart, one range of RAM, a clock, a console and a PLIC.
//
// The format is chapter 5 of the Devicetree Specification, release 0.4.
package fdt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/dt"
)

// Limits on what a tree may describe; tables in the kernel are no larger.
const (
	MaxHarts    = 64      // harts
	MaxRAM      = 16      // ranges of RAM
	MaxVirtIO   = 32      // virtio-mmio slots; QEMU has 8
	MaxBootargs = 4 << 10 // bytes of the kernel's command line
	MaxTimebase = 1e9     // Hz; times are counted in ns
	MaxIRQ      = 1023    // highest interrupt source of a PLIC
	MaxAddress  = 1 << 56 // end of the physical addresses that Sv39 can map
)

// Range is a range of physical addresses in bytes.
type Range struct{ Start, Size uint64 }

// End returns the first address behind the range.
func (r Range) End() uint64 { return r.Start + r.Size }

// Overlaps tells whether the ranges have a byte in common.
func (r Range) Overlaps(o Range) bool { return r.Start < o.End() && o.Start < r.End() }

// Device is a device with registers and at most one interrupt.
type Device struct {
	Range
	IRQ uint32 // source at the PLIC; 0 if it has none
}

// Hart is a hart that the kernel may use.
type Hart struct {
	ID          uint64 // as SBI and the boot register a0 name it
	ISA         string // the text of riscv,isa
	Sstc        bool   // has the supervisor timer compare register
	PLICContext int    // of its S-mode at the PLIC; -1 if it has none
}

// PLIC is the platform-level interrupt controller.
type PLIC struct {
	Range
	Sources uint32 // highest interrupt source, 1..MaxIRQ
}

// Description is what the kernel needs to know about the board.
type Description struct {
	RAM        []Range // sorted, disjoint
	Reserved   []Range // must not be used as RAM; sorted, may overlap
	Harts      []Hart  // sorted by ID; disabled ones are left out
	Timebase   uint32  // Hz of the time CSR
	Console    Device  // an ns16550a with registers one byte apart
	PLIC       PLIC
	VirtIO     []Device // virtio-mmio slots, sorted by address
	RTC        Device   // google,goldfish-rtc clock; Size 0 if there is none
	Finisher   Range    // sifive,test power-off device; Size 0 if there is none
	Bootargs   string
	StdoutPath string
	RNGSeed    []byte // nil if there is none
}

// Parse checks and parses a blob, which may be longer than its tree. The
// Description shares no memory with it.
func Parse(blob []byte) (*Description, error) {
	size, fault := check(blob)
	if fault != 0 {
		return nil, fmt.Errorf("device tree blob of %d bytes: %w", len(blob), fault)
	}
	tree, err := dt.ReadFDT(bytes.NewReader(blob[:size]))
	if err != nil {
		return nil, fmt.Errorf("device tree blob of %d bytes: %w", len(blob), err)
	}
	p := parser{contexts: map[uint32]int{}}
	if err := p.tree(tree); err != nil {
		return nil, fmt.Errorf("device tree: %w", err)
	}
	return &p.d, nil
}

// parser collects a Description.
type parser struct {
	d        Description
	consoles []console
	cpuIntc  []uint32       // phandle of the interrupt controller of d.Harts[i]
	contexts map[uint32]int // S-mode context at the PLIC by phandle of a hart's controller
}

type console struct {
	Device
	path string
}

func (p *parser) tree(tree *dt.FDT) error {
	for _, e := range tree.ReserveEntries {
		r := Range{e.Address, e.Size}
		if err := r.check(); err != nil {
			return fmt.Errorf("memory reservation block: %w", err)
		}
		p.d.Reserved = append(p.d.Reserved, r)
	}
	root := node{tree.RootNode, nil}
	for _, child := range root.Children {
		n := node{child, &root}
		var err error
		switch base, _, _ := strings.Cut(child.Name, "@"); base {
		case "memory":
			err = p.memory(n, root)
		case "reserved-memory":
			err = p.reserved(n)
		case "cpus":
			err = p.cpus(n)
		case "chosen":
			err = p.chosen(n)
		}
		if err != nil {
			return err
		}
	}
	if err := p.devices(root); err != nil {
		return err
	}
	return p.finish()
}

// finish sorts what was collected and checks that it is complete and consistent.
func (p *parser) finish() error {
	d := &p.d
	byStart := func(a, b Range) int { return cmp.Compare(a.Start, b.Start) }
	slices.SortFunc(d.RAM, byStart)
	for i := range d.RAM {
		if i > 0 && d.RAM[i].Overlaps(d.RAM[i-1]) {
			return fmt.Errorf("ranges of RAM %#x and %#x overlap", d.RAM[i-1], d.RAM[i])
		}
	}
	slices.SortFunc(d.Reserved, byStart)
	for i := range d.Harts {
		d.Harts[i].PLICContext = -1
		if c, ok := p.contexts[p.cpuIntc[i]]; ok && p.cpuIntc[i] != 0 {
			d.Harts[i].PLICContext = c
		}
	}
	slices.SortFunc(d.Harts, func(a, b Hart) int { return cmp.Compare(a.ID, b.ID) })
	for i := range d.Harts {
		if i > 0 && d.Harts[i].ID == d.Harts[i-1].ID {
			return fmt.Errorf("two harts have the id %d", d.Harts[i].ID)
		}
	}
	slices.SortFunc(d.VirtIO, func(a, b Device) int { return byStart(a.Range, b.Range) })
	slices.SortFunc(p.consoles, func(a, b console) int { return byStart(a.Range, b.Range) })
	path, _, _ := strings.Cut(d.StdoutPath, ":") // "path:options"
	for i, c := range p.consoles {
		if i == 0 || c.path == path {
			d.Console = c.Device
		}
	}
	switch {
	case len(d.RAM) == 0:
		return errors.New("no memory node")
	case len(d.Harts) == 0:
		return errors.New("no usable hart below /cpus")
	case d.Timebase == 0:
		return errors.New("no timebase-frequency below /cpus")
	case d.Console.Size == 0:
		return errors.New("no console: no ns16550a")
	case d.PLIC.Size == 0:
		return errors.New("no PLIC: no sifive,plic-1.0.0 or riscv,plic0")
	}
	irqs := append([]Device{d.Console, d.RTC}, d.VirtIO...)
	for _, dev := range irqs {
		if dev.IRQ > d.PLIC.Sources {
			return fmt.Errorf("device at %#x: interrupt %d, but the PLIC has %d sources", dev.Start, dev.IRQ, d.PLIC.Sources)
		}
	}
	return nil
}

// check tells whether the range may be part of a Description.
func (r Range) check() error {
	if r.Size == 0 || r.Start >= MaxAddress || r.Size > MaxAddress-r.Start {
		return fmt.Errorf("range at %#x of %#x bytes is empty or ends above %#x", r.Start, r.Size, uint64(MaxAddress))
	}
	return nil
}
