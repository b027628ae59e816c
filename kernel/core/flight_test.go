package core

import (
	"encoding/binary"
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// flightOf reads the flight recorder of hart i by the system call.
func (s *sim) flightOf(i uint64) []abi.FlightEvent {
	n := s.root.must(abi.SysFlightRead, hSpawn, i, msgVA)
	raw := s.root.read(msgVA, int(8*n))
	events := make([]abi.FlightEvent, n)
	for i := range events {
		events[i] = abi.FlightEvent(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return events
}

// What harts do is in the flight recorder, in order and named.
func TestFlightRecorder(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	faulty, _ := s.spawn()
	v.wait(recv, 1)
	c.call(ep, 1)
	v.trap(abi.SysReply, &regs{A: [7]uint64{v.request(1).right, 8, recv}, S10: 1})
	c.reply(1, abi.OK)
	faulty.fault(hart.CauseLoadPage, 8)
	now := s.clock
	s.Tick()
	ct, vt, ft := uint64(c.main.id), uint64(v.main.id), uint64(faulty.main.id)
	got := s.flightOf(0)
	at := 0
	for _, want := range []abi.FlightEvent{
		abi.Flight(abi.FlightStart, uint64(c.id), c.pid),
		abi.Flight(abi.FlightStart, uint64(faulty.id), faulty.pid),
		abi.Flight(abi.FlightRun, vt, 0),
		abi.Flight(abi.FlightCall, ct, vt),
		abi.Flight(abi.FlightReply, vt, ct),
		abi.Flight(abi.FlightRun, ft, 0),
		abi.Flight(abi.FlightFault, ft, hart.CauseLoadPage),
		abi.Flight(abi.FlightEnd, uint64(faulty.id), 0),
		abi.FlightAt(abi.FlightTick, now),
	} {
		i := slices.Index(got[at:], want)
		if i < 0 {
			t.Fatalf("no %s %d %d behind event %d of %d", want.Kind(), want.A(), want.B(), at, len(got))
		}
		at += i + 1
	}
	s.check()
}

// The recorder keeps the last events, as many as the ABI says, and the report of a
// kernel fault sees what the system call does.
func TestFlightRecorderWraps(t *testing.T) {
	s := newSim(t)
	h := s.h
	if n := len(s.flightOf(0)); n == 0 || uint64(n) != h.flight.n {
		t.Errorf("%d events of %d", n, h.flight.n)
	}
	for i := range 3 * abi.FlightSize {
		h.note(abi.FlightPoke, uint32(i), 0)
	}
	got := s.flightOf(0)
	if len(got) != abi.FlightSize {
		t.Fatalf("%d events", len(got))
	}
	last := uint64(0)
	for _, e := range got {
		if e.Kind() == abi.FlightPoke {
			if last != 0 && e.A() != last+1 {
				t.Fatalf("event %d behind event %d", e.A(), last)
			}
			last = e.A()
		}
	}
	if last != 3*abi.FlightSize-1 {
		t.Errorf("the last event is %d", last)
	}
	var seen []abi.FlightEvent
	for e, ok := s.FlightEvent(0, 0); ok; e, ok = s.FlightEvent(0, len(seen)) {
		seen = append(seen, e)
	}
	if !slices.Equal(seen, got) {
		t.Error("the report sees other events")
	}
	if first := h.flight.first(); got[0] != h.flight.events[first%abi.FlightSize] {
		t.Error("the oldest event is not the first")
	}
}
