//go:build !tamago

package ipctest

import (
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// cap is a capability; capabilities derived from it are its children.
type cap struct {
	obj    object
	rights abi.Rights
	badge  uint64
	parent *cap
	kids   map[*cap]bool
	in     *capSlot // where it is, nil while it is in a message
}

type capSlot struct {
	c       *cap
	gen     uint32
	transit bool // a queued message carries it; its handle names nothing until it comes back
}

// object is what a capability names. refs counts capabilities.
type object interface {
	kind() abi.Kind
	ref(n int) int // adds n and returns the count
	last()         // the last capability is gone
}

type counted struct{ refs int }

func (c *counted) ref(n int) int { c.refs += n; return c.refs }
func (c *counted) last()         {}

type spawnRight struct{ counted }
type consoleObj struct{ counted }
type vmo struct {
	counted
	mem    []byte
	sealed bool
	owner  *Process
	// of a DMA buffer
	address uint64
}

func (*spawnRight) kind() abi.Kind { return abi.KindSpawn }
func (*consoleObj) kind() abi.Kind { return abi.KindConsole }
func (*vmo) kind() abi.Kind        { return abi.KindVMO }

type procObj struct {
	counted
	p *Process
}

func (*procObj) kind() abi.Kind { return abi.KindProcess }

// last ends a process that nobody can name any more.
func (o *procObj) last() { o.p.exit(abi.ExitKilled) }

// endpoint queues calls and one-way messages.
type endpoint struct {
	counted
	owner  *Process
	depth  int
	max    int
	queue  []*call
	closed bool
	armed  *slot
	cookie uint64
}

func (*endpoint) kind() abi.Kind { return abi.KindEndpoint }

func (e *endpoint) last() { e.close() }

func (e *endpoint) close() {
	if e.closed {
		return
	}
	e.closed = true
	if e.armed != nil {
		e.armed.armed = nil
		e.armed = nil
	}
	q := e.queue
	e.queue = nil
	for _, c := range q {
		c.end(abi.ECLOSED)
	}
}

// notification delivers bits to the slot of its creator.
type notification struct {
	counted
	owner *Process
	s     *slot
}

func (*notification) kind() abi.Kind { return abi.KindNotification }

func (n *notification) set(bits uint64) {
	n.s.bits |= bits
	n.s.notified = true
	n.s.cond.Broadcast()
}

type timer struct {
	counted
	n    *notification
	bits uint64
	t    *time.Timer
}

func (*timer) kind() abi.Kind { return abi.KindTimer }

func (t *timer) last() { t.set(nil, 0) }

func (t *timer) set(k *Kernel, deadline int64) {
	if t.t != nil {
		t.t.Stop()
		t.t = nil
	}
	if deadline != 0 {
		t.t = k.at(deadline, func() { t.n.set(t.bits) })
	}
}

// call is a message on its way: queued, then taken, then ended.
type call struct {
	from     *Process
	s        *slot // nil: one-way
	cookie   uint64
	ep       *endpoint
	badge    uint64
	data     [8]uint64
	length   int
	send     *ipc.Buffer
	recv     *ipc.Buffer
	moved    *cap
	flags    uint64 // with which it moves
	deadline int64
	timer    *time.Timer
	taken    *slot // of the server
	right    abi.Handle
	over     bool
}

// finish takes the call out of everything it is in.
func (c *call) finish() bool {
	if c.over {
		return false
	}
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.taken != nil {
		delete(c.ep.owner.replies, c.right)
	} else {
		for i, q := range c.ep.queue {
			if q == c {
				c.ep.queue = append(c.ep.queue[:i:i], c.ep.queue[i+1:]...)
				break
			}
		}
	}
	if c.s != nil {
		c.from.k.calls--
		delete(c.s.out, c)
	}
	if c.moved != nil { // never reached the server
		c.moved.in.transit = false
		c.moved = nil
	}
	return true
}

// end ends the call with an error for the caller.
func (c *call) end(e abi.Errno) {
	if c.finish() && c.s != nil {
		c.s.deliver(ipc.Regs{A: [8]uint64{abi.EventReply, c.cookie, uint64(e)}})
	}
}

// giveUp ends the call with e and tells a server that has taken it.
func (c *call) giveUp(e abi.Errno) {
	if t := c.taken; t != nil && !c.over && t.armed == nil {
		t.cancelled = true
		t.cond.Broadcast()
	}
	c.end(e)
}

// abandon ends a call whose caller died.
func (c *call) abandon() {
	if t := c.taken; t != nil && !c.over {
		t.cancelled = true
		t.cond.Broadcast()
	}
	c.finish()
}

// install puts c into the table and returns its handle, 0 if the table is full.
func (p *Process) install(c *cap) abi.Handle {
	i := 0
	for i < len(p.caps) && p.caps[i].c != nil {
		i++
	}
	if i == MaxCaps {
		return 0
	}
	if i == len(p.caps) {
		if p.caps == nil {
			p.caps = make([]capSlot, 0, MaxCaps) // pointers into it stay good
		}
		p.caps = append(p.caps, capSlot{})
	}
	s := &p.caps[i]
	if c.in != nil { // moved
		*c.in = capSlot{gen: c.in.gen}
	}
	s.c = c
	s.gen++
	if c.kids == nil {
		c.kids = map[*cap]bool{}
		c.obj.ref(1)
	}
	c.in = s
	return abi.Handle(s.gen)<<32 | abi.Handle(i+1)
}

// move installs c, which a message with the flags carries.
func (p *Process) move(c *cap, flags uint64) abi.Handle {
	h := p.install(c)
	if h != 0 && flags&abi.FlagDropGrant != 0 {
		c.rights &^= abi.RightGrant
	}
	return h
}

// get returns the capability that h names, if it is of the kind and has the rights.
func (p *Process) get(h uint64, kind abi.Kind, rights abi.Rights) (*cap, abi.Errno) {
	i := int(uint32(h)) - 1
	if i < 0 || i >= len(p.caps) || p.caps[i].c == nil || p.caps[i].transit || uint64(p.caps[i].gen) != h>>32 {
		return nil, abi.EBADF
	}
	c := p.caps[i].c
	if kind != abi.KindNone && c.obj.kind() != kind {
		return nil, abi.EKIND
	}
	if c.rights&rights != rights {
		return nil, abi.EPERM
	}
	return c, abi.OK
}

// derive makes a child of c.
func (c *cap) derive(rights abi.Rights, badge uint64) *cap {
	n := &cap{obj: c.obj, rights: rights, badge: badge, parent: c, kids: map[*cap]bool{}}
	c.kids[n] = true
	c.obj.ref(1)
	return n
}

// drop ends c; its children become its parent's.
func (c *cap) drop() {
	if o, ok := c.obj.(*deviceObj); ok && len(c.kids) == 0 {
		o.lose()
	}
	if c.in != nil {
		*c.in = capSlot{gen: c.in.gen}
		c.in = nil
	}
	for k := range c.kids {
		k.parent = c.parent
		if c.parent != nil {
			c.parent.kids[k] = true
		}
	}
	if c.parent != nil {
		delete(c.parent.kids, c)
	}
	if e, ok := c.obj.(*endpoint); ok && c.rights&abi.RightRecv != 0 {
		e.close()
	}
	if c.obj.ref(-1) == 0 {
		c.obj.last()
	}
}

// revoke drops everything derived from c.
func (c *cap) revoke() (n int) {
	for k := range c.kids {
		n += k.revoke() + 1
		k.drop()
	}
	return n
}
