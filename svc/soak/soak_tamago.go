//go:build tamago && riscv64

package soak

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Handles of the root process, and of children: what each starts with.
var (
	spawnCap = uint64(abi.BootHandle(0))
	services = uint64(abi.BootHandle(2)) // program of all services
	programs = uint64(abi.BootHandle(3)) // the small programs of package kselftest

	childHub      = uint64(abi.BootHandle(0)) // endpoint of the root process
	childBoard    = uint64(abi.BootHandle(1)) // memory that all share
	childSpawn    = uint64(abi.BootHandle(2))
	childPrograms = uint64(abi.BootHandle(3))
)

// Times in nanoseconds.
const (
	ms       = 1_000_000
	patience = 30_000 * ms // without a call, a process is stuck; without a wake-up, it is lost
)

// Exit statuses of children.
const (
	exitBoard = 71 // no memory to share
	exitLost  = 72 // a wake-up did not come
	exitFault = 73 // in the fault handler; written out in raw_riscv64.s
	exitTwice = 74 // a wake-up came twice, or out of turn
	exitCall  = 75 // a system call that must be granted was not
)

// board is memory that the root process shares with all of its children: it must not
// take system calls to see how these get on.
type board struct {
	stop  uint64 // children are to end
	_     [7]uint64
	slots [slots]slot
}

// slots is how many children there are at a time, at most.
const slots = 16

// slot is what one child says of itself.
type slot struct {
	calls   uint64 // system calls made
	threads uint64 // those of its other threads
	num     uint64 // the last call
	args    [8]uint64
	turn    uint64 // counts along with another child
	_       [4]uint64
}

const boardSize = abi.PageSize

// boardAddr is where children have the board: away from all other mappings.
const boardAddr = abi.MapEnd - 16*abi.PageSize

// Main runs the part that the arguments name: of the root process none.
func Main() {
	debug.SetGCPercent(-1)
	raw.Trap(abi.SysFaultHandler, new(ipc.Regs)) // the runtime's would take threads for goroutines
	if len(os.Args) < 2 {
		if err := root(); err != nil {
			fmt.Println("soak: FAIL:", err)
			os.Exit(1)
		}
		fmt.Println("soak: end")
		os.Exit(0)
	}
	if e := mapBoard(childBoard, boardAddr); e != abi.OK {
		os.Exit(exitBoard)
	}
	try(abi.SysCapClose, childBoard)
	b := boardAt(boardAddr)
	s := &b.slots[argument(2)]
	switch os.Args[1] {
	case "fuzz":
		fuzz(b, s, argument(3))
	case "call":
		callAlong(s, argument(3))
	case "serve":
		serveAlong(s)
	case "notify":
		notifyAlong(s, &b.slots[argument(3)], argument(4) == 1, argument(5))
	case "futex":
		futexAlong(s, argument(3))
	}
	os.Exit(0)
}

// argument returns a number of the command line.
func argument(i int) uint64 {
	n, err := strconv.ParseUint(os.Args[i], 10, 64)
	if err != nil {
		os.Exit(exitCall)
	}
	return n
}

func mapBoard(vmo, at uint64) abi.Errno {
	_, errno := try(abi.SysVMOMap, vmo, at, 0, boardSize, uint64(abi.RightRead|abi.RightWrite))
	return errno
}

// try makes a system call and returns a0, or why it was refused.
func try(num uint64, args ...uint64) (uint64, abi.Errno) {
	var r ipc.Regs
	copy(r.A[:7], args)
	raw.Trap(num, &r)
	return r.A[0], refusal(r.A[0])
}

func refusal(a0 uint64) abi.Errno { return abi.Errno(max(0, -int64(a0))) }

// must is try for a child that cannot go on without it.
func must(num uint64, args ...uint64) uint64 {
	v, errno := try(num, args...)
	if errno != abi.OK {
		os.Exit(exitCall)
	}
	return v
}

func now() int64 { return int64(raw.Ticks() * raw.StartPage().TickNS) }

// random is a generator of numbers: xorshift64*.
type random uint64

func newRandom(seed, stream uint64) random {
	return random((seed+1)*0x9e3779b97f4a7c15 ^ stream<<32 | 1)
}

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = random(x)
	return x * 0x2545f4914f6cdd1d
}

// n returns a number below n.
func (r *random) n(n uint64) uint64 { return (r.next() >> 32) % n }

// moment lets some time pass, without a system call, so that what follows comes at
// another place of what the others do.
func (r *random) moment(most uint64) {
	for range r.n(most) {
		spun++
	}
}

var spun uint64
