//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// setQoS changes how a process shares the harts.
func (p *process) setQoS(c abi.Class, harts uint64) {
	caller(self).sys(abi.SysProcessQoS, p.handle, uint64(abi.NewQoS(c, abi.DefaultShare, uint32(harts))))
}

// wanderer starts a puppet that notes which harts it runs on, in a class and on the harts
// of a set.
func (t *tester) wanderer(c abi.Class, harts uint64) *process {
	p := t.puppet(abi.SpawnCap{Handle: abi.Handle(spawnCap), Rights: abi.RightManage})
	p.setQoS(c, harts)
	p.order(opHarts, given(0), uint64(patience))
	return p
}

// quiet returns the counts when no interrupt between harts is under way.
func (t *tester) quiet() interrupts {
	for end := now() + int64(patience); ; {
		if _, c := hartCounts(); c.sent == c.acknowledged {
			return c
		}
		check(now() < end, "interrupts between harts stay under way")
	}
}

// refuseHarts verifies that a process cannot be sent to the harts of a set, and that
// nobody is interrupted for it.
func (t *tester) refuseHarts(set uint64) {
	p := t.puppet()
	t.settle()
	before := t.quiet()
	caller(self).refuse(abi.EINVAL, abi.SysProcessQoS, p.handle, uint64(abi.NewQoS(abi.Normal, abi.DefaultShare, uint32(set))))
	_, after := hartCounts()
	check(after == before, "counted %+v, before %+v", after, before)
	check(p.do(abi.SysNop)[0] == 0, "a process that was not moved does not answer")
}

func rejectInvalidTarget(t *tester) { t.refuseHarts(1 << 30) }

// rejectOffline: the first hart that is not up. When all that the kernel can use are up,
// it is one that there cannot be.
func rejectOffline(t *tester) { t.refuseHarts(1 << harts()) }

// crowded starts threads of one process each that are queued on hart 1 alone, and one of
// a class that has hart 0, and then lets the others run on both.
func (t *tester) crowded(c abi.Class) (many []*process, one *process) {
	const from, to = 1 << 1, 1 << 0
	one = t.wanderer(c, to)
	for range 4 {
		many = append(many, t.wanderer(abi.Normal, from))
	}
	t.until("all to run", func() bool {
		for _, p := range append(many, one) {
			if p.page.held == 0 {
				return false
			}
		}
		return true
	})
	for _, p := range many {
		p.page.held = 0
		p.setQoS(abi.Normal, from|to)
	}
	return many, one
}

// rejectStealHigherQoS: a hart that runs a thread takes none of a higher class from the
// queue of another; of the same class it does.
func rejectStealHigherQoS(t *tester) {
	many, one := t.crowded(abi.Idle)
	moved := func() (set uint64) {
		for _, p := range many {
			set |= p.page.held
		}
		return set
	}
	from := one.page.count
	t.until("a lower class to run for a while beside a queue of a higher", func() bool {
		check(moved()&1 == 0, "a hart that runs a lower class took a thread of a higher")
		return one.page.count > from+2000
	})
	one.setQoS(abi.Normal, 1)
	t.until("a hart to take a thread of the class that it runs", func() bool { return moved()&1 != 0 })
}

// rejectStealAboveBound: a hart takes one thread at a time, and the next one not before a
// tick has passed.
func rejectStealAboveBound(t *tester) {
	const (
		from, to = 1 << 1, 1 << 0
		tries    = 200 // this process may have lost its hart just then
	)
	sample := func() (at int64, hart, stolen uint64) {
		d := caller(self).event(abi.SysSystemInfo, ipc.Regs{A: [8]uint64{spawnCap}}).Data
		return now(), d[2], d[7]
	}
	one := t.puppet()
	one.setQoS(abi.Interactive, to)
	var many []*process
	for range 4 {
		p := t.puppet()
		p.setQoS(abi.Normal, from)
		p.order(opSpin, uint64(patience))
		many = append(many, p)
	}
	for range tries {
		for _, set := range []uint64{from, from | to} {
			for _, p := range many {
				p.setQoS(abi.Normal, set)
			}
		}
		seen := false
		at, hart, stolen := sample()
		one.order(abi.SysNop) // its hart has to look for something afterwards
		for end := at + 5*ms; at < end; {
			at2, hart2, stolen2 := sample()
			if hart == hart2 && at2-at < ms/2 {
				check(stolen2 <= stolen+1, "%d threads taken at once", stolen2-stolen)
				seen = seen || stolen2 == stolen+1
			}
			at, hart, stolen = at2, hart2, stolen2
		}
		one.finish()
		if seen {
			return
		}
	}
	failf("no hart was seen to take a thread")
}
