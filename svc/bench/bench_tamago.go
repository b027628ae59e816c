//go:build tamago && riscv64

package bench

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Handles of the root process.
var (
	spawnCap = abi.BootHandle(0)
	console  = abi.BootHandle(1)
	programs = abi.BootHandle(2)
)

// tickNS is how long a tick of the time CSR is: under -icount, how many
// instructions it counts.
const tickNS = 100

// Main runs all benchmarks, or the one that the environment variable BENCH names.
// With an argument it plays a role in one of them.
func Main() {
	if len(os.Args) > 1 {
		child(os.Args[1])
		return
	}
	only := os.Getenv("BENCH")
	if only == scalingName {
		scaling()
		return
	}
	for _, b := range benchmarks {
		if only == "" || only == b.name {
			b.run(b.name)
		}
	}
}

var benchmarks = []struct {
	name string
	run  func(name string)
}{
	{"boot_user", bootUser},
	{"null_syscall", func(name string) { measure(name, 10000, rawNop) }},
	{"ipc_call_64", callBench("serve", abi.MaxInline)},
	{"ipc_call_lib", callLib},
	{"ipc_call_park", callPark},
	{"ipc_call_4096", callBench("serve4096", 4096)},
	{"ipc_call_cap", callCap},
	{"notify_wake", notifyWake},
	{"yield", yield},
	{"thread_switch", threadSwitch},
	{"page_fault", pageFault},
	{"map_unmap", mapUnmap},
	{"vmo_map_1m", vmoMap1M},
	{"vmo_fill_2m", vmoFill2M},
	{"spawn_go", spawnGo},
	{"spawn_min", spawnMin},
	{"chan_pingpong", chanPingPong},
	{"idle_per_s", idle},
	{"irq_to_user", irqToUser},
	{"irq_storm", irqStorm},
}

func report(name string, insns uint64) { fmt.Printf("bench: %s %d insns\n", name, insns) }

// measure reports the cost of one of n operations that op makes.
func measure(name string, n int, op func(n int)) {
	op(10) // what happens only once
	from := raw.Ticks()
	op(n)
	report(name, (raw.Ticks()-from)*tickNS/uint64(n))
}

// sys makes a system call that must not fail.
func sys(num uint64, a ...uint64) [8]uint64 {
	var r [8]uint64
	copy(r[:], a)
	raw.Sys(num, &r)
	if int64(r[0]) < 0 {
		panic(fmt.Sprintf("bench: %s: %v", abi.Calls[num].Name, abi.Errno(-int64(r[0]))))
	}
	return r
}

func bootUser(name string) { report(name, uint64(start().BornNS)) }

// spawn starts a process of this binary in the role, or the program in the VMO
// min if role is empty, and gives it caps.
func spawn(role string, vmo abi.Handle, size uint64, frames uint64, caps ...abi.SpawnCap) (process uint64) {
	args := []byte("bench\x00" + role + "\x00")
	name := []byte("bench-" + role)
	spec := &abi.SpawnSpec{
		NamePtr: address(name), NameLen: uint64(len(name)),
		ELF: vmo, ELFLen: size, Frames: frames,
		BootPtr: address(args), Argc: 2, ArgsLen: uint64(len(args)),
		Console: 1, NumCaps: uint64(1 + len(caps)),
	}
	spec.Caps[0] = abi.SpawnCap{Handle: console, Rights: abi.RightWrite}
	copy(spec.Caps[1:], caps)
	r := sys(abi.SysSpawn, uint64(spawnCap), specAddress(spec))
	runtime.KeepAlive(name)
	runtime.KeepAlive(args)
	return r[0]
}

const childFrames = 1024

func size(vmo abi.Handle) uint64 { return sys(abi.SysCapInfo, uint64(vmo))[3] }

// serverOf starts a server and returns a capability to call its endpoint, which
// the server sends in its first message.
func serverOf(role string) uint64 {
	ep := sys(abi.SysEndpointCreate, 1, 0)[0]
	spawn(role, programs, size(programs), childFrames, abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend})
	r := sys(abi.SysWait, 0, 0, ep)
	sys(abi.SysCapClose, ep)
	return r[6]
}

// stop ends a server: its exit ends the call that asked for it.
func stop(ep uint64) {
	r := sys(abi.SysCall, ep, 0, 1)
	if abi.Errno(r[2]) != abi.ECLOSED {
		panic("bench: a server did not stop")
	}
	sys(abi.SysCapClose, ep)
}

