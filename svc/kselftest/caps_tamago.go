//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

const sendGrant = uint64(abi.RightSend | abi.RightGrant)

// revoke: what was derived from a capability, directly or not, in whichever process,
// in the queue of an endpoint even, is gone when it is revoked, and nothing else.
func revoke(t *tester) {
	own := caller(self)
	target := own.sys(abi.SysEndpointCreate, 8, 64)
	box := own.sys(abi.SysEndpointCreate, 8, 64)
	root := own.sys(abi.SysCapCopy, target, sendGrant)
	sibling := own.sys(abi.SysCapCopy, target, sendGrant)
	give := func(h uint64) abi.SpawnCap {
		return abi.SpawnCap{Handle: abi.Handle(h), Rights: abi.RightSend | abi.RightGrant}
	}
	before := t.counts().caps
	a := t.puppet(give(root), give(sibling), sendCap(box)) // 1 derived from root
	b := t.puppet(give(root))                              // 2
	c := t.puppet()
	// a derives a chain of two, of which the second goes to c, who derives from it.
	inA, inB, inC := caller(a.call), caller(b.call), caller(c.call)
	a1 := inA.sys(abi.SysCapCopy, given(0), sendGrant, 7) // 3
	a2 := inA.sys(abi.SysCapCopy, a1, sendGrant)          // 4
	c1 := c.giveAway(a.fetch(a2))
	c2 := inC.sys(abi.SysCapCopy, c1, uint64(abi.RightSend)) // 5
	b1 := inB.sys(abi.SysCapCopy, given(0), sendGrant)       // 6
	// One of a is on its way to this process.
	a3 := inA.sys(abi.SysCapCopy, a1, sendGrant) // 7
	base := t.counts().calls
	a.order(abi.SysCall, given(2), 0, 1, 0, a3)
	t.awaitCalls(base, 1)
	inB.sys(abi.SysSend, given(0), 0)
	inC.sys(abi.SysSend, c2, 0)
	r := t.receive(target, 0)
	check(r.A[2] == 0 && r.A[5]>>32 == b.pid, "a message of b came with badge %d from pid %d", r.A[2], r.A[5]>>32)
	r = t.receive(target, 0)
	check(r.A[2] == 7 && r.A[5]>>32 == c.pid, "a message of c came with badge %d from pid %d", r.A[2], r.A[5]>>32)

	all := t.counts().caps
	n := own.sys(abi.SysCapRevoke, root)
	check(n == 7, "%d capabilities revoked, want 7", n)
	check(t.counts().caps == all-7, "%d capabilities less", all-t.counts().caps)
	r = t.receive(box, 0)
	check(r.A[6] == 0, "a revoked capability arrived")
	own.sys(abi.SysReply, r.A[4], abi.FlagNoWait)
	a.finish()
	for _, w := range []struct {
		name string
		c    caller
		h    uint64
	}{{"a", inA, given(0)}, {"a", inA, a1}, {"a", inA, a2}, {"a", inA, a3}, {"b", inB, given(0)}, {"b", inB, b1}, {"c", inC, c1}, {"c", inC, c2}} {
		w.c.refuse(abi.EBADF, abi.SysCapInfo, w.h)
		w.c.refuse(abi.EBADF, abi.SysSend, w.h, 0)
		w.c.refuse(abi.EBADF, abi.SysCall, w.h, 0, 1)
	}
	// What was not derived from it is as before, and it itself can be used again.
	inA.sys(abi.SysSend, given(1), 0)
	check(t.receive(target, 0).A[5]>>32 == a.pid, "a sibling of what was revoked does not work")
	own.sys(abi.SysSend, root, 0)
	t.receive(target, 0)
	check(own.sys(abi.SysCapRevoke, root) == 0, "something to revoke a second time")
	a.drop()
	b.drop()
	c.drop()
	check(t.counts().caps == before, "%d capabilities, %d before", t.counts().caps, before)

	// Memory: the right to map it anew is gone.
	v := own.sys(abi.SysVMOCreate, abi.PageSize)
	d := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead})
	check(own.sys(abi.SysCapRevoke, v) == 1, "one capability to memory revoked")
	caller(d.call).refuse(abi.EBADF, abi.SysVMOMap, given(0), 0, 0, abi.PageSize, readOnly)
	closeAll(target, box, root, sibling, v)
}

