//go:build !tamago

package ipctest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// memory has the calls that change memory objects. Mappings here are the memory
// itself: what they allow is checked when it is asked for, and enforced by nobody.
func (p *Process) memory(num uint64, r *ipc.Regs, mem []byte) abi.Errno {
	need := abi.RightWrite
	if num == abi.SysVMOProtect {
		need = abi.Rights(r.A[1])
		if need&abi.RightRead == 0 || len(mem)%abi.PageSize != 0 {
			return abi.EINVAL
		}
	}
	c, e := p.get(r.A[0], abi.KindVMO, need)
	if e != abi.OK {
		return e
	}
	v := c.obj.(*vmo)
	if v.address != 0 && num != abi.SysVMOProtect {
		return abi.EINVAL // a DMA buffer
	}
	if num == abi.SysVMOSeal {
		v.sealed = true
		return abi.OK
	}
	if num == abi.SysVMOProtect {
		if v.sealed && need&abi.RightWrite != 0 {
			return abi.ESEALED
		}
		return abi.OK
	}
	switch size := (r.A[1] + abi.PageSize - 1) &^ (abi.PageSize - 1); {
	case v.owner != p:
		return abi.EPERM
	case size == 0 || size < r.A[1]:
		return abi.EINVAL
	case v.sealed:
		return abi.ESEALED
	default:
		b := make([]byte, size)
		copy(b, v.mem)
		v.mem = b
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
