package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// line is the interrupt source of the driver's device.
var line = simDevices[0].IRQ

// interrupted checks that the event of q is the interrupt of its device.
func (d driver) interrupted() {
	d.s.tb.Helper()
	e := d.event()
	if e.kind != abi.EventNotify || e.cookie != noteKey || e.a2 != lineBit {
		d.s.tb.Fatalf("event %+v, want the interrupt", e)
	}
}

// quietly checks that no interrupt is there for d.
func (d driver) quietly() {
	d.s.tb.Helper()
	if e := d.poll(); e.kind != abi.EventNone {
		d.s.tb.Fatalf("event %+v, want none", e)
	}
}

func TestIRQ(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	s.plic.set(line, true)
	if s.external() != 0 {
		t.Error("an interrupt came in that nobody wants")
	}
	s.plic.set(line, false)
	s.plic.pending[line] = false
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	d.fails(abi.ENOENT, abi.SysIRQAck, d.irq)
	d.wait(0, 0)
	d.mustWait()
	s.check()
	for range 3 {
		s.plic.set(line, true)
		if n := s.external(); n != 1 {
			t.Fatalf("%d traps", n)
		}
		d.interrupted()
		s.check()
		s.plic.set(line, false) // the driver has served the device
		d.must(abi.SysIRQAck, d.irq)
		d.fails(abi.ENOENT, abi.SysIRQAck, d.irq)
		d.wait(0, 0)
		if s.external() != 0 {
			t.Fatal("an interrupt without a cause")
		}
		s.check()
	}
	// While nobody runs, the hart wakes up for it.
	s.root.trap(abi.SysWait, &regs{})
	if s.Current() != nil {
		t.Fatal("not idle")
	}
	s.plic.set(line, true)
	s.external()
	if s.Current() != d.main {
		t.Error("the driver does not run")
	}
	d.interrupted()
	s.check()
}

// A line that stays raised costs a trap each time that its driver lets it in, and
// none otherwise; everybody else has the hart meanwhile.
func TestIRQStorm(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	victim, _ := s.spawn()
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	s.plic.set(line, true)
	victim.schedule()
	if n := s.external(); n != 1 {
		t.Fatalf("%d traps, want 1", n)
	}
	for range 100 {
		victim.must(abi.SysNop)
		if n := s.external(); n != 0 {
			t.Fatalf("%d traps although nobody acknowledged", n)
		}
	}
	// A driver that does nothing but acknowledge takes each trap in its own time.
	const rounds = 1000
	d.schedule()
	before := s.plic.claims
	for i := range rounds {
		d.quietlyOrInterrupted()
		d.must(abi.SysIRQAck, d.irq)
		if s.Current() != d.main {
			t.Fatalf("round %d: another process runs when the interrupt comes in", i)
		}
		s.external()
	}
	if n := s.plic.claims - before; n != rounds {
		t.Errorf("%d interrupts in %d rounds", n, rounds)
	}
	// Its time slice ends like any other.
	s.clock = s.h.sliceEnd
	s.interrupt()
	if s.Current() == d.main {
		t.Error("a storm keeps its driver running")
	}
	s.check()
}

func (d driver) quietlyOrInterrupted() { d.poll() }

// However the owner loses the interrupt, the line is masked and nothing is
// outstanding; the next owner starts from there.
func TestIRQEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *sim, d driver)
	}{
		{"exit", func(s *sim, d driver) { d.must(abi.SysExit) }},
		{"kill", func(s *sim, d driver) { s.root.must(abi.SysProcessKill, d.process) }},
		{"fault", func(s *sim, d driver) { d.access(mmioVA, 2) }},
		{"close", func(s *sim, d driver) { d.must(abi.SysCapClose, d.irq) }},
		{"revoke", func(s *sim, d driver) { s.root.must(abi.SysCapRevoke, d.rootIRQ) }},
		{"revoke all", func(s *sim, d driver) {
			s.root.must(abi.SysCapRevoke, hDevices)
		}},
		{"unbind", func(s *sim, d driver) {
			d.must(abi.SysIRQBind, d.irq, 0, 0)
			d.must(abi.SysIRQBind, d.irq, 0, 0) // once more
		}},
	} {
		for _, claimed := range []bool{false, true} {
			s := newSim(t)
			d := s.driver()
			d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
			if claimed {
				s.plic.set(line, true)
				s.external()
			}
			d.schedule()
			c.end(s, d)
			s.plic.quiet()
			s.check()
			s.plic.set(line, true)
			if n := s.external(); n != 0 {
				t.Errorf("%s, claimed %v: %d traps", c.name, claimed, n)
			}
			// Whoever has it next gets it. What was latched before comes too.
			root := s.root
			h := d.rootIRQ
			if s.lookup(root.Process, h) == 0 {
				h = root.must(abi.SysIRQCreate, hDevices, 0)
			}
			if d.alive() && s.lookup(d.Process, d.irq) != 0 {
				d.must(abi.SysCapClose, d.irq)
			}
			note := root.must(abi.SysNotificationCreate, 5)
			root.must(abi.SysIRQBind, h, note, 1)
			if n := s.external(); n != 1 {
				t.Errorf("%s, claimed %v: %d traps for the next owner", c.name, claimed, n)
			}
			if e := root.poll(); e.kind != abi.EventNotify || e.cookie != 5 || e.a2 != 1 {
				t.Errorf("%s: event %+v", c.name, e)
			}
			s.check()
		}
	}
}

