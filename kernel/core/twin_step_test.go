package core

import (
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"pgregory.net/rapid"
)

// twins is the kernel and the second version of it, which do the same.
type twins struct {
	*sim
	chooser
	procs   []*twinProcess
	known   []*twinCall // those that a reply right was given for
	stale   []uint64    // handles that were good once, of anybody
	serial  uint64      // of cookies, keys and messages
	dues    map[int64]bool
	objects map[any]objRef
}

// objRef is where the kernel has an endpoint or notification.
type objRef struct{ i, gen uint32 }

func newTwins(tb testing.TB, c chooser) *twins {
	w := &twins{sim: newSim(tb), chooser: c, dues: map[int64]bool{}, objects: map[any]objRef{}}
	for range 3 {
		w.spawnOne()
	}
	return w
}

// spawnOne starts a process that all others can talk with, and that can talk with them.
func (w *twins) spawnOne() {
	p := &twinProcess{}
	p.proc, p.h = w.spawn()
	w.procs = append(w.procs, p)
	for range 2 {
		ep := w.endpoint(p, 1+w.upTo(4), []uint64{0, 8, abi.MaxInline}[w.upTo(3)])
		note := w.notification(p)
		for _, q := range w.procs {
			w.share(p, ep, abi.RightSend|abi.RightGrant, q)
			w.share(p, note, abi.RightSignal|abi.RightGrant, q)
			if q != p && len(q.eps) > 0 {
				w.share(q, q.recv(), abi.RightSend|abi.RightGrant, p)
			}
		}
	}
}

// recv returns a capability with which p receives.
func (p *twinProcess) recv() *twinCap {
	i := slices.IndexFunc(p.caps, func(c *twinCap) bool { return c.kind == abi.KindEndpoint && c.rights&abi.RightRecv != 0 })
	return p.caps[i]
}

func (w *twins) share(p *twinProcess, c *twinCap, rights abi.Rights, q *twinProcess) {
	d, _ := p.derive(c.handle, rights, 0, q)
	d.handle = w.give(p.proc, c.handle, rights, 0, q.proc)
}

func (w *twins) endpoint(p *twinProcess, depth int, maxLen uint64) *twinCap {
	c := p.endpoint(depth, maxLen)
	c.handle = p.must(abi.SysEndpointCreate, uint64(depth), maxLen)
	w.objects[c.ep] = w.object(p, c.handle)
	return c
}

func (w *twins) notification(p *twinProcess) *twinCap {
	w.serial++
	c := p.notification(w.serial)
	c.handle = p.must(abi.SysNotificationCreate, w.serial)
	w.objects[c.note] = w.object(p, c.handle)
	return c
}

func (w *twins) object(p *twinProcess, h uint64) objRef {
	n := &w.caps[w.lookup(p.Process, h)]
	return objRef{n.obj, n.gen}
}

// due returns a deadline that nobody else has, or none.
func (w *twins) due() int64 {
	if w.upTo(3) != 0 {
		return 0
	}
	for {
		if d := w.clock + 1 + int64(w.upTo(5000)); !w.dues[d] {
			w.dues[d] = true
			return d
		}
	}
}

// handle returns a handle for p to use, mostly one of its own.
func (w *twins) handle(p *twinProcess, kind abi.Kind) uint64 {
	if w.upTo(12) == 0 {
		return w.oneOf(w.stale)
	}
	var hs []uint64
	for _, c := range p.caps {
		if c.carried == nil && (c.kind == kind || kind == abi.KindNone || w.upTo(16) == 0) {
			hs = append(hs, c.handle)
		}
	}
	return w.oneOf(hs)
}

func (w *twins) oneOf(v []uint64) uint64 {
	if len(v) == 0 {
		return 0
	}
	return v[w.upTo(len(v))]
}

// moved returns a capability to send along, mostly none.
func (w *twins) moved(p *twinProcess) uint64 {
	if w.upTo(3) != 0 {
		return 0
	}
	return w.handle(p, abi.KindNone)
}

// step lets one process make one call, or time pass, or one end.
func (w *twins) step() {
	var can []*twinProcess
	for _, p := range w.procs {
		if !p.waits {
			can = append(can, p)
		}
	}
	switch n := w.upTo(40); {
	case n == 0 && len(w.procs) > 2 || len(can) == 0 && w.upTo(4) == 0:
		w.kill()
	case n == 1 && len(w.procs) < 4:
		w.spawnOne()
	case n < 4 || len(can) == 0:
		w.pass()
	default:
		w.call(can[w.upTo(len(can))])
	}
	w.compare()
}

// kill ends a process.
func (w *twins) kill() {
	i := w.upTo(len(w.procs))
	p := w.procs[i]
	w.procs = slices.Delete(w.procs, i, i+1)
	p.end()
	w.root.must(abi.SysProcessKill, p.h)
	w.root.must(abi.SysCapClose, p.h)
	if len(w.procs) < 2 {
		w.spawnOne()
	}
}

