package core

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"nexus.internal/kernel/sv39"
)

// sim is a machine around a kernel: memory, a clock that stands still until a
// test moves it, and harts with floating-point units and TLBs. Tests act as the
// programs: they set registers and trap. With several harts, nothing happens on one
// until a test makes it happen: interrupts are under way as long as it likes.
type sim struct {
	*Kernel
	tb      testing.TB
	clock   int64
	console []byte
	pool    *mem.Pool
	tables  mem.Account // of the kernel's own page table
	hog     mem.Account // of the test itself
	free    int         // frames free before the first process
	machine [MaxHarts]simHart
	plic    plic
	tlb     map[tlbKey]sv39.PTE
	fences  []fence
	root    proc
	names   int // services spawned so far
	traps   int // by system call or exception
	coded   int // fences of instructions
	seen    map[docKey]bool
}

type docKey struct {
	num   uint64
	errno abi.Errno
}

// tlbKey names an entry of the TLB of a hart.
type tlbKey struct {
	hart       uint32
	page, asid uint64
}

// fence is one that the kernel asked of other harts.
type fence struct{ harts, va, size, asid uint64 }

// forget empties the TLBs of some harts of a range of an address space.
func (s *sim) forget(f fence) {
	for k := range s.tlb {
		if f.harts>>k.hart&1 != 0 && k.asid == f.asid && k.page*abi.PageSize-f.va < f.size {
			delete(s.tlb, k)
		}
	}
}

// Frames of the simulated machine and budgets of its processes.
const (
	simFrames   = 16384
	rootBudget  = 1500
	childBudget = 80
	simWall     = 1_000_000_000_123_456_789 // wall clock at 0
)

// Handles of the root process after boot.
var (
	hSpawn   = uint64(abi.BootHandle(0))
	hConsole = uint64(abi.BootHandle(1))
	hProgram = uint64(abi.BootHandle(2))
	hFiles   = uint64(abi.BootHandle(3))
	hDevices = uint64(abi.BootHandle(5))
)

// scratchVA is memory of every simulated process for arguments and buffers: its
// heap.
const scratchVA = abi.HeapBase

var simProgram = elftest.Hello().Build()

// newSim returns a machine of one hart that runs the root process.
func newSim(tb testing.TB) *sim {
	tb.Helper()
	return newSMP(tb, 1)
}

// newSMP is newSim with several harts. Those beside the first have nothing to do.
func newSMP(tb testing.TB, harts int) *sim {
	tb.Helper()
	s := &sim{tb: tb, clock: 1000, tlb: map[tlbKey]sv39.PTE{}, seen: map[docKey]bool{}}
	for i := range s.machine {
		s.machine[i] = simHart{armed: Never}
	}
	boot, err := image.AppendBoot(nil, []string{"root", "-v"}, []string{"A=1"})
	if err != nil {
		tb.Fatal(err)
	}
	a := &image.Archive{Root: "root", RootFrames: rootBudget, Count: 3}
	a.Table[0] = image.Entry{Name: "programs", Data: simProgram}
	a.Table[1] = image.Entry{Name: image.EntryFiles, Data: elftest.Pattern(9, 5000)}
	a.Table[2] = image.Entry{Name: image.EntryBoot, Data: boot}
	raw, err := image.Append(nil, a)
	if err != nil {
		tb.Fatal(err)
	}
	r := memtest.Arena(tb, simFrames)
	copy(mem.Bytes(r.Start, len(raw)), raw)
	if a, err = image.Parse(mem.Bytes(r.Start, len(raw))); err != nil {
		tb.Fatal(err)
	}
	s.pool, err = mem.NewPool([]mem.Range{{Start: r.Start + mem.PA(len(raw)), End: r.End}})
	if err != nil {
		tb.Fatal(err)
	}
	s.pool.Open(&s.tables, 1)
	kernelRoot, _ := s.pool.Take(&s.tables)
	mem.Zero(kernelRoot)
	s.free = s.pool.Free()
	s.plic.tb = tb
	s.Kernel = New(Config{
		Devices: simDevices, Controller: &s.plic,
		Pool: s.pool, KernelRoot: kernelRoot, TickNS: 100, WallNS: simWall, Seed: [32]byte{1},
		Console:    func(b []byte) { s.console = append(s.console, b...) },
		Now:        func() int64 { return s.clock },
		FencePage:  func(va, asid uint64) { s.forget(fence{1 << s.h.index, va &^ (abi.PageSize - 1), abi.PageSize, asid}) },
		FenceSpace: func(asid uint64) { s.forget(fence{1 << s.h.index, 0, math.MaxUint64, asid}) },
		FenceOthers: func(harts, va, size, asid uint64) {
			s.fences = append(s.fences, fence{harts, va, size, asid})
			s.forget(fence{harts, va, size, asid})
		},
		FenceCode: func() { s.coded++ },
		Interrupt: s.interruptHart,
		FP:        simFP{s},
	})
	if err := s.Boot(a, r.Start); err != nil {
		tb.Fatal(err)
	}
	for i := range harts {
		s.Online(i)
	}
	for i := range harts {
		s.rouse(i)
	}
	s.On(0)
	s.root = s.life(s.Current().proc)
	return s
}

