//go:build tamago && riscv64

package bench

import (
	"fmt"
	"math"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Registers of the Goldfish clock, as in raw_tamago_riscv64.s.
const (
	rtcAlarm     = 0x08
	rtcAlarmHigh = 0x0c
	rtcEnable    = 0x10
	rtcClear     = 0x1c
)

// rtc is the clock of the board with this process as its driver.
type rtc struct {
	at         uint64 // of its registers
	irq, notif uint64
	window     uint64
}

// Bits of the notification.
const (
	alarmBit = 1 << iota
	endBit
)

func openRTC() rtc {
	// The devices are the last capability that the kernel gives.
	devices := uint64(abi.BootHandle(int(start().NumCaps) - 1))
	clock := deviceOf(devices, abi.DeviceRTC)
	c := rtc{window: sys(abi.SysMMIOCreate, devices, clock)[0]}
	c.at = sys(abi.SysMMIOMap, c.window, 0, 0, abi.PageSize)[0]
	c.irq = sys(abi.SysIRQCreate, devices, clock)[0]
	c.notif = sys(abi.SysNotificationCreate, 9)[0]
	sys(abi.SysIRQBind, c.irq, c.notif, alarmBit)
	return c
}

func (c rtc) close() {
	for _, h := range []uint64{c.irq, c.notif, c.window} {
		sys(abi.SysCapClose, h)
	}
}

// irqToUser counts the instructions from the moment when the clock of the board
// raises its interrupt until the driver that waits for it runs. The clock counts
// nanoseconds, which under -icount are instructions: it tells by itself how late its
// driver is.
func irqToUser(name string) {
	const rounds = 1000
	c := openRTC()
	late := func(n int) uint64 {
		ns := rawIRQ(n, c.at, c.irq)
		if ns == math.MaxUint64 {
			panic("bench: something else than an interrupt of the clock")
		}
		return ns / uint64(n)
	}
	late(10) // what happens only once
	report(name, late(rounds))
	c.close()
}

// work is how many instructions a process has to do beside a storm.
const work = 20_000_000

// spin does that and tells, by its exit status, how long a thousand of them took, in
// instructions.
func spin(parent uint64) {
	sys(abi.SysSend, parent)
	from := raw.Ticks()
	rawSpin(work / 2)
	sys(abi.SysExit, (raw.Ticks()-from)*tickNS*1000/work)
}

// irqStorm counts how long a thousand instructions of a process take beside a driver
// whose device interrupts again as soon as it is let in: the alarm is always over. That
// driver always has something to do, so half of the hart is its share, and what its
// interrupts cost must be in that.
func irqStorm(name string) {
	c := openRTC()
	ep := sys(abi.SysEndpointCreate, 1, 0)[0]
	p := spawn("spin", programs, size(programs), childFrames, abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend})
	sys(abi.SysProcessWatch, p, c.notif, endBit)
	sys(abi.SysWait, 0, 0, ep) // it begins now
	store32(c.at+rtcEnable, 1)
	n := 0
	for ; ; n++ {
		store32(c.at+rtcAlarmHigh, 0)
		store32(c.at+rtcAlarm, 1) // long ago
		r := sys(abi.SysWait)
		if r[0] != abi.EventNotify {
			panic("bench: something else than a notification")
		}
		if r[2]&endBit != 0 {
			break
		}
		store32(c.at+rtcClear, 0)
		sys(abi.SysIRQAck, c.irq)
	}
	r := sys(abi.SysProcessInfo, p)
	if n < 1000 || r[0] != 0 || r[1] < 900 {
		panic(fmt.Sprintf("bench: %d interrupts, status %d", n, int64(r[1])))
	}
	report(name, r[1])
	sys(abi.SysCapClose, p)
	sys(abi.SysCapClose, ep)
	c.close()
}

// deviceOf returns the index of the first device of a kind.
func deviceOf(devices uint64, kind abi.DeviceKind) uint64 {
	for i := uint64(0); ; i++ {
		a := [8]uint64{devices, i}
		if raw.Sys(abi.SysDeviceInfo, &a); int64(a[0]) < 0 {
			panic(fmt.Sprintf("bench: no device of kind %d", kind))
		}
		if abi.DeviceKind(a[0]) == kind {
			return i
		}
	}
}