// pass moves the clock to the next deadline.
func (w *twins) pass() {
	at := int64(Never)
	for _, p := range w.procs {
		if p.waits && p.waitDue != 0 {
			at = min(at, p.waitDue)
		}
		for _, c := range p.calls {
			if c.due != 0 && (c.state == callQueued || c.state == callTaken) {
				at = min(at, c.due)
			}
		}
	}
	if at == Never {
		return
	}
	for _, p := range w.procs {
		if p.waits && p.waitDue == at {
			p.waits, p.waitDue, p.got = false, 0, &twinEvent{kind: abi.EventNone}
		}
		for _, c := range p.calls {
			if c.due == at && (c.state == callQueued || c.state == callTaken) {
				c.giveUp(abi.ETIMEDOUT)
				break
			}
		}
	}
	w.advance(at - w.clock)
}

// call lets p make a system call, and holds the result against that of the twin.
func (w *twins) call(p *twinProcess) {
	w.serial++
	n := w.serial
	r := regs{Data: [8]uint64{n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7}}
	noWait := w.upTo(2) == 0
	narrow := w.upTo(3) == 0
	length := []uint64{0, 8, 8, abi.MaxInline}[w.upTo(4)]
	meta := length
	if noWait {
		meta |= abi.FlagNoWait
	}
	if narrow {
		meta |= abi.FlagDropGrant
	}
	switch w.upTo(18) {
	case 0, 1, 2:
		h, due, moved, waitDue := w.handle(p, abi.KindEndpoint), w.due(), w.moved(p), w.due()
		r.A = [7]uint64{h, meta, n, uint64(due), moved}
		r.S10 = uint64(waitDue)
		errno := p.request(h, length, n, due, moved, narrow, false)
		w.trapWith(p, abi.SysCall, &r, errno, noWait, waitDue)
	case 3:
		h, moved := w.handle(p, abi.KindEndpoint), w.moved(p)
		r.A = [7]uint64{h, meta &^ abi.FlagNoWait, 4: moved}
		w.trapWith(p, abi.SysSend, &r, p.request(h, length, n, 0, moved, narrow, true), true, 0)
	case 4, 5, 6:
		accept, errno := w.accept(p)
		r.A, r.S10 = [7]uint64{1: meta &^ (abi.MetaLen | abi.FlagDropGrant), 2: accept, 3: uint64(w.due())}, n
		if errno == abi.OK && accept != 0 {
			p.held(accept).ep.arm(n)
		}
		w.trapWith(p, abi.SysWait, &r, errno, false, int64(r.A[3]), noWait)
	case 7, 8, 9:
		right := w.right(p)
		accept, errno := w.accept(p)
		moved := w.moved(p)
		r.A, r.S10 = [7]uint64{right, meta, accept, uint64(w.due()), moved}, n
		w.reply(p, &r, right, length, accept, moved, errno, narrow, noWait)
	case 10:
		cookie := n - uint64(w.upTo(12))
		errno := abi.ENOENT
		for _, c := range p.calls {
			if c.cookie == cookie && (c.state == callQueued || c.state == callTaken) {
				c.giveUp(abi.ECANCELED)
				errno = abi.OK
				break
			}
		}
		w.trapWith(p, abi.SysCancel, &regs{A: [7]uint64{2: cookie}}, errno, true, 0)
	case 11:
		h, bits := w.handle(p, abi.KindNotification), uint64(w.upTo(4))
		c, errno := p.need(h, abi.KindNotification, abi.RightSignal)
		if errno == abi.OK && c.note.closed {
			errno = abi.ECLOSED
		}
		if errno == abi.OK {
			c.note.signal(bits)
		}
		w.trapWith(p, abi.SysNotify, &regs{A: [7]uint64{h, bits}}, errno, true, 0)
	case 12, 13, 14:
		h, rights, badge := w.handle(p, abi.KindNone), abi.Rights(w.upTo(int(abi.AllRights)+2)), uint64(w.upTo(3))
		if c := p.held(h); c != nil && w.upTo(4) != 0 {
			rights &= c.rights &^ (abi.RightRecv | abi.RightWait)
		}
		if len(p.caps) > 100 {
			return
		}
		c, errno := p.derive(h, rights, badge, p)
		w.trapWith(p, abi.SysCapCopy, &regs{A: [7]uint64{h, uint64(rights), badge}}, errno, true, 0)
		if errno == abi.OK {
			c.handle = p.main.Frame.X[hart.A0]
		}
	default:
		w.dropOrMake(p)
	}
}

