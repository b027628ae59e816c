//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

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
