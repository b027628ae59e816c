//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

func refuse(r *ipc.Regs, e abi.Errno) { *r = ipc.Regs{A: [8]uint64{uint64(-int64(e))}} }

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
