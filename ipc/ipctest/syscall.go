//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

func refuse(r *ipc.Regs, e abi.Errno) { *r = ipc.Regs{A: [8]uint64{uint64(-int64(e))}} }

// IPC implements [ipc.Kernel].
func (p *Process) IPC(key, num uint64, r *ipc.Regs, send, recv *ipc.Buffer) {
	p.lock()
	defer p.k.mu.Unlock()
	s := p.slots[key]
	var e abi.Errno
	switch num {
	case abi.SysCall:
		e = p.call(s, r, send, recv)
	case abi.SysReply:
		if e = p.canAccept(r.A[2]); e == abi.OK {
			if e = p.reply(r, send); e == abi.OK {
				e = p.accept(s, r, recv)
			}
		}
	case abi.SysWait:
		e = p.accept(s, r, recv)
	default:
		e = abi.ENOSYS
	}
	if e != abi.OK {
		refuse(r, e)
		return
	}
	p.park(s, r)
}

// message builds a call from the registers; nothing has changed if it is refused.
func (p *Process) message(r *ipc.Regs, send *ipc.Buffer) (*call, abi.Errno) {
	c, e := p.get(r.A[0], abi.KindEndpoint, abi.RightSend)
	if e != abi.OK {
		return nil, e
	}
	ep := c.obj.(*endpoint)
	length := int(r.A[1] & abi.MetaLen)
	if length > abi.MaxMessage || length > ep.max || length > abi.MaxInline && send == nil {
		return nil, abi.EMSGSIZE
	}
	m := &call{from: p, ep: ep, badge: c.badge, data: r.Data, length: length, send: send, flags: r.A[1]}
	if r.A[4] != 0 {
		if m.moved, e = p.giveable(r.A[4]); e != abi.OK {
			return nil, e
		}
	}
	if ep.closed {
		return nil, abi.ECLOSED
	}
	if len(ep.queue) >= ep.depth {
		return nil, abi.EAGAIN
	}
	return m, abi.OK
}

func (p *Process) enqueue(m *call) {
	if m.moved != nil {
		m.moved.in.transit = true
	}
	m.ep.queue = append(m.ep.queue, m)
	m.ep.pump()
}

func (p *Process) call(s *slot, r *ipc.Regs, send, recv *ipc.Buffer) abi.Errno {
	m, e := p.message(r, send)
	if e != abi.OK {
		return e
	}
	m.s, m.cookie, m.recv, m.deadline = s, r.A[2], recv, int64(r.A[3])
	s.out[m] = true
	p.k.calls++
	if m.deadline != 0 {
		m.timer = p.k.at(m.deadline, func() { m.giveUp(abi.ETIMEDOUT) })
	}
	p.enqueue(m)
	return abi.OK
}

func (p *Process) canAccept(ep uint64) abi.Errno {
	if ep == 0 {
		return abi.OK
	}
	_, e := p.get(ep, abi.KindEndpoint, abi.RightRecv)
	return e
}

// accept arms an endpoint.
func (p *Process) accept(s *slot, r *ipc.Regs, recv *ipc.Buffer) abi.Errno {
	if r.A[2] == 0 {
		return abi.OK
	}
	c, e := p.get(r.A[2], abi.KindEndpoint, abi.RightRecv)
	if e != abi.OK {
		return e
	}
	ep := c.obj.(*endpoint)
	if ep.owner != p {
		return abi.EPERM
	}
	if ep.armed != nil {
		ep.armed.armed = nil
	}
	ep.armed, ep.cookie = s, r.S10
	s.armed, s.recv, s.cancelled = ep, recv, false
	s.cond.Broadcast()
	ep.pump()
	return abi.OK
}

