//go:build tamago && riscv64

package kselftest

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// What every virtio slot has in its first words, whether a device is in it or not.
const slotMagic = 0x74726976

// devicesCap returns the capability to the devices, the last that the kernel gives.
func devicesCap() uint64 { return uint64(abi.BootHandle(int(raw.StartPage().NumCaps) - 1)) }

// word32 returns the 32-bit register at addr.
func word32(addr uint64) *uint32 { return (*uint32)(raw.Pointer(addr)) }

// mmio returns the proof that a way to registers is refused. Its try gets the window on
// the first device, which nobody else has, and leaves nothing mapped.
func mmio(try func(own caller, w uint64)) func(*tester) {
	return func(*tester) {
		own := caller(self)
		w := own.sys(abi.SysMMIOCreate, devicesCap(), 0)
		try(own, w)
		closeAll(w)
	}
}

// mmioRejects returns the proofs of ways to registers that are no way. It is not a
// variable, which every process of the binary would have to fill.
func mmioRejects() []proof {
	return []proof{
		{"test_reject_mmio_no_cap ok", mmio(func(own caller, w uint64) {
			for _, h := range []uint64{0, uint64(abi.BootHandle(200)), ^uint64(0), w + 1<<32} {
				own.refuse(abi.EBADF, abi.SysMMIOMap, h, farAway, 0, abi.PageSize)
			}
		})},
		{"test_reject_mmio_wrong_cap_kind ok", mmio(func(own caller, w uint64) {
			v := own.sys(abi.SysVMOCreate, abi.PageSize)
			q := own.sys(abi.SysIRQCreate, devicesCap(), 0)
			for _, h := range []uint64{v, q, devicesCap(), spawnCap, console} {
				own.refuse(abi.EKIND, abi.SysMMIOMap, h, farAway, 0, abi.PageSize)
			}
			own.refuse(abi.EKIND, abi.SysVMOMap, w, farAway, 0, abi.PageSize, readWrite)
			closeAll(v, q)
		})},
		{"test_reject_mmio_outside_window ok", mmio(func(own caller, w uint64) {
			for _, off := range []uint64{abi.PageSize, 64 << 10, ^uint64(abi.PageSize - 1)} {
				own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, off, abi.PageSize)
			}
			own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, 0, 2*abi.PageSize)
			own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, 0, ^uint64(abi.PageSize-1))
		})},
		{"test_reject_mmio_insufficient_rights ok", mmio(func(own caller, w uint64) {
			for _, rights := range []abi.Rights{abi.RightRead, abi.RightWrite, abi.RightGrant} {
				less := own.sys(abi.SysCapCopy, w, uint64(rights))
				own.refuse(abi.EPERM, abi.SysMMIOMap, less, farAway, 0, abi.PageSize)
				closeAll(less)
			}
		})},
		{"test_reject_mmio_exec ok", mmio(func(own caller, w uint64) {
			own.refuse(abi.EKIND, abi.SysVMOMap, w, farAway, 0, abi.PageSize, uint64(abi.RightRead|abi.RightExec))
			own.sys(abi.SysMMIOMap, w, farAway, 0, abi.PageSize)
			if cause, at := probeCall(farAway); cause != causeFetchPage || at != farAway {
				failf("executing registers: scause %d at %#x", cause, at)
			}
			own.sys(abi.SysUnmap, farAway, abi.PageSize)
		})},
		{"test_reject_mmio_unaligned_va ok", mmio(func(own caller, w uint64) {
			for _, odd := range []uint64{1, 8, abi.PageSize - 1, abi.PageSize + 1} {
				own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway+odd, 0, abi.PageSize)
			}
			own.refuse(abi.EINVAL, abi.SysMMIOMap, w, 0x1000_1000, 0, abi.PageSize) // where the kernel's half is
		})},
		{"test_reject_mmio_unaligned_offset ok", mmio(func(own caller, w uint64) {
			for _, odd := range []uint64{1, 8, abi.PageSize - 1, abi.PageSize + 1} {
				own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, odd, abi.PageSize)
				own.refuse(abi.EINVAL, abi.SysMMIOMap, w, farAway, 0, odd)
			}
		})},
		{"test_reject_mmio_overlap_same_va ok", mmio(func(own caller, w uint64) {
			v := own.sys(abi.SysVMOCreate, abi.PageSize)
			own.sys(abi.SysMMIOMap, w, farAway, 0, abi.PageSize)
			own.refuse(abi.EOVERLAP, abi.SysMMIOMap, w, farAway, 0, abi.PageSize)
			own.refuse(abi.EOVERLAP, abi.SysVMOMap, v, farAway, 0, abi.PageSize, readWrite)
			own.sys(abi.SysUnmap, farAway, abi.PageSize)
			own.sys(abi.SysVMOMap, v, farAway, 0, abi.PageSize, readWrite)
			own.refuse(abi.EOVERLAP, abi.SysMMIOMap, w, farAway, 0, abi.PageSize)
			own.sys(abi.SysUnmap, farAway, abi.PageSize)
			closeAll(v)
		})},
	}
}

// mmioOwner: what is on offer is devices and nothing else; the window on one shows its
// registers, to its one owner and not through the kernel, until that is revoked.
func mmioOwner(t *tester) {
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
		check(d[1] >= 0x10_0000 && d[1]+d[2] <= 0x8000_0000 && d[1]%page == 0 && d[2] == page, "device %d is %#x bytes at %#x", n, d[2], d[1])
	}
	check(n > 0, "no devices")
	for _, num := range []uint64{abi.SysMMIOCreate, abi.SysIRQCreate, abi.SysDeviceInfo} {
		own.refuse(abi.ENOENT, num, devices, n)
		own.refuse(abi.ENOENT, num, devices, ^uint64(0))
		own.refuse(abi.EKIND, num, spawnCap, 0)
	}
	v := own.sys(abi.SysVMOCreate, page)
	w := own.sys(abi.SysMMIOCreate, devices, 0)
	q := own.sys(abi.SysIRQCreate, devices, 0)
	own.refuse(abi.EBUSY, abi.SysMMIOCreate, devices, 0)
	own.refuse(abi.EBUSY, abi.SysIRQCreate, devices, 0)

	check(own.sys(abi.SysMMIOMap, w, farAway, 0, page) == farAway, "mapped elsewhere")
	check(*word32(farAway) == slotMagic, "the first register holds %#x", *word32(farAway))
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
