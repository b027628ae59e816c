//go:build !tamago

// Package ipctest is a kernel inside a Go test: processes are groups of
// goroutines, and endpoints, capabilities, calls, notifications, timers and
// memory objects behave as package nexus.internal/ipc/abi says. The same client,
// server and services that run on the target run on it, under the race detector.
//
// What it does not have: memory protection, budgets of frames, and scheduling.
//
// A process that has ended never returns from a system call: its goroutines end
// there with runtime.Goexit, as they would vanish on the target.
package ipctest

import (
	"fmt"
	"hash/fnv"
	"io"
	"runtime"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// Limits of a process.
const (
	MaxCaps   = 256 // capabilities
	MaxOneWay = 64  // one-way messages that wait for it, so that calls have room
)

// Main is the program of a process. What it returns is the exit status.
type Main func(p *Process) int

// Kernel is the fake kernel. Its zero value is not usable; see [New].
type Kernel struct {
	mu       sync.Mutex
	boot     time.Time
	console  io.Writer
	programs map[string]Main
	procs    map[uint32]*Process
	nextPID  uint32
	devices  []*Device
	dma      map[uint64]*vmo // by physical address
	nextPA   uint64
	calls    int
	switches uint64
	dropped  uint64
}

// New returns a kernel without processes. Console output goes to console, one
// write for each console_write.
func New(console io.Writer) *Kernel {
	return &Kernel{boot: time.Now(), console: console, programs: map[string]Main{}, procs: map[uint32]*Process{}, dma: map[uint64]*vmo{}}
}

// TakeClock makes the board one without a clock, for the processes that there are.
func (k *Kernel) TakeClock() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.procs {
		p.start.WallNS = 0
	}
}

// Program sets what a process spawned with this service name runs. The program
// in the spawn's memory object is not looked at.
func (k *Kernel) Program(name string, m Main) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.programs[name] = m
}

// ServiceID returns the identity that the kernel gives a service name.
func ServiceID(name string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, name)
	return h.Sum64()
}

// Boot creates a process that has no parent. It holds a spawn capability, the
// console, a readable and executable memory object for each of files, and the
// devices, in that order. The process runs nothing by itself.
func (k *Kernel) Boot(name string, files ...[]byte) *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.newProcess(name)
	p.install(&cap{obj: &spawnRight{}, rights: abi.RightManage | abi.RightGrant})
	p.start.Console = p.install(&cap{obj: &consoleObj{}, rights: abi.RightWrite | abi.RightGrant})
	for _, f := range files {
		p.install(&cap{obj: &vmo{mem: f, sealed: true}, rights: abi.RightRead | abi.RightExec | abi.RightGrant})
	}
	p.install(&cap{obj: &devicesRight{}, rights: abi.RightManage | abi.RightGrant})
	p.start.NumCaps = 3 + len(files)
	return p
}

func (k *Kernel) newProcess(name string) *Process {
	k.nextPID++
	p := &Process{k: k, name: name, slots: map[uint64]*slot{}, replies: map[abi.Handle]*call{}, done: make(chan struct{})}
	p.start.PID = k.nextPID
	p.start.ServiceID = ServiceID(name)
	p.start.TickNS = 1
	p.start.WallNS = k.boot.UnixNano()
	p.qos = abi.DefaultQoS
	k.procs[k.nextPID] = p
	return p
}

func (k *Kernel) now() int64 { return int64(time.Since(k.boot)) + 1 }

// at runs f under the lock at deadline, unless stopped before.
func (k *Kernel) at(deadline int64, f func()) *time.Timer {
	return time.AfterFunc(time.Duration(deadline-k.now()), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		f()
	})
}

// Process is one process; it implements [ipc.Kernel].
type Process struct {
	k     *Kernel
	name  string
	start ipc.Start
	args  []string

	caps    []capSlot
	replies map[abi.Handle]*call
	nreply  uint64
	slots   map[uint64]*slot
	nslot   uint64
	dead    bool
	status  int
	watcher *notification
	bits    uint64
	budget  uint64
	qos     abi.QoS
	seed    [32]byte
	done    chan struct{}
}

// Self returns the process as package ipc wants it.
func (p *Process) Self() ipc.Process { return ipc.NewProcess(p) }

// Name returns the service name.
func (p *Process) Name() string { return p.name }

// Seed returns the entropy given at spawn.
func (p *Process) Seed() [32]byte { return p.seed }

