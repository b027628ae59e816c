package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
)

// TestSliceUpcall: a process that asked is told when it has run for a slice, gets
// all its registers back, and may continue elsewhere.
func TestSliceUpcall(t *testing.T) {
	s := newSim(t)
	p, _ := s.spawn()
	handler := elftest.Hello().Entry
	if s.advance(2 * sliceNS); p.main.Frame.X[0] == handler && p.main.inFault {
		t.Fatal("told without having asked")
	}
	p.fails(abi.EINVAL, abi.SysFaultHandler, handler, 2)
	p.must(abi.SysFaultHandler, handler, abi.FaultSlices)
	p.fails(abi.EINVAL, abi.SysFaultDone, 1)
	p.schedule()
	if at := s.h.SliceAlarm(); at > s.clock+sliceNS {
		t.Fatalf("alarm at %d, now %d", at, s.clock)
	}
	for i := range p.main.Frame.X {
		p.main.Frame.X[i] = 0x1000 + uint64(i)
	}
	before := p.main.Frame.X
	s.h.upcallAt = s.clock + sliceNS
	if s.advance(sliceNS - 1); p.main.Frame.X != before {
		t.Fatal("told too early")
	}
	s.advance(1)
	x := &p.main.Frame.X
	if x[0] != handler || x[hart.A0] != hart.CauseTimer || x[hart.A1] != before[hart.SP] || x[hart.A2] != before[0] {
		t.Fatalf("handler entered with pc %#x, a0 %#x, a1 %#x, a2 %#x", x[0], x[hart.A0], x[hart.A1], x[hart.A2])
	}
	if s.advance(2 * sliceNS); x[0] != handler || p.main.saved != before {
		t.Fatal("told again before fault_done")
	}
	p.schedule()
	x[hart.A0], x[hart.A1], x[hart.A7] = 1, 0, abi.SysFaultDone
	p.main.Frame.Cause, p.main.Frame.Full = hart.CauseEcallU, 0
	if s.Trap(p.main); p.main.Frame.X != before || p.main.Frame.Full == 0 {
		t.Fatal("registers are not as they were")
	}
	s.advance(2 * sliceNS)
	p.schedule()
	x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3], x[hart.A7] = 1, 7, 8, 9, abi.SysFaultDone
	p.main.Frame.Cause, p.main.Frame.Full = hart.CauseEcallU, 0
	s.Trap(p.main)
	want := before
	want[0], want[hart.SP], want[hart.RA] = 7, 8, 9
	if p.main.Frame.X != want {
		t.Fatal("did not continue where the handler said")
	}
}
