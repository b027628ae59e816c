//go:build tamago && riscv64

package kselftest

import (
	"math/bits"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// smpProofs are those for several harts, after all others.
var smpProofs = []proof{
	{"smp online ok", smpOnline},
	{"ipi counterfactual ok", ipiCounterfactual},
	{"ipi resched ok", ipiResched},
	{"test_reject_invalid_ipi_target_cpu ok", rejectInvalidTarget},
	{"test_reject_offline_cpu_resched ok", rejectOffline},
	{"work stealing ok", workStealing},
	{"parallel threads ok", parallelThreads},
	{"test_reject_steal_above_bound ok", rejectStealAboveBound},
	{"test_reject_steal_higher_qos ok", rejectStealHigherQoS},
	{"vmo seal harts ok", sealHarts},
}

// interrupts counts what harts have told each other, and the threads that they took
// from each other.
type interrupts struct{ requested, sent, trapped, acknowledged, stolen uint64 }

// hartCounts returns how many harts run and what they have told each other.
func hartCounts() (n uint64, c interrupts) {
	d := caller(self).event(abi.SysSystemInfo, ipc.Regs{A: [8]uint64{spawnCap}}).Data
	return uint64(bits.OnesCount64(d[1])), interrupts{requested: d[3], sent: d[4], trapped: d[5], acknowledged: d[6], stolen: d[7]}
}

// harts returns how many harts run.
func harts() uint64 {
	n, _ := hartCounts()
	return n
}

// smpOnline: every hart runs processes, as these see themselves.
func smpOnline(t *tester) {
	n := harts()
	var ps []*process
	for range n + 1 {
		ps = append(ps, t.puppet(abi.SpawnCap{Handle: abi.Handle(spawnCap), Rights: abi.RightManage}))
	}
	seen := uint64(0)
	for end := now() + int64(patience); seen != 1<<n-1; {
		check(now() < end, "of %d harts only those in the set %#b run processes", n, seen)
		for _, p := range ps {
			p.order(opHarts, given(0), uint64(10*ms))
		}
		for _, p := range ps {
			seen |= p.finish().A[0]
		}
		check(seen < 1<<n, "processes ran on harts %#b, and there are %d", seen, n)
	}
}

// spinner starts a puppet that makes no system call, and returns when it runs on
// another hart.
func (t *tester) spinner() *process {
	p := t.puppet()
	t.settle()
	p.order(opSpin, uint64(patience))
	beside(&p.page.count)
	return p
}

// beside returns when a process that counts count up has run beside this one, which
// made no system call meanwhile: on another hart.
func beside(count *uint64) {
	const window, moves = ms / 4, 10 // a slice, which could show one move, is longer than the window
	for end := now() + int64(patience); now() < end; {
		from, moved := atomic.LoadUint64(count), 0
		for start := now(); now() < start+window; {
			if is := atomic.LoadUint64(count); is != from {
				from = is
				moved++
			}
			if moved == moves {
				return
			}
		}
	}
	failf("a process that counts does not run beside another")
}

// ipiCounterfactual: while nothing asks another hart for anything, nothing is counted
// that would prove an interrupt.
func ipiCounterfactual(t *tester) {
	p := t.spinner()
	before := t.quiet()
	for end := now() + 30*ms; now() < end; {
	}
	_, after := hartCounts()
	check(after == before, "counted %+v without a reason, before %+v", after, before)
	check(p.state()[0] == 1, "a process that was left alone has ended")
}

// ipiResched: what makes a hart give up the process that it runs is requested, sent,
// trapped and acknowledged there, and then it has given that up.
func ipiResched(t *tester) {
	const tries = 20 // the process may have lost the machine's processor just then
	for range tries {
		p := t.spinner()
		_, before := hartCounts()
		caller(self).sys(abi.SysProcessKill, p.handle)
		s := p.state()
		_, after := hartCounts()
		check(s[0] == 0 && int64(s[1]) == abi.ExitKilled, "killed on another hart a process lives %d with status %d", s[0], int64(s[1]))
		if after.requested > before.requested && after.sent > before.sent && after.trapped > before.trapped && after.acknowledged > before.acknowledged {
			return
		}
		p.drop()
	}
	failf("no process that was killed on another hart was interrupted there")
}

// workStealing: processes that are queued where others run are taken by harts that
// have nothing to do.
func workStealing(t *tester) {
	n, before := hartCounts()
	var ps []*process
	for range 2*n + 1 {
		ps = append(ps, t.puppet())
	}
	for end := now() + int64(patience); ; {
		for i, p := range ps {
			p.order(opSpin, uint64(i+1)*uint64(ms))
		}
		for _, p := range ps {
			p.finish()
		}
		if _, after := hartCounts(); after.stolen > before.stolen {
			return
		}
		check(now() < end, "no hart takes a process from another")
	}
}

// sealHarts: what a process writes on another hart, without pause and without a system
// call, stands still when the object is sealed: its hart has forgotten that it may.
func sealHarts(t *tester) {
	const rounds, quiet = 4, 2 * ms
	own := caller(self)
	for range rounds {
		v := own.sys(abi.SysVMOCreate, abi.PageSize)
		m := own.sys(abi.SysVMOMap, v, 0, 0, abi.PageSize, readOnly)
		writer := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead | abi.RightWrite})
		at := caller(writer.call).sys(abi.SysVMOMap, given(0), 0, 0, abi.PageSize, readWrite)
		writer.order(opCount, at)
		beside(word(m))
		own.sys(abi.SysVMOSeal, v)
		sealed := atomic.LoadUint64(word(m))
		for end := now() + quiet; now() < end; {
			is := atomic.LoadUint64(word(m))
			check(is == sealed, "a sealed object went from %d to %d under its reader", sealed, is)
		}
		f := writer.finish().A
		check(f[0] == causeStorePage && f[1] == at, "a store to an object sealed on another hart: scause %d at %#x", f[0], f[1])
		check(atomic.LoadUint64(word(m)) == sealed, "a sealed object changed after a store to it faulted")
		writer.drop()
		own.sys(abi.SysUnmap, m, abi.PageSize)
		closeAll(v)
	}
}