// pump delivers the oldest message to a waiting server.
func (e *endpoint) pump() {
	s := e.armed
	if s == nil || len(e.queue) == 0 {
		return
	}
	m := e.queue[0]
	var moved abi.Handle
	if m.moved != nil {
		if moved = e.owner.move(m.moved, m.flags); moved == 0 {
			m.end(abi.EPEERNOSPACE)
			e.pump()
			return
		}
		m.moved = nil
	}
	e.queue = e.queue[1:]
	e.armed, s.armed = nil, nil
	m.taken = s
	ev := ipc.Regs{A: [8]uint64{abi.EventRequest, e.cookie, m.badge, m.from.start.ServiceID, 0,
		uint64(m.length) | uint64(m.from.start.PID)<<32, uint64(moved), uint64(m.deadline)}, Data: m.data}
	if m.length > abi.MaxInline {
		copyFrame(s.recv, m.send, m.length)
	}
	if m.s != nil {
		e.owner.nreply++
		m.right = abi.ReplyBit | abi.Handle(e.owner.nreply)
		e.owner.replies[m.right] = m
		ev.A[4] = uint64(m.right)
	}
	s.deliver(ev)
}

// copyFrame copies only the words that the message has, so that the race detector
// sees exactly what the kernel touches.
func copyFrame(to, from *ipc.Buffer, length int) {
	n := (length + 7) / 8
	copy(to[:n], from[:n])
}

// Reply implements [ipc.Kernel].
func (p *Process) Reply(r *ipc.Regs, send *ipc.Buffer) {
	p.lock()
	defer p.k.mu.Unlock()
	e := p.reply(r, send)
	refuse(r, e)
}

func (p *Process) reply(r *ipc.Regs, send *ipc.Buffer) abi.Errno {
	right := abi.Handle(r.A[0])
	m := p.replies[right]
	if m == nil {
		if right&abi.ReplyBit != 0 && uint64(right&^abi.ReplyBit) <= p.nreply {
			p.k.dropped++
			return abi.ENOENT
		}
		return abi.EBADF
	}
	length := int(r.A[1] & abi.MetaLen)
	if length > abi.MaxMessage || length > abi.MaxInline && (m.recv == nil || send == nil) {
		return abi.EMSGSIZE
	}
	var moved abi.Handle
	if r.A[4] != 0 {
		c, e := p.giveable(r.A[4])
		if e != abi.OK {
			return e
		}
		if moved = m.from.move(c, r.A[1]); moved == 0 {
			return abi.EPEERNOSPACE
		}
	}
	if length > abi.MaxInline {
		copyFrame(m.recv, send, length)
	}
	m.finish()
	m.s.deliver(ipc.Regs{A: [8]uint64{abi.EventReply, m.cookie, 0, 0, 0, uint64(length), uint64(moved)}, Data: r.Data})
	return abi.OK
}

// Syscall implements [ipc.Kernel].
func (p *Process) Syscall(num uint64, r *ipc.Regs, mem []byte) {
	p.lock()
	defer p.k.mu.Unlock()
	var out ipc.Regs
	if e := p.syscall(num, r, mem, &out.A); e != abi.OK {
		refuse(r, e)
		return
	}
	*r = out
}

