package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// This file takes calls and replies over the direct path that carry more than what is
// in registers: a message in memory, a capability. What can be refused is checked, and
// what can fail is copied, while nothing has changed; then the direct path has an
// ordinary message to hand over, and the rest is put beside it. As there, whatever is
// unusual is left to the general path.

// CarryCall is CallDirect for a request with more than registers.
//
//go:nosplit
func (k *Kernel) CarryCall(t *Thread) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	entry, meta, cap := &p.handle[uint8(x[hart.A0])], x[hart.A1], x[hart.A4]
	if entry.word != x[hart.A0] {
		return nil, 0
	}
	n := entry.node
	e := n.send
	if e == nil || e.armed != n.gen || meta&abi.MetaLen > e.maxLen || p.freeCalls == nil {
		return nil, 0
	}
	if e.taker.state != threadWaiting || !k.load(t, e.taker, e.buffer) {
		return nil, 0
	}
	x[hart.A1], x[hart.A4] = min(meta&abi.MetaLen, abi.MaxInline), 0
	next, due = k.CallDirect(k.h, t)
	x[hart.A1], x[hart.A4] = meta, cap
	if next != nil {
		next.Frame.X[hart.A5] = meta&abi.MetaLen | p.pid<<32
		k.unload(p, next, meta, cap)
		if meta&abi.FlagNoWait != 0 {
			p.waiter, t.waitDue = 0, 0
			x[hart.A0] = abi.EventNone
			k.lend(t)
		}
	}
	return next, due
}

// CarryReply is ReplyDirect for a reply with more than registers.
//
//go:nosplit
func (k *Kernel) CarryReply(t *Thread) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	c, entry, meta, cap := &k.byRight[x[hart.A0]<<rightGen>>rightGen], &p.handle[uint8(x[hart.A2])], x[hart.A1], x[hart.A4]
	if c.right != x[hart.A0] || c.server != p.id || entry.word != x[hart.A2] || meta&abi.MetaLen > abi.MaxMessage {
		return nil, 0
	}
	e, s := entry.node.recv, c.caller
	q := s.proc
	// A client that called without waiting is ready, and next, if nothing else happened.
	h := k.h
	yielded := s.state == threadReady && q.yielded == s.id && q.waiter == 0 &&
		h.ready[h.class&classMask].head == s.id && h.waiting>>(h.class&classMask) == 1
	if e == nil || c.lane != h.lane || e.queue.head != 0 || meta&abi.FlagNoWait != 0 || s.state != threadWaiting && !yielded || !k.load(t, s, c.reply) {
		return nil, 0
	}
	if next := x[hart.A6]; yielded {
		if next != 0 && !isBuffer(next) {
			return nil, 0
		}
		k.dequeue(s)
		q.yielded, q.waiter = 0, s.id
		s.state, s.lent = threadWaiting, false
	}
	x[hart.A1], x[hart.A4] = min(meta&abi.MetaLen, abi.MaxInline), 0
	next, due = k.ReplyDirect(k.h, t)
	x[hart.A1], x[hart.A4] = meta, cap
	if next != nil {
		next.Frame.X[hart.A5] = meta & abi.MetaLen
		k.unload(p, next, meta, cap)
	}
	return next, due
}

// load reports whether thread s, which has a buffer, can be given what t has for
// it, and copies the part that is in memory.
//
//go:nosplit
func (k *Kernel) load(t, s *Thread, buffer uint64) bool {
	p, q, x := t.proc, s.proc, &t.Frame.X
	length, cap, next := x[hart.A1]&abi.MetaLen, x[hart.A4], x[hart.A6]
	if p.waiter != 0 || p.pending != 0 || x[hart.A1]&^(abi.MetaLen|abi.FlagDropGrant|abi.FlagNoWait) != 0 {
		return false
	}
	if cap != 0 {
		e := &p.handle[uint8(cap)]
		if e.word != cap || e.node.rights&(abi.RightGrant|solitary|busy) != abi.RightGrant || q.freeH == 0 {
			return false
		}
	}
	if length <= abi.MaxInline {
		return true
	}
	if next != 0 && !isBuffer(next) || buffer == 0 || !sv39.CopyAcross(&q.space, buffer, &p.space, x[hart.A5], int(length)) {
		return false
	}
	t.Frame.ClearPayload()
	return true
}

// unload moves the capability that goes along from p to the process of s.
//
//go:nosplit
func (k *Kernel) unload(p *Process, s *Thread, meta, cap uint64) {
	if cap != 0 {
		n := p.handle[uint8(cap)].node
		n.leave(p)
		s.Frame.X[hart.A6] = n.enter(s.proc)
		if meta&abi.FlagDropGrant != 0 {
			n.rights &^= abi.RightGrant
		}
	}
}
