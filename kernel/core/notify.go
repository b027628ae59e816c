package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// notification is a word of bits that wakes the process that receives them.
type notification struct {
	owner uint32 // receiving process, 0 once it is gone
	refs  uint32 // capabilities, timers and watches that name it
	next  uint32 // notifications of the owner, or free list
	prev  uint32
	ready uint32 // next in the owner's list of notifications with bits
	key   uint64
	bits  uint64
}

// timer sets bits of a notification once.
type timer struct {
	owner uint32 // process whose quota it counts against, 0 once that is gone
	refs  uint32
	next  uint32 // free list
	notif uint32
	due   int64 // 0: not armed
	bits  uint64
}

func (k *Kernel) sysNotificationCreate(p *Process) abi.Errno {
	x := &p.Frame.X
	if p.numNotifs >= notifsPerProcess || k.freeNotes == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	i := k.freeNotes
	n := &k.notifs[i]
	k.freeNotes = n.next
	*n = notification{owner: p.id, key: x[hart.A0], next: p.notifs}
	if p.notifs != 0 {
		k.notifs[p.notifs].prev = i
	}
	p.notifs = i
	p.numNotifs++
	c := k.newCap(p, abi.KindNotification, i, abi.RightSignal|abi.RightWait|abi.RightGrant, 0, 0)
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

func (k *Kernel) sysNotify(p *Process) abi.Errno {
	x := &p.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindNotification, abi.RightSignal)
	if errno != abi.OK {
		return errno
	}
	if k.notifs[n.obj].owner == 0 {
		return abi.ECLOSED
	}
	obj, bits := n.obj, x[hart.A1]
	x[hart.A0] = 0
	k.signal(obj, bits)
	return abi.OK
}

// signal sets bits of notification i and wakes its receiver if that waits.
func (k *Kernel) signal(i uint32, bits uint64) {
	n := &k.notifs[i]
	if n.owner == 0 || bits == 0 {
		return
	}
	p := &k.procs[n.owner]
	if n.bits == 0 {
		n.ready = p.notifReady
		p.notifReady = i
	}
	n.bits |= bits
	if p.thread == threadWaiting {
		p.thread, p.waitDue = threadHanded, 0
		k.deliverBits(p)
		k.makeReady(p)
	}
}

// deliverBits gives p the bits of the first of its ready notifications.
func (k *Kernel) deliverBits(p *Process) {
	n := &k.notifs[p.notifReady]
	p.notifReady = n.ready
	x := &p.Frame.X
	x[hart.A0] = abi.EventNotify
	x[hart.A1] = n.key
	x[hart.A2] = n.bits
	x[hart.A3], x[hart.A4], x[hart.A5], x[hart.A6], x[hart.A7] = 0, 0, 0, 0, 0
	n.bits = 0
}

// dropNotification takes notification i from its receiver, who is ending or has
// closed its capability.
func (k *Kernel) dropNotification(i uint32) {
	n := &k.notifs[i]
	p := &k.procs[n.owner]
	if n.bits != 0 {
		at := &p.notifReady
		for *at != i {
			at = &k.notifs[*at].ready
		}
		*at = n.ready
	}
	if n.prev != 0 {
		k.notifs[n.prev].next = n.next
	} else {
		p.notifs = n.next
	}
	if n.next != 0 {
		k.notifs[n.next].prev = n.prev
	}
	p.numNotifs--
	n.owner, n.bits, n.next, n.prev = 0, 0, 0, 0
	if n.refs == 0 {
		k.freeNotification(i)
	}
}

func (k *Kernel) releaseNotification(i uint32) {
	n := &k.notifs[i]
	n.refs--
	if n.refs == 0 && n.owner == 0 {
		k.freeNotification(i)
	}
}

func (k *Kernel) freeNotification(i uint32) {
	k.notifs[i].next = k.freeNotes
	k.freeNotes = i
}

func (k *Kernel) sysTimerCreate(p *Process) abi.Errno {
	x := &p.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindNotification, abi.RightSignal)
	if errno != abi.OK {
		return errno
	}
	if x[hart.A1] == 0 {
		return abi.EINVAL
	}
	if p.numTimers >= timersPerProcess || k.freeTmrs == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	i := k.freeTmrs
	t := &k.timers[i]
	k.freeTmrs = t.next
	*t = timer{owner: p.id, notif: n.obj, bits: x[hart.A1]}
	k.notifs[n.obj].refs++
	p.numTimers++
	c := k.newCap(p, abi.KindTimer, i, abi.RightManage, 0, 0)
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

func (k *Kernel) sysTimerSet(p *Process) abi.Errno {
	x := &p.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindTimer, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	t := &k.timers[n.obj]
	t.due = int64(x[hart.A1])
	k.deadline.drop(maxProcesses + n.obj)
	if t.due != 0 {
		k.deadline.arm(maxProcesses+n.obj, t.due)
	}
	x[hart.A0] = 0
	return abi.OK
}

// fire ends timer i, whose deadline has passed.
func (k *Kernel) fire(i uint32) {
	t := &k.timers[i]
	t.due = 0
	k.signal(t.notif, t.bits)
}

// freeTimer returns timer i, which no capability names any more. Timers are not
// given away, so their owner still exists.
func (k *Kernel) freeTimer(i uint32) {
	t := &k.timers[i]
	k.deadline.drop(maxProcesses + i)
	k.procs[t.owner].numTimers--
	k.releaseNotification(t.notif)
	*t = timer{next: k.freeTmrs}
	k.freeTmrs = i
}