func (p *Process) syscall(num uint64, r *ipc.Regs, mem []byte, out *[8]uint64) abi.Errno {
	fail := func(h abi.Handle) abi.Errno {
		if h == 0 {
			return abi.ENOSPC
		}
		out[0] = uint64(h)
		return abi.OK
	}
	switch num {
	case abi.SysNop, abi.SysYield:
	case abi.SysSend:
		if r.A[1]&abi.MetaLen > abi.MaxInline {
			return abi.EMSGSIZE
		}
		m, e := p.message(r, nil)
		if e != abi.OK {
			return e
		}
		oneWay := 0
		for _, c := range m.ep.queue {
			if c.s == nil {
				oneWay++
			}
		}
		if oneWay >= MaxOneWay {
			return abi.EAGAIN
		}
		p.enqueue(m)
	case abi.SysCancel:
		for _, s := range p.slots {
			for c := range s.out {
				if c.cookie == r.A[2] {
					c.giveUp(abi.ECANCELED)
					return abi.OK
				}
			}
		}
		return abi.ENOENT
	case abi.SysNotify:
		c, e := p.get(r.A[0], abi.KindNotification, abi.RightSignal)
		if e != abi.OK {
			return e
		}
		n := c.obj.(*notification)
		if n.owner.dead {
			return abi.ECLOSED
		}
		n.set(r.A[1])
	case abi.SysEndpointCreate:
		if r.A[0] < 1 || r.A[0] > ipc.MaxDepth || r.A[1] > abi.MaxMessage {
			return abi.EINVAL
		}
		return fail(p.install(&cap{obj: &endpoint{owner: p, depth: int(r.A[0]), max: int(r.A[1])}, rights: abi.RightSend | abi.RightRecv | abi.RightGrant}))
	case abi.SysNotificationCreate:
		s := p.slots[r.A[0]]
		if s == nil {
			s = &slot{} // bits for nobody
		}
		return fail(p.install(&cap{obj: &notification{owner: p, s: s}, rights: abi.RightSignal | abi.RightWait | abi.RightGrant}))
	case abi.SysTimerCreate:
		c, e := p.get(r.A[0], abi.KindNotification, abi.RightSignal)
		if e != abi.OK {
			return e
		}
		return fail(p.install(&cap{obj: &timer{n: c.obj.(*notification), bits: r.A[1]}, rights: abi.RightManage}))
	case abi.SysTimerSet:
		c, e := p.get(r.A[0], abi.KindTimer, abi.RightManage)
		if e != abi.OK {
			return e
		}
		c.obj.(*timer).set(p.k, int64(r.A[1]))
	case abi.SysVMOCreate:
		if r.A[0] == 0 {
			return abi.EINVAL
		}
		size := (r.A[0] + abi.PageSize - 1) &^ (abi.PageSize - 1)
		return fail(p.install(&cap{obj: &vmo{mem: make([]byte, size), owner: p}, rights: abi.RightRead | abi.RightWrite | abi.RightGrant}))
	case abi.SysVMORead, abi.SysVMOWrite:
		need := abi.RightRead
		if num == abi.SysVMOWrite {
			need = abi.RightWrite
		}
		c, e := p.get(r.A[0], abi.KindVMO, need)
		if e != abi.OK {
			return e
		}
		v := c.obj.(*vmo)
		if len(mem) > abi.MaxMessage {
			return abi.EINVAL
		}
		if v.sealed && num == abi.SysVMOWrite {
			return abi.ESEALED
		}
		if r.A[1] > uint64(len(v.mem)) || uint64(len(mem)) > uint64(len(v.mem))-r.A[1] {
			return abi.EINVAL
		}
		if num == abi.SysVMORead {
			copy(mem, v.mem[r.A[1]:])
		} else {
			copy(v.mem[r.A[1]:], mem)
		}
	case abi.SysVMOProtect, abi.SysVMOSeal, abi.SysVMOResize:
		return p.memory(num, r, mem)
	case abi.SysConsoleWrite:
		if _, e := p.get(r.A[0], abi.KindConsole, abi.RightWrite); e != abi.OK {
			return e
		}
		p.k.console.Write(mem)
		out[0] = uint64(len(mem))
	default:
		return p.syscallCap(num, r, out)
	}
	return abi.OK
}

