//go:build !tamago

package ipc

import "nexus.internal/ipc/abi"

// Kernel is what a process sees of a kernel that lives in the same Go program.
// Pointers travel as Go values beside the registers. Package ipctest implements
// it; on the target the functions of the runtime with the same names take its
// place. All methods may be called by several goroutines.
type Kernel interface {
	SlotNew() uint64
	SlotFree(key uint64)
	// IPC performs wait, call or reply and returns when the event for key is in r,
	// or the call was refused.
	IPC(key, num uint64, r *Regs, send, recv *Buffer)
	// Wait returns when an event for key is in r.
	Wait(key uint64, r *Regs)
	// CancelWait returns when the request taken with key was given up by its
	// caller, or key is armed again or freed.
	CancelWait(key uint64)
	// Syscall performs a call that does not wait. Calls that name memory by address
	// and length get it as mem.
	Syscall(num uint64, r *Regs, mem []byte)
	// Reply is the system call reply with FlagNoWait and without accept.
	Reply(r *Regs, send *Buffer)
	Map(vmo abi.Handle, off, length uint64, rights abi.Rights) ([]byte, abi.Errno)
	MapMMIO(window abi.Handle, off, length uint64) ([]byte, abi.Errno)
	Unmap(mem []byte) abi.Errno
	Spawn(spawn abi.Handle, spec *SpawnSpec) (child abi.Handle, pid uint32, e abi.Errno)
	Now() int64
	Start() Start
}

// Process is the process that code runs in. On the target there is only one, and
// the type is empty; in tests many live side by side.
type Process struct{ k Kernel }

// NewProcess returns the process that k is the kernel of.
func NewProcess(k Kernel) Process { return Process{k} }

func (p Process) slotNew() uint64          { return p.k.SlotNew() }
func (p Process) slotFree(key uint64)      { p.k.SlotFree(key) }
func (p Process) wait(key uint64, r *Regs) { p.k.Wait(key, r) }
func (p Process) cancelWait(key uint64)    { p.k.CancelWait(key) }

func (p Process) ipc(key, num uint64, r *Regs, send, recv *Buffer) {
	p.k.IPC(key, num, r, send, recv)
}

func (p Process) syscall(num uint64, r *Regs)                { p.k.Syscall(num, r, nil) }
func (p Process) syscallMem(num uint64, r *Regs, mem []byte) { p.k.Syscall(num, r, mem) }
func (p Process) replyNoWait(r *Regs, send *Buffer)          { p.k.Reply(r, send) }

func (p Process) mapVMO(vmo abi.Handle, off, length uint64, rights abi.Rights) ([]byte, error) {
	mem, e := p.k.Map(vmo, off, length, rights)
	return mem, FromErrno(e)
}

func (p Process) mapMMIO(window abi.Handle, off, length uint64) ([]byte, error) {
	mem, e := p.k.MapMMIO(window, off, length)
	return mem, FromErrno(e)
}

func (p Process) unmap(mem []byte) error { return FromErrno(p.k.Unmap(mem)) }

func (p Process) spawn(spawn abi.Handle, spec *SpawnSpec) (abi.Handle, uint32, error) {
	h, pid, e := p.k.Spawn(spawn, spec)
	return h, pid, FromErrno(e)
}

// Now returns the time of the kernel in nanoseconds since power-on: the scale of
// all deadlines.
func (p Process) Now() int64 { return p.k.Now() }

// Start returns what the process was started with.
func (p Process) Start() Start { return p.k.Start() }
