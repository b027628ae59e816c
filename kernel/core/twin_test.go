package core

import (
	"slices"

	"nexus.internal/ipc/abi"
)

// This file is what capabilities, endpoints, calls and notifications are meant to be,
// written a second time, with pointers and slices and no regard for cost. It knows
// nothing of the tables of the kernel. The test in twin_step_test.go lets both do the
// same and compares every result, every event and who holds what.

type twinCap struct {
	kind     abi.Kind
	rights   abi.Rights
	badge    uint64
	ep       *twinEndpoint
	note     *twinNotification
	holder   *twinProcess
	handle   uint64 // as the kernel said, 0 before it did
	carried  *twinCall
	parent   *twinCap
	children []*twinCap
	closed   bool
}

type twinEndpoint struct {
	owner  *twinProcess
	depth  int
	maxLen uint64
	queue  []*twinCall
	armed  bool
	cookie uint64
	closed bool
}

type twinNotification struct {
	owner  *twinProcess
	key    uint64
	bits   uint64
	closed bool
}

type twinCall struct {
	client *twinProcess // nil: a one-way message
	sid    uint64
	pid    uint64
	ep     *twinEndpoint
	badge  uint64
	cookie uint64
	length uint64
	data   uint64 // first word of the message
	due    int64
	cap    *twinCap
	narrow bool
	state  int // callQueued, callTaken, callDone; callFree when it is over
	accept uint64
	right  uint64 // reply right, as the kernel said
	// The result.
	status abi.Errno
	moved  *twinCap
}

// twinEvent is what a process is given when a wait ends.
type twinEvent struct {
	kind   uint64
	call   *twinCall // of a reply, a request, a cancellation
	cookie uint64    // or key
	bits   uint64
	cap    *twinCap // that comes along
}

type twinProcess struct {
	proc
	h       uint64 // the root's handle of it
	caps    []*twinCap
	eps     []*twinEndpoint // the latest first
	calls   []*twinCall     // outstanding
	serving []*twinCall
	oneWays int
	waits   bool
	waitDue int64
	got     *twinEvent // the event with which the last wait ended, until it was compared

	ended   []*twinCall
	notes   []*twinCall // that were cancelled
	ready   []*twinNotification
	readyEP []*twinEndpoint
	epsNext bool // requests are due before notifications
}

// held returns the capability that a handle of p names, if any.
func (p *twinProcess) held(h uint64) *twinCap {
	for _, c := range p.caps {
		if h != 0 && c.handle == h && c.carried == nil {
			return c
		}
	}
	return nil
}

// need returns the capability that h names, or why it does not do.
func (p *twinProcess) need(h uint64, kind abi.Kind, right abi.Rights) (*twinCap, abi.Errno) {
	c := p.held(h)
	switch {
	case c == nil:
		return nil, abi.EBADF
	case c.kind != kind:
		return nil, abi.EKIND
	case c.rights&right == 0:
		return nil, abi.EPERM
	}
	return c, abi.OK
}

func (p *twinProcess) endpoint(depth int, maxLen uint64) *twinCap {
	e := &twinEndpoint{owner: p, depth: depth, maxLen: maxLen}
	p.eps = slices.Insert(p.eps, 0, e)
	return p.take(&twinCap{kind: abi.KindEndpoint, rights: abi.RightSend | abi.RightRecv | abi.RightGrant, ep: e})
}

func (p *twinProcess) notification(key uint64) *twinCap {
	n := &twinNotification{owner: p, key: key}
	return p.take(&twinCap{kind: abi.KindNotification, rights: abi.RightSignal | abi.RightWait | abi.RightGrant, note: n})
}

// take makes p the holder of c.
func (p *twinProcess) take(c *twinCap) *twinCap {
	if q := c.holder; q != nil {
		q.caps = without(q.caps, c)
	}
	c.holder, c.handle = p, 0
	p.caps = append(p.caps, c)
	return c
}

func without[T comparable](s []T, v T) []T {
	if i := slices.Index(s, v); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	return s
}

// derive makes a capability of one of p's, for q.
func (p *twinProcess) derive(h uint64, rights abi.Rights, badge uint64, q *twinProcess) (*twinCap, abi.Errno) {
	from := p.held(h)
	switch {
	case from == nil:
		return nil, abi.EBADF
	case rights > abi.AllRights:
		return nil, abi.EINVAL
	case from.rights&abi.RightGrant == 0 || rights&^from.rights != 0 || rights&(abi.RightRecv|abi.RightWait) != 0:
		return nil, abi.EPERM
	case badge != 0 && (from.kind != abi.KindEndpoint || from.badge != 0):
		return nil, abi.EINVAL
	}
	c := &twinCap{kind: from.kind, rights: rights, badge: max(badge, from.badge), ep: from.ep, note: from.note, parent: from}
	from.children = append(from.children, c)
	return q.take(c), abi.OK
}

