package core

import (
	"slices"

	"nexus.internal/ipc/abi"
)

// compare holds the kernel against its twin: who waits, what those were given whose
// wait has ended, who holds what, and what is queued where.
func (w *twins) compare() {
	for _, p := range w.procs {
		if !p.alive() || p.waits != p.proc.waits() {
			w.tb.Fatalf("pid %d lives: %v, waits: %v, want %v", p.life, p.alive(), p.proc.waits(), p.waits)
		}
		if p.got != nil {
			w.event(p, p.got)
			p.got = nil
		}
	}
	for _, p := range w.procs {
		w.holds(p)
		w.queues(p)
	}
	if w.tb.Failed() {
		w.tb.FailNow()
	}
}

// event compares what p was given.
func (w *twins) event(p *twinProcess, want *twinEvent) {
	got := p.event()
	if got.kind != want.kind {
		w.tb.Fatalf("pid %d: event %+v, want %+v", p.life, got, *want)
	}
	c := want.call
	exp := event{kind: want.kind, cookie: want.cookie}
	switch want.kind {
	case abi.EventNone:
		return
	case abi.EventReply:
		exp.a2, exp.length = uint64(c.status), c.length
	case abi.EventRequest:
		exp.a2, exp.sid, exp.length = c.badge, c.sid, c.length|c.pid<<32
		if c.client != nil {
			exp.right, exp.due = got.right, uint64(c.due)
			if slices.ContainsFunc(w.known, func(k *twinCall) bool { return k.right == got.right }) {
				w.tb.Errorf("pid %d: reply right %#x for a second time", p.life, got.right)
			}
			c.right = got.right
			w.known = append(w.known, c)
		}
	case abi.EventNotify:
		exp.a2 = want.bits
	case abi.EventCancel:
		exp.right = c.right
	}
	if want.cap != nil {
		exp.moved = got.moved
		want.cap.handle = got.moved
	}
	if carries := want.kind == abi.EventRequest || want.kind == abi.EventReply && c.status == abi.OK; carries && c.length != 0 {
		for i := range exp.data {
			exp.data[i] = c.data + uint64(i)
		}
	} else {
		got.data = exp.data // whatever the registers held
	}
	if got != exp {
		w.tb.Errorf("pid %d: event %+v, want %+v", p.life, got, exp)
	}
}

// holds compares the capabilities of p.
func (w *twins) holds(p *twinProcess) {
	n := 0
	for slot := range p.handle {
		if e := &p.handle[slot]; e.node != nil && e.node.call == 0 {
			n++
		}
	}
	for _, c := range p.caps {
		if c.carried != nil {
			continue
		}
		n--
		if c.handle == 0 {
			continue // came with a reply that p has not collected
		}
		i := w.lookup(p.Process, c.handle)
		if i == 0 {
			w.tb.Fatalf("pid %d has lost %#x", p.life, c.handle)
		}
		k := &w.caps[i]
		ref := w.objects[c.ep]
		if c.note != nil {
			ref = w.objects[c.note]
		}
		if k.kind != c.kind || k.rights != c.rights || k.badge != c.badge || k.obj != ref.i || k.gen != ref.gen {
			w.tb.Errorf("pid %d: handle %#x is of kind %d with rights %#x and badge %d, want %d, %#x, %d", p.life, c.handle, k.kind, k.rights, k.badge, c.kind, c.rights, c.badge)
		}
	}
	if n != 0 {
		w.tb.Errorf("pid %d has %d capabilities more than it should", p.life, n)
	}
}

// queues compares what waits at the endpoints of p, and the events of p.
func (w *twins) queues(p *twinProcess) {
	for _, e := range p.eps {
		k := &w.endpoints[w.objects[e].i]
		i := k.queue.head
		for _, c := range e.queue {
			if i == 0 || w.calls[i].pid != c.pid || w.calls[i].payload[0] != c.data && c.length != 0 || w.calls[i].oneWay != (c.client == nil) {
				w.tb.Fatalf("pid %d: a request of pid %d with %d is not where it should be in the queue", p.life, c.pid, c.data)
			}
			i = w.calls[i].next
		}
		if i != 0 || (k.armed != 0) != e.armed || e.armed && k.cookie != e.cookie {
			w.tb.Errorf("pid %d: endpoint has more than %d requests: %v; armed: %v, want %v", p.life, len(e.queue), i != 0, k.armed != 0, e.armed)
		}
	}
	i := p.events.head
	for _, c := range p.ended {
		if i == 0 || w.calls[i].cookie != c.cookie || w.calls[i].status != c.status {
			w.tb.Fatalf("pid %d: the end of call %d is not where it should be", p.life, c.cookie)
		}
		i = w.calls[i].next
	}
	if i != 0 || int(p.numNotes) != len(p.notes) {
		w.tb.Errorf("pid %d: more than %d ended calls: %v; %d cancellations, want %d", p.life, len(p.ended), i != 0, p.numNotes, len(p.notes))
	}
	j := p.notifReady
	for _, n := range p.ready {
		if j != w.objects[n].i || w.notifs[j].bits != n.bits {
			w.tb.Fatalf("pid %d: notification %d is not ready when it should be", p.life, n.key)
		}
		j = w.notifs[j].ready
	}
	if j != 0 {
		w.tb.Errorf("pid %d: more than %d notifications are ready", p.life, len(p.ready))
	}
}
