package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
)

// simDevices are the devices of the simulated board, numbers 1 to 3: an ordinary
// one, one of several pages, and one without an interrupt. No memory of the test
// is where their registers are.
var simDevices = []Device{
	{Kind: abi.DeviceVirtIO, Base: 0x1000_1000, Size: abi.PageSize, IRQ: 1},
	{Kind: abi.DeviceVirtIO, Base: 0x1000_2000, Size: 4 * abi.PageSize, IRQ: 7},
	{Kind: abi.DeviceVirtIO, Base: 0x2000_0000, Size: abi.PageSize},
}

// plic is an interrupt controller with gateways as its specification has them: a
// line that is raised is latched again as soon as the last interrupt of it is
// complete, and a completion counts only while the source is enabled.
type plic struct {
	tb      testing.TB
	raised  [maxSource + 1]bool
	pending [maxSource + 1]bool
	claimed [maxSource + 1]bool
	enabled [maxSource + 1]bool
	claims  int // interrupts taken
}

func (c *plic) latch(source uint32) {
	if c.raised[source] && !c.claimed[source] {
		c.pending[source] = true
	}
}

// set raises or lowers the line of a device.
func (c *plic) set(source uint32, level bool) {
	c.raised[source] = level
	c.latch(source)
}

func (c *plic) Enable(source uint32)  { c.check(source); c.enabled[source] = true }
func (c *plic) Disable(source uint32) { c.check(source); c.enabled[source] = false }

func (c *plic) check(source uint32) {
	if source == 0 || source > maxSource {
		c.tb.Errorf("source %d at the interrupt controller", source)
	}
}

func (c *plic) Claim() uint32 {
	for s := range uint32(len(c.pending)) {
		if c.pending[s] && c.enabled[s] {
			c.pending[s], c.claimed[s] = false, true
			c.claims++
			return s
		}
	}
	return 0
}

func (c *plic) Complete(source uint32) {
	c.check(source)
	if !c.enabled[source] || !c.claimed[source] {
		c.tb.Errorf("source %d completed: enabled %v, claimed %v", source, c.enabled[source], c.claimed[source])
		return
	}
	c.claimed[source] = false
	c.latch(source)
}

// quiet checks that no line is enabled or claimed any more.
func (c *plic) quiet() {
	for s := range c.enabled {
		if c.enabled[s] || c.claimed[s] {
			c.tb.Errorf("source %d: enabled %v, claimed %v", s, c.enabled[s], c.claimed[s])
		}
	}
}

// wanted reports whether the controller interrupts the hart.
func (c *plic) wanted() bool {
	for s := range c.pending {
		if c.pending[s] && c.enabled[s] {
			return true
		}
	}
	return false
}

// external does what the boot hart does about the interrupts of devices: it traps out
// of whoever runs as long as there are any, or wakes up.
func (s *sim) external() (traps int) {
	for ; s.plic.wanted(); traps++ {
		if traps > int(s.numDevices) {
			s.tb.Fatal("interrupts have no end")
		}
		if t := s.On(0).Current(); t != nil {
			s.trapped(t, hart.CauseExternal, 1)
			continue
		}
		s.rouse(0)
	}
	return traps
}

// driver is a process with the window and the interrupt of device 0, and the
// root's handles of them.
type driver struct {
	proc
	window, irq, note   uint64
	rootWindow, rootIRQ uint64
	process             uint64 // the root's
}

// noteKey is the key of a driver's notification, lineBit what its interrupt sets.
const (
	noteKey = 77
	lineBit = 4
)

func (s *sim) driver() driver {
	s.tb.Helper()
	d := driver{rootWindow: s.root.must(abi.SysMMIOCreate, hDevices, 0), rootIRQ: s.root.must(abi.SysIRQCreate, hDevices, 0)}
	d.proc, d.process = s.spawn()
	d.window = s.give(s.root, d.rootWindow, abi.RightRead|abi.RightWrite, 0, d.proc)
	d.irq = s.give(s.root, d.rootIRQ, abi.RightManage, 0, d.proc)
	d.note = d.must(abi.SysNotificationCreate, noteKey)
	return d
}