// dropOrMake lets p close or revoke a capability, or create an object.
func (w *twins) dropOrMake(p *twinProcess) {
	switch n := w.upTo(5); {
	case n == 0 && len(p.eps) < 6:
		w.endpoint(p, 1+w.upTo(4), abi.MaxInline)
	case n == 1 && p.numNotifs < notifsPerProcess && len(p.caps) < 100:
		w.notification(p)
	default:
		h := w.handle(p, abi.KindNone)
		if with := p.parents(); len(with) > 0 && w.upTo(2) == 0 {
			h = w.oneOf(with)
		}
		c, num, errno := p.held(h), uint64(abi.SysCapClose), abi.OK
		if n >= 3 {
			num = abi.SysCapRevoke
		}
		want := uint64(0)
		switch {
		case c == nil:
			errno = abi.EBADF
		case n >= 3:
			want = c.revoke()
		default:
			c.close()
			w.stale = append(w.stale, h)
		}
		w.trapWith(p, num, &regs{A: [7]uint64{h}}, errno, true, 0)
		if got := p.main.Frame.X[hart.A0]; errno == abi.OK && got != want {
			w.tb.Errorf("%s returns %d, want %d", abi.Calls[num].Name, got, want)
		}
	}
}

// parents returns the handles of p from which something was derived.
func (p *twinProcess) parents() (hs []uint64) {
	for _, c := range p.caps {
		if c.carried == nil && len(c.children) > 0 {
			hs = append(hs, c.handle)
		}
	}
	return hs
}

// accept returns the endpoint that p arms while it waits, 0 for none.
func (w *twins) accept(p *twinProcess) (uint64, abi.Errno) {
	if w.upTo(3) == 0 {
		return 0, abi.OK
	}
	h := w.handle(p, abi.KindEndpoint)
	if w.upTo(6) != 0 && len(p.eps) > 0 {
		e := p.eps[w.upTo(len(p.eps))]
		for _, c := range p.caps {
			if c.ep == e && c.rights&abi.RightRecv != 0 {
				h = c.handle
			}
		}
	}
	if h == 0 {
		return 0, abi.OK
	}
	_, errno := p.need(h, abi.KindEndpoint, abi.RightRecv)
	return h, errno
}

// right returns a reply right, mostly one that p has.
func (w *twins) right(p *twinProcess) uint64 {
	if len(p.serving) > 0 && w.upTo(8) != 0 {
		return p.serving[w.upTo(len(p.serving))].right
	}
	if len(w.known) == 0 {
		return 0
	}
	c := w.known[w.upTo(len(w.known))]
	if c.state == callDone && !slices.Contains(w.procs, c.ep.owner) {
		return 0 // whose right it was, the kernel no longer knows
	}
	return c.right
}

func (w *twins) reply(p *twinProcess, r *regs, right, length, accept, moved uint64, errno abi.Errno, narrow, noWait bool) {
	var c *twinCall
	if errno == abi.OK {
		i := slices.IndexFunc(w.known, func(c *twinCall) bool { return c.right == right })
		if errno = p.reply(right, length, moved, narrow, w.known); errno == abi.OK {
			c = w.known[i]
			c.data = r.Data[0]
			if accept != 0 {
				p.held(accept).ep.arm(r.S10)
			}
			c.done()
		}
	}
	w.trapWith(p, abi.SysReply, r, errno, noWait, int64(r.A[3]))
}

// trapWith lets p make the system call, which must be refused with errno, or else
// wait unless noWait. poll says that it takes an event if there is one.
func (w *twins) trapWith(p *twinProcess, num uint64, r *regs, errno abi.Errno, noWait bool, due int64, poll ...bool) {
	polls := len(poll) > 0 && poll[0]
	if errno == abi.OK && !noWait {
		p.got = p.next()
		switch {
		case p.got != nil:
		case polls:
			p.got = &twinEvent{kind: abi.EventNone}
		default:
			p.waits, p.waitDue = true, due
		}
	}
	p.trap(num, r)
	if noWait && p.alive() {
		p.schedule() // a server that ran at once makes way again
	}
	if errno != abi.OK {
		if p.proc.waits() || refusal(p.main.Frame.X[hart.A0]) != errno {
			w.tb.Errorf("%s of pid %d: a0 %#x, want %v", abi.Calls[num].Name, p.life, p.main.Frame.X[hart.A0], errno)
		}
	} else if noWait && refusal(p.main.Frame.X[hart.A0]) != abi.OK {
		w.tb.Errorf("%s of pid %d: %v", abi.Calls[num].Name, p.life, refusal(p.main.Frame.X[hart.A0]))
	}
}

// Whatever processes do with capabilities, endpoints, calls and notifications: the
// kernel does what its twin does.
func TestPropertyTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTwins(rapidTB{t, rt}, rapidChooser{rt})
		for i := range rapid.IntRange(300, 500).Draw(rt, "steps") {
			w.step()
			if i%(8*checkEvery) == 0 {
				w.check()
			}
		}
		w.Shutdown()
		w.allBack()
	})
}
