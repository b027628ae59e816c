//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// spawned: a new process runs beside its parent, with the name, arguments and
// capabilities that it was given, and nothing else.
func spawned(t *tester) {
	own := caller(self)
	ep := own.sys(abi.SysEndpointCreate, 4, 64)
	badged := sendCap(ep)
	badged.Badge = 0x1234
	s := t.puppetSpec("policyd", badged, abi.SpawnCap{Handle: abi.Handle(console), Rights: abi.RightWrite})
	s.setBoot([]string{"kselftest", "puppet", "", "an argument"}, []string{"KEY=value", "EMPTY="}, []byte("boot\x00data"))
	s.Console = 4
	p := t.puppetOf(s) // verifies identity and pid of its first request
	there := caller(p.call)
	n := p.do(opArgs)[0]
	got := string(p.page.out[:n])
	want := "kselftest puppet  an argument|KEY=value EMPTY=|boot\x00data"
	check(got == want, "a new process has %q, want %q", got, want)

	// The start page is at the same address in all processes.
	page := func(p *process, field *uint64) uint64 {
		return p.do(opLoad, raw.AddressOf(field))[0]
	}
	mine := raw.StartPage()
	check(page(p, &mine.Magic) == abi.StartMagic && page(p, &mine.Version) == abi.Version, "start page of another version")
	check(page(p, &mine.PID) == p.pid && p.pid > mine.PID, "pid %d, its parent has %d, spawn said %d", page(p, &mine.PID), mine.PID, p.pid)
	// FNV-1a of "policyd", as the described system has it.
	check(page(p, &mine.ServiceID) == 0xc4b6d847aa573fa1, "service id %#x", page(p, &mine.ServiceID))
	check(page(p, &mine.NumCaps) == 4 && page(p, &mine.Console) == uint64(abi.BootHandle(3)), "%d capabilities, console %#x", page(p, &mine.NumCaps), page(p, &mine.Console))
	q := t.puppet()
	seed := (*uint64)(raw.Pointer(raw.AddressOf(&mine.Seed)))
	seeds := [3]uint64{*seed, page(p, seed), page(q, seed)}
	check(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[2] != seeds[0] && seeds[1] != 0 && seeds[2] != 0, "seeds %#x", seeds)
	check(q.pid == p.pid+1, "pid %d after %d", q.pid, p.pid)

	for i, w := range []struct{ kind, rights, badge uint64 }{
		{uint64(abi.KindEndpoint), uint64(abi.RightSend), s.Caps[0].Badge},
		{uint64(abi.KindVMO), readWrite, 0},
		{uint64(abi.KindEndpoint), uint64(abi.RightSend), 0x1234},
		{uint64(abi.KindConsole), uint64(abi.RightWrite), 0},
	} {
		r := p.do(abi.SysCapInfo, uint64(abi.BootHandle(i)))
		check(r[0] == w.kind && r[1] == w.rights && r[2] == w.badge, "capability %d: kind %d, rights %#x, badge %#x", i, r[0], r[1], r[2])
	}
	for i := 4; i < 256; i++ {
		there.refuse(abi.EBADF, abi.SysCapInfo, uint64(abi.BootHandle(i)))
	}
	// It runs while this process does something else.
	there.sys(abi.SysSend, given(0), 0)
	r := t.receive(ep, 0)
	check(r.A[2] == 0x1234 && r.A[3] == 0xc4b6d847aa573fa1 && r.A[5]>>32 == p.pid, "a message with badge %#x, service %#x, pid %d", r.A[2], r.A[3], r.A[5]>>32)
	state := p.state()
	check(state[0] == 1 && state[2] == p.pid && state[3] > 0 && state[3] <= state[4] && state[4]+sharedPages > puppetFrames, "state %d", state)
	p.drop()

	// A program without a runtime.
	e := t.spawn(t.small("small", ProgramExit))
	status := e.awaitEnd()
	check(status == ExitStatus, "the smallest program ended with %d", status)
	e.drop()
	closeAll(ep)
}

