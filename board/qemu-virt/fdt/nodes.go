package fdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/dt"
)

// node is a node of the library's tree that knows where it is. Few nodes are ever
// asked for their path, so it is not kept: paths are up to MaxDepth*MaxName long.
type node struct {
	*dt.Node
	parent *node // nil for the root
}

// path returns the names from the root on, which itself is "/".
func (n node) path() string {
	if n.parent == nil {
		return "/"
	}
	return strings.TrimSuffix(n.parent.path(), "/") + "/" + n.Name
}

func (n node) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", n.path(), fmt.Errorf(format, args...))
}

// prop returns the value of the first property of that name.
func (n node) prop(name string) ([]byte, bool) {
	for _, p := range n.Properties {
		if p.Name == name {
			return p.Value, true
		}
	}
	return nil, false
}

// u32 returns a property of one cell, or preset if there is none.
func (n node) u32(name string, preset uint32) (uint32, error) {
	v, ok := n.prop(name)
	if !ok {
		return preset, nil
	}
	if len(v) != 4 {
		return 0, n.errorf("%s has %d bytes, not 4", name, len(v))
	}
	return binary.BigEndian.Uint32(v), nil
}

// text returns a string property, or "" if there is none.
func (n node) text(name string, limit int) (string, error) {
	v, ok := n.prop(name)
	if !ok {
		return "", nil
	}
	s, rest, ended := bytes.Cut(v, []byte{0})
	if !ended || len(rest) != 0 {
		return "", n.errorf("%s is not one NUL-terminated string", name)
	}
	if len(s) > limit {
		return "", n.errorf("%s has %d bytes, more than %d", name, len(s), limit)
	}
	for _, c := range s {
		if c < ' ' || c > '~' {
			return "", n.errorf("%s holds the byte %#02x", name, c)
		}
	}
	return string(s), nil
}

// compatible tells whether the node is compatible with one of the models.
func (n node) compatible(models ...string) bool {
	list, _ := n.prop("compatible")
	for len(list) > 0 {
		var c []byte
		c, list, _ = bytes.Cut(list, []byte{0})
		if slices.Contains(models, string(c)) {
			return true
		}
	}
	return false
}

// enabled tells whether the status allows to use the node.
func (n node) enabled() bool {
	v, ok := n.prop("status")
	s := string(bytes.TrimRight(v, "\x00"))
	return !ok || s == "okay" || s == "ok"
}

// cells returns #address-cells and #size-cells for the children of the node.
func (n node) cells() (address, size int, err error) {
	a, err := n.u32("#address-cells", 2)
	if err != nil {
		return 0, 0, err
	}
	s, err := n.u32("#size-cells", 1)
	if err != nil {
		return 0, 0, err
	}
	if a < 1 || a > 2 || s > 2 {
		return 0, 0, n.errorf("%d address cells and %d size cells, want 1..2 and 0..2", a, s)
	}
	return int(a), int(s), nil
}

