//go:build tamago

package ipc

import (
	"runtime"
	"unsafe"

	"nexus.internal/ipc/abi"
)

// The functions of the runtime that know the kernel. They park goroutines, so
// they are the runtime's. r and buffers must be on the heap where the kernel uses
// them while the goroutine is parked; callers in this package see to that.

//go:linkname nexusSlotNew runtime.nexus_slotNew
func nexusSlotNew() uint64

//go:linkname nexusSlotFree runtime.nexus_slotFree
func nexusSlotFree(key uint64)

//go:linkname nexusIPC runtime.nexus_ipc
//go:noescape
func nexusIPC(key, num uint64, r *Regs)

//go:linkname nexusWait runtime.nexus_wait
//go:noescape
func nexusWait(key uint64, r *Regs)

//go:linkname nexusCancelWait runtime.nexus_cancelWait
func nexusCancelWait(key uint64) bool

//go:linkname nexusSyscall runtime.nexus_syscall
//go:noescape
func nexusSyscall(num uint64, r *Regs)

//go:linkname nexusStart runtime.nexus_start
func nexusStart() unsafe.Pointer

//go:linkname nanotime runtime.nanotime
func nanotime() int64

// Process is the process that code runs in: there is only one.
type Process struct{}

// Self returns the process.
func Self() Process { return Process{} }

func (Process) slotNew() uint64             { return nexusSlotNew() }
func (Process) slotFree(key uint64)         { nexusSlotFree(key) }
func (Process) wait(key uint64, r *Regs)    { nexusWait(key, r) }
func (Process) cancelWait(key uint64)       { nexusCancelWait(key) }
func (Process) syscall(num uint64, r *Regs) { nexusSyscall(num, r) }

// ipc is for buffers that belong to a [Call] or a worker, which outlives it: it keeps
// none alive.
func (Process) ipc(key, num uint64, r *Regs, send, recv *Buffer) {
	r.A[5] = uint64(uintptr(unsafe.Pointer(send)))
	r.A[6] = uint64(uintptr(unsafe.Pointer(recv)))
	nexusIPC(key, num, r)
}

func (Process) replyNoWait(r *Regs, send *Buffer) {
	r.A[1] |= abi.FlagNoWait
	r.A[2], r.A[3], r.A[6], r.S10 = 0, 0, 0, 0
	r.A[5] = uint64(uintptr(unsafe.Pointer(send)))
	nexusSyscall(abi.SysReply, r)
	runtime.KeepAlive(send)
}

// syscallMem names mem in the registers where the calls on memory objects have it.
func (Process) syscallMem(num uint64, r *Regs, mem []byte) {
	escape(unsafe.Pointer(unsafe.SliceData(mem)))
	r.A[2] = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	r.A[3] = uint64(len(mem))
	nexusSyscall(num, r)
	runtime.KeepAlive(mem)
}

func (Process) mapVMO(vmo abi.Handle, off, length uint64, rights abi.Rights) ([]byte, error) {
	var r Regs
	r.A[0], r.A[2], r.A[3], r.A[4] = uint64(vmo), off, length, uint64(rights)
	nexusSyscall(abi.SysVMOMap, &r)
	if err := result(r.A[0]); err != nil {
		return nil, err
	}
	// The kernel placed the mapping outside of the Go heap; it stays until Unmap.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&r.A[0]))), length), nil
}

func (Process) mapMMIO(window abi.Handle, off, length uint64) ([]byte, error) {
	var r Regs
	r.A[0], r.A[2], r.A[3] = uint64(window), off, length
	nexusSyscall(abi.SysMMIOMap, &r)
	if err := result(r.A[0]); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&r.A[0]))), length), nil
}

func (Process) unmap(mem []byte) error {
	var r Regs
	r.A[0], r.A[1] = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))), uint64(len(mem))
	nexusSyscall(abi.SysUnmap, &r)
	return result(r.A[0])
}

func (Process) spawn(spawn abi.Handle, spec *SpawnSpec) (abi.Handle, uint32, error) {
	boot := make([]byte, 0, 256)
	for _, s := range spec.Args {
		boot = append(append(boot, s...), 0)
	}
	args := len(boot)
	for _, s := range spec.Env {
		boot = append(append(boot, s...), 0)
	}
	env := len(boot) - args
	boot = append(boot, spec.Data...)
	name := []byte(spec.Name)
	raw := &abi.SpawnSpec{
		NamePtr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(name)))),
		NameLen: uint64(len(name)),
		ELF:     spec.Program.h,
		ELFLen:  spec.Length,
		Frames:  spec.Frames,
		BootPtr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(boot)))),
		Argc:    uint64(len(spec.Args)),
		ArgsLen: uint64(args),
		Envc:    uint64(len(spec.Env)),
		EnvLen:  uint64(env),
		DataLen: uint64(len(spec.Data)),
		Console: uint64(spec.Console),
		QoS:     spec.QoS,
		Seed:    spec.Seed,
		NumCaps: uint64(len(spec.Caps)),
	}
	for i, c := range spec.Caps {
		raw.Caps[i].Handle, raw.Caps[i].Rights, raw.Caps[i].Badge = c.Handle, c.Rights, c.Badge
	}
	escape(unsafe.Pointer(unsafe.SliceData(name)))
	escape(unsafe.Pointer(unsafe.SliceData(boot)))
	escape(unsafe.Pointer(raw))
	var r Regs
	r.A[0] = uint64(spawn)
	r.A[1] = uint64(uintptr(unsafe.Pointer(raw)))
	nexusSyscall(abi.SysSpawn, &r)
	clear(raw.Seed[:])
	runtime.KeepAlive(raw)
	runtime.KeepAlive(name)
	runtime.KeepAlive(boot)
	if err := result(r.A[0]); err != nil {
		return 0, 0, err
	}
	return abi.Handle(r.A[0]), uint32(r.A[1]), nil
}

// escape makes what p points to live on the heap, so that its address stays what
// it is while it exists only as a number: a goroutine's stack moves when it grows.
//
//go:noinline
func escape(p unsafe.Pointer) {
	escaped = p
	escaped = nil
}

var escaped unsafe.Pointer

// Now returns the time of the kernel in nanoseconds since power-on: the scale of
// all deadlines.
func (Process) Now() int64 { return nanotime() }

// Start returns what the process was started with.
func (Process) Start() Start {
	s := (*abi.Start)(nexusStart())
	if s == nil {
		return Start{}
	}
	start := Start{
		PID:       uint32(s.PID),
		ServiceID: s.ServiceID,
		TickNS:    s.TickNS,
		WallNS:    s.WallNS,
		Console:   abi.Handle(s.Console),
		NumCaps:   int(s.NumCaps),
	}
	if s.DataLen != 0 {
		start.Data = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&s.DataPtr))), s.DataLen)
	}
	return start
}