func callBench(role string, length uint64) func(string) {
	return func(name string) {
		ep := serverOf(role)
		send, recv := newBuffer(), newBuffer()
		measure(name, 1000, func(n int) {
			if rawCall(n, ep, length, send.address(), recv.address()) != abi.EventReply {
				panic("bench: a call failed")
			}
		})
		runtime.KeepAlive(send)
		runtime.KeepAlive(recv)
		stop(ep)
	}
}

func callCap(name string) {
	ep := serverOf("servecap")
	notif := sys(abi.SysNotificationCreate, 9)[0]
	measure(name, 1000, func(n int) {
		cap := sys(abi.SysCapCopy, notif, uint64(abi.RightSignal|abi.RightGrant))[0]
		if rawCallCap(n, ep, cap) != abi.EventReply {
			panic("bench: a call failed")
		}
	})
	sys(abi.SysCapClose, notif)
	stop(ep)
}

// notifyWake passes a notification to and fro: two wake-ups a round.
func notifyWake(name string) {
	mine := sys(abi.SysNotificationCreate, 9)[0]
	ep := sys(abi.SysEndpointCreate, 1, 0)[0]
	p := spawn("notify", programs, size(programs), childFrames,
		abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend}, abi.SpawnCap{Handle: abi.Handle(mine), Rights: abi.RightSignal})
	theirs := sys(abi.SysWait, 0, 0, ep)[6]
	sys(abi.SysCapClose, ep)
	measure(name, 2000, func(n int) {
		if rawNotify(n/2, theirs) != abi.EventNotify {
			panic("bench: no notification")
		}
	})
	sys(abi.SysProcessKill, p)
	for _, h := range []uint64{p, theirs, mine} {
		sys(abi.SysCapClose, h)
	}
}

// yield lets two processes yield to each other: each yield of this one is
// followed by one of the other.
func yield(name string) {
	ep := sys(abi.SysEndpointCreate, 1, 0)[0]
	p := spawn("yield", programs, size(programs), childFrames, abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend})
	sys(abi.SysWait, 0, 0, ep) // it goes into its loop now
	measure(name, 2000, func(n int) { rawYield(n / 2) })
	sys(abi.SysProcessKill, p)
	sys(abi.SysCapClose, p)
	sys(abi.SysCapClose, ep)
}

// threadSwitch lets two threads of this process take turns by a futex: one wakes the
// other and sleeps, which is a switch.
func threadSwitch(name string) {
	pair := new([2]uint32) // the word, and whether to end
	at := pairAddress(pair)
	thread := sys(abi.SysThreadCreate, threadEntry(), abi.StackTop, 0, at)[0] // it uses no stack
	measure(name, 2000, func(n int) { rawTurns(n/2, pair) })
	pair[0], pair[1] = 1, 1
	sys(abi.SysFutexWake, at, 1)
	sys(abi.SysThreadJoin, thread)
	runtime.KeepAlive(pair)
}

func pageFault(name string) {
	const pages = 512
	b := make([]byte, (pages+20)*abi.PageSize)
	at := 0
	measure(name, pages, func(n int) {
		for range n {
			b[at] = 1
			at += abi.PageSize
		}
	})
}

// mapUnmap maps a page, touches it and unmaps it.
func mapUnmap(name string) {
	vmo := sys(abi.SysVMOCreate, abi.PageSize)[0]
	measure(name, 500, func(n int) {
		if rawMapUnmap(n, vmo) != 0 {
			panic("bench: vmo_map or unmap failed")
		}
	})
	sys(abi.SysCapClose, vmo)
}

// vmoMap1M maps a mebibyte that is there, as its receiver does, reads a word of each
// page and unmaps it.
func vmoMap1M(name string) {
	const size = 1 << 20
	vmo := sys(abi.SysVMOCreate, size)[0]
	full := uint64(abi.RightRead | abi.RightWrite)
	at := sys(abi.SysVMOMap, vmo, 0, 0, size, full)[0]
	for n := uint64(0); n < size; n += abi.PageSize {
		touch(at + n)
	}
	sys(abi.SysUnmap, at, size)
	sys(abi.SysVMOSeal, vmo)
	var a [8]uint64
	measure(name, 50, func(n int) {
		for range n {
			a = [8]uint64{vmo, 0, 0, size, uint64(abi.RightRead)}
			raw.Sys(abi.SysVMOMap, &a)
			for n := uint64(0); n < size; n += abi.PageSize {
				if look(a[0]+n) != 1 {
					panic("bench: other memory")
				}
			}
			a[1] = size
			raw.Sys(abi.SysUnmap, &a)
			if a[0] != 0 {
				panic("bench: unmap failed")
			}
		}
	})
	sys(abi.SysCapClose, vmo)
}