// close removes a capability; those derived from it become its parent's.
func (c *twinCap) close() {
	c.closed = true
	c.holder.caps = without(c.holder.caps, c)
	if c.carried != nil {
		c.carried.cap = nil
	}
	if c.parent != nil {
		c.parent.children = without(c.parent.children, c)
		c.parent.children = append(c.parent.children, c.children...)
	}
	for _, d := range c.children {
		d.parent = c.parent
	}
	if c.ep != nil && c.rights&abi.RightRecv != 0 {
		c.ep.close()
	}
	if n := c.note; n != nil && c.rights&abi.RightWait != 0 {
		n.closed = true
		n.owner.ready = without(n.owner.ready, n)
	}
}

// revoke closes everything derived from c.
func (c *twinCap) revoke() (n uint64) {
	for len(c.children) > 0 {
		n += c.children[0].revoke() + 1
		c.children[0].close()
	}
	return n
}

func (e *twinEndpoint) close() {
	if e.closed {
		return
	}
	e.closed, e.armed = true, false
	e.owner.eps = without(e.owner.eps, e)
	e.owner.readyEP = without(e.owner.readyEP, e)
	for len(e.queue) > 0 {
		c := e.queue[0]
		e.queue = e.queue[1:]
		c.end(abi.ECLOSED)
	}
}

// request is CALL and SEND up to the point where the message is with the endpoint.
func (p *twinProcess) request(h, length, cookie uint64, due int64, moved uint64, narrow, oneWay bool) abi.Errno {
	to, errno := p.need(h, abi.KindEndpoint, abi.RightSend)
	if errno != abi.OK {
		return errno
	}
	e := to.ep
	switch {
	case e.closed:
		return abi.ECLOSED
	case length > e.maxLen:
		return abi.EMSGSIZE
	case len(e.queue) >= e.depth:
		return abi.EAGAIN
	}
	var give *twinCap
	if moved != 0 {
		if give = p.held(moved); give == nil {
			return abi.EBADF
		}
		if give.rights&abi.RightGrant == 0 || give.rights&(abi.RightRecv|abi.RightWait) != 0 {
			return abi.EPERM
		}
	}
	c := &twinCall{sid: p.sid, pid: p.life, ep: e, badge: to.badge, cookie: cookie, data: cookie, length: length, due: due, cap: give, narrow: narrow, state: callQueued}
	if oneWay {
		if e.owner.oneWays == queuePerServer {
			return abi.EAGAIN
		}
		e.owner.oneWays++
		if give != nil {
			e.owner.take(give)
			if narrow {
				give.rights &^= abi.RightGrant
			}
		}
	} else {
		if len(p.calls) == callsPerProcess {
			return abi.ENOSPC
		}
		c.client = p
		p.calls = append(p.calls, c)
	}
	if give != nil {
		give.carried = c
	}
	e.queue = append(e.queue, c)
	e.list()
	if e.owner.waits {
		e.owner.wake()
	}
	return abi.OK
}

// list notes that the owner of e has a request to take.
func (e *twinEndpoint) list() {
	if e.armed && len(e.queue) > 0 && !slices.Contains(e.owner.readyEP, e) {
		e.owner.readyEP = append(e.owner.readyEP, e)
	}
}

// arm makes e deliver its next request.
func (e *twinEndpoint) arm(cookie uint64) {
	e.armed, e.cookie = true, cookie
	e.list()
}

// end ends a call that no server has any more.
func (c *twinCall) end(status abi.Errno) {
	if c.cap != nil {
		c.cap.carried = nil
	}
	if c.client == nil {
		c.state = callFree
		c.ep.owner.oneWays--
		if give := c.cap; give != nil {
			c.cap = nil
			give.close()
		}
		return
	}
	c.cap = nil
	c.status, c.length = status, 0
	c.done()
}

// done gives the client the result.
func (c *twinCall) done() {
	c.state = callDone
	c.client.ended = append(c.client.ended, c)
	if c.client.waits {
		c.client.wake()
	}
}

// giveUp ends a call for its client, whoever has it.
func (c *twinCall) giveUp(status abi.Errno) {
	c.withdraw()
	c.end(status)
}