// staleHandles: a handle names its capability until that is closed, moved or
// revoked, and nothing afterwards, whoever uses it.
func staleHandles(t *tester) {
	own := caller(self)
	var old []uint64
	for range 20 {
		h := own.sys(abi.SysNotificationCreate, 5)
		for _, o := range old {
			check(o != h, "handle %#x is given out a second time", h)
			own.refuse(abi.EBADF, abi.SysNotify, o, 1)
			own.refuse(abi.EBADF, abi.SysCapInfo, o)
		}
		closeAll(h)
		old = append(old, h)
	}
	h := own.sys(abi.SysNotificationCreate, 5)
	for _, wrong := range []uint64{0, h + 1<<32, h - 1<<32, h | 1<<63, h | uint64(abi.ReplyBit), h + 1<<20, h &^ (1<<32 - 1), ^uint64(0)} {
		for _, num := range []uint64{abi.SysNotify, abi.SysCapInfo, abi.SysCapClose, abi.SysCapRevoke, abi.SysCapCopy, abi.SysSend, abi.SysVMOMap, abi.SysTimerSet, abi.SysProcessKill, abi.SysSpawn} {
			own.refuse(abi.EBADF, num, wrong, 0, 0, abi.PageSize, readOnly) // good arguments for vmo_map
		}
	}
	// A handle is a number of its process: what is good here is not in another one.
	p := t.puppet()
	there := caller(p.call)
	there.refuse(abi.EBADF, abi.SysNotify, h, 1)
	for i := range 300 {
		there.refuse(abi.EBADF, abi.SysCapInfo, given(i))
	}
	// Moved away: gone here, there under another number.
	ep := own.sys(abi.SysEndpointCreate, 4, 64)
	c := own.sys(abi.SysCapCopy, ep, sendGrant)
	got := p.giveAway(c)
	own.refuse(abi.EBADF, abi.SysCapInfo, c)
	there.sys(abi.SysSend, got, 0)
	t.receive(ep, 0)
	// The endpoint closes and its place is used anew: the old capability does not
	// reach the new one.
	closeAll(ep)
	for range 3 {
		ep = own.sys(abi.SysEndpointCreate, 4, 64)
		there.refuse(abi.ECLOSED, abi.SysSend, got, 0)
		closeAll(ep)
	}
	// A reply right works once, for its server only.
	ep = own.sys(abi.SysEndpointCreate, 4, 64)
	q := t.puppet(sendCap(ep))
	q.order(abi.SysCall, given(0), 0, 1)
	right := t.receive(ep, 0).A[4]
	there.refuse(abi.EBADF, abi.SysReply, right, abi.FlagNoWait)
	for _, wrong := range []uint64{right &^ uint64(abi.ReplyBit), right + 1<<32, right | 1<<63, uint64(abi.ReplyBit)} {
		if errno := tryReply(own, wrong); errno != abi.EBADF && errno != abi.ENOENT {
			failf("reply with right %#x instead of %#x: %v", wrong, right, errno)
		}
	}
	check(!q.idle, "a wrong reply right answered a call")
	own.sys(abi.SysReply, right, abi.FlagNoWait)
	q.finish()
	if errno := tryReply(own, right); errno != abi.EBADF && errno != abi.ENOENT {
		failf("a second reply: %v", errno)
	}
	// A process that ended is not another one later.
	e := t.spawn(t.small("stale", ProgramExit))
	e.awaitEnd()
	own.refuse(abi.ENOENT, abi.SysProcessKill, e.handle)
	f := t.spawn(t.small("stale", ProgramPark))
	own.refuse(abi.ENOENT, abi.SysProcessKill, e.handle)
	check(f.state()[0] == 1 && e.state()[0] == 0 && e.state()[2] == e.pid && f.pid != e.pid, "an ended process and a new one are mixed up")
	e.drop()
	own.refuse(abi.EBADF, abi.SysProcessKill, e.handle)
	check(f.state()[0] == 1, "a stale handle ended a process")
	f.drop()
	closeAll(h, ep)
}

func tryReply(c caller, right uint64) abi.Errno {
	r := ipc.Regs{A: [8]uint64{0: right, 1: abi.FlagNoWait}}
	c(abi.SysReply, &r)
	return abi.Errno(-min(int64(r.A[0]), 0))
}
