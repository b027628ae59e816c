package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// sysVMOExec gives a capability with RightExec to memory that a process has filled.
//
// Only what nobody can write any more is executed, now or later: the object must be
// sealed, which cannot be undone, and a seal has taken every writable mapping. So no
// page is ever executable that anybody can change, and what a loader has checked is
// what runs. Who may create processes may do this, because that is what it is for;
// for all others there is no way from data to instructions.
func (k *Kernel) sysVMOExec(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if _, errno := k.need(p, x[hart.A0], abi.KindSpawn, abi.RightManage); errno != abi.OK {
		return errno
	}
	if _, errno := k.need(p, x[hart.A1], abi.KindVMO, abi.RightRead); errno != abi.OK {
		return errno
	}
	i := k.lookup(p, x[hart.A1])
	n := &k.caps[i]
	v := &k.vmos[n.obj]
	if !v.sealed && !v.immutable() {
		return abi.EWRITABLE
	}
	c := k.newCap(p, abi.KindVMO, n.obj, n.rights&abi.RightGrant|abi.RightRead|abi.RightExec, 0, i)
	if c == 0 {
		return abi.ENOSPC
	}
	v.code = true
	k.fenceCode()
	x[hart.A0] = k.handleFor(c)
	return abi.OK
}