// withdraw takes a call from its server, who is told if it had it already.
func (c *twinCall) withdraw() {
	e, s := c.ep, c.ep.owner
	if c.state == callTaken {
		s.serving = without(s.serving, c)
		if s.waits || len(s.notes) < notesPerServer {
			s.notes = append(s.notes, c)
		}
		if s.waits {
			s.wake()
		}
		return
	}
	if e.queue = without(e.queue, c); len(e.queue) == 0 {
		s.readyEP = without(s.readyEP, e)
	}
}

// reply answers a request that p has taken.
func (p *twinProcess) reply(right, length, moved uint64, narrow bool, known []*twinCall) abi.Errno {
	i := slices.IndexFunc(known, func(c *twinCall) bool { return c.right == right })
	if i < 0 {
		return abi.EBADF
	}
	c := known[i]
	switch {
	case c.state == callFree:
		return abi.ENOENT
	case c.ep.owner != p:
		return abi.EBADF
	case c.state != callTaken:
		return abi.ENOENT
	}
	if moved != 0 {
		give := p.held(moved)
		if give == nil {
			return abi.EBADF
		}
		if give.rights&abi.RightGrant == 0 || give.rights&(abi.RightRecv|abi.RightWait) != 0 {
			return abi.EPERM
		}
		c.moved = c.client.take(give)
		if narrow {
			give.rights &^= abi.RightGrant
		}
	}
	c.length, c.status = length, abi.OK
	p.serving = without(p.serving, c)
	return abi.OK
}

func (n *twinNotification) signal(bits uint64) {
	if n.closed || bits == 0 {
		return
	}
	if n.bits == 0 {
		n.owner.ready = append(n.owner.ready, n)
	}
	n.bits |= bits
	if n.owner.waits {
		n.owner.wake()
	}
}

// wake ends the wait of p if there is an event for it. One that was waited for does not
// count as its kind's turn.
func (p *twinProcess) wake() {
	turn := p.epsNext
	if e := p.next(); e != nil {
		p.waits, p.waitDue, p.got = false, 0, e
	}
	p.epsNext = turn
}

// next takes the next event of p: ended calls, then cancellations, then notifications
// and requests in turn.
func (p *twinProcess) next() *twinEvent {
	switch {
	case len(p.ended) > 0:
		c := p.ended[0]
		p.ended = p.ended[1:]
		p.calls = without(p.calls, c)
		c.state = callFree
		return &twinEvent{kind: abi.EventReply, call: c, cookie: c.cookie, cap: c.moved}
	case len(p.notes) > 0:
		c := p.notes[0]
		p.notes = p.notes[1:]
		return &twinEvent{kind: abi.EventCancel, call: c, cookie: c.accept}
	case len(p.ready) > 0 && (len(p.readyEP) == 0 || !p.epsNext):
		n := p.ready[0]
		p.ready, p.epsNext = p.ready[1:], true
		e := &twinEvent{kind: abi.EventNotify, cookie: n.key, bits: n.bits}
		n.bits = 0
		return e
	case len(p.readyEP) > 0:
		e := p.readyEP[0]
		c := e.queue[0]
		p.readyEP, e.queue, p.epsNext, e.armed = p.readyEP[1:], e.queue[1:], false, false
		c.accept, c.state = e.cookie, callTaken
		give := c.cap
		if c.cap = nil; give != nil {
			give.carried = nil
			if c.client != nil {
				p.take(give)
				if c.narrow {
					give.rights &^= abi.RightGrant
				}
			}
		}
		if c.client == nil {
			c.state = callFree
			p.oneWays--
		} else {
			p.serving = append(p.serving, c)
		}
		return &twinEvent{kind: abi.EventRequest, call: c, cookie: c.accept, cap: give}
	}
	return nil
}

// end ends p, and what others have to do with it.
func (p *twinProcess) end() {
	p.waits = false
	for len(p.eps) > 0 {
		p.eps[0].close()
	}
	// In the order of the kernel's records, which the reply right tells: that is the order
	// in which servers hear of it.
	byRecord := func(a, b *twinCall) int { return int(a.right&rightIndex) - int(b.right&rightIndex) }
	for _, c := range slices.SortedStableFunc(slices.Values(p.calls), byRecord) {
		if c.state == callQueued || c.state == callTaken {
			c.withdraw()
		}
		if c.cap != nil {
			c.cap.carried = nil
		}
		c.state, c.cap = callFree, nil
	}
	slices.SortFunc(p.serving, byRecord)
	for len(p.serving) > 0 {
		c := p.serving[0]
		p.serving = p.serving[1:]
		c.end(abi.ECLOSED)
	}
	for len(p.caps) > 0 {
		p.caps[0].close()
	}
}
