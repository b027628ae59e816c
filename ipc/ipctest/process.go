//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

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