// proc is one life of a process.
type proc struct {
	s *sim
	*Process
	main *Thread // its first thread
	life uint64
}

func (s *sim) life(p *Process) proc {
	return proc{s, p, &s.threads[(p.id-1)*threadsPerProcess+1], p.pid}
}

func (q proc) alive() bool {
	return q.state == procLive && q.pid == q.life && q.main.state != threadGone
}

// waits reports whether q is in a system call that has not returned.
func (q proc) waits() bool {
	return q.alive() && q.main.state != threadReady && q.main.state != threadRunning
}

// regs are the argument registers of a system call.
type regs struct {
	A    [7]uint64
	S10  uint64
	Data [8]uint64
}

// schedule interrupts whoever runs until q does, on the hart where it is then.
func (q proc) schedule() {
	if !q.alive() {
		q.s.tb.Fatalf("pid %d has ended", q.life)
	}
	for i := 0; q.main.state != threadRunning; i++ {
		if q.waits() || i > 2*maxProcesses {
			q.s.tb.Fatalf("pid %d does not get to run: thread state %d", q.pid, q.main.state)
		}
		// However low its class is, it has waited long enough.
		q.s.harts[q.main.queue].passed[q.main.class] = q.s.clock - starveNS
		q.s.turn(int(q.main.queue))
	}
	q.s.On(int(q.main.hart))
}

// trap makes q, which must be able to run, issue a system call. It checks that a
// refusal is a documented one.
func (q proc) trap(num uint64, r *regs) {
	q.schedule()
	x := &q.main.Frame.X
	copy(x[hart.A0:], r.A[:])
	x[hart.A7], x[hart.S10] = num, r.S10
	copy(x[hart.S2:], r.Data[:])
	q.s.traps++
	if q.s.trapped(q.main, hart.CauseEcallU, 0) && q.alive() && !q.waits() {
		if errno := refusal(x[hart.A0]); errno != abi.OK {
			q.s.refused(num, errno)
		} else if num < abi.SysCount && abi.Calls[num].Returns == "0" && x[hart.A0] != 0 {
			q.s.tb.Errorf("%s returns %#x", abi.Calls[num].Name, x[hart.A0])
		}
	}
}

// refused checks a refusal against the documentation of the system call.
func (s *sim) refused(num uint64, errno abi.Errno) {
	s.seen[docKey{num, errno}] = true
	if num >= abi.SysCount {
		if errno != abi.ENOSYS {
			s.tb.Errorf("system call %d: %v", num, errno)
		}
		return
	}
	for _, e := range abi.Calls[num].Errors {
		if e == errno {
			return
		}
	}
	s.tb.Errorf("%s: undocumented error %d (%v)", abi.Calls[num].Name, int(errno), errno)
}

func refusal(a0 uint64) abi.Errno {
	if v := int64(a0); v < 0 && v >= -int64(abi.EWRITABLE) {
		return abi.Errno(-v)
	}
	return abi.OK
}

// sys makes a system call that does not wait and returns a0, which is an error
// if it is negative.
func (q proc) sys(num uint64, a ...uint64) uint64 {
	var r regs
	copy(r.A[:], a)
	q.trap(num, &r)
	return q.main.Frame.X[hart.A0]
}

// must is sys for a call that succeeds.
func (q proc) must(num uint64, a ...uint64) uint64 {
	q.s.tb.Helper()
	v := q.sys(num, a...)
	if e := refusal(v); e != abi.OK {
		q.s.tb.Fatalf("%s%x: %v", abi.Calls[num].Name, slices.Clone(a), e) // a must not escape
	}
	return v
}

