//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// vmoSeal: an object can be narrowed, resized and sealed; after the seal it does not
// change, whoever had it mapped for writing and whatever their harts remember.
func vmoSeal(t *tester) {
	own := caller(self)
	const half, size = 6 * abi.PageSize, 12 * abi.PageSize // more than is fenced page by page
	v := own.sys(abi.SysVMOCreate, half)
	m := own.sys(abi.SysVMOMap, v, 0, 0, half, readWrite)
	pattern(memory(m, half), 1)
	own.refuse(abi.EBUSY, abi.SysVMOResize, v, half-abi.PageSize)
	own.sys(abi.SysVMOResize, v, size)
	own.sys(abi.SysUnmap, m, half)
	m = own.sys(abi.SysVMOMap, v, 0, 0, size, readWrite)
	check(hasPattern(memory(m, half), 1) && isZero(memory(m+half, half)), "an object that grew is not what it was with zeroes behind it")
	pattern(memory(m, size), 2)

	own.sys(abi.SysVMOProtect, v, readOnly, m, size)
	cause, addr := access(accessStore, m)
	check(cause == causeStorePage && addr == m, "store to a mapping made read-only: scause %d at %#x", cause, addr)
	own.sys(abi.SysVMOProtect, v, readWrite, m, size)
	*word(m) = *word(m)
	own.refuse(abi.EWX, abi.SysVMOProtect, v, readWrite|uint64(abi.RightExec), m, size)
	own.refuse(abi.EPERM, abi.SysVMOProtect, v, readOnly|uint64(abi.RightExec), m, size)
	own.refuse(abi.ENOENT, abi.SysVMOProtect, v, readOnly, m, size-abi.PageSize)

	writer := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead | abi.RightWrite})
	reader := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead})
	write, read := caller(writer.call), caller(reader.call)
	there := write.sys(abi.SysVMOMap, given(0), 0, 0, size, readWrite)
	at := read.sys(abi.SysVMOMap, given(0), 0, 0, size, readOnly)
	read.refuse(abi.EPERM, abi.SysVMOProtect, given(0), readWrite, at, size)
	read.refuse(abi.EPERM, abi.SysVMOSeal, given(0))
	read.refuse(abi.EPERM, abi.SysVMOResize, given(0), abi.PageSize)
	write.refuse(abi.EPERM, abi.SysVMOResize, given(0), 2*size) // it is not its creator
	for n := uint64(0); n < size; n += abi.PageSize {
		f := writer.do(opProbe, accessStore, there+n)
		check(f[0] == 0, "store before the seal: scause %d at %#x", f[0], f[1])
	}
	pattern(memory(m, size), 3)
	check(reader.do(abi.SysCapInfo, given(0))[4] == 0, "an object is sealed from the beginning")

	write.sys(abi.SysVMOSeal, given(0))
	check(reader.do(abi.SysCapInfo, given(0))[4] == 1, "a reader is not told of the seal")
	for n := uint64(0); n < size; n += abi.PageSize {
		cause, addr := access(accessStore, m+n)
		check(cause == causeStorePage && addr == m+n, "store to a sealed object: scause %d at %#x", cause, addr)
		f := writer.do(opProbe, accessStore, there+n)
		check(f[0] == causeStorePage && f[1] == there+n, "store of another process to a sealed object: scause %d at %#x", f[0], f[1])
	}
	buf := new([8]byte)
	own.refuse(abi.ESEALED, abi.SysVMOWrite, v, 0, raw.AddressOf(buf), 8)
	own.refuse(abi.ESEALED, abi.SysVMOMap, v, 0, 0, size, readWrite)
	own.refuse(abi.ESEALED, abi.SysVMOProtect, v, readWrite, m, size)
	own.refuse(abi.ESEALED, abi.SysVMOResize, v, 2*size)
	own.refuse(abi.EFAULT, abi.SysVMORead, v, 8, m, 8) // the kernel does not write there either
	own.sys(abi.SysVMOSeal, v)
	check(hasPattern(memory(m, size), 3), "a sealed object changed")
	for n := uint64(0); n < size; n += abi.PageSize {
		check(reader.do(opLoad, at+n)[0] == *word(m + n), "a reader sees something else in a sealed object")
	}
	own.sys(abi.SysUnmap, m, size)
	closeAll(v)
}

// vmoShare: a mebibyte goes to another process by moving its capability and mapping
// it, uncopied and read-only: a reader that stores is ended, and nobody else.
func vmoShare(t *tester) {
	own := caller(self)
	const size = 1 << 20
	v := own.sys(abi.SysVMOCreate, size)
	m := own.sys(abi.SysVMOMap, v, 0, 0, size, readWrite)
	for n := uint64(0); n < size; n += abi.PageSize {
		*word(m + n) = n + 1
	}
	p, by := t.puppetOf(t.puppetSpec("fault-reader")), t.puppet()
	var at [2]uint64
	for i, q := range []*process{p, by} {
		there := caller(q.call)
		h := q.giveAway(own.sys(abi.SysCapCopy, v, uint64(abi.RightRead|abi.RightGrant)))
		frames := q.do(abi.SysProcessInfo, 0)[3]
		at[i] = there.sys(abi.SysVMOMap, h, 0, 0, size, readOnly)
		for n := uint64(0); n < size; n += 15 * abi.PageSize { // the last page too
			check(q.do(opLoad, at[i]+n)[0] == n+1, "page %d of moved memory is another", n/abi.PageSize)
		}
		used := q.do(abi.SysProcessInfo, 0)[3] - frames
		check(used <= 4, "mapping a mebibyte of another process took %d frames: it was copied", used)
	}
	*word(m + size - 8) = 99
	check(by.do(opLoad, at[1]+size-8)[0] == 99, "what the sender writes before it seals is not seen")
	own.sys(abi.SysVMOSeal, v)
	p.order(opFault, faultStore, at[0]+size-8)
	status := p.awaitEnd()
	s := p.state()
	check(status == abi.ExitFault && s[5] == causeStorePage && s[7] == at[0]+size-8, "a reader that stores ended with %d, scause %d, address %#x", status, s[5], s[7])
	check(*word(m + size - 8) == 99 && by.do(opLoad, at[1]+size-8)[0] == 99, "a reader changed what it may only read")
	p.drop()
	own.sys(abi.SysUnmap, m, size)
	closeAll(v)
}
