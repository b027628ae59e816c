//go:build tamago && riscv64

package kselftest

import (
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// smpProofs are those for several harts, after all others.
var smpProofs = []proof{
	{"smp online ok", smpOnline},
	{"ipi counterfactual ok", ipiCounterfactual},
	{"ipi resched ok", ipiResched},
	{"work stealing ok", workStealing},
}

// interrupts counts what harts have told each other, and the threads that they took
// from each other.
type interrupts struct{ requested, sent, trapped, acknowledged, stolen uint64 }

// hartCounts returns how many harts run and what they have told each other.
func hartCounts() (n uint64, c interrupts) {
	d := caller(self).event(abi.SysSystemInfo, ipc.Regs{A: [8]uint64{spawnCap}}).Data
	return d[1], interrupts{requested: d[3], sent: d[4], trapped: d[5], acknowledged: d[6], stolen: d[7]}
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

// spinner starts a puppet that makes no system call, and returns when it has run
// beside this process, which made none either: on another hart.
func (t *tester) spinner() *process {
	const window, moves = ms / 4, 10 // a slice, which could show one move, is longer than the window
	p := t.puppet()
	t.settle()
	p.order(opSpin, uint64(patience))
	for end := now() + int64(patience); now() < end; {
		from, moved := atomic.LoadUint64(&p.page.count), 0
		for start := now(); now() < start+window; {
			if is := atomic.LoadUint64(&p.page.count); is != from {
				from = is
				moved++
			}
			if moved == moves {
				return p
			}
		}
	}
	failf("a process that spins does not run beside another")
	return nil
}

// ipiCounterfactual: while nothing asks another hart for anything, nothing is counted
// that would prove an interrupt.
func ipiCounterfactual(t *tester) {
	p := t.spinner()
	_, before := hartCounts()
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
