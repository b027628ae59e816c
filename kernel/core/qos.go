package core

import (
	"math/bits"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// This file holds the classes of service, and how they are passed on: whoever waits for
// a server lends it his class until the call ends, so that a middle class does not keep
// the server from the hart, and with it him.
//
// A process counts for whom it works in a word of lanes, one for each class. The word is
// exact at any time; the class of its threads follows it when they are queued, and at
// once when it rises or falls on the general path. On the direct path nothing needs to
// follow: the server runs in what its caller's hart runs in.

// classMask has the bits of a class.
const classMask = abi.Classes - 1

// laneBits is the width of a lane: more than all calls of all processes.
const laneBits = 16

// laneOf returns a one in the lane of a class.
func laneOf(c abi.Class) uint64 { return 1 << (laneBits * c) }

// enter makes h run in a class.
func (h *Hart) enter(c abi.Class) { h.class, h.alone, h.lane = c, 1<<c, laneOf(c) }

// effective returns the class that the threads of p run in: its own, or that of the
// highest that waits for it.
func (p *Process) effective() abi.Class {
	if !p.lifted() {
		return p.qos.Class()
	}
	return abi.Class(bits.Len64(p.donors)-1) / laneBits
}

// lifted reports whether somebody of a higher class waits for p.
func (p *Process) lifted() bool { return p.donors>>laneBits >= p.lane }

// works returns how many calls p has in a queue or has taken.
func (p *Process) works() (n uint64) {
	for d := p.donors; d != 0; d >>= laneBits {
		n += d & (1<<laneBits - 1)
	}
	return n
}

// entrust counts c for its server s, for as long as it is queued or taken.
func (k *Kernel) entrust(c *call, s *Process) {
	if !c.oneWay {
		k.callsHeld--
		s.donors += c.lane
	}
}

// donate is entrust for a server that is not going to run next: it follows at once.
func (k *Kernel) donate(c *call, s *Process) {
	first := s.donors < c.lane
	k.entrust(c, s)
	if first && c.lane > s.lane {
		k.raise(s)
	}
}

// undonate is called when c, which was entrusted to s, is neither queued nor taken any
// more.
func (k *Kernel) undonate(c *call, s *Process) {
	c.state = callDone // or it would be raised with the others of its client
	if c.oneWay {
		return
	}
	k.callsHeld++
	s.donors -= c.lane
	if c.lane > s.lane && (s.donors < c.lane || s.lends != 0) {
		k.lower(s)
	}
}

// lending notes whether p has a call outstanding that may be in a higher lane than its own.
// Then its replies take the general path, where it is lowered if it has to be.
func (p *Process) lending(yes uint32) {
	p.lends = yes
	p.changed()
}

// outstanding reports whether the client of c waits for its server.
func (c *call) outstanding() bool { return c.state == callQueued || c.state == callTaken }

// raise makes the threads of p run in the class that it has come to, and those whom p
// has called, and so on, donationReach processes in all.
func (k *Kernel) raise(p *Process) {
	p.raised = p.id
	last := p
	for range donationReach {
		class := p.effective()
		k.follow(p, class)
		lane := laneOf(class)
		for i, end := callsOf(p); i < end; i++ {
			c := &k.calls[i]
			if !c.outstanding() || c.lane >= lane {
				continue
			}
			s := &k.procs[c.server]
			s.donors += lane - c.lane
			c.lane = lane
			if lane > p.lane {
				p.lending(1)
			}
			if s.raised == 0 {
				last.raised, s.raised = s.id, s.id
				last = s
			}
		}
		next := p.raised
		p.raised = 0
		if next == p.id {
			return
		}
		p = &k.procs[next]
	}
	for p.raised != p.id { // the others stay as they are
		p.raised, p = 0, &k.procs[p.raised]
	}
	p.raised = 0
}

// lower takes back what p passed on while it worked for somebody who does not wait for
// it any more: its calls are in its own class again, and those of their servers, and so
// on. Only then is everybody raised again by those who do wait, so that processes that
// call each other in a circle cannot hold each other up.
func (k *Kernel) lower(p *Process) {
	first, last := p, p
	p.lowered = p.id
	for {
		if p.lends != 0 {
			p.lending(0)
			for i, end := callsOf(p); i < end; i++ {
				c := &k.calls[i]
				if !c.outstanding() || c.lane <= p.lane {
					continue
				}
				s := &k.procs[c.server]
				s.donors -= c.lane - p.lane
				c.lane = p.lane
				if s.lowered == 0 {
					last.lowered, s.lowered = s.id, s.id
					last = s
				}
			}
		}
		if p.lowered == p.id {
			break
		}
		p = &k.procs[p.lowered]
	}
	for p = first; ; {
		k.raise(p)
		next := p.lowered
		p.lowered = 0
		if next == p.id {
			return
		}
		p = &k.procs[next]
	}
}

// follow makes the threads of p run, and be queued, in a class.
func (k *Kernel) follow(p *Process, class abi.Class) {
	threads := k.threadsOf(p)
	for i := range threads {
		t := &threads[i]
		h := &k.harts[t.hart]
		switch {
		case t.state == threadReady && t.class != class:
			h = &k.harts[t.queue]
			k.dequeue(t)
			k.enqueue(h, t, class)
			if h.cur != nil && class > h.class && !h.owed {
				k.look(h)
			}
		case t.state == threadRunning && h.class != class:
			h.enter(class)
			if highest[h.waiting] > class && !h.owed {
				k.look(h)
			}
		}
	}
}

// look makes hart h see at once whom it has to run: with its timer, or interrupted.
func (k *Kernel) look(h *Hart) {
	h.sliceEnd = 0
	if h != k.h {
		k.poke(h)
	}
}

// resume gives the hart to t, which was waiting and has been given its event, in its own
// class, unless a higher one is ready.
func (k *Kernel) resume(t *Thread) {
	if p := t.proc; p.lane == k.h.lane && !p.lifted() {
		k.switchTo(t)
	} else {
		k.resumeAs(t)
	}
}

// resumeAs is resume into another class than the hart runs in.
func (k *Kernel) resumeAs(t *Thread) {
	h, class := k.h, t.proc.effective()
	if highest[h.waiting] <= class {
		h.enter(class)
		k.switchTo(t)
		return
	}
	h.cur = nil
	k.makeReady(t)
	k.pick()
}

// setQoS makes q the QoS of p, which has no threads yet, or becomes effective by move.
func (p *Process) setQoS(q abi.QoS) {
	p.qos, p.turn = q, int64(q.Share())*shareNS
	p.lane = laneOf(q.Class())
}

// usable reports whether q is a QoS for which there is a hart.
func (k *Kernel) usable(q abi.QoS) bool { return q.Valid() && q.Harts()&k.online != 0 }

// move takes the threads of p from harts on which they may not be queued any more.
func (k *Kernel) move(p *Process) {
	threads := k.threadsOf(p)
	for i := range threads {
		t := &threads[i]
		switch {
		case t.state == threadReady && !k.harts[t.queue].may(p):
			k.dequeue(t)
			k.makeReady(t)
		case t.state == threadRunning && t.hart != k.h.index && !k.harts[t.hart].may(p):
			k.look(&k.harts[t.hart])
		}
	}
}

func (k *Kernel) sysProcessQoS(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	q, set := p, abi.QoS(x[hart.A1])
	if x[hart.A0] != 0 {
		right := abi.RightRead
		if set != 0 {
			right = abi.RightManage
		}
		n, errno := k.need(p, x[hart.A0], abi.KindProcess, right)
		if errno != abi.OK {
			return errno
		}
		q = &k.procs[n.obj]
	}
	if q.state != procLive {
		return abi.ENOENT
	}
	was := q.qos
	if set != 0 {
		if !k.usable(set) {
			return abi.EINVAL
		}
		if x[hart.A0] == 0 && !set.Within(was) {
			return abi.EPERM
		}
		q.setQoS(set)
		q.lending(1) // calls that it made in a class above
		k.lower(q)
		k.move(q)
	}
	x[hart.A0] = uint64(was)
	if !k.h.may(p) {
		k.preempt()
	}
	return abi.OK
}
