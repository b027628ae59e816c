package core

import "nexus.internal/ipc/abi"

// devices gives b the authority over the devices.
func (b *testbed) devices(rights abi.Rights) uint64 {
	return b.s.give(b.s.root, hDevices, rights, 0, b.proc)
}

// window and irq give b the window and the interrupt of device 0.
func (b *testbed) window(rights abi.Rights) uint64 {
	return b.s.give(b.s.root, b.s.root.must(abi.SysMMIOCreate, hDevices, 0), rights, 0, b.proc)
}

func (b *testbed) irq(rights abi.Rights) uint64 {
	return b.s.give(b.s.root, b.s.root.must(abi.SysIRQCreate, hDevices, 0), rights, 0, b.proc)
}

const (
	mmioRW = abi.RightRead | abi.RightWrite
	asked  = abi.RightManage
	grant  = abi.RightGrant
)

// inUse gives b a window that it has mapped, and may give away.
func (b *testbed) inUse() uint64 {
	h := b.window(mmioRW | grant)
	b.must(abi.SysMMIOMap, h, 0, 0, abi.PageSize)
	return h
}

// lent gives b a window or an interrupt that b has given on to client.
func (b *testbed) lent(h uint64, rights abi.Rights) uint64 {
	b.s.give(b.proc, h, rights, 0, b.client)
	return h
}

// shatter takes memory until no two frames lie together.
func (b *testbed) shatter() {
	p := b.s.pool
	p.Open(&b.s.hog, p.Unreserved())
	for _, ok := p.TakeRun(&b.s.hog, 1, 2); ok; _, ok = p.TakeRun(&b.s.hog, 1, 2) {
	}
	for _, ok := p.Take(&b.s.hog); ok; _, ok = p.Take(&b.s.hog) {
	}
}

