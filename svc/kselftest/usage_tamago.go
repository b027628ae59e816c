//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// processUsage: what a process uses of its quotas can be read by who has a capability
// to it, and by itself.
func processUsage(t *tester) {
	p := t.puppet()
	q := caller(p.call)
	usage := func(c caller, h uint64) [8]uint64 { return c.event(abi.SysProcessInfo, ipc.Regs{A: [8]uint64{h}}).Data }
	const caps, mappings, faults, objects = 0, 1, 2, 4
	const pages = 3
	before, budget := usage(self, p.handle), p.state()[4]
	v := q.sys(abi.SysVMOCreate, pages*abi.PageSize)
	at := q.sys(abi.SysVMOMap, v, 0, 0, pages*abi.PageSize, readWrite)
	for n := range uint64(pages) {
		p.do(opStore, at+n*abi.PageSize, n)
	}
	after := usage(self, p.handle)
	for i, more := range map[int]uint64{caps: 1, mappings: 1, objects: 1} {
		check(after[i] == before[i]+more, "count %d of what a process uses went from %d to %d", i, before[i], after[i])
	}
	check(after[faults] >= before[faults]+pages, "after %d more page faults their count went from %d to %d", pages, before[faults], after[faults])
	mine := usage(q, 0)
	check(mine[caps] == after[caps] && mine[mappings] == after[mappings], "a process reads %v about itself, its parent %v", mine, after)
	check(p.state()[4] == budget-pages-2, "an object of %d pages took the budget of its creator from %d to %d frames", pages, budget, p.state()[4])
	q.sys(abi.SysUnmap, at, pages*abi.PageSize)
	q.sys(abi.SysCapClose, v)
	end := usage(self, p.handle)
	check(end[caps] == before[caps] && end[mappings] == before[mappings] && end[objects] == before[objects], "%v in use, before %v", end, before)
}
