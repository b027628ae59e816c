package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// attempts is how often an attack asks for one more of something. It is above
// every limit of a process.
const attempts = 4096

// flood fills a queue that nobody empties, which must refuse what is too much, and then
// the one to init, until it is killed. Init may keep up on another hart.
func flood(_ context.Context, a *attacker) error {
	own, errno := a.syscall(abi.SysEndpointCreate, ipc.MaxDepth, abi.MaxInline)
	if errno != abi.OK {
		return fmt.Errorf("endpoint: %v", errno)
	}
	for i := 0; errno == abi.OK; i++ {
		if i > ipc.MaxDepth {
			return fmt.Errorf("%d messages are in a queue of %d", i, ipc.MaxDepth)
		}
		_, errno = a.syscall(abi.SysSend, own, abi.MaxInline)
	}
	if errno != abi.EAGAIN {
		return fmt.Errorf("send into a full queue: %v", errno)
	}
	for i := 0; ; i++ {
		switch _, errno := a.syscall(abi.SysSend, control, abi.MaxInline); errno {
		case abi.OK:
		case abi.EAGAIN:
			a.syscall(abi.SysYield) // to the server, so that it is filled again
		default:
			return fmt.Errorf("send %d: %v", i, errno)
		}
	}
}

// floodCalls does what flood does, and has as many calls in the same queue as the
// kernel lets it. Several processes do it at once, until they are killed.
func floodCalls(_ context.Context, a *attacker) error {
	for cookie := uint64(1 << 40); ; cookie++ {
		var r ipc.Regs
		r.A[0], r.A[1] = control, abi.MaxInline
		a.p.Syscall(abi.SysSend, &r)
		if errno := abi.Errno(-int64(r.A[0])); errno != abi.OK && errno != abi.EAGAIN {
			return fmt.Errorf("send: %v", errno)
		}
		r = ipc.Regs{}
		r.A[0], r.A[1], r.A[2] = control, abi.MaxInline|abi.FlagNoWait, cookie
		a.p.Syscall(abi.SysCall, &r)
		switch errno := abi.Errno(max(0, -int64(r.A[0]))); errno {
		case abi.OK, abi.EAGAIN:
		case abi.ENOSPC:
			// All of them are under way: take the ends of those that are not.
			for r = (ipc.Regs{}); ; r = (ipc.Regs{}) {
				r.A[1] = abi.FlagNoWait
				a.p.Syscall(abi.SysWait, &r)
				if r.A[0] == abi.EventNone {
					break
				}
			}
		default:
			return fmt.Errorf("call: %v", errno)
		}
	}
}

// handleExhaustion takes every kind of object until none is given any more, then
// gives all back and takes them again.
func handleExhaustion(_ context.Context, a *attacker) error {
	kinds := []struct {
		name string
		make func() (uint64, abi.Errno)
	}{
		{"endpoint", func() (uint64, abi.Errno) { return a.syscall(abi.SysEndpointCreate, ipc.MaxDepth, abi.MaxMessage) }},
		{"notification", func() (uint64, abi.Errno) { return a.syscall(abi.SysNotificationCreate, 1<<40) }},
		{"VMO", func() (uint64, abi.Errno) { return a.syscall(abi.SysVMOCreate, abi.PageSize) }},
	}
	var counts [2][3]int
	for round := range counts {
		var held []uint64
		for i, k := range kinds {
			for counts[round][i] = 0; ; counts[round][i]++ {
				h, errno := k.make()
				if errno == abi.ENOSPC || errno == abi.ENOMEM {
					break
				}
				if errno != abi.OK {
					return fmt.Errorf("%s %d: %v", k.name, counts[round][i], errno)
				}
				if counts[round][i] == attempts {
					return fmt.Errorf("%d %ss and no end", attempts, k.name)
				}
				held = append(held, h)
			}
		}
		// Copies of one until the table is full.
		for n := 0; len(held) > 0; n++ {
			h, errno := a.syscall(abi.SysCapCopy, held[0], uint64(abi.RightSend|abi.RightGrant))
			if errno == abi.ENOSPC {
				break
			}
			if errno != abi.OK || n == attempts {
				return fmt.Errorf("copy %d: %v", n, errno)
			}
			held = append(held, h)
		}
		for _, h := range held {
			if _, errno := a.syscall(abi.SysCapClose, h); errno != abi.OK {
				return fmt.Errorf("closing %#x: %v", h, errno)
			}
		}
	}
	if counts[0] != counts[1] {
		return fmt.Errorf("%v objects the first time, %v the second", counts[0], counts[1])
	}
	return nil
}

