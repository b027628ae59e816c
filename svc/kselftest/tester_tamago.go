//go:build tamago && riscv64

package kselftest

import (
	"fmt"
	"strings"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// caller makes system calls: this process itself, or a puppet.
type caller func(num uint64, r *ipc.Regs)

// self makes system calls of this process.
func self(num uint64, r *ipc.Regs) { raw.Trap(num, r) }

// try makes a system call and returns a0, or the number with which it was refused.
func (c caller) try(num uint64, args ...uint64) (uint64, abi.Errno) {
	var r ipc.Regs
	copy(r.A[:7], args)
	c(num, &r)
	if int64(r.A[0]) < 0 {
		return 0, abi.Errno(-int64(r.A[0]))
	}
	return r.A[0], abi.OK
}

// sys makes a system call that must be granted.
func (c caller) sys(num uint64, args ...uint64) uint64 {
	v, errno := c.try(num, args...)
	if errno != abi.OK {
		failf("%s: %v", callText(num, args), errno)
	}
	return v
}

// refuse makes a system call that must be refused with errno.
func (c caller) refuse(errno abi.Errno, num uint64, args ...uint64) {
	if v, got := c.try(num, args...); got != errno {
		if got == abi.OK {
			failf("%s: granted with %#x, want %v", callText(num, args), v, errno)
		}
		failf("%s: %v, want %v", callText(num, args), got, errno)
	}
}

// event makes a system call that ends in an event, and returns it.
func (c caller) event(num uint64, r ipc.Regs) ipc.Regs {
	c(num, &r)
	if int64(r.A[0]) < 0 {
		failf("%s: %v", abi.Calls[num].Name, abi.Errno(-int64(r.A[0])))
	}
	return r
}

func callText(num uint64, args []uint64) string {
	var b strings.Builder
	b.WriteString(abi.Calls[num].Name)
	for _, a := range args {
		fmt.Fprintf(&b, " %#x", a)
	}
	return b.String()
}

// failure is what a proof that does not hold panics with.
type failure string

// failf ends the proof.
func failf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// check ends the proof unless ok.
func check(ok bool, format string, args ...any) {
	if !ok {
		failf(format, args...)
	}
}

// Handles that the kernel, or mkimage, gives the root process.
var (
	spawnCap = uint64(abi.BootHandle(0))
	console  = uint64(abi.BootHandle(1))
	services = uint64(abi.BootHandle(2)) // the program of all services
	manifest = uint64(abi.BootHandle(3)) // a memory object that is no program
)

// Cookies and keys of this process.
const (
	orderAccept = 1 << 59 // requests of puppets for orders
	watchKey    = 1 << 58 // ends of processes
)

// patience is how long something may take that must happen. It is for losing an
// event, not for slowness: the machine below may be busy.
const patience = 20 * time.Second

// tester is the root process.
type tester struct {
	programs uint64     // memory object with the small programs
	orders   uint64     // endpoint at which puppets ask for orders
	watch    uint64     // notification of ends
	children []*process // those that were not dropped
	puppets  []*process
	names    int        // names and badges given so far
	asked    []*process // puppets in the order in which they asked for orders
	arrived  []ipc.Regs // events that came while an endpoint was armed
	events   []ipc.Regs // events that came while something else was waited for
}

// process is a child.
type process struct {
	t      *tester
	name   string
	handle uint64
	pid    uint64
	gone   bool

	// Of a puppet.
	badge uint64
	vmo   uint64
	page  *shared
	at    uint64 // address of page
	idle  bool   // it waits for orders
	right uint64 // the reply right of that
	moved uint64 // capability that came with it
}

func now() int64 { return int64(raw.Ticks() * raw.StartPage().TickNS) }

// spec is the argument of spawn; it has to be in memory that does not move.
type spec struct {
	abi.SpawnSpec
	name [64]byte
}

// boot holds arguments, environment and boot data of the next process. It is too
// large to be made anew for each.
var boot [abi.MaxBootData + 64]byte

// newSpec describes a process with these arguments and capabilities.
func newSpec(name string, vmo, off, length, frames uint64, args []string, caps ...abi.SpawnCap) *spec {
	s := new(spec)
	s.NamePtr, s.NameLen = raw.AddressOf(&s.name), uint64(copy(s.name[:], name))
	s.ELF, s.ELFOff, s.ELFLen, s.Frames = abi.Handle(vmo), off, length, frames
	s.setBoot(args, nil, nil)
	s.NumCaps = uint64(copy(s.Caps[:], caps))
	return s
}

// setBoot sets arguments, environment and boot data of s, which must be the next
// that is spawned.
func (s *spec) setBoot(args, env []string, data []byte) {
	s.BootPtr = raw.AddressOf(&boot)
	b := boot[:0]
	for _, a := range args {
		b = append(append(b, a...), 0)
	}
	s.Argc, s.ArgsLen = uint64(len(args)), uint64(len(b))
	for _, e := range env {
		b = append(append(b, e...), 0)
	}
	s.Envc, s.EnvLen = uint64(len(env)), uint64(len(b))-s.ArgsLen
	s.DataLen = uint64(len(append(b, data...)) - len(b))
}

// trySpawn creates the process that s describes.
func (t *tester) trySpawn(s *spec) (*process, abi.Errno) {
	r := ipc.Regs{A: [8]uint64{spawnCap, raw.AddressOf(&s.SpawnSpec)}}
	raw.Trap(abi.SysSpawn, &r)
	if int64(r.A[0]) < 0 {
		return nil, abi.Errno(-int64(r.A[0]))
	}
	p := &process{t: t, name: string(s.name[:s.NameLen]), handle: r.A[0], pid: r.A[1]}
	t.children = append(t.children, p)
	return p, abi.OK
}

func (t *tester) spawn(s *spec) *process {
	p, errno := t.trySpawn(s)
	if errno != abi.OK {
		failf("spawn %s: %v", s.name[:s.NameLen], errno)
	}
	return p
}

// smallFrames is the budget of a program that needs next to nothing.
const smallFrames = 24

// small describes a process of one of the small programs.
func (t *tester) small(name string, slot uint64) *spec {
	return newSpec(name, t.programs, slot*ProgramSlot, ProgramSlot, smallFrames, nil)
}

// puppetFrames is the budget of a puppet: what its runtime touches, and some.
const puppetFrames = 640

// puppetName returns a name that no live process has.
func (t *tester) puppetName() string {
	t.names++
	return fmt.Sprintf("puppet-%d", t.names)
}

// puppet starts a puppet with further capabilities, from handle firstExtra on.
func (t *tester) puppet(caps ...abi.SpawnCap) *process {
	return t.puppetOf(t.puppetSpec(t.puppetName(), caps...))
}

// puppetSpec describes a puppet.
func (t *tester) puppetSpec(name string, caps ...abi.SpawnCap) *spec {
	t.names++
	size := self4(abi.SysCapInfo, services)[3]
	all := append([]abi.SpawnCap{{Handle: abi.Handle(t.orders), Rights: abi.RightSend, Badge: uint64(t.names)}, {}}, caps...)
	return newSpec(name, services, 0, size, puppetFrames, []string{"kselftest", "puppet"}, all...)
}

// puppetOf starts the puppet that s describes, and waits until it asks for orders.
func (t *tester) puppetOf(s *spec) *process {
	vmo := caller(self).sys(abi.SysVMOCreate, sharedSize)
	s.Caps[1] = abi.SpawnCap{Handle: abi.Handle(vmo), Rights: abi.RightRead | abi.RightWrite}
	at := caller(self).sys(abi.SysVMOMap, vmo, 0, 0, sharedSize, uint64(abi.RightRead|abi.RightWrite))
	p := t.spawn(s)
	p.badge, p.vmo, p.at, p.page = s.Caps[0].Badge, vmo, at, sharedAt(at)
	t.puppets = append(t.puppets, p)
	p.finish()
	return p
}

// self4 makes a system call that must be granted and returns a0 to a7.
func self4(num uint64, args ...uint64) [8]uint64 {
	var r ipc.Regs
	copy(r.A[:7], args)
	return caller(self).event(num, r).A
}

// start gives a puppet an order, without waiting until it is done. moved goes along
// if it is not 0.
func (p *process) start(moved, num uint64, r ipc.Regs) {
	check(p.idle && !p.gone, "%s is not waiting for orders", p.name)
	p.page.num, p.page.regs = num, r
	p.idle = false
	caller(self).sys(abi.SysReply, p.right, abi.FlagNoWait, 0, 0, moved)
}

// order is start with arguments in a0 to a6.
func (p *process) order(num uint64, args ...uint64) {
	var r ipc.Regs
	copy(r.A[:7], args)
	p.start(0, num, r)
}

// finish waits until a puppet has carried out its order, and returns the registers.
func (p *process) finish() ipc.Regs {
	p.t.until(p.name+" to carry out its order", func() bool { return p.idle })
	return p.page.regs
}

// call makes a puppet a caller.
func (p *process) call(num uint64, r *ipc.Regs) {
	p.start(0, num, *r)
	*r = p.finish()
}

// do lets a puppet carry out an order, and returns a0 to a7.
func (p *process) do(num uint64, args ...uint64) [8]uint64 {
	p.order(num, args...)
	return p.finish().A
}

// giveAway hands a capability, which this process loses, to a puppet, and returns
// the handle it has there.
func (p *process) giveAway(h uint64) uint64 {
	p.start(h, abi.SysNop, ipc.Regs{})
	p.finish()
	return p.page.given
}

// fetch has a puppet hand over a capability and returns the handle it has here.
func (p *process) fetch(h uint64) uint64 {
	p.page.give = h
	p.order(abi.SysNop)
	p.finish()
	check(p.moved != 0, "%s: no capability came", p.name)
	return p.moved
}

// endpoint creates an endpoint that a puppet serves. It returns its handle there and
// one to send to it, with grant, here.
func (p *process) endpoint(depth, maxLen uint64) (there, here uint64) {
	c := caller(p.call)
	there = c.sys(abi.SysEndpointCreate, depth, maxLen)
	return there, p.fetch(c.sys(abi.SysCapCopy, there, uint64(abi.RightSend|abi.RightGrant)))
}

// wait returns the next event of this process other than of puppets that ask for
// orders, EventNone at the deadline. accept, with a cookie and a buffer, arms an
// endpoint first.
func (t *tester) wait(accept, cookie, buffer uint64, deadline int64) ipc.Regs {
	if accept != 0 {
		t.arm(accept, cookie, buffer)
	}
	for {
		if r, ok := t.step(deadline); ok {
			return r
		}
	}
}

// step is wait until the next event of any kind; it returns false if that was of a
// puppet that asks for orders.
func (t *tester) step(deadline int64) (r ipc.Regs, ok bool) {
	if len(t.arrived) > 0 {
		r = t.arrived[0]
		t.arrived = t.arrived[1:]
		return r, true
	}
	r = caller(self).event(abi.SysWait, ipc.Regs{A: [8]uint64{3: uint64(deadline)}})
	return r, !t.took(&r)
}

// arm makes an endpoint deliver its next request.
func (t *tester) arm(ep, cookie, buffer uint64) {
	r := ipc.Regs{A: [8]uint64{1: abi.FlagNoWait, 2: ep, 6: buffer}, S10: cookie}
	r = caller(self).event(abi.SysWait, r)
	if r.A[0] != abi.EventNone && !t.took(&r) {
		t.arrived = append(t.arrived, r)
	}
}

// took deals with an event if it is of a puppet that asks for orders, or asked and
// has ended.
func (t *tester) took(r *ipc.Regs) bool {
	if r.A[0] == abi.EventCancel && r.A[1] == orderAccept {
		return true
	}
	if r.A[0] != abi.EventRequest || r.A[1] != orderAccept {
		return false
	}
	for _, p := range t.puppets {
		if p.badge != r.A[2] || p.gone {
			continue
		}
		check(r.A[3] == serviceID(p.name), "request of %s comes with service id %#x", p.name, r.A[3])
		check(r.A[5] == p.pid<<32, "request of %s with pid %d comes with %#x", p.name, p.pid, r.A[5])
		p.idle, p.right, p.moved = true, r.A[4], r.A[6]
		t.asked = append(t.asked, p)
		t.arm(t.orders, orderAccept, 0)
		return true
	}
	failf("a request for orders with badge %#x from pid %d", r.A[2], r.A[5]>>32)
	return false
}

// next returns the next event, or EventNone at the deadline.
func (t *tester) next(deadline int64) ipc.Regs {
	if len(t.events) > 0 {
		r := t.events[0]
		t.events = t.events[1:]
		return r
	}
	return t.wait(0, 0, 0, deadline)
}

// expect returns the next event, which must be of the kind.
func (t *tester) expect(kind uint64) ipc.Regs {
	r := t.next(now() + int64(patience))
	check(r.A[0] == kind, "event %d (a1 %#x, a2 %#x), want %d", r.A[0], r.A[1], r.A[2], kind)
	return r
}

// receive accepts the next request of an endpoint of this process.
func (t *tester) receive(ep, buffer uint64) ipc.Regs {
	const cookie = 77
	r := t.wait(ep, cookie, buffer, now()+int64(patience))
	check(r.A[0] == abi.EventRequest && r.A[1] == cookie, "event %d with cookie %#x, want a request", r.A[0], r.A[1])
	return r
}

// nothing verifies that no event is there.
func (t *tester) nothing(why string) {
	for len(t.events) == 0 {
		r := t.wait(0, 0, 0, 1) // a deadline that has passed
		if r.A[0] == abi.EventNone {
			return
		}
		t.events = append(t.events, r)
	}
	failf("%s: event %d (a1 %#x, a2 %#x)", why, t.events[0].A[0], t.events[0].A[1], t.events[0].A[2])
}

// until lets the other processes run until cond holds. Events go to t.events.
func (t *tester) until(what string, cond func() bool) {
	for end := now() + int64(patience); !cond(); {
		check(now() < end, "waited in vain for %s", what)
		if r, ok := t.step(now() + int64(time.Millisecond)); ok && r.A[0] != abi.EventNone {
			t.events = append(t.events, r)
		}
	}
}

// settle gives every process that can run the time to come to where it waits.
func (t *tester) settle() {
	for range 8 {
		caller(self).sys(abi.SysYield)
	}
	for end := now() + int64(time.Millisecond); now() < end; {
		r := t.wait(0, 0, 0, end)
		if r.A[0] != abi.EventNone {
			t.events = append(t.events, r)
		}
	}
}

// state returns what process_info says.
func (p *process) state() [8]uint64 { return self4(abi.SysProcessInfo, p.handle) }

// awaitEnd waits until the process has ended and returns its exit status.
func (p *process) awaitEnd() int64 {
	caller(self).sys(abi.SysProcessWatch, p.handle, p.t.watch, 1)
	for {
		r := p.t.expect(abi.EventNotify)
		check(r.A[1] == watchKey && r.A[2] == 1, "notification with key %#x and bits %#x", r.A[1], r.A[2])
		if s := p.state(); s[0] == 0 {
			return int64(s[1])
		}
		failf("%s is said to have ended, and lives", p.name)
	}
}

// in returns where the buffer for what is received is in the memory of the puppet.
func (p *process) in() uint64 { return p.page.self + raw.AddressOf(&p.page.in) - p.at }

// out returns where the buffer for what is sent is in the memory of the puppet.
func (p *process) out() uint64 { return p.page.self + raw.AddressOf(&p.page.out) - p.at }

// kill ends a process, if it lives, and returns when it has ended: one that runs on
// another hart ends when that enters the kernel.
func (p *process) kill() {
	caller(self).try(abi.SysProcessKill, p.handle)
	p.t.until("the end of "+p.name, func() bool { return p.state()[0] == 0 })
}

// drop gives back what this process holds of a child, and kills it if it lives.
func (p *process) drop() {
	if p.gone {
		return
	}
	p.t.forget(p)
	p.kill()
	caller(self).sys(abi.SysCapClose, p.handle)
	if p.page != nil {
		caller(self).sys(abi.SysUnmap, p.at, sharedSize)
		caller(self).sys(abi.SysCapClose, p.vmo)
	}
}

// dropAll ends all puppets.
func (t *tester) dropAll() {
	for _, p := range t.puppets {
		p.drop()
	}
	t.puppets, t.asked = nil, nil
	// What they still asked for has ended with them.
	t.nothing("after the end of all puppets")
}

// closeAll closes capabilities of this process.
func closeAll(hs ...uint64) {
	for _, h := range hs {
		caller(self).sys(abi.SysCapClose, h)
	}
}

// serviceID is the identity of a name: FNV-1a with 64 bits.
func serviceID(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}

// sendCap describes a capability to send to ep.
func sendCap(ep uint64) abi.SpawnCap {
	return abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend}
}

// given returns the handle that a puppet has for the i-th capability of the proof.
func given(i int) uint64 { return uint64(abi.BootHandle(firstExtra + i)) }