// fails is sys for a call that is refused with errno.
func (q proc) fails(errno abi.Errno, num uint64, a ...uint64) {
	q.s.tb.Helper()
	if v := q.sys(num, a...); refusal(v) != errno {
		q.s.tb.Errorf("call %d%x: a0 %#x (%v), want %v", num, slices.Clone(a), v, refusal(v), errno)
	}
}

// event is what a process finds in its registers when its wait ends.
type event struct {
	kind   uint64
	cookie uint64
	a2     uint64 // Errno of a reply, badge of a request, bits of a notification
	sid    uint64
	right  uint64
	length uint64 // with the sender's pid above
	moved  uint64
	due    uint64
	data   [8]uint64
}

// event returns the event of q, whose wait must have ended.
func (q proc) event() event {
	q.s.tb.Helper()
	if !q.alive() || q.waits() {
		q.s.tb.Fatalf("pid %d has no event: process state %d, thread state %d", q.life, q.state, q.main.state)
	}
	x := &q.main.Frame.X
	return event{x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3], x[hart.A4], x[hart.A5], x[hart.A6], x[hart.A7], [8]uint64(x[hart.S2:])}
}

// reply checks that the event of q is the end of the call with that cookie.
func (q proc) reply(cookie uint64, errno abi.Errno) event {
	q.s.tb.Helper()
	e := q.event()
	if e.kind != abi.EventReply || e.cookie != cookie || e.a2 != uint64(errno) {
		q.s.tb.Fatalf("pid %d: event %+v, want the reply %d with %v", q.pid, e, cookie, errno)
	}
	return e
}

// request checks that the event of q is a request.
func (q proc) request(cookie uint64) event {
	q.s.tb.Helper()
	e := q.event()
	if e.kind != abi.EventRequest || e.cookie != cookie {
		q.s.tb.Fatalf("pid %d: event %+v, want a request with cookie %d", q.pid, e, cookie)
	}
	return e
}

func (q proc) mustWait() {
	q.s.tb.Helper()
	if !q.waits() {
		q.s.tb.Fatalf("pid %d does not wait: event %+v", q.life, q.event())
	}
}

// wait waits for the next event; accept arms an endpoint with a cookie.
func (q proc) wait(accept, cookie uint64) {
	q.trap(abi.SysWait, &regs{A: [7]uint64{2: accept, 6: recvVA}, S10: cookie})
}

// poll takes an event that is there and returns its kind.
func (q proc) poll() event {
	q.s.tb.Helper()
	q.trap(abi.SysWait, &regs{A: [7]uint64{1: abi.FlagNoWait}})
	return q.event()
}

// Buffers in the scratch memory of a process.
const (
	specVA = scratchVA
	bootVA = scratchVA + 0x1000
	msgVA  = scratchVA + 0x6000
	recvVA = scratchVA + 0x9000
)

// call sends a short request with a cookie as its data.
func (q proc) call(ep, cookie uint64) {
	q.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, cookie}, Data: [8]uint64{cookie, 1, 2, 3, 4, 5, 6, 7}})
}

// post is call without waiting. It returns the refusal.
func (q proc) post(ep, cookie uint64) abi.Errno {
	q.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, cookie}, Data: [8]uint64{cookie}})
	return refusal(q.main.Frame.X[hart.A0])
}

// answer replies to a request without waiting.
func (q proc) answer(right uint64, data uint64) abi.Errno {
	q.trap(abi.SysReply, &regs{A: [7]uint64{right, 8 | abi.FlagNoWait}, Data: [8]uint64{data}})
	return refusal(q.main.Frame.X[hart.A0])
}

// write stores into the memory of q, as q itself could.
func (q proc) write(va uint64, b []byte) {
	q.s.tb.Helper()
	if !q.space.CopyOut(va, b) {
		q.s.tb.Fatalf("pid %d cannot write %d bytes at %#x", q.pid, len(b), va)
	}
}

func (q proc) read(va uint64, n int) []byte {
	q.s.tb.Helper()
	b := make([]byte, n)
	if !q.space.CopyIn(b, va) {
		q.s.tb.Fatalf("pid %d cannot read %d bytes at %#x", q.pid, n, va)
	}
	return b
}