// deviceTable checks what is held of devices.
func (c *checker) deviceTable() {
	for i := range c.devices {
		d := &c.devices[i]
		c.want(d.maps == c.refs.windows[i], "device %d: %d mappings, counted %d", i, d.maps, c.refs.windows[i])
		c.want((d.window != 0) == (c.refs.owners[i] == 1) && c.refs.owners[i] <= 1, "device %d: window of node %d, %d owners", i, d.window, c.refs.owners[i])
		c.want((d.line != 0) == (c.refs.lines[i] == 1) && c.refs.lines[i] <= 1, "device %d: interrupt of node %d, %d owners", i, d.line, c.refs.lines[i])
		c.want(d.window == 0 || c.caps[d.window].kind == abi.KindMMIO && c.caps[d.window].child == 0, "device %d: window of node %d", i, d.window)
		c.want(d.line == 0 || c.caps[d.line].kind == abi.KindIRQ && c.caps[d.line].child == 0, "device %d: interrupt of node %d", i, d.line)
		c.want(d.state == lineOff || d.line != 0 && d.bits != 0, "device %d: line in state %d without an owner", i, d.state)
		if d.IRQ != 0 {
			c.want(c.plic.enabled[d.IRQ] == (d.state != lineOff) && c.plic.claimed[d.IRQ] == (d.state == lineClaimed), "device %d: line in state %d, enabled %v, claimed %v", i, d.state, c.plic.enabled[d.IRQ], c.plic.claimed[d.IRQ])
		}
		for v := d.kept; v != 0; v = c.vmos[v].next {
			c.want(!c.kept[v] && c.vmos[v].dev == uint32(i) && c.vmos[v].epoch == d.epoch, "device %d keeps buffer %d of device %d back", i, v, c.vmos[v].dev)
			c.kept[v] = true
		}
	}
}

// stir lets devices raise and lower their lines.
func (w *world) stir() {
	switch w.upTo(4) {
	case 0:
		w.plic.set([]uint32{1, 7, 9}[w.upTo(3)], w.upTo(2) == 0)
	case 1:
		w.external()
	}
}

// deviceArguments makes some sense of the calls on devices.
func (w *world) deviceArguments(q proc, num uint64, a *[7]uint64) {
	switch num {
	case abi.SysDeviceInfo, abi.SysMMIOCreate, abi.SysIRQCreate:
		a[0], a[1] = w.handle(q, abi.KindDevices), w.maybe(uint64(w.upTo(4)))
	case abi.SysMMIOMap:
		*a = [7]uint64{w.handle(q, abi.KindMMIO), w.pick(0, abi.MapBase+uint64(w.upTo(8))*abi.PageSize), w.pick(0, 0, abi.PageSize), w.pick(1, 1, 2, 4) * abi.PageSize}
	case abi.SysMMIORelease:
		a[0] = w.handle(q, abi.KindMMIO)
	case abi.SysIRQBind:
		*a = [7]uint64{w.handle(q, abi.KindIRQ), w.pick(0, w.handle(q, abi.KindNotification)), w.pick(0, 1, 2)}
	case abi.SysIRQAck:
		a[0] = w.handle(q, abi.KindIRQ)
	case abi.SysDMACreate:
		a[0], a[1] = w.handle(q, abi.KindMMIO), w.maybe(uint64(w.upTo(6*abi.PageSize)))
	case abi.SysDMAAddress:
		a[0] = w.handle(q, abi.KindVMO)
	}
}

// physical returns the address of a DMA buffer.
func (q proc) physical(h uint64) mem.PA { return mem.PA(q.must(abi.SysDMAAddress, h)) }
