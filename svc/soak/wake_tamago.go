//go:build tamago && riscv64

package soak

import (
	"os"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// server is the endpoint that a client of callAlong starts with.
var server = uint64(abi.BootHandle(2))

// callAlong calls the server n times. Each reply must be the next one.
func callAlong(s *slot, n uint64) {
	rng := newRandom(n, argument(2))
	for i := uint64(1); i <= n; i++ {
		r := ipc.Regs{A: [8]uint64{server, 16, i}, S10: uint64(now() + patience), Data: [8]uint64{i, i ^ 0x55}}
		s.num, s.args = abi.SysCall, r.A
		raw.Trap(abi.SysCall, &r)
		switch {
		case r.A[0] == abi.EventNone:
			os.Exit(exitLost)
		case r.A[0] != abi.EventReply || r.A[1] != i || r.A[2] != 0 || r.Data[0] != i+1 || r.Data[1] != i^0x55:
			os.Exit(exitTwice)
		}
		s.calls++
		rng.moment(64)
	}
}

// serveAlong answers with one more than it was sent, until it is killed.
func serveAlong(s *slot) {
	own := must(abi.SysEndpointCreate, 16, 64)
	ready := ipc.Regs{A: [8]uint64{childHub, 0, 1, 0, must(abi.SysCapCopy, own, uint64(abi.RightSend|abi.RightGrant))}}
	raw.Trap(abi.SysCall, &ready)
	r := ipc.Regs{A: [8]uint64{2: own, 3: uint64(now() + patience)}, S10: 7}
	raw.Trap(abi.SysWait, &r)
	for {
		if r.A[0] != abi.EventRequest || r.A[1] != 7 || r.A[4] == 0 {
			os.Exit(exitLost)
		}
		r = ipc.Regs{A: [8]uint64{r.A[4], 16, own, uint64(now() + patience)}, S10: 7, Data: [8]uint64{r.Data[0] + 1, r.Data[1]}}
		s.calls++
		raw.Trap(abi.SysReply, &r)
	}
}

// notifyAlong takes turns with another process, which has another slot: the one whose
// turn it is counts on, and signals.
func notifyAlong(s, other *slot, first bool, n uint64) {
	own := must(abi.SysNotificationCreate, 9)
	ready := ipc.Regs{A: [8]uint64{childHub, 0, 1, 0, must(abi.SysCapCopy, own, uint64(abi.RightSignal|abi.RightGrant))}}
	raw.Trap(abi.SysCall, &ready) // answered when the other one has come, with its notification
	if ready.A[0] != abi.EventReply || ready.A[6] == 0 {
		os.Exit(exitCall)
	}
	to := ready.A[6]
	rng := newRandom(n, argument(2))
	signal := func() {
		rng.moment(256)
		atomic.AddUint64(&s.turn, 1)
		must(abi.SysNotify, to, 1)
	}
	if first {
		signal()
	}
	for i := uint64(1); i <= n; i++ {
		r := ipc.Regs{A: [8]uint64{3: uint64(now() + patience)}}
		s.num, s.args = abi.SysWait, r.A
		raw.Trap(abi.SysWait, &r)
		switch {
		case r.A[0] == abi.EventNone:
			os.Exit(exitLost)
		case r.A[0] != abi.EventNotify || r.A[1] != 9 || r.A[2] != 1 || atomic.LoadUint64(&other.turn) != i:
			os.Exit(exitTwice)
		}
		s.calls++
		if !first || i < n {
			signal()
		}
	}
}

// futexes is what two threads of one process take turns by.
type futexes struct {
	there    uint64 // a 32-bit word that this thread counts on
	here     uint64 // one that the other does
	turns    uint64
	patience uint64 // in ticks
	tick     uint64 // nanoseconds
	bad      uint64 // 1: a wake-up was lost; 2: one woke two
	mask     uint64 // of how long the other lingers
}

var pair futexes

// futexAlong takes turns with another thread of this process.
func futexAlong(s *slot, n uint64) {
	tick := raw.StartPage().TickNS
	pair = futexes{turns: n, patience: patience / tick, tick: tick, mask: 255}
	var entry [3]uint64
	entries(&entry)
	thread := must(abi.SysThreadCreate, entry[1], raw.AddressOf(&memory)+uint64(len(memory)), 0, raw.AddressOf(&pair))
	there, here := word(&pair.there), word(&pair.here)
	rng := newRandom(n, argument(2))
	for i := uint32(1); i <= uint32(n); i++ {
		rng.moment(256)
		atomic.StoreUint32(there, i)
		if must(abi.SysFutexWake, raw.AddressOf(there), 1) > 1 {
			os.Exit(exitTwice)
		}
		for is := atomic.LoadUint32(here); is != i; is = atomic.LoadUint32(here) {
			if is != i-1 {
				os.Exit(exitTwice)
			}
			r := ipc.Regs{A: [8]uint64{raw.AddressOf(here), uint64(is), uint64(now() + patience)}}
			s.num, s.args = abi.SysFutexWait, r.A
			if raw.Trap(abi.SysFutexWait, &r); refusal(r.A[0]) == abi.ETIMEDOUT {
				os.Exit(exitLost)
			}
		}
		s.calls++
	}
	must(abi.SysThreadJoin, thread, uint64(now()+patience))
	switch pair.bad {
	case 1:
		os.Exit(exitLost)
	case 2:
		os.Exit(exitTwice)
	}
}
