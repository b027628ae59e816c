package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// notification is a word of bits that wakes the process that receives them.
type notification struct {
	gen   uint32 // tells it from earlier notifications in this table entry
	owner uint32 // receiving process, 0 in a free entry
	next  uint32 // notifications of the owner, or free list
	prev  uint32
	ready uint32 // next in the owner's list of notifications with bits
	key   uint64
	bits  uint64
}

// timer sets bits of a notification once.
type timer struct {
	owner uint32 // process whose quota it counts against
	refs  uint32
	next  uint32 // free list
	notif notifRef
	due   int64 // 0: not armed
	bits  uint64
}

// notifRef names a notification that may end before whoever refers to it.
type notifRef struct{ i, gen uint32 }

func (k *Kernel) sysNotificationCreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if p.numNotifs >= notifsPerProcess || k.freeNotes == 0 || p.freeH == 0 {
		return abi.ENOSPC
	}
	i := k.freeNotes
	n := &k.notifs[i]
	k.freeNotes = n.next
	*n = notification{gen: n.gen, owner: p.id, key: x[hart.A0], next: p.notifs}
	if p.notifs != 0 {
		k.notifs[p.notifs].prev = i
	}
	p.notifs = i
	p.numNotifs++
	c := k.newCap(p, abi.KindNotification, i, abi.RightSignal|abi.RightWait|abi.RightGrant, 0, 0)
	k.caps[c].gen = n.gen
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

// signalable returns the notification that h names if p may signal it.
func (k *Kernel) signalable(p *Process, h uint64) (notifRef, abi.Errno) {
	n, errno := k.need(p, h, abi.KindNotification, abi.RightSignal)
	if errno != abi.OK {
		return notifRef{}, errno
	}
	if k.notifs[n.obj].gen != n.gen {
		return notifRef{}, abi.ECLOSED
	}
	return notifRef{n.obj, n.gen}, abi.OK
}

//go:nosplit
func (k *Kernel) sysNotify(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.signalable(p, x[hart.A0])
	if errno != abi.OK {
		return errno
	}
	x[hart.A0] = 0
	k.signal(n, x[hart.A1])
	return abi.OK
}

// signal sets bits of a notification, if it still exists, and wakes its receiver
// if that waits.
//
//go:nosplit
func (k *Kernel) signal(r notifRef, bits uint64) {
	n := &k.notifs[r.i]
	if n.gen != r.gen || bits == 0 {
		return
	}
	p := &k.procs[n.owner]
	if t := k.takeWaiter(p); t != nil { // then there are no events, and no bits
		n.giveBits(t, bits)
		k.makeReady(t)
		return
	}
	if n.bits == 0 {
		// Behind those that are ready already, so that none of them starves.
		at := &p.notifReady
		for *at != 0 {
			at = &k.notifs[*at].ready
		}
		*at, n.ready = r.i, 0
		p.changed()
	}
	n.bits |= bits
}

// deliverBits gives t the bits of the first ready notification of its process.
func (k *Kernel) deliverBits(t *Thread) {
	p := t.proc
	n := &k.notifs[p.notifReady]
	p.notifReady = n.ready
	p.changed()
	n.giveBits(t, n.bits)
	n.bits = 0
}

// giveBits makes bits of n the event of t.
func (n *notification) giveBits(t *Thread, bits uint64) {
	x := &t.Frame.X
	x[hart.A0], x[hart.A1], x[hart.A2] = abi.EventNotify, n.key, bits
	x[hart.A3], x[hart.A4], x[hart.A5], x[hart.A6], x[hart.A7] = 0, 0, 0, 0, 0
}

// closeNotification ends notification i, whose receiver closes its capability or
// is ending.
func (k *Kernel) closeNotification(i uint32) {
	n := &k.notifs[i]
	p := &k.procs[n.owner]
	if n.bits != 0 {
		at := &p.notifReady
		for *at != i {
			at = &k.notifs[*at].ready
		}
		*at = n.ready
		p.changed()
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
	n.owner, n.bits, n.prev = 0, 0, 0
	if n.gen == maxObjectGen {
		return // this entry is used up
	}
	n.gen++
	n.next = k.freeNotes
	k.freeNotes = i
}

func (k *Kernel) sysTimerCreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.signalable(p, x[hart.A0])
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
	tm := &k.timers[i]
	k.freeTmrs = tm.next
	*tm = timer{owner: p.id, notif: n, bits: x[hart.A1]}
	p.numTimers++
	c := k.newCap(p, abi.KindTimer, i, abi.RightManage, 0, 0)
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}

func (k *Kernel) sysTimerSet(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n, errno := k.need(p, x[hart.A0], abi.KindTimer, abi.RightManage)
	if errno != abi.OK {
		return errno
	}
	tm := &k.timers[n.obj]
	tm.due = int64(x[hart.A1])
	k.disarm(dueTimers + n.obj)
	if tm.due != 0 {
		k.dueAt(dueTimers+n.obj, tm.due)
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
	k.disarm(dueTimers + i)
	k.procs[t.owner].numTimers--
	*t = timer{next: k.freeTmrs}
	k.freeTmrs = i
}
