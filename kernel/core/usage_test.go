package core

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// usage is what process_info tells in registers s2 to s9.
type usage struct{ caps, mappings, faults, threads, vmos, timers, endpoints, notifications uint64 }

// usageOf asks as q about the process that h names.
func (q proc) usageOf(h uint64) usage {
	q.s.tb.Helper()
	q.must(abi.SysProcessInfo, h)
	d := q.main.Frame.X[hart.S2:]
	return usage{d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]}
}

func (u usage) plus(v usage) usage {
	return usage{u.caps + v.caps, u.mappings + v.mappings, u.faults + v.faults, u.threads + v.threads,
		u.vmos + v.vmos, u.timers + v.timers, u.endpoints + v.endpoints, u.notifications + v.notifications}
}

// What a process uses of its quotas can be read by itself and by who has a capability
// to it, and each count changes with what it counts and with nothing else.
func TestUsage(t *testing.T) {
	s := newSim(t)
	q, h := s.spawn()
	var vmo, va, note, dup uint64
	want := q.usageOf(0)
	if first := (usage{mappings: uint64(q.numRegions), faults: want.faults, threads: 1}); want != first {
		t.Fatalf("at the start %+v, want %+v", want, first)
	}
	for _, c := range []struct {
		what   string
		do     func()
		change usage
	}{
		{"create a memory object", func() { vmo = q.must(abi.SysVMOCreate, 2*abi.PageSize) }, usage{caps: 1, vmos: 1}},
		{"copy a capability", func() { dup = q.must(abi.SysCapCopy, vmo, rw) }, usage{caps: 1}},
		{"map", func() { va = q.must(abi.SysVMOMap, vmo, 0, 0, 2*abi.PageSize, rw) }, usage{mappings: 1}},
		{"touch it", func() { q.access(va, sv39.W) }, usage{faults: 1}},
		{"touch it again", func() { q.access(va, sv39.R) }, usage{}},
		{"touch the heap", func() { q.access(abi.HeapBase+0x20_0000, sv39.W) }, usage{faults: 1}},
		{"create a notification", func() { note = q.must(abi.SysNotificationCreate, 1) }, usage{caps: 1, notifications: 1}},
		{"create a timer", func() { q.must(abi.SysTimerCreate, note, 1) }, usage{caps: 1, timers: 1}},
		{"create an endpoint", func() { q.must(abi.SysEndpointCreate, 1, 0) }, usage{caps: 1, endpoints: 1}},
		{"create a thread", func() { q.thread() }, usage{threads: 1}},
		{"unmap", func() { q.must(abi.SysUnmap, va, 2*abi.PageSize) }, usage{mappings: ^uint64(0)}},
		{"close a copy", func() { q.must(abi.SysCapClose, dup) }, usage{caps: ^uint64(0)}},
		{"close the last capability", func() { q.must(abi.SysCapClose, vmo) }, usage{caps: ^uint64(0), vmos: ^uint64(0)}},
		{"close a notification", func() { q.must(abi.SysCapClose, note) }, usage{caps: ^uint64(0), notifications: ^uint64(0)}},
	} {
		c.do()
		want = want.plus(c.change)
		if got := q.usageOf(0); got != want {
			t.Errorf("%s: %+v, want %+v", c.what, got, want)
		}
		if got := s.root.usageOf(h); got != want {
			t.Errorf("%s: to its parent %+v, want %+v", c.what, got, want)
		}
		s.check()
	}
	q.sys(abi.SysExit, 0)
	if got := s.root.usageOf(h); got != (usage{faults: want.faults}) {
		t.Errorf("ended: %+v", got)
	}
}