// exits: a process ends with the status that it chose, whole: its memory, its
// capabilities and its endpoint are gone, and what names it still tells how it ended.
func exits(t *tester) {
	own := caller(self)
	before := t.counts()
	for _, status := range []int64{0, 1, 42, 127, 255, -22, 1 << 40} {
		p := t.puppet()
		_, here := p.endpoint(4, 64)
		v := caller(p.call).sys(abi.SysVMOCreate, 4*abi.PageSize)
		caller(p.call).sys(abi.SysVMOMap, v, 0, 0, 4*abi.PageSize, readWrite)
		p.order(abi.SysExit, uint64(status))
		got := p.awaitEnd()
		check(got == status, "exit with %d is seen as %d", status, got)
		s := p.state()
		check(s[0] == 0 && s[2] == p.pid && s[3] == 0 && s[4] == 0, "after its end a process lives %d, has pid %d and %d frames of %d", s[0], s[2], s[3], s[4])
		check(s[5] == 0 && s[6] == 0 && s[7] == 0, "after exit a fault is recorded: scause %d", s[5])
		own.refuse(abi.ECLOSED, abi.SysSend, here, 0)
		own.refuse(abi.ENOENT, abi.SysProcessKill, p.handle)
		t.settle()
		check(!p.idle, "a process that ended asks for orders")
		now := t.counts()
		now.caps -= 3 // process, its memory, its endpoint
		check(now.processes == before.processes && now.unreserved == before.unreserved && now.calls == before.calls && now.caps == before.caps,
			"after exit %+v, before it was started %+v", now, before)
		closeAll(here)
		p.drop()
		check(t.counts() == before, "after exit and all handles %+v, before %+v", t.counts(), before)
	}
	// Ended by another one, in whatever it does.
	for _, doing := range []string{"waiting", "spinning", "asking for orders"} {
		p := t.puppet()
		switch doing {
		case "waiting":
			p.order(abi.SysWait)
		case "spinning":
			p.order(opSpin, 500*uint64(ms))
		}
		t.settle()
		own.sys(abi.SysProcessKill, p.handle)
		got := p.awaitEnd()
		check(got == abi.ExitKilled, "killed while %s: status %d", doing, got)
		p.drop()
		t.nothing("after a kill")
		check(t.counts() == before, "after a kill while %s %+v, before %+v", doing, t.counts(), before)
	}
}

// waits: word of an end comes when it is there and not before, once, also to one who
// asks later.
func waits(t *tester) {
	const key = 55
	own := caller(self)
	n := own.sys(abi.SysNotificationCreate, key)
	before := t.counts()
	told := func(bits uint64) {
		for got := uint64(0); got != bits; {
			r := t.expect(abi.EventNotify)
			check(r.A[1] == key && r.A[2]&^bits == 0 && r.A[2]&got == 0, "key %d and bits %#x, want %#x", r.A[1], r.A[2], bits)
			got |= r.A[2]
		}
	}
	a, b := t.puppet(), t.puppet()
	own.sys(abi.SysProcessWatch, a.handle, n, 1)
	own.sys(abi.SysProcessWatch, b.handle, n, 2)
	own.refuse(abi.EBUSY, abi.SysProcessWatch, a.handle, n, 4)
	own.refuse(abi.EINVAL, abi.SysProcessWatch, a.handle, n, 0)
	own.refuse(abi.EKIND, abi.SysProcessWatch, n, n, 1)
	t.settle()
	t.nothing("while both live")
	check(a.state()[0] == 1 && b.state()[0] == 1, "a process that lives is said to have ended")
	b.order(abi.SysExit, 7)
	told(2)
	check(b.state()[0] == 0 && b.state()[1] == 7 && a.state()[0] == 1, "states %d and %d after the end of one", a.state()[0], b.state()[0])
	t.settle()
	t.nothing("word of an end came twice")
	own.sys(abi.SysProcessWatch, b.handle, n, 8)
	told(8) // at once, the status is still there
	check(b.state()[1] == 7, "the status is %d later", b.state()[1])

	a.order(abi.SysExit, 3)
	told(1)

	// Both at once, and neither is lost.
	c, d := t.spawn(t.small("one", ProgramPark)), t.spawn(t.small("two", ProgramPark))
	own.sys(abi.SysProcessWatch, c.handle, n, 16)
	own.sys(abi.SysProcessWatch, d.handle, n, 32)
	own.sys(abi.SysProcessKill, c.handle)
	own.sys(abi.SysProcessKill, d.handle)
	told(16 | 32)
	// A watcher that is gone does not keep the place.
	e := t.spawn(t.small("three", ProgramPark))
	m := own.sys(abi.SysNotificationCreate, key+1)
	own.sys(abi.SysProcessWatch, e.handle, m, 1)
	closeAll(m)
	own.sys(abi.SysProcessWatch, e.handle, n, 64)
	own.sys(abi.SysProcessKill, e.handle)
	told(64)
	for _, p := range []*process{a, b, c, d, e} {
		p.drop()
	}
	check(t.counts() == before, "afterwards %+v, before %+v", t.counts(), before)
	closeAll(n)
}
