//go:build tamago && riscv64

package kselftest

import (
	"fmt"

	"nexus.internal/ipc/abi"
)

// noQoS are words that say how a process shares the harts and are none, or name no hart
// that is there.
var noQoS = [...]abi.QoS{
	abi.NewQoS(abi.Classes, abi.DefaultShare, 1),
	abi.NewQoS(0xff, abi.DefaultShare, 1),
	abi.NewQoS(abi.Idle, 0, 1),
	abi.NewQoS(abi.Idle, abi.MaxShare+1, 1),
	abi.NewQoS(abi.Idle, 0xffff, 1),
	abi.NewQoS(abi.Idle, abi.DefaultShare, 0),
	abi.NewQoS(abi.Idle, abi.DefaultShare, 1<<30), // the kernel uses no such hart
	abi.NewQoS(abi.Idle, abi.DefaultShare, 1<<31|1),
	abi.NewQoS(abi.Idle, abi.DefaultShare, 1) | 1<<24,
	1,
	^abi.QoS(0),
}

// rejectQoS: how a process shares the harts is changed by who may manage it, downwards
// by itself, and by nothing else; and it stays a word within its limits.
func rejectQoS(t *tester) {
	own := caller(self)
	q := t.puppet()
	has := abi.NewQoS(abi.Interactive, 200, 1)
	own.sys(abi.SysProcessQoS, q.handle, uint64(has))
	stays := func(what string) {
		is := abi.QoS(own.sys(abi.SysProcessQoS, q.handle))
		check(is == has, "%s: a process that had %#x has %#x", what, has, is)
	}
	itself := caller(q.call)
	for _, v := range noQoS {
		own.refuse(abi.EINVAL, abi.SysProcessQoS, q.handle, uint64(v))
		itself.refuse(abi.EINVAL, abi.SysProcessQoS, 0, uint64(v))
		s := t.small("qos", ProgramPark)
		s.QoS = v
		_, errno := t.trySpawn(s)
		check(errno == abi.EINVAL, "spawn with %#x: %v", v, errno)
		stays(fmt.Sprintf("refused %#x", v))
	}
	for _, v := range []abi.QoS{
		abi.NewQoS(abi.PerfBurst, 200, 1), abi.NewQoS(abi.Interactive, 201, 1), abi.NewQoS(abi.Interactive, 200, 3),
		abi.NewQoS(abi.PerfBurst, 1, 1), abi.NewQoS(abi.Idle, 1000, 1), abi.NewQoS(abi.Idle, 1, abi.AllHarts), // less of something for more of something else
	} {
		itself.refuse(abi.EPERM, abi.SysProcessQoS, 0, uint64(v))
		stays("raised by itself")
	}

	// By the capability of another.
	idle := uint64(abi.NewQoS(abi.Idle, 1, 1))
	p := t.puppet(abi.SpawnCap{Handle: abi.Handle(q.handle), Rights: abi.RightRead}, abi.SpawnCap{Handle: abi.Handle(q.handle), Rights: abi.RightManage})
	other := caller(p.call)
	other.refuse(abi.EPERM, abi.SysProcessQoS, given(0), idle)
	other.refuse(abi.EPERM, abi.SysProcessQoS, given(1), 0)
	for _, h := range []uint64{orders, sharedVMO} {
		other.refuse(abi.EKIND, abi.SysProcessQoS, h, idle)
	}
	other.refuse(abi.EBADF, abi.SysProcessQoS, given(2), idle)
	other.refuse(abi.EBADF, abi.SysProcessQoS, given(1)+1<<32, idle)
	other.sys(abi.SysCapClose, given(0))
	other.refuse(abi.EBADF, abi.SysProcessQoS, given(0), 0)
	own.refuse(abi.EKIND, abi.SysProcessQoS, spawnCap, idle)
	stays("asked by others")

	// Down by itself, and not up again; up by who may.
	itself.sys(abi.SysProcessQoS, 0, idle)
	itself.refuse(abi.EPERM, abi.SysProcessQoS, 0, uint64(has))
	other.sys(abi.SysProcessQoS, given(1), uint64(has))
	stays("raised by who may manage it")
	q.kill()
	own.refuse(abi.ENOENT, abi.SysProcessQoS, q.handle, 0)
	own.refuse(abi.ENOENT, abi.SysProcessQoS, q.handle, idle)
	other.refuse(abi.ENOENT, abi.SysProcessQoS, given(1), idle)
	q.drop()
	own.refuse(abi.EBADF, abi.SysProcessQoS, q.handle, idle)
	p.drop()
}
