//go:build tamago && riscv64

// Command kernel is the kernel for QEMU's machine "virt". It runs in S-mode on
// OpenSBI; cmd/mkimage puts it into an image with the programs that it starts.
package main

import (
	"slices"

	virt "nexus.internal/board/qemu-virt"
	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/board/qemu-virt/sbi"
	"nexus.internal/kernel"
)

func main() {
	m, err := virt.Boot()
	if err != nil {
		panic(err)
	}
	k := &kernel.Machine{
		Free: m.Free, Map: m.Regions(), Archive: m.Archive, TickNS: m.TickNS,
		Console: func(b []byte) { virt.Console{}.Write(b) }, Printk: virt.Printk, PowerOff: virt.PowerOff,
	}
	virt.Random(k.Seed[:])
	i := slices.IndexFunc(m.Harts, func(h fdt.Hart) bool { return h.ID == m.BootHart })
	if !m.Harts[i].Sstc {
		k.SetTimer = func(tick uint64) { sbi.SetTimer(tick) }
	}
	kernel.Run(k)
}
