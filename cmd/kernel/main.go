//go:build tamago && riscv64

// Command kernel is the kernel for QEMU's machine "virt". It runs in S-mode on
// OpenSBI; cmd/mkimage puts it into an image with the programs that it starts.
package main

import (
	virt "nexus.internal/board/qemu-virt"
	"nexus.internal/board/qemu-virt/sbi"
	"nexus.internal/kernel"
)

func main() {
	m, err := virt.Boot()
	if err != nil {
		panic(err)
	}
	k := &kernel.Machine{
		Free: m.Free, Map: m.Regions(), Archive: m.Archive, TickNS: m.TickNS, WallNS: m.WallNS, Devices: m.Devices, Controller: m.Controller,
		Boot: m.BootHart, Start: start, Stopped: stopped, Interrupt: interrupt, Fence: fence, FenceCode: fenceCode,
		Console: func(b []byte) { virt.Console{}.Write(b) }, Printk: virt.Printk, PowerOff: virt.PowerOff,
		Reset: reset, OnExit: virt.OnExit, Record: m.Record, Args: m.Bootargs,
	}
	virt.Random(k.Seed[:])
	for _, h := range m.Harts {
		if h.ID != m.BootHart {
			k.Others = append(k.Others, h.ID)
		}
	}
	if !m.Hart().Sstc {
		k.SetTimer = func(tick uint64) { sbi.SetTimer(tick) }
	}
	kernel.Run(k)
}

func start(id, entry, opaque uint64) error {
	if e := sbi.HartStart(id, entry, opaque); e != sbi.Success {
		return e
	}
	return nil
}

func stopped(id uint64) bool {
	state, e := sbi.HartStatus(id)
	return e == sbi.Success && state == sbi.HartStopped
}

func interrupt(id uint64) { sbi.SendIPI(1, id) }

func fenceCode(id uint64) { sbi.RemoteFenceI(1, id) }

func fence(id, va, size, asid uint64) { sbi.RemoteFenceASID(1, id, va, size, asid) }

func reset() { sbi.SystemReset(sbi.ColdReboot, sbi.SystemFailure) }
