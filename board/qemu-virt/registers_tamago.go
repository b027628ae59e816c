//go:build tamago && riscv64 && !nexusproc

package virt

import (
	"nexus.internal/board/qemu-virt/plic"
	"nexus.internal/kernel/core"
)

// In assembly.

func load32(address uint64) uint32
func store32(address uint64, value uint32)

// registers are device registers that the kernel uses, at this address.
type registers uint64

// Load and Store make registers what drivers want.

func (r registers) Load(offset uint32) uint32  { return load32(uint64(r) + uint64(offset)) }
func (r registers) Store(offset, value uint32) { store32(uint64(r)+uint64(offset), value) }

// openPLIC returns the interrupt controller for the boot hart. The other harts get
// no interrupts of devices.
func (m *Machine) openPLIC() (core.Controller, error) {
	contexts := []int{m.Hart().PLICContext}
	for i := range m.Harts {
		if h := &m.Harts[i]; h.ID != m.BootHart && h.PLICContext >= 0 {
			contexts = append(contexts, h.PLICContext)
		}
	}
	return plic.New(registers(m.PLIC.Start), m.PLIC.Size, m.PLIC.Sources, contexts...)
}
