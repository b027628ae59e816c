//go:build tamago && riscv64

package soak

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Cookies, keys and badges of the root process.
const (
	hubAccept = 1 << 59
	endKey    = 1 << 58
)

// tester is the root process.
type tester struct {
	seed     uint64
	harts    int
	board    *board
	boardVMO uint64
	hub      uint64
	ends     uint64 // notification: bit i says that the child of slot i ended
	children [slots]*child
	names    int
	before   uint64 // calls of children that have ended
	ended    int
	all      uint64 // calls of all children, and when they became so many
	at       int64
}

// child is a process with a slot.
type child struct {
	handle uint64
	args   []string
	frames uint64
	caps   []abi.SpawnCap
	qos    abi.QoS // 0: the default
	// What it had done when, and all children together, to see whether it gets on.
	calls, all uint64
	at         int64
}

// request is what a child asks at the hub.
type request struct {
	right, badge, moved uint64
}

// root runs all parts.
func root() error {
	t := &tester{seed: number("SOAK_SEED", 1)}
	r := ipc.Regs{A: [8]uint64{spawnCap}}
	raw.Trap(abi.SysSystemInfo, &r)
	t.harts = bits.OnesCount64(r.Data[1])
	fmt.Printf("soak: seed %d on %d harts\n", t.seed, t.harts)
	var errno abi.Errno
	if t.boardVMO, errno = try(abi.SysVMOCreate, boardSize); errno != abi.OK {
		return fmt.Errorf("memory to share: %w", errno)
	}
	if errno := mapBoard(t.boardVMO, boardAddr); errno != abi.OK {
		return fmt.Errorf("mapping it: %w", errno)
	}
	t.board = boardAt(boardAddr)
	t.hub, _ = try(abi.SysEndpointCreate, 64, 64)
	t.ends, _ = try(abi.SysNotificationCreate, endKey)
	for _, part := range []struct {
		name string
		run  func() (string, error)
	}{{"fuzz", t.fuzzing}, {"calls", t.calling}, {"notifications", t.notifying}, {"futexes", t.futexing}, {"apart", t.apart}} {
		*t.board = board{}
		t.before, t.ended = 0, 0
		start, was := now(), sample()
		text, err := part.run()
		if err == nil {
			err = settle(was)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("soak: %s ok: %s in %d ms\n", part.name, text, (now()-start)/ms)
	}
	return nil
}

// number returns what the environment says, or n.
func number(name string, n uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return v
	}
	return n
}

// start makes a child of slot i.
func (t *tester) start(i int, c *child) error {
	t.names++
	label := fmt.Sprintf("soak-%d", t.names)
	size, _ := capSize(services)
	boot := make([]byte, 0, 128)
	for _, a := range c.args {
		boot = append(append(boot, a...), 0)
	}
	s := &abi.SpawnSpec{
		NamePtr: raw.AddressOf(&[]byte(label)[0]), NameLen: uint64(len(label)), ELF: abi.Handle(services), ELFLen: size,
		Frames: c.frames, BootPtr: raw.AddressOf(&boot[0]), Argc: uint64(len(c.args)), ArgsLen: uint64(len(boot)), QoS: c.qos,
	}
	s.Caps[0] = abi.SpawnCap{Handle: abi.Handle(t.hub), Rights: abi.RightSend, Badge: uint64(i + 1)}
	s.Caps[1] = abi.SpawnCap{Handle: abi.Handle(t.boardVMO), Rights: abi.RightRead | abi.RightWrite}
	s.NumCaps = 2 + uint64(copy(s.Caps[2:], c.caps))
	t.board.slots[i] = slot{}
	h, errno := try(abi.SysSpawn, spawnCap, raw.AddressOf(s))
	if errno != abi.OK {
		return fmt.Errorf("starting child %d: %w", i, errno)
	}
	c.handle, c.calls, c.all, c.at = h, 0, t.made(), now()
	t.children[i] = c
	_, errno = try(abi.SysProcessWatch, h, t.ends, 1<<i)
	if errno != abi.OK {
		return fmt.Errorf("watching child %d: %w", i, errno)
	}
	return nil
}

func capSize(h uint64) (uint64, abi.Errno) {
	r := ipc.Regs{A: [8]uint64{h}}
	raw.Trap(abi.SysCapInfo, &r)
	return r.A[3], refusal(r.A[0])
}

// made returns how many system calls children have made.
func (t *tester) made() uint64 {
	n := t.before
	for i := range t.board.slots {
		s := &t.board.slots[i]
		n += atomic.LoadUint64(&s.calls) + atomic.LoadUint64(&s.threads)
	}
	return n
}