// vmoFill2M creates an object of 2 MiB, touches each page as the first, and gives it
// back.
func vmoFill2M(name string) {
	const size = 2 << 20
	measure(name, 10, func(n int) {
		for range n {
			vmo := sys(abi.SysVMOCreate, size)[0]
			at := sys(abi.SysVMOMap, vmo, 0, 0, size, uint64(abi.RightRead|abi.RightWrite))[0]
			for n := uint64(0); n < size; n += abi.PageSize {
				touch(at + n)
			}
			sys(abi.SysUnmap, at, size)
			sys(abi.SysCapClose, vmo)
		}
	})
}

// spawnRounds measures spawn, exit and reap.
func spawnRounds(name string, rounds int, spawn func() uint64) {
	notif := sys(abi.SysNotificationCreate, 9)[0]
	measure(name, rounds, func(n int) {
		for range n {
			p := spawn()
			sys(abi.SysProcessWatch, p, notif, 1)
			if r := sys(abi.SysWait); r[0] != abi.EventNotify {
				panic("bench: no word of the end of a process")
			}
			if r := sys(abi.SysProcessInfo, p); r[0] != 0 || r[1] != 0 {
				panic(fmt.Sprintf("bench: a process ended with %d", int64(r[1])))
			}
			sys(abi.SysCapClose, p)
		}
	})
	sys(abi.SysCapClose, notif)
}

func spawnGo(name string) {
	n := size(programs)
	spawnRounds(name, 20, func() uint64 { return spawn("hello", programs, n, childFrames) })
}

func spawnMin(name string) {
	min := abi.BootHandle(3)
	n := size(min)
	spawnRounds(name, 100, func() uint64 { return spawn("min", min, n, 64) })
}

func chanPingPong(name string) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	measure(name, 5000, func(n int) {
		for i := range n {
			ping <- i
			<-pong
		}
	})
	close(ping)
}

// idle counts the instructions of a second in which nobody has anything to do.
func idle(name string) {
	time.Sleep(time.Millisecond) // the first timer takes memory
	asked := raw.Ticks()
	rawIdle(uint64(spawnCap))
	idle0, from := rawIdle(uint64(spawnCap)), raw.Ticks()
	time.Sleep(time.Second)
	idle1, to := rawIdle(uint64(spawnCap)), raw.Ticks()
	asking := (from - asked) / 2 // which nobody does otherwise
	report(name, (to-from-asking)*tickNS-(idle1-idle0))
}

// child plays a role in a benchmark of the root process.
func child(role string) {
	parent := uint64(abi.BootHandle(1))
	switch role {
	case "hello":
		return
	case "yield":
		sys(abi.SysSend, parent)
		rawYield(1 << 40)
	case "spin":
		spin(parent)
	case "notify":
		mine := sys(abi.SysNotificationCreate, 9)[0]
		sys(abi.SysSend, parent, 0, 0, 0, sys(abi.SysCapCopy, mine, uint64(abi.RightSignal|abi.RightGrant))[0])
		sys(abi.SysWait)
		rawNotify(1<<40, uint64(abi.BootHandle(2)))
	case "servelib":
		serveLib()
	case "client0", "client1":
		client(parent, uint64(abi.BootHandle(2)))
	case "serve", "serve2", "serve4096", "servecap":
		ep := sys(abi.SysEndpointCreate, 1, abi.MaxMessage)[0]
		sys(abi.SysSend, parent, 0, 0, 0, sys(abi.SysCapCopy, ep, uint64(abi.RightSend|abi.RightGrant))[0])
		send, recv := newBuffer(), newBuffer()
		switch role {
		case "serve", "serve2":
			rawServe(ep, abi.MaxInline, send.address(), recv.address())
		case "serve4096":
			rawServe(ep, 4096, send.address(), recv.address())
		default:
			rawServeCap(ep)
		}
	}
}
