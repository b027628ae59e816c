package ipc

import (
	"fmt"

	"nexus.internal/ipc/abi"
)

// Spawner is the right to create processes.
type Spawner struct {
	_ [0]Child // no conversion from other types
	ref
}

// SpawnSpec describes a process to be created.
type SpawnSpec struct {
	Name    string // service name, 1..abi.MaxName bytes; its hash is the identity
	Program VMO[ReadExec]
	Length  uint64 // bytes of the program
	Frames  uint64 // memory budget, reserved as a whole
	Args    []string
	Env     []string // "key=value"
	Data    []byte   // for the child, opaque
	Caps    []Given  // at most abi.MaxSpawnCaps
	Console int      // 1 + index in Caps of the console for fd 1 and 2, or 0
	QoS     abi.QoS  // how it shares the harts; 0: abi.DefaultQoS
	Seed    [32]byte // entropy for the child, which the kernel mixes with its own; Spawn wipes it
}

// Given is a capability that a parent derives for its child.
type Given struct {
	Handle abi.Handle // needs abi.RightGrant
	Rights abi.Rights
	Badge  uint64
}

// GiveSend gives a child the right to send to e, with a badge.
func GiveSend[R CanGrantSend](e Endpoint[R], badge uint64) Given {
	return Given{e.h, abi.RightSend, badge}
}

// Give gives a child a capability with some of its rights.
func Give(c Any, rights abi.Rights) Given { return Given{c.h, rights, 0} }

// GiveConsole gives a child the right to write to the console c.
func GiveConsole(c Any) Given { return Give(c, abi.RightWrite) }

// GiveSpawner gives a child the right to create processes.
func GiveSpawner(s Spawner) Given { return Given{s.h, abi.RightManage, 0} }

// Program returns a capability to execute v, for [SpawnSpec], derived from v. It
// takes the right to create processes and memory that nobody can write any more, see
// [Seal]; else it is [ErrWritable].
func Program[R CanRead](s Spawner, v VMO[R]) (VMO[ReadExec], error) {
	var r Regs
	r.A[0], r.A[1] = uint64(s.h), uint64(v.h)
	s.p.syscall(abi.SysVMOExec, &r)
	if err := result(r.A[0]); err != nil {
		return VMO[ReadExec]{}, err
	}
	return VMO[ReadExec]{ref: ref{s.p, abi.Handle(r.A[0])}}, nil
}

// Child is a process that this one created. When the last capability to it is
// closed, it ends.
type Child struct {
	ref
	PID uint32
}

// Spawn creates a process. On an error nothing remains of it.
func (s Spawner) Spawn(spec *SpawnSpec) (Child, error) {
	defer clear(spec.Seed[:])
	if len(spec.Caps) > abi.MaxSpawnCaps {
		return Child{}, fmt.Errorf("spawn %q: %d capabilities: %w", spec.Name, len(spec.Caps), ErrNoSpace)
	}
	h, pid, err := s.p.spawn(s.h, spec)
	if err != nil {
		return Child{}, fmt.Errorf("spawn %q: %w", spec.Name, err)
	}
	return Child{ref{s.p, h}, pid}, nil
}

// SystemInfo counts what is in use in the whole system.
type SystemInfo struct {
	Frames, Free, Unreserved uint64 // page frames
	Processes                uint64
	Caps, Calls              uint64 // capabilities and calls in use
	Switches, Dropped        uint64 // since power-on: context switches, replies to dead callers
	IdleNS                   int64  // how long harts had nothing to do
}

// SystemInfo asks the kernel for its counts.
func (s Spawner) SystemInfo() (SystemInfo, error) {
	var r Regs
	r.A[0] = uint64(s.h)
	s.p.syscall(abi.SysSystemInfo, &r)
	if err := result(r.A[0]); err != nil {
		return SystemInfo{}, err
	}
	return SystemInfo{r.A[0], r.A[1], r.A[2], r.A[3], r.A[4], r.A[5], r.A[6], r.A[7], int64(r.Data[0])}, nil
}

// ProcessInfo is the state of a process.
type ProcessInfo struct {
	Alive        bool
	Status       int // exit status, if it ended
	PID          uint32
	Used, Budget uint64 // page frames
	Cause        uint64 // scause of the exception that ended it, if Status is abi.ExitFault
	PC, Addr     uint64
	Usage        Usage
}

// Usage is what a process has of the things that it has a quota of, and how many page
// faults gave it a page. When it has ended it has nothing.
type Usage struct {
	Caps, Mappings, Faults, Threads, VMOs, Timers, Endpoints, Notifications uint64
}

func (p Process) processInfo(h abi.Handle) (ProcessInfo, error) {
	var r Regs
	r.A[0] = uint64(h)
	p.syscall(abi.SysProcessInfo, &r)
	if err := result(r.A[0]); err != nil {
		return ProcessInfo{}, err
	}
	d := &r.Data
	usage := Usage{d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]}
	return ProcessInfo{r.A[0] == 1, int(int64(r.A[1])), uint32(r.A[2]), r.A[3], r.A[4], r.A[5], r.A[6], r.A[7], usage}, nil
}

// Info tells the state of this process.
func (p Process) Info() (ProcessInfo, error) { return p.processInfo(0) }

// State tells the state of the child.
func (c Child) State() (ProcessInfo, error) { return c.p.processInfo(c.h) }

func (p Process) qos(h abi.Handle, q abi.QoS) (was abi.QoS, err error) {
	var r Regs
	r.A[0], r.A[1] = uint64(h), uint64(q)
	p.syscall(abi.SysProcessQoS, &r)
	return abi.QoS(r.A[0]), result(r.A[0])
}

// QoS tells how this process shares the harts.
func (p Process) QoS() (abi.QoS, error) { return p.qos(0, 0) }

// LowerQoS changes how this process shares the harts. [ErrNoRight]: something of q is
// more than it has.
func (p Process) LowerQoS(q abi.QoS) error {
	_, err := p.qos(0, q)
	return err
}

// QoS tells how the child shares the harts.
func (c Child) QoS() (abi.QoS, error) { return c.p.qos(c.h, 0) }

// SetQoS changes how the child shares the harts and returns what was before.
func (c Child) SetQoS(q abi.QoS) (was abi.QoS, err error) { return c.p.qos(c.h, q) }

// Kill ends the child with abi.ExitKilled. [ErrNoEntry]: it has ended already.
func (c Child) Kill() error {
	var r Regs
	r.A[0] = uint64(c.h)
	c.p.syscall(abi.SysProcessKill, &r)
	return result(r.A[0])
}

// Watch sets bits of n when the child ends, at once if it has.
func Watch[R CanSignal](c Child, n Notification[R], bits uint64) error {
	var r Regs
	r.A[0], r.A[1], r.A[2] = uint64(c.h), uint64(n.h), bits
	c.p.syscall(abi.SysProcessWatch, &r)
	return result(r.A[0])
}
