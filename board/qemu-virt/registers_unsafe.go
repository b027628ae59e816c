//go:build tamago && riscv64 && !nexusproc

package virt

import (
	"sync/atomic"
	"unsafe"

	"nexus.internal/board/qemu-virt/plic"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/core"
)

// registers are device registers that the kernel uses. What is behind the pointer is
// inlined, because an interrupt of a device is claimed through them.
type registers struct{ at unsafe.Pointer }

// Load and Store make registers what drivers want. An atomic access is one access, and
// in program order.

func (r *registers) Load(offset uint32) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Add(r.at, offset)))
}

func (r *registers) Store(offset, value uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Add(r.at, offset)), value)
}

// openPLIC returns the interrupt controller for the boot hart. The other harts get
// no interrupts of devices.
func (m *Machine) openPLIC() (core.Controller, error) {
	contexts := []int{m.Hart().PLICContext}
	for i := range m.Harts {
		if h := &m.Harts[i]; h.ID != m.BootHart && h.PLICContext >= 0 {
			contexts = append(contexts, h.PLICContext)
		}
	}
	return plic.New(&registers{unsafe.Add(nil, uintptr(m.PLIC.Start))}, m.PLIC.Size, m.PLIC.Sources, contexts...)
}

// readClock returns the wall-clock time at time CSR 0, or 0 if the board has no clock that
// tells it. It is read once: afterwards a process may own its registers.
func (m *Machine) readClock() int64 {
	if m.RTC.Size < rtcTimeHigh+4 || m.RTC.End() > abi.UserBase {
		return 0
	}
	r := &registers{unsafe.Add(nil, uintptr(m.RTC.Start))}
	return wallAtZero(r.Load, nanotime)
}