// number reads a number of one or two cells.
func number(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

// reg returns the ranges in the node's reg, at most limit; none without reg.
func (n node) reg(parent node, limit int) ([]Range, error) {
	address, size, err := parent.cells()
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, n.errorf("reg has no sizes, as its parent says")
	}
	v, _ := n.prop("reg")
	one := 4 * (address + size)
	if len(v)%one != 0 {
		return nil, n.errorf("reg has %d bytes, not a multiple of %d", len(v), one)
	}
	if len(v)/one > limit {
		return nil, n.errorf("reg has %d ranges, more than %d", len(v)/one, limit)
	}
	var ranges []Range
	for ; len(v) > 0; v = v[one:] {
		r := Range{number(v[:4*address]), number(v[4*address : one])}
		if err := r.check(); err != nil {
			return nil, n.errorf("reg: %w", err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// device returns the first range of the node's reg and its first interrupt.
func (n node) device(parent node) (Device, error) {
	ranges, err := n.reg(parent, MaxRAM)
	if err != nil {
		return Device{}, err
	}
	if len(ranges) == 0 {
		return Device{}, n.errorf("no reg")
	}
	d := Device{Range: ranges[0]}
	if v, ok := n.prop("interrupts"); ok {
		if len(v) < 4 {
			return Device{}, n.errorf("interrupts has %d bytes, want at least 4", len(v))
		}
		d.IRQ = binary.BigEndian.Uint32(v)
		if d.IRQ < 1 || d.IRQ > MaxIRQ {
			return Device{}, n.errorf("interrupt %d, want 1..%d", d.IRQ, MaxIRQ)
		}
	}
	return d, nil
}

func (p *parser) memory(n, root node) error {
	if !n.enabled() {
		return nil
	}
	ranges, err := n.reg(root, MaxRAM)
	if err != nil {
		return err
	}
	if p.d.RAM = append(p.d.RAM, ranges...); len(p.d.RAM) > MaxRAM {
		return n.errorf("more than %d ranges of RAM", MaxRAM)
	}
	return nil
}

// reserved collects /reserved-memory, whatever the status of its nodes: too much
// is safe. A node without reg asks for a range to be chosen; nobody needs one.
func (p *parser) reserved(n node) error {
	for _, child := range n.Children {
		c := node{child, &n}
		if _, ok := c.prop("reg"); !ok {
			continue
		}
		ranges, err := c.reg(n, MaxReserved)
		if err != nil {
			return err
		}
		if p.d.Reserved = append(p.d.Reserved, ranges...); len(p.d.Reserved) > MaxReserved {
			return c.errorf("more than %d reserved ranges", MaxReserved)
		}
	}
	return nil
}

func (p *parser) chosen(n node) error {
	var err error
	if p.d.Bootargs, err = n.text("bootargs", MaxBootargs); err != nil {
		return err
	}
	if p.d.StdoutPath, err = n.text("stdout-path", MaxBootargs); err != nil {
		return err
	}
	if seed, ok := n.prop("rng-seed"); ok {
		p.d.RNGSeed = bytes.Clone(seed)
	}
	return nil
}

func (p *parser) cpus(n node) error {
	timebase, err := n.u32("timebase-frequency", 0)
	if err != nil {
		return err
	}
	if timebase > MaxTimebase {
		return n.errorf("timebase-frequency %d Hz, more than %d", timebase, uint32(MaxTimebase))
	}
	p.d.Timebase = timebase
	address, _, err := n.cells()
	if err != nil {
		return err
	}
	for _, child := range n.Children {
		c := node{child, &n}
		if kind, err := c.text("device_type", MaxName); err != nil {
			return err
		} else if kind != "cpu" || !c.enabled() {
			continue
		}
		if err := p.hart(c, address); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) hart(n node, address int) error {
	if len(p.d.Harts) == MaxHarts {
		return n.errorf("more than %d harts", MaxHarts)
	}
	id, _ := n.prop("reg")
	if len(id) != 4*address {
		return n.errorf("reg has %d bytes, not %d", len(id), 4*address)
	}
	isa, err := n.text("riscv,isa", MaxBootargs)
	if err != nil {
		return err
	}
	h := Hart{ID: number(id), ISA: isa}
	// The first part names the base and the one-letter extensions.
	h.Sstc = slices.Contains(strings.Split(strings.ToLower(isa), "_")[1:], "sstc")
	intc := uint32(0)
	for _, child := range n.Children {
		c := node{child, &n}
		if c.compatible("riscv,cpu-intc") {
			if intc, err = c.u32("phandle", 0); err != nil {
				return err
			}
		}
	}
	p.d.Harts = append(p.d.Harts, h)
	p.cpuIntc = append(p.cpuIntc, intc)
	return nil
}

// devices collects the devices below bus, and below the buses on it whose
// addresses are those of the CPU, which is what an empty "ranges" says.
func (p *parser) devices(bus node) error {
	for _, child := range bus.Children {
		n := node{child, &bus}
		if !n.enabled() {
			continue
		}
		if err := p.device(n, bus); err != nil {
			return err
		}
		if ranges, ok := n.prop("ranges"); ok && len(ranges) == 0 {
			if err := p.devices(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) device(n, bus node) error {
	switch {
	case n.compatible("ns16550a"):
		d, err := n.device(bus)
		if err != nil {
			return err
		}
		shift, err := n.u32("reg-shift", 0)
		if err != nil {
			return err
		}
		if shift == 0 && d.Size >= 8 {
			p.consoles = append(p.consoles, console{d, n.path()})
		}
	case n.compatible("virtio,mmio"):
		d, err := n.device(bus)
		if err != nil {
			return err
		}
		if p.d.VirtIO = append(p.d.VirtIO, d); len(p.d.VirtIO) > MaxVirtIO {
			return n.errorf("more than %d virtio slots", MaxVirtIO)
		}
	case n.compatible("sifive,plic-1.0.0", "riscv,plic0"):
		if p.d.PLIC.Size != 0 {
			return n.errorf("second PLIC")
		}
		return p.plic(n, bus)
	case n.compatible("google,goldfish-rtc"):
		d, err := n.device(bus)
		if err != nil {
			return err
		}
		p.d.RTC = d
	case n.compatible("sifive,test0", "sifive,test1"):
		d, err := n.device(bus)
		if err != nil {
			return err
		}
		p.d.Finisher = d.Range
	}
	return nil
}

func (p *parser) plic(n, bus node) error {
	d, err := n.device(bus)
	if err != nil {
		return err
	}
	sources, err := n.u32("riscv,ndev", 0)
	if err != nil {
		return err
	}
	if sources < 1 || sources > MaxIRQ {
		return n.errorf("riscv,ndev is %d, want 1..%d", sources, MaxIRQ)
	}
	p.d.PLIC = PLIC{d.Range, sources}
	// One pair (controller of a hart, its interrupt) for each context, in order.
	const externalS = 9
	v, _ := n.prop("interrupts-extended")
	for i := 0; len(v) >= 8; i, v = i+1, v[8:] {
		if binary.BigEndian.Uint32(v[4:]) == externalS {
			p.contexts[binary.BigEndian.Uint32(v)] = i
		}
	}
	return nil
}
