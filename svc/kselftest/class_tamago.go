//go:build tamago && riscv64

package kselftest

import (
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// What a process does beside others is measured here in turns of a loop and not in time:
// a machine that is busy stops the loop with everything else, and shows no wait where
// there was none.

// pace is how far a loop has come. Several processes share it.
type pace struct {
	count uint64
	perMS uint64 // turns in a millisecond, at most
	due   uint64 // not 0: somebody else should have the hart
	late  uint64 // turns since
	_     [4]uint64
}

const paceSize = 64

// turn is one turn of the loop.
func (c *pace) turn() (at uint64) {
	c.count++
	if atomic.LoadUint64(&c.due) != 0 {
		c.late++
	}
	return raw.Ticks()
}

// measure finds out how many turns there are in a millisecond. It takes the best of some,
// because others may run in between.
func (c *pace) measure() uint64 {
	const windows = 8
	best := uint64(0)
	for range windows {
		from := c.count
		for end := raw.Ticks() + uint64(ms)/raw.StartPage().TickNS; c.turn() < end; {
		}
		best = max(best, c.count-from)
	}
	atomic.StoreUint64(&c.perMS, best)
	return best
}

// work makes so many turns, however long they take.
func (c *pace) work(turns uint64) {
	for range turns {
		c.turn()
	}
}

// serve makes some turns, waits for a request, makes some more and answers.
func (s *shared) serve(ep, before, after uint64) (event uint64) {
	var c pace
	atomic.StoreUint64(&s.held, 1)
	c.work(before)
	r := ipc.Regs{A: [8]uint64{2: ep}, S10: 1}
	raw.Trap(abi.SysWait, &r)
	event = r.A[0]
	c.work(after)
	r = ipc.Regs{A: [8]uint64{0: r.A[4], 1: abi.FlagNoWait}}
	raw.Trap(abi.SysReply, &r)
	return event
}

// awake waits for an event, and returns how late each of the harts' spinners was when
// it came, by the hart that this process got.
func (s *shared) awake(paces, harts, spawn uint64) (late, hart, event uint64) {
	var was [maxHarts]uint64
	r := ipc.Regs{}
	atomic.StoreUint64(&s.held, 1)
	raw.Trap(abi.SysWait, &r)
	for i := range harts {
		was[i] = atomic.LoadUint64(&paceAt(paces + i*paceSize).late)
	}
	event = r.A[0]
	r = ipc.Regs{A: [8]uint64{spawn}}
	raw.Trap(abi.SysSystemInfo, &r)
	hart = r.Data[2]
	return was[hart%maxHarts], hart, event
}

// maxHarts is as many as the kernel uses.
const maxHarts = 8

// donation: a server of a low class works for a client of a high one without pause while
// a middle one has work on the same hart: whether it waits for the client or has something
// of its own to finish first. For a client that is low itself it does not.
func donation(t *tester) {
	const tries = 5 // a class that waits for 50 ms has a slice, which a busy machine may bring about
	hart := uint64(1) << (harts() - 1)
	server, middle := t.puppet(), t.puppet()
	there, here := server.endpoint(4, 64)
	client := t.puppet(sendCap(here))
	h := client.giveAway(caller(self).sys(abi.SysCapCopy, middle.vmo, uint64(abi.RightRead|abi.RightGrant)))
	at := caller(client.call).sys(abi.SysVMOMap, h, 0, 0, sharedSize, readOnly)
	count := at + raw.AddressOf(&middle.page.count) - middle.at

	server.setQoS(abi.Idle, hart)
	work := 4 * server.do(opMeasure)[0] // more than what the idle class has at a time
	middle.setQoS(abi.Normal, hart)
	middle.order(opSpin, uint64(patience))
	// moved is how far the middle one comes while the client waits.
	moved := func(c abi.Class, before, after uint64) uint64 {
		client.setQoS(c, hart)
		server.page.held = 0
		server.order(opServe, there, before, after)
		t.until("the server to be at work", func() bool { return atomic.LoadUint64(&server.page.held) == 1 })
		a := client.do(opBeside, given(0), count)
		check(a[1] == abi.EventReply && a[2] == 0, "a call beside others ends with event %d, %d", a[1], a[2])
		event := server.finish().A[0]
		check(event == abi.EventRequest, "the server got event %d", event)
		return a[0]
	}
	for _, w := range []struct {
		what          string
		before, after uint64
	}{{"busy", work, 0}, {"waiting", 0, work}} {
		n := uint64(1)
		for i := 0; n != 0; i++ {
			check(i < tries, "a middle class made %d turns while a high one waited for a low server that was %s", n, w.what)
			n = moved(abi.Interactive, w.before, w.after)
		}
		check(moved(abi.Idle, w.before, w.after) != 0, "a middle class makes no turn while a low one waits for a server that was %s", w.what)
	}
	closeAll(here)
}

// wakeUp: a process of a high class that wakes beside spinners of lower classes on every
// hart, whose turns are as long as there are, runs before any of them could spin for
// another millisecond.
func wakeUp(t *tester) {
	const rounds, tries = 2, 20
	own, n := caller(self), harts()
	board := own.sys(abi.SysVMOCreate, abi.PageSize)
	at := own.sys(abi.SysVMOMap, board, 0, 0, abi.PageSize, readWrite)
	cell := func(i uint64) *pace { return paceAt(at + i*paceSize) }
	due := func(v uint64) {
		for i := range n {
			atomic.StoreUint64(&cell(i).due, v)
		}
	}
	shared := abi.SpawnCap{Handle: abi.Handle(board), Rights: abi.RightRead | abi.RightWrite}
	for i := range n {
		p := t.puppet(shared)
		there := caller(p.call).sys(abi.SysVMOMap, given(0), 0, 0, abi.PageSize, readWrite)
		q := abi.NewQoS(abi.Class(i%2), abi.MaxShare, 1<<i)
		own.sys(abi.SysProcessQoS, p.handle, uint64(q))
		p.order(opPace, there+i*paceSize, uint64(patience))
	}
	t.until("the spinners to know their pace", func() bool {
		for i := range n {
			if atomic.LoadUint64(&cell(i).perMS) == 0 {
				return false
			}
		}
		return true
	})
	p := t.puppet(shared, abi.SpawnCap{Handle: abi.Handle(spawnCap), Rights: abi.RightManage})
	there := caller(p.call)
	paces := there.sys(abi.SysVMOMap, given(0), 0, 0, abi.PageSize, readWrite)
	bell := p.fetch(there.sys(abi.SysCapCopy, there.sys(abi.SysNotificationCreate, 7), uint64(abi.RightSignal|abi.RightGrant)))
	for i := range n * rounds {
		for try := 0; ; try++ {
			check(try < tries, "this process loses its hart each time that it wakes another")
			// It comes to the hart, and may then run on any.
			p.setQoS(abi.Interactive, 1<<(i%n))
			p.do(abi.SysNop)
			p.setQoS(abi.Interactive, abi.AllHarts)
			p.page.held = 0
			p.order(opAwake, paces, n, given(1))
			t.until("it to wait", func() bool { return atomic.LoadUint64(&p.page.held) == 1 })
			t.settle()
			for j := range n {
				atomic.StoreUint64(&cell(j).late, 0)
			}
			from := now()
			due(1)
			own.sys(abi.SysNotify, bell, 1)
			to := now()
			a := p.finish().A
			due(0)
			if to-from > ms/4 {
				continue
			}
			check(a[2] == abi.EventNotify && a[1] < n, "woken on hart %d by event %d", a[1], a[2])
			limit := cell(a[1]).perMS
			check(a[0] <= limit, "a process of a high class woke on hart %d after %d turns of a lower class, which makes %d in a millisecond", a[1], a[0], limit)
			break
		}
	}
	t.dropAll()
	own.sys(abi.SysUnmap, at, abi.PageSize)
	closeAll(board, bell)
}