// syscallCap has the calls on capabilities and processes.
func (p *Process) syscallCap(num uint64, r *ipc.Regs, out *[8]uint64) abi.Errno {
	switch num {
	case abi.SysCapCopy:
		c, e := p.giveable(r.A[0])
		if e != abi.OK {
			return e
		}
		rights := abi.Rights(r.A[1])
		if rights&^c.rights != 0 {
			return abi.EPERM
		}
		badge := c.badge
		if r.A[2] != 0 {
			if badge != 0 || c.obj.kind() != abi.KindEndpoint {
				return abi.EINVAL
			}
			badge = r.A[2]
		}
		if rights&abi.RightRecv != 0 || rights == 0 {
			return abi.EINVAL
		}
		n := c.derive(rights, badge)
		h := p.install(n)
		if h == 0 {
			n.drop()
			return abi.ENOSPC
		}
		out[0] = uint64(h)
	case abi.SysCapClose:
		c, e := p.get(r.A[0], abi.KindNone, 0)
		if e != abi.OK {
			return e
		}
		c.drop()
	case abi.SysCapRevoke:
		c, e := p.get(r.A[0], abi.KindNone, 0)
		if e != abi.OK {
			return e
		}
		out[0] = uint64(c.revoke())
	case abi.SysCapInfo:
		c, e := p.get(r.A[0], abi.KindNone, 0)
		if e != abi.OK {
			return e
		}
		out[0], out[1], out[2] = uint64(c.obj.kind()), uint64(c.rights), c.badge
		if o, ok := c.obj.(*deviceObj); ok && o.of == abi.KindMMIO {
			out[3] = uint64(len(o.d.registers))
		}
		if v, ok := c.obj.(*vmo); ok {
			out[3] = uint64(len(v.mem))
			if v.sealed {
				out[4] = 1
			}
		}
	case abi.SysVMOExec:
		if _, e := p.get(r.A[0], abi.KindSpawn, abi.RightManage); e != abi.OK {
			return e
		}
		c, e := p.get(r.A[1], abi.KindVMO, abi.RightRead)
		if e != abi.OK {
			return e
		}
		if !c.obj.(*vmo).sealed {
			return abi.EWRITABLE
		}
		n := c.derive(c.rights&abi.RightGrant|abi.RightRead|abi.RightExec, 0)
		h := p.install(n)
		if h == 0 {
			n.drop()
			return abi.ENOSPC
		}
		out[0] = uint64(h)
	case abi.SysProcessKill, abi.SysProcessInfo, abi.SysProcessWatch:
		q := p
		if r.A[0] != 0 || num != abi.SysProcessInfo {
			right := abi.RightManage
			if num != abi.SysProcessKill {
				right = abi.RightRead
			}
			c, e := p.get(r.A[0], abi.KindProcess, right)
			if e != abi.OK {
				return e
			}
			q = c.obj.(*procObj).p
		}
		return p.process(num, q, r, out)
	case abi.SysProcessQoS:
		return p.changeQoS(r, out)
	case abi.SysSpawn: // by its number it can only be tried; Spawn has Go arguments
		if _, e := p.get(r.A[0], abi.KindSpawn, abi.RightManage); e != abi.OK {
			return e
		}
		return abi.EFAULT
	case abi.SysSystemInfo:
		if _, e := p.get(r.A[0], abi.KindSpawn, abi.RightManage); e != abi.OK {
			return e
		}
		caps := 0
		for _, q := range p.k.procs {
			for _, s := range q.caps {
				if s.c != nil {
					caps++
				}
			}
		}
		*out = [8]uint64{1 << 15, 1 << 14, 1 << 14, uint64(len(p.k.procs)), uint64(caps), uint64(p.k.calls), p.k.switches, p.k.dropped}
	default:
		return p.syscallDevice(num, r, out)
	}
	return abi.OK
}

func (p *Process) process(num uint64, q *Process, r *ipc.Regs, out *[8]uint64) abi.Errno {
	switch num {
	case abi.SysProcessKill:
		if q.dead {
			return abi.ENOENT
		}
		q.exit(abi.ExitKilled)
	case abi.SysProcessInfo:
		if !q.dead {
			out[0] = 1
		}
		out[1], out[2], out[4] = uint64(int64(q.status)), uint64(q.start.PID), q.budget
	case abi.SysProcessWatch:
		c, e := p.get(r.A[1], abi.KindNotification, abi.RightSignal)
		if e != abi.OK {
			return e
		}
		n := c.obj.(*notification)
		if q.dead {
			n.set(r.A[2])
			return abi.OK
		}
		if q.watcher != nil {
			return abi.EBUSY
		}
		q.watcher, q.bits = n, r.A[2]
	}
	return abi.OK
}

// Map implements [ipc.Kernel]. The mapping is the memory of the object itself.
func (p *Process) Map(h abi.Handle, off, length uint64, rights abi.Rights) ([]byte, abi.Errno) {
	p.lock()
	defer p.k.mu.Unlock()
	if rights&(abi.RightWrite|abi.RightExec) == abi.RightWrite|abi.RightExec {
		return nil, abi.EWX
	}
	c, e := p.get(uint64(h), abi.KindVMO, rights)
	if e != abi.OK {
		return nil, e
	}
	v := c.obj.(*vmo)
	if off > uint64(len(v.mem)) || length > uint64(len(v.mem))-off || length == 0 {
		return nil, abi.EINVAL
	}
	if v.sealed && rights&abi.RightWrite != 0 {
		return nil, abi.ESEALED
	}
	return v.mem[off : off+length : off+length], abi.OK
}