// Args returns the arguments given at spawn.
func (p *Process) Args() []string { return p.args }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status returns the exit status, once Done is closed.
func (p *Process) Status() int {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	return p.status
}

// Exit ends the process from outside or inside; goroutines of it that are in a
// system call, or make one, end.
func (p *Process) Exit(status int) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.exit(status)
}

// Write writes to the process's console, if it has one.
func (p *Process) Write(b []byte) (int, error) {
	p.lock()
	defer p.k.mu.Unlock()
	if p.start.Console == 0 {
		return len(b), nil
	}
	return p.k.console.Write(b)
}

// lock takes the kernel for a system call of p.
func (p *Process) lock() {
	p.k.mu.Lock()
	if p.dead {
		p.k.mu.Unlock()
		runtime.Goexit()
	}
}

func (p *Process) exit(status int) {
	if p.dead {
		return
	}
	p.dead, p.status = true, status
	delete(p.k.procs, p.start.PID)
	for _, c := range p.replies {
		c.end(abi.ECLOSED)
	}
	for _, s := range p.slots {
		for _, c := range s.calls() {
			c.abandon()
		}
		s.cond.Broadcast()
	}
	for i := range p.caps {
		if c := p.caps[i].c; c != nil {
			c.drop()
		}
	}
	if p.watcher != nil {
		p.watcher.set(p.bits)
	}
	close(p.done)
}

func (p *Process) run(m Main) {
	go func() {
		defer func() {
			if e := recover(); e != nil {
				fmt.Fprintf(p, "panic: %s: %v\n", p.name, e)
				p.Exit(2)
			}
		}()
		p.Exit(m(p))
	}()
}

// slot collects the events with one key.
type slot struct {
	cond      *sync.Cond
	events    []ipc.Regs
	bits      uint64
	notified  bool
	cancelled bool
	armed     *endpoint // waiting for a request with this key
	recv      *ipc.Buffer
	out       map[*call]bool // calls under way with this cookie
	freed     bool
}

func (s *slot) calls() (cs []*call) {
	for c := range s.out {
		cs = append(cs, c)
	}
	return cs
}

func (s *slot) deliver(r ipc.Regs) {
	s.events = append(s.events, r)
	s.cond.Broadcast()
}

// SlotNew implements [ipc.Kernel].
func (p *Process) SlotNew() uint64 {
	p.lock()
	defer p.k.mu.Unlock()
	p.nslot++
	p.slots[p.nslot] = &slot{cond: sync.NewCond(&p.k.mu), out: map[*call]bool{}}
	return p.nslot
}

// SlotFree implements [ipc.Kernel].
func (p *Process) SlotFree(key uint64) {
	p.lock()
	defer p.k.mu.Unlock()
	s := p.slots[key]
	if s == nil || s.freed {
		panic(fmt.Sprintf("ipctest: %s frees slot %d, which it does not have", p.name, key))
	}
	s.freed = true
	if s.armed != nil {
		s.armed.armed = nil
	}
	s.cond.Broadcast()
	delete(p.slots, key)
}

// park waits for an event of the slot and copies it to r. The lock is held, and
// released by the caller with defer.
func (p *Process) park(s *slot, r *ipc.Regs) {
	for {
		if p.dead {
			runtime.Goexit()
		}
		if len(s.events) > 0 {
			*r = s.events[0]
			s.events = s.events[1:]
			return
		}
		if s.notified {
			*r = ipc.Regs{A: [8]uint64{abi.EventNotify, 0, s.bits}}
			s.notified, s.bits = false, 0
			return
		}
		p.k.switches++
		s.cond.Wait()
	}
}

// Wait implements [ipc.Kernel].
func (p *Process) Wait(key uint64, r *ipc.Regs) {
	p.lock()
	defer p.k.mu.Unlock()
	p.park(p.slots[key], r)
}

// CancelWait implements [ipc.Kernel].
func (p *Process) CancelWait(key uint64) {
	p.lock()
	s := p.slots[key]
	for s != nil && !s.cancelled && s.armed == nil && !s.freed && !p.dead {
		s.cond.Wait()
	}
	dead := p.dead
	p.k.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

// Now implements [ipc.Kernel].
func (p *Process) Now() int64 { return p.k.now() }

// Start implements [ipc.Kernel].
func (p *Process) Start() ipc.Start {
	p.lock()
	defer p.k.mu.Unlock()
	return p.start
}
