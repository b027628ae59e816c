//go:build tamago && riscv64

package bench

import (
	"fmt"
	"math"

	"nexus.internal/ipc/abi"
)

// irqToUser counts the instructions from the moment when the clock of the board
// raises its interrupt until the driver that waits for it runs. The clock counts
// nanoseconds, which under -icount are instructions: it tells by itself how late its
// driver is.
func irqToUser(name string) {
	const rounds = 1000
	// The devices are the last capability that the kernel gives.
	devices := uint64(abi.BootHandle(int(start().NumCaps) - 1))
	clock := deviceOf(devices, abi.DeviceRTC)
	window := sys(abi.SysMMIOCreate, devices, clock)[0]
	at := sys(abi.SysMMIOMap, window, 0, 0, abi.PageSize)[0]
	irq := sys(abi.SysIRQCreate, devices, clock)[0]
	notif := sys(abi.SysNotificationCreate, 9)[0]
	sys(abi.SysIRQBind, irq, notif, 1)
	late := func(n int) uint64 {
		ns := rawIRQ(n, at, irq)
		if ns == math.MaxUint64 {
			panic("bench: something else than an interrupt of the clock")
		}
		return ns / uint64(n)
	}
	late(10) // what happens only once
	report(name, late(rounds))
	for _, h := range []uint64{irq, notif, window} {
		sys(abi.SysCapClose, h)
	}
}

// deviceOf returns the index of the first device of a kind.
func deviceOf(devices uint64, kind abi.DeviceKind) uint64 {
	for i := uint64(0); ; i++ {
		a := [8]uint64{devices, i}
		if rawSys(abi.SysDeviceInfo, &a); int64(a[0]) < 0 {
			panic(fmt.Sprintf("bench: no device of kind %d", kind))
		}
		if abi.DeviceKind(a[0]) == kind {
			return i
		}
	}
}