// deviceRefusals is every documented way to be refused about devices.
func deviceRefusals() (cases []refusalCase) {
	for _, num := range []uint64{abi.SysDeviceInfo, abi.SysMMIOCreate, abi.SysIRQCreate} {
		refuse := func(name string, want abi.Errno, args func(b *testbed) []uint64) {
			cases = append(cases, refusalCase{name, num, want, args})
		}
		refuse("bogus", abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} })
		refuse("console", abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.console} })
		refuse("no right", abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.devices(grant)} })
		refuse("no such device", abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.devices(asked), uint64(len(simDevices))} })
		if num == abi.SysDeviceInfo {
			continue
		}
		refuse("exists", abi.EBUSY, func(b *testbed) []uint64 {
			h := b.devices(asked)
			b.s.root.must(num, hDevices, 1)
			return []uint64{h, 1}
		})
		refuse("no handle left", abi.ENOSPC, func(b *testbed) []uint64 {
			h := b.devices(asked)
			b.fill()
			return []uint64{h, 1}
		})
	}
	return append(cases, []refusalCase{
		{"no interrupt", abi.SysIRQCreate, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.devices(asked), 2} }},

		{"bogus", abi.SysMMIOMap, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, 0, 0, abi.PageSize} }},
		{"memory", abi.SysMMIOMap, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.vmo, 0, 0, abi.PageSize} }},
		{"read only", abi.SysMMIOMap, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.window(abi.RightRead), 0, 0, abi.PageSize} }},
		{"past the end", abi.SysMMIOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW), 0, abi.PageSize, abi.PageSize} }},
		{"outside of the area", abi.SysMMIOMap, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW), abi.MapEnd, 0, abi.PageSize} }},
		{"over memory", abi.SysMMIOMap, abi.EOVERLAP, func(b *testbed) []uint64 {
			return []uint64{b.window(mmioRW), b.must(abi.SysVMOMap, b.vmo, 0, 0, abi.PageSize, uint64(abi.RightRead)), 0, abi.PageSize}
		}},
		{"no mapping left", abi.SysMMIOMap, abi.ENOSPC, func(b *testbed) []uint64 {
			h := b.window(mmioRW)
			for b.numRegions < regionsPerProcess {
				b.must(abi.SysVMOMap, b.vmo, 0, 0, abi.PageSize, uint64(abi.RightRead))
			}
			return []uint64{h, 0, 0, abi.PageSize}
		}},
		{"given on", abi.SysMMIOMap, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.window(mmioRW|grant), mmioRW), 0, 0, abi.PageSize} }},

		{"bogus", abi.SysMMIORelease, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
		{"interrupt", abi.SysMMIORelease, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.irq(asked)} }},
		{"no right", abi.SysMMIORelease, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW | grant)} }},
		{"given on", abi.SysMMIORelease, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.window(mmioRW|grant|asked), mmioRW)} }},

		{"bogus", abi.SysIRQBind, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, b.note, 1} }},
		{"bogus notification", abi.SysIRQBind, abi.EBADF, func(b *testbed) []uint64 { return []uint64{b.irq(asked), bogus, 1} }},
		{"window", abi.SysIRQBind, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW | asked), b.note, 1} }},
		{"endpoint", abi.SysIRQBind, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.irq(asked), b.send, 1} }},
		{"no right", abi.SysIRQBind, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.irq(grant), b.note, 1} }},
		{"notification without right", abi.SysIRQBind, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.irq(asked), b.bareNote, 1} }},
		{"no bits", abi.SysIRQBind, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.irq(asked), b.note, 0} }},
		{"bits of nothing", abi.SysIRQBind, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.irq(asked), 0, 1} }},
		{"closed", abi.SysIRQBind, abi.ECLOSED, func(b *testbed) []uint64 { return []uint64{b.irq(asked), b.closedNote, 1} }},
		{"given on", abi.SysIRQBind, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.irq(asked|grant), asked), b.note, 1} }},

		{"bogus", abi.SysIRQAck, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
		{"window", abi.SysIRQAck, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW | asked)} }},
		{"no right", abi.SysIRQAck, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.irq(grant)} }},
		{"not bound", abi.SysIRQAck, abi.ENOENT, func(b *testbed) []uint64 { return []uint64{b.irq(asked)} }},
		{"none arrived", abi.SysIRQAck, abi.ENOENT, func(b *testbed) []uint64 {
			h := b.irq(asked)
			b.must(abi.SysIRQBind, h, b.note, 1)
			return []uint64{h}
		}},
		{"given on", abi.SysIRQAck, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.irq(asked|grant), asked)} }},

		{"bogus", abi.SysDMACreate, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus, abi.PageSize} }},
		{"memory", abi.SysDMACreate, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.vmo, abi.PageSize} }},
		{"read only", abi.SysDMACreate, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.window(abi.RightRead), abi.PageSize} }},
		{"empty", abi.SysDMACreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW), 0} }},
		{"too large", abi.SysDMACreate, abi.EINVAL, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW), abi.MaxDMA + 1} }},
		{"over the budget", abi.SysDMACreate, abi.ENOMEM, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW), abi.MaxDMA} }},
		{"in pieces", abi.SysDMACreate, abi.EFRAG, func(b *testbed) []uint64 {
			h := b.window(mmioRW)
			b.shatter()
			return []uint64{h, 2 * abi.PageSize}
		}},
		{"no handle left", abi.SysDMACreate, abi.ENOSPC, func(b *testbed) []uint64 {
			h := b.window(mmioRW)
			b.fill()
			return []uint64{h, abi.PageSize}
		}},
		{"given on", abi.SysDMACreate, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.window(mmioRW|grant), mmioRW), abi.PageSize} }},

		{"DMA buffer", abi.SysVMOSeal, abi.EINVAL, func(b *testbed) []uint64 {
			return []uint64{b.must(abi.SysDMACreate, b.window(mmioRW), abi.PageSize)}
		}},
		{"DMA buffer", abi.SysVMOResize, abi.EINVAL, func(b *testbed) []uint64 {
			return []uint64{b.must(abi.SysDMACreate, b.window(mmioRW), abi.PageSize), 2 * abi.PageSize}
		}},
		{"bogus", abi.SysDMAAddress, abi.EBADF, func(b *testbed) []uint64 { return []uint64{bogus} }},
		{"window", abi.SysDMAAddress, abi.EKIND, func(b *testbed) []uint64 { return []uint64{b.window(mmioRW)} }},
		{"ordinary memory", abi.SysDMAAddress, abi.EPERM, func(b *testbed) []uint64 { return []uint64{b.vmo} }},

		// What is in use, or was given on, cannot be given away.
		{"window in use", abi.SysCapCopy, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.inUse(), uint64(mmioRW)} }},
		{"window given on", abi.SysCapCopy, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.lent(b.window(mmioRW|grant), mmioRW), uint64(mmioRW)} }},
		{"window in use", abi.SysCall, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.send, waitNot, 9, 0, b.inUse()} }},
		{"window in use", abi.SysSend, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.send, 0, 0, 0, b.inUse()} }},
		{"window in use", abi.SysReply, abi.EBUSY, func(b *testbed) []uint64 { return []uint64{b.taken, waitNot, 0, 0, b.inUse()} }},
		{"interrupt in use", abi.SysSend, abi.EBUSY, func(b *testbed) []uint64 {
			h := b.irq(asked | grant)
			b.must(abi.SysIRQBind, h, b.note, 1)
			return []uint64{b.send, 0, 0, 0, h}
		}},
		{"window in use", abi.SysSpawn, abi.EBUSY, func(b *testbed) []uint64 {
			h := b.inUse()
			return b.spawnArgs(func(sp *abi.SpawnSpec) {
				sp.NumCaps, sp.Caps[0] = 1, abi.SpawnCap{Handle: abi.Handle(h), Rights: mmioRW}
			})
		}},
	}...)
}