// vmoExhaustion takes memory objects until the budget is spent, many times.
func vmoExhaustion(_ context.Context, a *attacker) error {
	// While it has all that there is, every page that it needs itself ends it, so it
	// needs none: neither for this list nor for the collector's work.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	held := make([]uint64, attempts)
	for i := range held {
		held[i] = 1
	}
	for range 16 {
		held = held[:0]
		for size := uint64(1 << 30); size >= abi.PageSize; size /= 2 {
			for {
				h, errno := a.syscall(abi.SysVMOCreate, size)
				if errno != abi.OK {
					if err := refused("memory over the budget", errno, abi.ENOMEM, abi.ENOSPC, abi.EINVAL); err != nil {
						return err
					}
					break
				}
				held = append(held, h)
			}
		}
		for _, h := range held {
			a.syscall(abi.SysCapClose, h)
		}
	}
	return nil
}

// forkBomb creates processes with everything that it has, which is nothing.
func forkBomb(ctx context.Context, a *attacker) error {
	for i := range attempts {
		for _, h := range []uint64{control, 0, uint64(abi.BootHandle(1)), uint64(i)} {
			_, errno := a.syscall(abi.SysSpawn, h, uint64(abi.HeapBase))
			if err := refused("spawn", errno, abi.EBADF, abi.EKIND); err != nil {
				return err
			}
		}
	}
	for range 64 {
		if _, err := a.env.Control.Start(ctx, "hostile-peer", "fork-bomb"); err != ipc.StatusDenied {
			return fmt.Errorf("start through init: %v", err)
		}
	}
	return nil
}

// spinner never yields. It is killed.
func spinner(context.Context, *attacker) error {
	//lint:ignore SA5002 this is the attack
	for {
	}
}

// FuzzSeed is the seed of the fuzz attacks: the same calls in every run.
const FuzzSeed = 0x4e45585553

// FuzzCalls is the number of system calls of the attack syscall-fuzz.
const FuzzCalls = 1_000_000

// syscallFuzz makes a million system calls with random and extreme arguments.
// Whatever they do, they do it to this process.
func syscallFuzz(_ context.Context, a *attacker) error {
	rng := rand.New(rand.NewPCG(FuzzSeed, 1))
	edge := []uint64{0, 1, 2, 7, 8, 63, 64, 65, abi.PageSize - 1, abi.PageSize, abi.PageSize + 1, abi.MaxMessage, abi.MaxMessage + 1,
		1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1 << 63, 1<<63 - 1, ^uint64(0), ^uint64(0) - 4095,
		0x1000, 0x1000_0000, 0x8000_0000, 0x8020_0000, 0x8fff_f000, // devices, firmware, kernel, its heap
		abi.UserBase, abi.ImageBase + 0x11000, abi.MapBase, abi.MapEnd - abi.PageSize, abi.HeapEnd - 1, abi.StackTop, abi.StackTop - abi.StackSize - 1,
		abi.StartPage, abi.StartPage - 1, abi.UserEnd - 1, abi.UserEnd, 1 << 38, 1 << 39,
		control, uint64(abi.BootHandle(1)), uint64(abi.ReplyBit) | 1<<32 | 1}
	recent := make([]uint64, 32) // handles that were returned
	arg := func() uint64 {
		switch rng.Uint32() % 8 {
		case 0:
			return rng.Uint64()
		case 1:
			return uint64(rng.Uint32() % 4096)
		case 2, 3:
			return recent[rng.Uint32()%32]
		default:
			return edge[rng.Uint32()%uint32(len(edge))]
		}
	}
	var r ipc.Regs
	for made := 0; made < FuzzCalls; {
		num := uint64(rng.Uint32() % (abi.SysCount + 2))
		if rng.Uint32()%64 == 0 {
			num = rng.Uint64()
		}
		for i := range r.A {
			r.A[i] = arg()
		}
		r.S10 = arg()
		for i := range r.Data {
			r.Data[i] = arg()
		}
		switch num {
		case abi.SysExit, abi.SysThreadExit, abi.SysThreadCreate: // would end the attack, the last by a fault of the thread
			continue
		case abi.SysThreadJoin:
			r.A[1] = 1 // a deadline in the past: nobody would end this wait
		case abi.SysFutexWait:
			r.A[2] = 1
		case abi.SysWait, abi.SysCall, abi.SysReply:
			r.A[1] |= abi.FlagNoWait // would end it too, by waiting for ever
		case abi.SysFaultHandler:
			r.A[1] &^= abi.FaultSlices // and so would the end of a slice, at an address made up here
		case abi.SysCapClose:
			if r.A[0] == control {
				continue // the status is fine without it, but more calls reach more with it
			}
		}
		a.p.Syscall(num, &r)
		made++
		if int64(r.A[0]) > 0 {
			recent[rng.Uint32()%32] = r.A[0]
		}
	}
	return nil
}
