package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// This file takes calls and replies over the direct path that are not plain: a message in
// memory, a capability, a call without waiting. What the message has beside registers is
// checked, and copied, while nothing has changed; then the direct path hands it over, and
// the rest is put beside it. As there, whatever is unusual is left to the general path.

// carried is what is carried, of what a1 can ask for.
const carried = abi.MetaLen | abi.FlagDropGrant | abi.FlagNoWait

// CarryCall is CallDirect for a request that is not plain.
//
//go:nosplit
func (k *Kernel) CarryCall(t *Thread) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	entry, meta := &p.handle[uint8(x[hart.A0])], x[hart.A1]
	length := meta & abi.MetaLen
	if entry.word != x[hart.A0] || meta&^carried != 0 {
		return nil, 0
	}
	n := entry.node
	e := n.send
	if e == nil || e.armed != n.gen || length > e.maxLen || e.taker.state != threadWaiting {
		return nil, 0
	}
	q := e.taker.proc
	moved, ok := p.mayMove(x[hart.A4], q)
	if !ok {
		return nil, 0
	}
	if length > abi.MaxInline && (!p.canWait() || !sv39.CopyAcross(&q.space, e.buffer, &p.space, x[hart.A5], int(length))) {
		return nil, 0
	}
	if next, due = k.CallDirect(k.h, t, length); next == nil {
		return nil, 0
	}
	if moved != nil {
		moved.goAlong(t, next)
	}
	if length > abi.MaxInline {
		t.Frame.ClearPayload()
	}
	if meta&abi.FlagNoWait != 0 {
		p.waiter, t.waitDue = 0, 0
		x[hart.A0] = abi.EventNone
		k.lend(t)
	}
	return next, due
}

// CarryReply is ReplyDirect for a reply that is not plain, or to a client that called
// without waiting.
//
//go:nosplit
func (k *Kernel) CarryReply(t *Thread) (next *Thread, due uint64) {
	p, x := t.proc, &t.Frame.X
	c, entry, meta := &k.byRight[x[hart.A0]<<rightGen>>rightGen], &p.handle[uint8(x[hart.A2])], x[hart.A1]
	length := meta & abi.MetaLen
	if c.right != x[hart.A0] || c.server != p.id || entry.word != x[hart.A2] || meta&^(carried&^abi.FlagNoWait) != 0 || length > abi.MaxMessage {
		return nil, 0
	}
	e, s := entry.node.recv, c.caller
	if e == nil || e.queue.head != 0 {
		return nil, 0
	}
	q := s.proc
	moved, ok := p.mayMove(x[hart.A4], q)
	if !ok {
		return nil, 0
	}
	if length > abi.MaxInline && (!p.canWait() || !sv39.CopyAcross(&q.space, c.reply, &p.space, x[hart.A5], int(length))) {
		return nil, 0
	}
	if s.state != threadWaiting {
		if !k.recall(t, c) {
			return nil, 0
		}
	}
	if next, due = k.ReplyDirect(k.h, t, length); next == nil {
		return nil, 0
	}
	if moved != nil {
		moved.goAlong(t, next)
	}
	if length > abi.MaxInline {
		t.Frame.ClearPayload()
	}
	return next, due
}

// mayMove returns the capability that cap names, nil if it is 0. ok is false if p may not
// give it away or q has no room for it.
func (p *Process) mayMove(cap uint64, q *Process) (n *capNode, ok bool) {
	if cap == 0 {
		return nil, true
	}
	e := &p.handle[uint8(cap)]
	n = e.node
	return n, e.word == cap && n.rights&(abi.RightGrant|solitary|busy) == abi.RightGrant && q.freeH != 0
}

// goAlong moves n with the message of t to s.
//
//go:nosplit
func (n *capNode) goAlong(t, s *Thread) {
	n.leave(t.proc)
	s.Frame.X[hart.A6] = n.enter(s.proc)
	if t.Frame.X[hart.A1]&abi.FlagDropGrant != 0 {
		n.rights &^= abi.RightGrant
	}
}

// recall makes the client of c, which called without waiting and runs next, wait after all
// for the reply of t. It does so only if nothing else can keep [Kernel.ReplyDirect] from
// handing that over.
//
//go:nosplit
func (k *Kernel) recall(t *Thread, c *call) bool {
	h, p, s := k.h, t.proc, c.caller
	q, class, next := s.proc, h.class&classMask, t.Frame.X[hart.A6]
	if !p.canWait() || c.lane != h.lane || next != 0 && !isBuffer(next) {
		return false
	}
	if s.state != threadReady || q.yielded != s.id || q.waiter != 0 || h.ready[class].head != s.id || h.waiting>>class != 1 {
		return false
	}
	k.dequeue(s)
	q.yielded, q.waiter = 0, s.id
	s.state, s.lent = threadWaiting, false
	return true
}