// Unmap implements [ipc.Kernel].
func (p *Process) Unmap(mem []byte) abi.Errno {
	if len(mem) == 0 {
		return abi.EINVAL
	}
	p.lock()
	defer p.k.mu.Unlock()
	p.k.unmapMMIO(mem)
	return abi.OK
}

// usable reports whether q is a QoS for which there is a hart, of which there is one.
func usable(q abi.QoS) bool { return q.Valid() && q.Harts()&1 != 0 }

// changeQoS is process_qos. There is nothing to schedule; what counts is who may.
func (p *Process) changeQoS(r *ipc.Regs, out *[8]uint64) abi.Errno {
	q, set := p, abi.QoS(r.A[1])
	if r.A[0] != 0 {
		right := abi.RightRead
		if set != 0 {
			right = abi.RightManage
		}
		c, e := p.get(r.A[0], abi.KindProcess, right)
		if e != abi.OK {
			return e
		}
		q = c.obj.(*procObj).p
	}
	was := q.qos
	switch {
	case q.dead:
		return abi.ENOENT
	case set == 0:
	case !usable(set):
		return abi.EINVAL
	case r.A[0] == 0 && !set.Within(was):
		return abi.EPERM
	default:
		q.qos = set
	}
	out[0] = uint64(was)
	return abi.OK
}

// Spawn implements [ipc.Kernel].
func (p *Process) Spawn(spawn abi.Handle, spec *ipc.SpawnSpec) (abi.Handle, uint32, abi.Errno) {
	p.lock()
	defer p.k.mu.Unlock()
	if _, e := p.get(uint64(spawn), abi.KindSpawn, abi.RightManage); e != abi.OK {
		return 0, 0, e
	}
	if len(spec.Name) == 0 || len(spec.Name) > abi.MaxName || spec.Console < 0 || spec.Console > len(spec.Caps) {
		return 0, 0, abi.EINVAL
	}
	if spec.QoS != 0 && !usable(spec.QoS) {
		return 0, 0, abi.EINVAL
	}
	if _, e := p.get(uint64(spec.Program.Handle()), abi.KindVMO, abi.RightRead|abi.RightExec); e != abi.OK {
		return 0, 0, e
	}
	main := p.k.programs[spec.Name]
	if main == nil {
		return 0, 0, abi.EELF
	}
	id := ServiceID(spec.Name)
	for _, q := range p.k.procs {
		if q.start.ServiceID == id {
			return 0, 0, abi.EEXIST
		}
	}
	for _, g := range spec.Caps {
		c, e := p.giveable(uint64(g.Handle))
		if e != abi.OK {
			return 0, 0, e
		}
		if g.Rights&^c.rights != 0 || g.Badge != 0 && c.badge != 0 {
			return 0, 0, abi.EPERM
		}
	}
	q := p.k.newProcess(spec.Name)
	h := p.install(&cap{obj: &procObj{p: q}, rights: abi.RightManage | abi.RightRead | abi.RightGrant})
	if h == 0 {
		delete(p.k.procs, q.start.PID)
		return 0, 0, abi.ENOSPC
	}
	q.args, q.budget, q.seed = spec.Args, spec.Frames, spec.Seed
	if spec.QoS != 0 {
		q.qos = spec.QoS
	}
	q.start.Data = append([]byte(nil), spec.Data...)
	q.start.NumCaps = len(spec.Caps)
	for i, g := range spec.Caps {
		c, _ := p.get(uint64(g.Handle), abi.KindNone, 0)
		badge := g.Badge
		if badge == 0 {
			badge = c.badge
		}
		child := q.install(c.derive(g.Rights, badge))
		if i+1 == spec.Console {
			q.start.Console = child
		}
	}
	q.run(main)
	return h, q.start.PID, abi.OK
}
