//go:build tamago && riscv64

package kselftest

import (
	"slices"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Indices of the ways to fault.
const (
	faultIllegal = iota
	faultBreak
	faultLoad
	faultStore
	faultJump
	faultMisaligned
)

// faultRecord: an exception without a handler ends its process and nothing else, and
// leaves a record of what, where and about which address. The kernel says it on the
// console; the ladder expects these lines by the names of the processes.
func faultRecord(t *tester) {
	own := caller(self)
	var code [6]uint64
	faultAddresses(&code)
	by := t.puppet()
	const nowhere = abi.MapEnd - 64*abi.PageSize
	for _, w := range []struct {
		name  string
		way   uint64
		addr  uint64
		cause uint64
		pc    uint64 // 0: that of the instruction
		tval  uint64
	}{
		{"fault-illegal", faultIllegal, 0, causeIllegal, 0, 0},
		{"fault-break", faultBreak, 0, causeBreakpoint, 0, 0},
		{"fault-misaligned", faultMisaligned, raw.AddressOf(&private) + 1, causeLoadMisaligned, 0, raw.AddressOf(&private) + 1},
		{"fault-load", faultLoad, nowhere, causeLoadPage, 0, nowhere},
		{"fault-store", faultStore, code[0] &^ 7, causeStorePage, 0, code[0] &^ 7},
		{"fault-jump", faultJump, abi.HeapBase + 64, causeFetchPage, abi.HeapBase + 64, abi.HeapBase + 64},
		{"fault-kernel", faultLoad, 0x8021_0000, causeLoadPage, 0, 0x8021_0000},
		{"fault-null", faultStore, 8, causeStorePage, 0, 8},
	} {
		before := t.counts()
		p := t.puppetOf(t.puppetSpec(w.name))
		_, here := p.endpoint(1, 8)
		p.order(opFault, w.way, w.addr)
		status := p.awaitEnd()
		s := p.state()
		if w.pc == 0 {
			w.pc = code[w.way]
		}
		check(status == abi.ExitFault, "%s: status %d", w.name, status)
		if w.addr == 0 {
			s[7] = 0 // a hart may give the instruction, its address or nothing
		}
		check(s[5] == w.cause && s[6] == w.pc && s[7] == w.tval, "%s: scause %d, pc %#x, address %#x; want %d, %#x, %#x", w.name, s[5], s[6], s[7], w.cause, w.pc, w.tval)
		own.refuse(abi.ECLOSED, abi.SysSend, here, 0)
		check(by.do(opLoad, raw.AddressOf(&original))[0] == original, "%s: another process does not answer right", w.name)
		closeAll(here)
		p.drop()
		t.nothing("after a fault")
		check(t.counts() == before, "%s: afterwards %+v, before %+v", w.name, t.counts(), before)
	}
	// A process that takes more than its budget.
	p := t.puppetOf(t.puppetSpec("fault-memory"))
	p.order(opFill, abi.HeapBase+400*abi.PageSize, (puppetFrames+16)*abi.PageSize, 1)
	status := p.awaitEnd()
	s := p.state()
	check(status == abi.ExitNoMem && s[5] == causeStorePage && s[7] >= abi.HeapBase+400*abi.PageSize && s[7] < abi.HeapBase+(400+puppetFrames)*abi.PageSize,
		"past its budget a process ended with %d, scause %d, address %#x", status, s[5], s[7])
	check(by.do(opLoad, raw.AddressOf(&original))[0] == original, "another process does not answer right")
}

// crowd is more processes than there are harts, so that some must make way.
const crowd = 9

// preemption: processes that never make a system call share the harts, and one that
// waits gets a hart when its time has come.
func preemption(t *tester) {
	// A loaded machine gives the guest little time between two samples; the bound is
	// far beyond what a quiet one needs.
	const spin, rounds, want = 20_000, 500, 3 // ms, samples at most, samples in which all moved
	var ps [crowd]*process
	for i := range ps {
		ps[i] = t.puppet()
	}
	for _, p := range ps {
		p.order(opSpin, spin*uint64(ms))
	}
	all := 0
	var last [crowd]uint64
	for n := 0; n < rounds && all < want; n++ {
		r := t.wait(0, 0, 0, now()+2*crowd*ms)
		check(r.A[0] == abi.EventNone, "event %d", r.A[0])
		moved := 0
		for i, p := range ps {
			check(!p.idle, "%s had a hart until it was done", p.name)
			if n := p.page.count; n != last[i] {
				last[i] = n
				moved++
			}
		}
		if moved == crowd {
			all++
		}
	}
	for _, p := range ps {
		p.page.stop = 1
	}
	check(all >= want, "%d processes that never wait moved in %d of %d samples", crowd, all, rounds)
}

// fpState: floating-point registers and rounding mode are those of the process, when
// others use them in between.
func fpState(t *tester) {
	const turns, atLeast = 10, 60 * ms
	var ps [crowd]*process
	for i := range ps {
		ps[i] = t.puppet()
	}
	for i, p := range ps {
		// Each sees the count of the next.
		next := ps[(i+1)%crowd]
		h := p.giveAway(caller(self).sys(abi.SysCapCopy, next.vmo, readWrite|uint64(abi.RightGrant)))
		at := caller(p.call).sys(abi.SysVMOMap, h, 0, 0, sharedSize, readWrite)
		p.order(opHoldFP, uint64(i)*0x5a+3, at+raw.AddressOf(&next.page.count)-next.at, turns, uint64(atLeast), uint64(patience)/2)
	}
	x, y := 1.5, 3.25
	t.until("all to have seen each other run", func() bool {
		x = x*y/(x+1) + 0.125 // this process uses the registers as well
		return !slices.ContainsFunc(ps[:], func(p *process) bool { return p.page.held == 0 })
	})
	check(x > 0 && x < 4, "this process computed %v", x)
	for _, p := range ps {
		p.page.stop = 1
	}
	for _, p := range ps {
		p.finish()
		switch r := p.page.held - 1; {
		case r == 100:
			failf("%s did not see the next one run %d times", p.name, turns)
		case r != 0:
			failf("%s: register %d changed while others ran", p.name, r-1)
		}
	}
}
