//go:build tamago && riscv64

package kselftest

import "nexus.internal/ipc/abi"

// What every virtio slot has in its first words, whether a device is in it or not.
const slotMagic = 0x74726976

// devicesCap returns the capability to the devices, the last that the kernel gives.
func devicesCap() uint64 { return uint64(abi.BootHandle(int(startPage().NumCaps) - 1)) }

// word32 returns the 32-bit register at addr.
func word32(addr uint64) *uint32 { return (*uint32)(pointer(addr)) }

// mmioRejects: a window on a device is mapped by its one owner, as it is and never
// executable; every other way to it is refused, and it goes when it is revoked.
func mmioRejects(t *tester) {
	own := caller(self)
	devices := devicesCap()
	const page = abi.PageSize
	n := uint64(0)
	for ; ; n++ {
		if _, errno := own.try(abi.SysDeviceInfo, devices, n); errno != abi.OK {
			check(errno == abi.ENOENT, "device %d: %v", n, errno)
			break
		}
		// Memory and what the kernel uses itself is not on offer.
		d := self4(abi.SysDeviceInfo, devices, n)
		check(d[1] >= 0x1000_1000 && d[1]+d[2] <= 0x8000_0000 && d[1]%page == 0 && d[2] == page, "device %d is %#x bytes at %#x", n, d[2], d[1])
	}
	check(n > 0, "no devices")
	for _, num := range []uint64{abi.SysMMIOCreate, abi.SysIRQCreate, abi.SysDeviceInfo} {
		own.refuse(abi.ENOENT, num, devices, n)
		own.refuse(abi.ENOENT, num, devices, ^uint64(0))
		own.refuse(abi.EKIND, num, spawnCap, 0)
	}
	v := own.sys(abi.SysVMOCreate, page)
	// No capability, and one of another kind.
	own.refuse(abi.EBADF, abi.SysMMIOMap, 0, farAway, 0, page)
	own.refuse(abi.EBADF, abi.SysMMIOMap, uint64(abi.BootHandle(200)), farAway, 0, page)
	own.refuse(abi.EKIND, abi.SysMMIOMap, v, farAway, 0, page)
	own.refuse(abi.EKIND, abi.SysMMIOMap, devices, farAway, 0, page)

	w := own.sys(abi.SysMMIOCreate, devices, 0)
	q := own.sys(abi.SysIRQCreate, devices, 0)
	own.refuse(abi.EBUSY, abi.SysMMIOCreate, devices, 0)
	own.refuse(abi.EBUSY, abi.SysIRQCreate, devices, 0)
	// Outside of the window, and not at pages.
	for _, off := range []uint64{page, 64 << 10, ^uint64(page - 1)} {
		own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, off, page)
	}
	for _, odd := range []uint64{1, 8, page - 1, page + 1} {
		own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, odd, page)
		own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway+odd, 0, page)
		own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, 0, odd)
	}
	own.refuse(abi.EINVAL, abi.SysMMIOMap, w, 0x1000_1000, 0, page)
	// Without the rights, and as what it is not.
	ro := own.sys(abi.SysCapCopy, w, readOnly)
	own.refuse(abi.EPERM, abi.SysMMIOMap, ro, farAway, 0, page)
	own.refuse(abi.EBUSY, abi.SysMMIOMap, w, farAway, 0, page)
	closeAll(ro)
	own.refuse(abi.EKIND, abi.SysVMOMap, w, farAway, 0, page, readWrite)
	own.refuse(abi.EKIND, abi.SysVMOMap, w, farAway, 0, page, uint64(abi.RightRead|abi.RightExec))

	check(own.sys(abi.SysMMIOMap, w, farAway, 0, page) == farAway, "mapped elsewhere")
	check(*word32(farAway) == slotMagic, "the first register holds %#x", *word32(farAway))
	if cause, at := probeCall(farAway); cause != causeFetchPage || at != farAway {
		failf("executing registers: scause %d at %#x", cause, at)
	}
	own.refuse(abi.EOVERLAP, abi.SysMMIOMap, w, farAway, 0, page)
	own.refuse(abi.EOVERLAP, abi.SysVMOMap, v, farAway, 0, page, readWrite)
	own.refuse(abi.EFAULT, abi.SysVMORead, v, 0, farAway, 8)
	own.refuse(abi.EFAULT, abi.SysVMOWrite, v, 0, farAway, 8)
	own.refuse(abi.EBUSY, abi.SysCapCopy, w, readWrite)
	own.sys(abi.SysUnmap, farAway, page)
	own.refuse(abi.ENOENT, abi.SysIRQAck, q)
	own.refuse(abi.EPERM, abi.SysDMAAddress, v)

	// It moves, and comes back when it is revoked, whatever its owner does.
	p := t.puppet()
	lent := p.giveAway(own.sys(abi.SysCapCopy, w, readWrite|uint64(abi.RightGrant)))
	theirs := caller(p.call)
	own.refuse(abi.EBUSY, abi.SysMMIOMap, w, farAway, 0, page)
	theirs.refuse(abi.EPERM, abi.SysMMIORelease, lent)
	at := theirs.sys(abi.SysMMIOMap, lent, 0, 0, page)
	check(uint32(p.do(opLoad, at)[0]) == slotMagic, "the owner of the window reads something else")
	check(own.sys(abi.SysCapRevoke, w) == 1, "not one capability was revoked")
	got := p.do(opProbe, accessLoad, at)
	check(got[0] == causeLoadPage && got[1] == at, "after revoking: scause %d at %#x", got[0], got[1])
	theirs.refuse(abi.EBADF, abi.SysMMIOMap, lent, 0, 0, page)
	closeAll(v, w, q)
}
