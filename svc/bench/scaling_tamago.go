//go:build tamago && riscv64

package bench

import (
	"fmt"
	"runtime"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Two pairs of client and server that have nothing to do with each other, on two harts,
// against one pair on one: how much harts hinder each other in the kernel.

const (
	scalingName   = "smp2_scaling"
	scalingRounds = 7           // odd: the median is reported, because machines are noisy
	windowNS      = 150_000_000 // how long a client calls
	leadNS        = 5_000_000   // from the order to the start, so that both start together
	callsAtOnce   = 32          // between two looks at the clock
)

// scaling reports how many calls two pairs make together in the time in which one alone
// makes a hundred.
func scaling() {
	results := sys(abi.SysEndpointCreate, 2, abi.MaxInline)[0]
	var rights [2]uint64 // of the clients' calls that wait for an order
	var counts [2]uint64
	for i, role := range []string{"serve", "serve2"} {
		spawn(fmt.Sprint("client", i), programs, size(programs), childFrames,
			abi.SpawnCap{Handle: abi.Handle(results), Rights: abi.RightSend, Badge: uint64(i + 1)},
			abi.SpawnCap{Handle: abi.Handle(serverOf(role)), Rights: abi.RightSend})
	}
	collect := func(n int) {
		for range n {
			r := ipc.Regs{A: [8]uint64{2: results}}
			ipc.Self().Syscall(abi.SysWait, &r)
			i := r.A[2] - 1
			rights[i], counts[i] = r.A[4], r.Data[0]
		}
	}
	order := func(n int) uint64 {
		from := raw.Ticks() + leadNS/tickNS
		for i := range n {
			r := ipc.Regs{A: [8]uint64{rights[i], 16 | abi.FlagNoWait}, Data: [8]uint64{from, from + windowNS/tickNS}}
			ipc.Self().Syscall(abi.SysReply, &r)
			if int64(r.A[0]) < 0 {
				panic("bench: a client is gone")
			}
		}
		collect(n)
		return counts[0] + counts[1]*uint64(n-1)
	}
	collect(2)
	order(2) // what happens only once
	var ratios []uint64
	for range scalingRounds {
		one := order(1)
		ratios = append(ratios, order(2)*100/one)
	}
	slices.Sort(ratios)
	fmt.Printf("bench: %s %d percent\n", scalingName, ratios[len(ratios)/2])
}

// client makes calls whenever it is told to, and tells how many.
func client(results, server uint64) {
	send, recv := newBuffer(), newBuffer()
	for count := uint64(0); ; {
		r := ipc.Regs{A: [8]uint64{results, 16, 1}, Data: [8]uint64{count}}
		ipc.Self().Syscall(abi.SysCall, &r)
		from, to := r.Data[0], r.Data[1]
		for raw.Ticks() < from {
		}
		for count = 0; raw.Ticks() < to; count += callsAtOnce {
			if rawCall(callsAtOnce, server, abi.MaxInline, send.address(), recv.address()) != abi.EventReply {
				panic("bench: a call failed")
			}
		}
		runtime.KeepAlive(send)
		runtime.KeepAlive(recv)
	}
}