// step waits for the next thing, and for a moment at most. It hands a request to
// answer, and children that ended to gone, and sees that all get on.
func (t *tester) step(answer func(*request), gone func(i int, c *child, status int64) error) error {
	r := ipc.Regs{A: [8]uint64{2: t.hub, 3: uint64(now() + 100*ms)}, S10: hubAccept}
	raw.Trap(abi.SysWait, &r)
	switch {
	case int64(r.A[0]) < 0:
		return fmt.Errorf("the root process cannot wait: %w", refusal(r.A[0]))
	case r.A[0] == abi.EventRequest && r.A[1] == hubAccept:
		if q := (&request{r.A[4], r.A[2], r.A[6]}); q.right != 0 {
			answer(q)
		} else if q.moved != 0 {
			try(abi.SysCapClose, q.moved)
		}
	case r.A[0] == abi.EventNotify:
		for set := r.A[2]; set != 0; set &= set - 1 {
			if err := t.end(bits.TrailingZeros64(set), gone); err != nil {
				return err
			}
		}
	}
	return t.watch()
}

// end takes leave of a child.
func (t *tester) end(i int, gone func(i int, c *child, status int64) error) error {
	c := t.children[i]
	if c == nil {
		return fmt.Errorf("child %d ended twice", i)
	}
	r := ipc.Regs{A: [8]uint64{c.handle}}
	raw.Trap(abi.SysProcessInfo, &r)
	if r.A[0] != 0 {
		return fmt.Errorf("child %d is said to have ended and lives", i)
	}
	try(abi.SysCapClose, c.handle)
	s := &t.board.slots[i]
	t.before += s.calls + s.threads
	s.calls, s.threads = 0, 0
	t.children[i] = nil
	t.ended++
	return gone(i, c, int64(r.A[1]))
}

// muchWork is so many system calls of all children that each must have made some.
const muchWork = 100_000

// watch finds a child that does not get on: for a long time it has made no call, and
// that is not because the machine is slow, for others have made many, or none either.
func (t *tester) watch() error {
	all := t.made()
	if all != t.all {
		t.all, t.at = all, now()
	}
	for i, c := range t.children {
		if c == nil {
			continue
		}
		s := &t.board.slots[i]
		if n := atomic.LoadUint64(&s.calls); n != c.calls {
			c.calls, c.all, c.at = n, all, now()
		} else if now()-c.at > 2*patience && (all-c.all > muchWork || now()-t.at > patience) {
			r := ipc.Regs{A: [8]uint64{c.handle}}
			raw.Trap(abi.SysProcessInfo, &r)
			return fmt.Errorf("child %d (%v) is stuck after %d calls in %s %x: lives %d, %d frames, %d threads", i, c.args, n, callName(s.num), s.args, r.A[0], r.A[3], r.Data[3])
		}
	}
	return nil
}

func callName(num uint64) string {
	if num < uint64(len(abi.Calls)) {
		return abi.Calls[num].Name
	}
	return "system call " + strconv.FormatUint(num, 10)
}

// counts is what is in use in the system.
type counts struct {
	frames, unreserved, processes, caps, calls uint64
}

func sample() counts {
	info, me := ipc.Regs{A: [8]uint64{spawnCap}}, ipc.Regs{}
	raw.Trap(abi.SysSystemInfo, &info)
	raw.Trap(abi.SysProcessInfo, &me)
	return counts{info.A[1] + me.A[3], info.A[2], info.A[3], info.A[4], info.A[5]}
}

// settle waits until what is in use is what was, and no interrupt of another hart is
// under way. Other harts may still be about to end a process.
func settle(was counts) error {
	for end := now() + patience; ; try(abi.SysYield) {
		is, lost := sample(), unanswered()
		switch {
		case is == was && lost == 0:
			return nil
		case now() < end:
		case lost != 0:
			return fmt.Errorf("%d interrupts were sent to other harts and not taken there", lost)
		default:
			return fmt.Errorf("not everything came back: %+v, was %+v", is, was)
		}
	}
}

// unanswered returns how many interrupts harts have sent each other that did not
// arrive. A thread that waits for one may go on all the same, because a hart with
// nothing to do takes it.
func unanswered() uint64 {
	info := ipc.Regs{A: [8]uint64{spawnCap}}
	raw.Trap(abi.SysSystemInfo, &info)
	return info.Data[4] - info.Data[6]
}

func (t *tester) alive() bool {
	for _, c := range t.children {
		if c != nil {
			return true
		}
	}
	return false
}