// access makes q touch the byte at va: it walks the page table like the hart
// does, keeps what it finds in the TLB, and traps as often as it must. It reports
// whether q got there; if not, q has ended or is in its fault handler.
func (q proc) access(va uint64, need sv39.Perm) bool {
	q.schedule()
	pc := q.main.Frame.X[0]
	for range 3 {
		key := tlbKey{q.s.h.index, va / abi.PageSize, q.asid}
		leaf := q.space.Lookup(va)
		if old, ok := q.s.tlb[key]; ok && old != leaf {
			q.s.tb.Fatalf("TLB holds %#x for %#x of pid %d, page table %#x: fence missing", old, va, q.pid, leaf)
		}
		if leaf != 0 {
			q.s.tlb[key] = leaf
		}
		if leaf != 0 && leaf.Perm()&need == need {
			return true
		}
		cause := uint64(hart.CauseLoadPage)
		switch need {
		case sv39.W:
			cause = hart.CauseStorePage
		case sv39.X:
			cause = hart.CauseFetchPage
		}
		q.fault(cause, va)
		if !q.alive() || q.main.Frame.X[0] != pc {
			return false
		}
	}
	q.s.tb.Fatalf("pid %d faults at %#x for ever", q.pid, va)
	return false
}

// fault makes q trap with an exception.
func (q proc) fault(cause, tval uint64) {
	q.schedule()
	q.s.traps++
	q.main.Frame.Tval = tval
	q.s.trapped(q.main, cause, 1)
}

// advance moves the clock and lets the kernel see it, as timer interrupts do.
func (s *sim) advance(ns int64) {
	s.clock += ns
	s.interrupt()
}

func (s *sim) interrupt() {
	for i := range s.numHarts {
		s.timer(i)
	}
}

// spec is a spawn that succeeds, for tests to break.
func (s *sim) spec(caps ...abi.SpawnCap) abi.SpawnSpec {
	s.names++
	name := fmt.Appendf(nil, "svc%d", s.names)
	s.root.write(bootVA, name)
	s.root.write(bootVA+64, []byte("prog\x00-x\x00K=v\x00data"))
	sp := abi.SpawnSpec{
		NamePtr: bootVA, NameLen: uint64(len(name)), ELF: abi.Handle(hProgram), ELFLen: uint64(len(simProgram)),
		Frames: childBudget, BootPtr: bootVA + 64, Argc: 2, ArgsLen: 8, Envc: 1, EnvLen: 4, DataLen: 4,
	}
	sp.NumCaps = uint64(copy(sp.Caps[:], caps))
	return sp
}

// spawnSpec makes the root process spawn and returns a0.
func (s *sim) spawnSpec(sp abi.SpawnSpec) uint64 {
	s.root.write(specVA, specBytes(&sp))
	return s.root.sys(abi.SysSpawn, hSpawn, specVA)
}

// spawn makes a child of the root process and returns it with the root's handle
// of it. The child gets copies of the root's capabilities caps.
func (s *sim) spawn(caps ...abi.SpawnCap) (proc, uint64) {
	s.tb.Helper()
	h := s.spawnSpec(s.spec(caps...))
	if e := refusal(h); e != abi.OK {
		s.tb.Fatalf("spawn: %v", e)
	}
	return s.procOf(h), h
}

// procOf returns the process that the root's handle h names.
func (s *sim) procOf(h uint64) proc {
	return s.life(&s.procs[s.caps[s.lookup(s.root.Process, h)].obj])
}

// give copies a capability of from into to and returns the handle: what services
// do with messages, without the messages.
func (s *sim) give(from proc, h uint64, rights abi.Rights, badge uint64, to proc) uint64 {
	s.tb.Helper()
	c, errno := s.derive(from.Process, h, uint64(rights), badge, to.Process)
	if errno != abi.OK {
		s.tb.Fatalf("give: %v", errno)
	}
	return s.handleFor(c)
}

// pair returns a client and a server, the client's send capability and the
// server's endpoint.
func (s *sim) pair() (client, server proc, ep, recv uint64) {
	client, _ = s.spawn()
	server, _ = s.spawn()
	recv = server.must(abi.SysEndpointCreate, 8, abi.MaxMessage)
	ep = s.give(server, recv, abi.RightSend|abi.RightGrant, 0x77, client)
	return client, server, ep, recv
}

// Current and Alarm are those of the hart that ran the kernel last.
func (s *sim) Current() *Thread { return s.h.Current() }
func (s *sim) Alarm() int64     { return s.h.Alarm() }
