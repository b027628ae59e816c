//go:build tamago && riscv64

package kselftest

import (
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

const ms = int64(time.Millisecond)

// deadlines: a wait and a call end at their deadline, not before, whatever state the
// call is in, and the server hears of it.
func deadlines(t *tester) {
	own := caller(self)
	t.waitDeadlines()
	p := t.puppet()
	there, here := p.endpoint(16, 64)
	calls := t.counts().calls

	// Not received: the call ends and leaves nothing.
	for _, d := range []int64{1, 3 * ms, 5 * ms} {
		due := now() + d
		if d == 1 {
			due = 1 // has passed long ago
		}
		r := own.event(abi.SysCall, ipc.Regs{A: [8]uint64{0: here, 2: 9, 3: uint64(due)}})
		check(r.A[0] == abi.EventReply && r.A[1] == 9 && abi.Errno(r.A[2]) == abi.ETIMEDOUT, "a call with a deadline ended as event %d, %v", r.A[0], abi.Errno(r.A[2]))
		check(now() >= due, "a call ended %d ns before its deadline", due-now())
	}
	check(t.counts().calls == calls, "%d calls outstanding, %d before", t.counts().calls, calls)

	// Received. The machine below may be so busy that the server comes too late.
	received := false
	for try := 0; try < attempts && !received; try++ {
		received = t.receivedDeadline(p, there, here)
	}
	check(received, "a server never received a request in time")
	t.nothing("after a call with a deadline")

	// Many: each at its own time, and each once. Those that come due while the machine
	// below is busy end together, in any order.
	p2 := t.puppet()
	_, here2 := p2.endpoint(16, 64)
	start := now() + 2*ms
	for _, i := range []int64{3, 7, 1, 5, 2, 8, 6, 4} {
		own.event(abi.SysCall, ipc.Regs{A: [8]uint64{0: here2, 1: abi.FlagNoWait, 2: uint64(i), 3: uint64(start + i*ms)}})
	}
	ended := uint64(0)
	for range 8 {
		r := t.expect(abi.EventReply)
		i := r.A[1]
		check(i >= 1 && i <= 8 && ended>>i&1 == 0 && abi.Errno(r.A[2]) == abi.ETIMEDOUT, "call %d ended with %v", i, abi.Errno(r.A[2]))
		check(now() >= start+int64(i)*ms, "call %d ended %d ns before its deadline", i, start+int64(i)*ms-now())
		ended |= 1 << i
	}
	// Given up: at once, with an error of its own.
	own.event(abi.SysCall, ipc.Regs{A: [8]uint64{0: here2, 1: abi.FlagNoWait, 2: 5, 3: uint64(now() + int64(patience))}})
	own.refuse(abi.ENOENT, abi.SysCancel, 0, 0, 6)
	own.sys(abi.SysCancel, 0, 0, 5)
	r := t.expect(abi.EventReply)
	check(r.A[1] == 5 && abi.Errno(r.A[2]) == abi.ECANCELED, "a call that was given up ended with %v", abi.Errno(r.A[2]))
	own.refuse(abi.ENOENT, abi.SysCancel, 0, 0, 5)
	closeAll(here, here2)
}

// attempts is how often something is tried that the machine below can be too busy for.
const attempts = 8

// receivedDeadline has p receive a call whose deadline then passes: p was told the
// deadline, gets word of the end, and its reply goes nowhere. It returns false if p
// did not receive the call in time.
func (t *tester) receivedDeadline(p *process, there, here uint64) bool {
	inP := caller(p.call)
	due := now() + 20*ms
	caller(self).event(abi.SysCall, ipc.Regs{A: [8]uint64{0: here, 1: abi.FlagNoWait, 2: 9, 3: uint64(due)}})
	got := inP.event(abi.SysWait, ipc.Regs{A: [8]uint64{2: there, 3: uint64(due)}, S10: 31})
	r := t.expect(abi.EventReply)
	check(r.A[1] == 9 && abi.Errno(r.A[2]) == abi.ETIMEDOUT && now() >= due, "a call that was received ended as %v", abi.Errno(r.A[2]))
	if got.A[0] == abi.EventNone {
		caller(self).sys(abi.SysSend, here, 0) // what its endpoint is still armed for
		t.until("the server to be as before", func() bool { return p.page.nother > 0 })
		p.page.nother = 0
		return false
	}
	check(got.A[0] == abi.EventRequest && int64(got.A[7]) == due, "event %d, the server is told the deadline %d, want %d", got.A[0], got.A[7], due)
	t.until("word of the deadline", func() bool { return p.page.nother > 0 })
	p.page.nother = 0
	c := p.page.other[0]
	check(c.A[0] == abi.EventCancel && c.A[1] == 31 && c.A[4] == got.A[4], "the server got event %d with cookie %d", c.A[0], c.A[1])
	if errno := tryReply(inP, got.A[4]); errno != abi.EBADF && errno != abi.ENOENT {
		failf("a reply after the deadline: %v", errno)
	}
	return true
}

// waitDeadlines is deadlines for waits without a call.
func (t *tester) waitDeadlines() {
	for _, d := range []int64{0, 1000, ms, 7 * ms} {
		due := now() + d
		r := caller(self).event(abi.SysWait, ipc.Regs{A: [8]uint64{3: uint64(due)}})
		check(r.A[0] == abi.EventNone, "a wait for nothing ended with event %d", r.A[0])
		check(now() >= due, "a wait ended %d ns before its deadline", due-now())
	}
	for _, due := range []int64{1, -1, -1 << 63} { // all have passed
		r := caller(self).event(abi.SysWait, ipc.Regs{A: [8]uint64{3: uint64(due)}})
		check(r.A[0] == abi.EventNone, "a wait until %d ended with event %d", due, r.A[0])
	}
}

// timers: a timer sets its bits once, not before its time, unless it is disarmed,
// set anew or gone.
func timers(t *tester) {
	const key = 123
	own := caller(self)
	n := own.sys(abi.SysNotificationCreate, key)
	var ts [4]uint64
	for i := range ts {
		ts[i] = own.sys(abi.SysTimerCreate, n, 1<<i)
	}
	fired := func(bits uint64, due int64) {
		r := t.expect(abi.EventNotify)
		check(r.A[1] == key && r.A[2] == bits, "notification with key %d and bits %#x, want %#x", r.A[1], r.A[2], bits)
		check(now() >= due, "timer %#x fired %d ns early", bits, due-now())
	}
	// In order of time, whatever the order of setting.
	start := now() + 2*ms
	for _, i := range []int64{2, 0, 3, 1} {
		own.sys(abi.SysTimerSet, ts[i], uint64(start+2*i*ms))
	}
	// The machine below may have been so busy that two come together.
	for seen := uint64(0); seen != 15; {
		r := t.expect(abi.EventNotify)
		all := seen | r.A[2]
		check(r.A[1] == key && r.A[2]&seen == 0 && all > seen && all&(all+1) == 0, "bits %#x after %#x", r.A[2], seen)
		seen = all
		for i := range int64(4) {
			check(r.A[2]>>i&1 == 0 || now() >= start+2*i*ms, "timer %d fired early", i)
		}
	}
	// Once only.
	quiet := func(why string, until int64) {
		r := t.wait(0, 0, 0, until)
		check(r.A[0] == abi.EventNone, "%s: event %d with bits %#x", why, r.A[0], r.A[2])
	}
	quiet("after all timers fired", now()+10*ms)
	// Set anew before it fires: earlier, later, or not at all.
	own.sys(abi.SysTimerSet, ts[0], uint64(now()+int64(patience)))
	due := now() + 3*ms
	own.sys(abi.SysTimerSet, ts[0], uint64(due))
	fired(1, due)
	due = now() + int64(patience)
	own.sys(abi.SysTimerSet, ts[1], uint64(now()+500*ms))
	own.sys(abi.SysTimerSet, ts[1], uint64(due))
	own.sys(abi.SysTimerSet, ts[1], 0)
	own.sys(abi.SysTimerSet, ts[2], 1) // has passed
	fired(4, 0)
	own.sys(abi.SysTimerSet, ts[3], uint64(now()+500*ms))
	closeAll(ts[3])
	quiet("after timers were disarmed and closed", now()+600*ms)
	own.refuse(abi.EBADF, abi.SysTimerSet, ts[3], 1)

	// A bound on timers of one process, and the refusals.
	held := ts[:3:3]
	for {
		h, errno := own.try(abi.SysTimerCreate, n, 1)
		if errno != abi.OK {
			check(errno == abi.ENOSPC, "timer %d: %v", len(held), errno)
			break
		}
		held = append(held, h)
	}
	check(len(held) == 80, "%d timers, want 80", len(held))
	own.refuse(abi.EBADF, abi.SysTimerCreate, 0, 1)
	own.refuse(abi.EKIND, abi.SysTimerCreate, console, 1)
	own.refuse(abi.EINVAL, abi.SysTimerCreate, n, 0)
	own.refuse(abi.EKIND, abi.SysTimerSet, n, 1)
	// With its notification gone a timer fires into nothing.
	for i, h := range held {
		own.sys(abi.SysTimerSet, h, uint64(now()+int64(i)*ms/8))
	}
	closeAll(n)
	own.refuse(abi.EBADF, abi.SysTimerCreate, n, 1)
	quiet("after the notification is closed", now()+8*ms)
	closeAll(held...)
}
