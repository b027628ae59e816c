//go:build tamago && riscv64

package kselftest

import (
	"os"
	"strings"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// shared is the memory that a puppet shares with the root process.
type shared struct {
	num    uint64   // what to do: a system call, or an op
	regs   ipc.Regs // of that, before and after
	give   uint64   // capability to hand over with the next word to the root process
	given  uint64   // capability that came with the last order
	count  uint64   // of a puppet that only counts
	held   uint64   // 1 + the result of opHoldFP, which goes on counting until
	stop   uint64   // the root process sets this
	self   uint64   // where this is in the memory of the puppet
	nother uint64   // events that came while the puppet waited for orders
	other  [maxOther]ipc.Regs
	_      [abi.PageSize - (8+17+17*maxOther)*8]byte
	in     [abi.MaxMessage]byte // buffer for what is received
	out    [abi.MaxMessage]byte // buffer for what is sent
}

const (
	maxOther    = 8 // what a puppet keeps; proofs make fewer
	sharedPages = 5
	sharedSize  = sharedPages * abi.PageSize
)

// Orders that are not system calls. Arguments and results are in A.
const (
	opLoad       = 1000 + iota // address: the word there
	opStore                    // address, word
	opProbe                    // kind of access, address: scause, stval
	opFill                     // address, length, byte
	opIsZero                   // address, length: 1 if it is
	opFault                    // index of the instruction, address
	opArgs                     // arguments, environment and boot data into out: their length
	opSpin                     // nanoseconds: counts for that long, or until stop
	opHoldFP                   // pattern, address of the other's count, turns, nanoseconds at least and at most: result in held
	opCallAll                  // endpoint, first cookie: calls until one is refused; count, Errno
	opFillOut                  // length, seed: fills out with a pattern
	opCheckIn                  // length, seed: 1 if in holds the pattern
	opTurns                    // block of a thread, turns, nanoseconds at most: turns made with threadTurns
	opFutexTurns               // block of a thread, turns: makes them with threadFutexTurns
	opCount                    // address: counts the word there up until that faults: scause, stval
	opMeasure                  // turns of a pace in a millisecond
	opPace                     // address of a pace, nanoseconds: measures it, and turns for that long, or until stop
	opServe                    // endpoint, turns before it waits for a request, turns before it answers: the event
	opBeside                   // endpoint, address: how far the word there moves during a call, event and status of that
	opAwake                    // address of paces, how many, spawn capability: waits; see awake
	opHarts                    // spawn capability, nanoseconds: set of harts it ran on
)

// Kinds of access of opProbe.
const (
	accessLoad = iota
	accessStore
	accessCall
)

// Handles that every puppet starts with.
var (
	orders     = uint64(abi.BootHandle(0)) // endpoint of the root process
	sharedVMO  = uint64(abi.BootHandle(1))
	firstExtra = 2 // index of the first capability of the proof
)

// orderCookie is the cookie of the call that asks for orders; no proof uses it.
const orderCookie = 1 << 60

// Exit statuses of a puppet that cannot go on.
const (
	exitNoPage   = 90
	exitNoOrders = 91
)

// puppet does what the root process says until it is told to exit or killed.
func puppet() {
	var r ipc.Regs
	raw.Trap(abi.SysFaultHandler, &r)
	r = ipc.Regs{A: [8]uint64{0: sharedVMO, 3: sharedSize, 4: uint64(abi.RightRead | abi.RightWrite)}}
	raw.Trap(abi.SysVMOMap, &r)
	if int64(r.A[0]) < 0 {
		os.Exit(exitNoPage)
	}
	s := sharedAt(r.A[0])
	s.self = r.A[0]
	for {
		s.await()
		if s.num < 1000 {
			raw.Trap(s.num, &s.regs)
		} else {
			s.do()
		}
	}
}

// await asks for the next order. Events of other things are kept.
func (s *shared) await() {
	r := ipc.Regs{A: [8]uint64{0: orders, 2: orderCookie, 4: s.give}}
	s.give = 0
	raw.Trap(abi.SysCall, &r)
	for {
		if r.A[0] == abi.EventReply && r.A[1] == orderCookie && r.A[2] == 0 {
			s.given = r.A[6]
			return
		}
		if int64(r.A[0]) < 0 || r.A[0] == abi.EventReply && r.A[1] == orderCookie {
			os.Exit(exitNoOrders)
		}
		s.other[s.nother%maxOther] = r
		s.nother++
		r = ipc.Regs{}
		raw.Trap(abi.SysWait, &r)
	}
}

// do performs an order that is not a system call.
func (s *shared) do() {
	a := &s.regs.A
	switch s.num {
	case opLoad:
		a[0] = *word(a[0])
	case opStore:
		*word(a[0]) = a[1]
	case opProbe:
		a[0], a[1] = access(a[0], a[1])
	case opFill:
		b := memory(a[0], a[1])
		for i := range b {
			b[i] = byte(a[2])
		}
	case opIsZero:
		a[0] = truth(isZero(memory(a[0], a[1])))
	case opFault:
		var at [6]uint64
		faultAddresses(&at)
		fault(at[a[0]], a[1])
	case opArgs:
		b := append(s.out[:0], strings.Join(os.Args, " ")+"|"+strings.Join(os.Environ(), " ")+"|"...)
		b = append(b, ipc.Self().Start().Data...)
		a[0] = uint64(len(b))
	case opSpin:
		for end := raw.Ticks() + a[0]/raw.StartPage().TickNS; raw.Ticks() < end && s.stop == 0; {
			s.count++
		}
	case opCount:
		a[0], a[1] = probeCount(a[0])
	case opTurns:
		a[0] = blockAt(a[0]).turns(a[1], raw.Ticks()+a[2]/raw.StartPage().TickNS)
	case opFutexTurns:
		blockAt(a[0]).futexTurns(a[1])
	case opMeasure:
		a[0] = new(pace).measure()
	case opPace:
		c := paceAt(a[0])
		c.measure()
		for end := raw.Ticks() + a[1]/raw.StartPage().TickNS; c.turn() < end && s.stop == 0; {
		}
	case opServe:
		a[0] = s.serve(a[0], a[1], a[2])
	case opBeside:
		count := word(a[1])
		from := atomic.LoadUint64(count)
		r := ipc.Regs{A: [8]uint64{0: a[0], 2: orderCookie + 1}}
		raw.Trap(abi.SysCall, &r)
		a[0], a[1], a[2] = atomic.LoadUint64(count)-from, r.A[0], r.A[2]
	case opAwake:
		a[0], a[1], a[2] = s.awake(a[0], a[1], a[2])
	case opHarts:
		set := uint64(0)
		for end := raw.Ticks() + a[1]/raw.StartPage().TickNS; raw.Ticks() < end && s.stop == 0; s.count++ {
			r := ipc.Regs{A: [8]uint64{a[0]}}
			raw.Trap(abi.SysSystemInfo, &r)
			set |= 1 << r.Data[2]
			s.held |= 1 << r.Data[2]
		}
		a[0] = set
	case opHoldFP:
		want, got := fpPattern(a[0]), new([33]uint64)
		until, end := raw.Ticks()+a[3]/raw.StartPage().TickNS, raw.Ticks()+a[4]/raw.StartPage().TickNS
		s.held = 1 + holdFP(want, got, &s.count, word(a[1]), a[2], until, end)
		for s.stop == 0 && raw.Ticks() < end { // the other may still need to see this one run
			s.count++
		}
	case opCallAll:
		a[0], a[1] = callAll(a[0], a[1])
	case opFillOut:
		pattern(s.out[:a[0]], a[1])
	case opCheckIn:
		a[0] = truth(hasPattern(s.in[:a[0]], a[1]))
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// access touches addr and returns the fault that this made, zeroes for none.
func access(kind, addr uint64) (cause, tval uint64) {
	switch kind {
	case accessLoad:
		return probeLoad(addr)
	case accessStore:
		return probeStore(addr)
	}
	return probeCall(addr)
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// pattern fills b with bytes that depend on seed and place.
func pattern(b []byte, seed uint64) {
	for i := range b {
		b[i] = byte(seed*131 + uint64(i)*7 + uint64(i)>>8)
	}
}

func hasPattern(b []byte, seed uint64) bool {
	for i, c := range b {
		if c != byte(seed*131+uint64(i)*7+uint64(i)>>8) {
			return false
		}
	}
	return true
}

// fpPattern returns 32 numbers and a rounding mode that depend on seed.
func fpPattern(seed uint64) *[33]uint64 {
	p := new([33]uint64)
	for i := range 32 {
		p[i] = 0x3ff0000000000000 + seed<<32 + uint64(i)
	}
	p[32] = seed%4<<5 | seed%16 // frm and some flags
	return p
}

// callAll calls ep without waiting until the kernel refuses, and then gives the
// last call up, so that there is room for one to the root process.
func callAll(ep, cookie uint64) (n, errno uint64) {
	for {
		r := ipc.Regs{A: [8]uint64{0: ep, 1: abi.FlagNoWait, 2: cookie + n}}
		raw.Trap(abi.SysCall, &r)
		if int64(r.A[0]) < 0 {
			errno = -r.A[0]
			break
		}
		n++
	}
	r := ipc.Regs{A: [8]uint64{2: cookie + n - 1}}
	raw.Trap(abi.SysCancel, &r)
	r = ipc.Regs{}
	raw.Trap(abi.SysWait, &r)
	return n, errno
}
