//go:build tamago && riscv64

package kselftest

import (
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// flightRecorder: what a process did is in the flight recorder of the harts, in order.
func flightRecorder(t *tester) {
	own := caller(self)
	buf := new([abi.FlightSize]abi.FlightEvent)
	buf[0] = 0 // the kernel meets a page that is there
	t.settle() // the other harts are idle, see below
	begin := now()
	p := t.puppetOf(t.puppetSpec("fault-flight"))
	pid := p.state()[2]
	for range 3 {
		p.do(opLoad, raw.AddressOf(&original))
	}
	own.refuse(abi.EINVAL, abi.SysFlightRead, spawnCap, harts(), raw.AddressOf(buf))
	own.refuse(abi.EINVAL, abi.SysFlightRead, spawnCap, ^uint64(0), raw.AddressOf(buf))
	own.refuse(abi.EBADF, abi.SysFlightRead, 0, 0, raw.AddressOf(buf))
	own.refuse(abi.EKIND, abi.SysFlightRead, t.orders, 0, raw.AddressOf(buf))
	own.refuse(abi.EFAULT, abi.SysFlightRead, spawnCap, 0, 8)
	weak := own.sys(abi.SysCapCopy, spawnCap, uint64(abi.RightGrant))
	own.refuse(abi.EPERM, abi.SysFlightRead, weak, 0, raw.AddressOf(buf))
	closeAll(weak)
	p.order(opFault, faultBreak, 0)
	check(p.awaitEnd() == abi.ExitFault, "a process with a breakpoint goes on")

	var index, thread uint64
	rings := make([][]abi.FlightEvent, harts())
	for hart := range rings {
		n := own.event(abi.SysFlightRead, ipc.Regs{A: [8]uint64{spawnCap, uint64(hart), raw.AddressOf(buf)}}).A
		check(n[0] == min(n[1], abi.FlightSize) && n[0] != 0, "%d events of %d on hart %d", n[0], n[1], hart)
		rings[hart] = slices.Clone(buf[:n[0]])
		tick := int64(0)
		for _, e := range rings[hart] {
			if e.Kind() == abi.FlightTick {
				check(tick <= e.Time() && e.Time() <= now(), "ticks of hart %d at %d and then at %d, now is %d", hart, tick, e.Time(), now())
				tick = e.Time()
			}
			if e.Kind() == abi.FlightStart && e.B() == pid {
				index, thread = e.A(), (e.A()-1)*abi.MaxThreads+1
			}
		}
	}
	check(index != 0, "no start of process %d", pid)
	seen := map[abi.FlightKind]int{}
	for _, ring := range rings {
		// Others had the same index before. The hart that started the process tells;
		// any other was idle, and looks at the time when it is not any more.
		counts := false
		for _, e := range ring {
			switch k := e.Kind(); {
			case k == abi.FlightStart && e.B() == pid, k == abi.FlightTick && e.Time() >= begin:
				counts = true
			case counts && (k == abi.FlightEnd && e.A() == index ||
				k == abi.FlightFault && e.A() == thread && e.B() == causeBreakpoint ||
				k == abi.FlightRun && e.A() == thread || k == abi.FlightReply && e.B() == thread):
				seen[k]++
			}
		}
	}
	// It got the hart once to start and once for each of four orders.
	check(seen[abi.FlightRun]+seen[abi.FlightReply] >= 5 && seen[abi.FlightFault] == 1 && seen[abi.FlightEnd] == 1, "events of process %d: %v", pid, seen)
	p.drop()
}
