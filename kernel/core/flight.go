package core

import (
	"encoding/binary"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// flight is the flight recorder of a hart: a ring of the last things that it did. An
// event costs ten instructions, so that it is always on.
type flight struct {
	n      uint64 // events so far
	noted  uint64 // of these, not that the hart went to another thread
	events [abi.FlightSize]abi.FlightEvent
}

// put adds the event that the hart goes to another thread: this is how switches are
// counted.
func (f *flight) put(e abi.FlightEvent) {
	n := f.n
	f.events[n%abi.FlightSize] = e
	f.n = n + 1
}

// note adds any other event.
func (f *flight) note(e abi.FlightEvent) {
	f.noted++
	f.put(e)
}

// note adds an event to the flight recorder of the hart.
func (h *Hart) note(kind abi.FlightKind, a, b uint32) {
	h.flight.note(abi.Flight(kind, uint64(a), uint64(b)))
}

// first returns the number of the oldest event in the ring.
func (f *flight) first() uint64 { return f.n - min(f.n, abi.FlightSize) }

// switchCount returns how often a hart went from one thread to another.
func (k *Kernel) switchCount() (n uint64) {
	for i := range k.harts {
		n += k.harts[i].flight.n - k.harts[i].flight.noted
	}
	return n
}

// FlightEvent returns the n-th oldest of the last events of hart i, if there are so many.
// It is for the report of a fault of the kernel: it takes no lock and allocates nothing.
func (k *Kernel) FlightEvent(i, n int) (e abi.FlightEvent, ok bool) {
	f := &k.harts[i].flight
	at := f.first() + uint64(n)
	return f.events[at%abi.FlightSize], at < f.n
}

func (k *Kernel) sysFlightRead(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindSpawn, abi.RightManage); errno != abi.OK {
		return errno
	}
	if x[hart.A1] >= uint64(k.numHarts) {
		return abi.EINVAL
	}
	f := &k.harts[x[hart.A1]].flight
	first := f.first()
	out := k.scratch[:8*(f.n-first)]
	for n := first; n < f.n; n++ {
		binary.LittleEndian.PutUint64(out[8*(n-first):], uint64(f.events[n%abi.FlightSize]))
	}
	if !p.space.CopyOut(x[hart.A2], out) {
		return abi.EFAULT
	}
	x[hart.A0], x[hart.A1] = f.n-first, f.n
	return abi.OK
}