// An interrupt is bound again without a gap: what came in stays unacknowledged,
// and the next one goes to the new notification.
func TestIRQBindAgain(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	second := d.must(abi.SysNotificationCreate, 78)
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	s.plic.set(line, true)
	s.external()
	d.must(abi.SysIRQBind, d.irq, second, 1)
	if s.external() != 0 {
		t.Error("let in without an acknowledgement")
	}
	d.wait(0, 0)
	d.interrupted()
	d.must(abi.SysIRQAck, d.irq)
	s.external()
	if e := d.poll(); e.cookie != 78 || e.a2 != 1 {
		t.Errorf("event %+v", e)
	}
	// The notification ends: the line goes quiet, and can be bound again.
	d.must(abi.SysCapClose, second)
	d.must(abi.SysIRQAck, d.irq)
	s.external()
	d.quietly()
	if s.external() != 0 {
		t.Error("interrupts for nobody")
	}
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	d.must(abi.SysIRQAck, d.irq)
	s.external()
	d.wait(0, 0)
	d.interrupted()
	s.check()
}

func TestIRQHasOneOwner(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	rootNote := s.root.must(abi.SysNotificationCreate, 1)
	s.root.fails(abi.EBUSY, abi.SysIRQCreate, hDevices, 0)
	s.root.fails(abi.EBUSY, abi.SysCapCopy, d.rootIRQ, uint64(abi.RightManage))
	s.root.fails(abi.EBUSY, abi.SysIRQBind, d.rootIRQ, rootNote, 1)
	s.root.fails(abi.EBUSY, abi.SysIRQAck, d.rootIRQ)
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	d.fails(abi.EPERM, abi.SysCapCopy, d.irq, uint64(abi.RightManage))
	d.must(abi.SysCapClose, d.irq)
	s.root.must(abi.SysIRQBind, d.rootIRQ, rootNote, 1)
	s.root.fails(abi.EBUSY, abi.SysCapCopy, d.rootIRQ, uint64(abi.RightManage)) // it is bound
	s.root.must(abi.SysIRQBind, d.rootIRQ, 0, 0)
	h := s.give(s.root, d.rootIRQ, abi.RightManage|abi.RightGrant, 0, d.proc)
	d.must(abi.SysIRQBind, h, d.note, lineBit)
	ep := d.must(abi.SysEndpointCreate, 1, 0)
	d.fails(abi.EBUSY, abi.SysSend, ep, 0, 0, 0, h)
	s.check()
}

// What the controller hands out without being asked is put down again.
func TestIRQSpurious(t *testing.T) {
	s := newSim(t)
	d := s.driver()
	d.must(abi.SysIRQBind, d.irq, d.note, lineBit)
	for _, source := range []uint32{9, simDevices[1].IRQ, maxSource} { // of no device, of one without owner
		s.plic.enabled[source] = true
		s.plic.set(source, true)
	}
	s.plic.set(line, true)
	c := s.Current()
	c.Frame.Cause, c.Frame.Full = hart.CauseExternal, 1
	s.Trap(c)
	for source, on := range s.plic.enabled {
		if on != (source == int(line)) {
			t.Errorf("source %d enabled: %v", source, on)
		}
	}
	d.wait(0, 0)
	d.interrupted()
	s.check()
	// A board without a controller has no interrupts.
	s.controller = nil
	s.External()
}
