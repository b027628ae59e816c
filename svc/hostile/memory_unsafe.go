//go:build tamago

package hostile

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"unsafe"

	"nexus.internal/ipc/abi"
)

// here are the attacks on what only the target has.
var here = [...]named{
	{"kernel-memory", kernelMemory},
	{"foreign-memory", foreignMemory},
	{"text-write", textWrite},
	{"heap-exec", heapExec},
	{"privileged", privileged},
	{"heap-exhaustion", heapExhaustion},
	{"stack-exhaustion", stackExhaustion},
	{"fault-kernel", faultKernel},
	{"thread-bomb", threadBomb},
	{"device-misuse", deviceMisuse},
	{"device-storm", deviceStorm},
	{"device-death", deviceDeath},
}

// faults reports whether f ended in a memory fault or an illegal instruction,
// which the runtime makes a panic.
func faults(f func()) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			_, yes = e.(runtime.Error)
		}
	}()
	f()
	return false
}

// at makes a pointer of an address, which the compiler is told nothing about.
func at(addr uint64) *byte { return *(**byte)(unsafe.Pointer(&addr)) }

//go:noinline
func load(addr uint64) byte { return *at(addr) }

//go:noinline
func store(addr uint64, v byte) { *at(addr) = v }

// noAccess verifies that none of the addresses can be read or written.
func noAccess(what string, addrs []uint64) error {
	for _, addr := range addrs {
		if !faults(func() { load(addr) }) {
			return fmt.Errorf("%s can be read at %#x", what, addr)
		}
		if !faults(func() { store(addr, 0) }) {
			return fmt.Errorf("%s can be written at %#x", what, addr)
		}
	}
	return nil
}

// every returns the addresses from start to end, step apart.
func every(start, end, step uint64) (as []uint64) {
	for a := start; a < end; a += step {
		as = append(as, a)
	}
	return as
}

// kernelMemory reads and writes everything that belongs to the kernel: devices,
// firmware, its text and data, and the frames of all processes in its identity map.
func kernelMemory(context.Context, *attacker) error {
	addrs := every(0, 0x8000_0000, 32<<20)
	addrs = append(addrs, 0x100, 0x10_0000, 0x0200_0000, 0x0c00_0000, 0x1000_0000, 0x1000_1000, 0x8000_0000, 0x8020_0000, 0x8020_1000)
	addrs = append(addrs, every(0x8021_0000, 0x8800_0000, 1<<20)...)
	addrs = append(addrs, every(0x8800_0000, 1<<32, 64<<20)...)
	addrs = append(addrs, 1<<38-1, 1<<38, 1<<63, ^uint64(0)&^7)
	return noAccess("kernel memory", addrs)
}

// foreignMemory reads and writes where other processes keep things. All have the
// same layout, so what is theirs and not ours is what we have not mapped; the
// kernel's window on their frames is the attack kernel-memory.
func foreignMemory(_ context.Context, a *attacker) error {
	addrs := []uint64{abi.UserBase, abi.UserBase + abi.PageSize, abi.StartPage - abi.PageSize, abi.StartPage + 16<<12,
		abi.StackTop, abi.StackTop - abi.StackSize - 1, abi.HeapEnd - 1, abi.HeapEnd, abi.UserEnd - 1, abi.UserEnd}
	addrs = append(addrs, every(abi.MapBase, abi.MapEnd, 1<<30)...)
	if err := noAccess("unmapped memory", addrs); err != nil {
		return err
	}
	// The kernel must not do for us what we cannot do ourselves.
	v, err := a.p.NewVMO(abi.PageSize)
	if err != nil {
		return err
	}
	defer v.Close()
	for _, at := range append(addrs, 0, 0x8020_0000, 0x8300_0000, 1<<38) {
		for _, num := range []uint64{abi.SysVMORead, abi.SysVMOWrite} {
			_, errno := a.syscall(num, uint64(v.Handle()), 0, at, 64)
			if err := refused(fmt.Sprintf("call %d with a buffer at %#x", num, at), errno, abi.EFAULT); err != nil {
				return err
			}
		}
	}
	return nil
}

// textWrite writes text and read-only data of the program, and the start page.
func textWrite(context.Context, *attacker) error {
	text := uint64(**(**uintptr)(unsafe.Pointer(&loadFunc)))
	rodata := uint64(uintptr(unsafe.Pointer(unsafe.StringData(constant))))
	for what, at := range map[string]uint64{"text": text, "text of main": abi.ImageBase + 0x11000, "rodata": rodata, "start page": abi.StartPage} {
		if faults(func() { load(at) }) {
			return fmt.Errorf("%s cannot be read at %#x: the attack is wrong", what, at)
		}
		if !faults(func() { store(at, 0) }) {
			return fmt.Errorf("%s can be written at %#x", what, at)
		}
	}
	return nil
}

var (
	loadFunc = load
	constant = "a constant in read-only data"
)

// ret is the instruction that returns to the caller.
const ret = 0x0000_8067

// call jumps to addr, where instructions are.
//
//go:noinline
func call(addr uint64) {
	entry := &addr
	(*(*func())(unsafe.Pointer(&entry)))()
}

var code [2]uint64 // in the data segment

// heapExec executes instructions that it wrote to heap, stack, data and a mapping.
func heapExec(_ context.Context, a *attacker) error {
	heap := new([512]uint64)
	heap[0] = ret
	var stack [64]uint64
	stack[0] = ret
	code[0] = ret
	v, err := a.p.NewVMO(abi.PageSize)
	if err != nil {
		return err
	}
	defer v.Close()
	mapped, errno := a.syscall(abi.SysVMOMap, uint64(v.Handle()), 0, 0, abi.PageSize, uint64(abi.RightRead|abi.RightWrite))
	if errno != abi.OK {
		return fmt.Errorf("mapping: %v", errno)
	}
	*(*uint32)(unsafe.Pointer(at(mapped))) = ret
	for what, at := range map[string]uint64{
		"heap":    uint64(uintptr(unsafe.Pointer(heap))),
		"stack":   uint64(uintptr(unsafe.Pointer(&stack))),
		"data":    uint64(uintptr(unsafe.Pointer(&code))),
		"mapping": mapped,
		"kernel":  0x8021_0000,
		"start":   abi.StartPage,
	} {
		if !faults(func() { call(at) }) {
			return fmt.Errorf("%s at %#x was executed", what, at)
		}
	}
	runtime.KeepAlive(heap)
	return nil
}

// privileged executes every instruction that is not for user mode. Their stubs
// are in privileged_riscv64.s.
func privileged(context.Context, *attacker) error {
	for i := range stubs {
		if !faults(stubs[i].run) {
			return fmt.Errorf("%s was executed", stubs[i].name)
		}
	}
	return nil
}

// heapExhaustion takes heap until there is none. It does not come back.
func heapExhaustion(context.Context, *attacker) error {
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += abi.PageSize {
			b[i] = 1
		}
		all = append(all, b)
		if len(all) > 1<<14 {
			return fmt.Errorf("got %d MiB", len(all))
		}
	}
}

// stackExhaustion recurses without end. It does not come back.
func stackExhaustion(context.Context, *attacker) error {
	deeper(1)
	return fmt.Errorf("recursion ended")
}

//go:noinline
func deeper(n uint64) uint64 {
	var pad [64]uint64
	pad[n%64] = n
	return deeper(n+1) + pad[(n+1)%64]
}

// faultKernel reads kernel memory with nobody to handle the exception: it must be
// the end of this process, and of nothing else.
func faultKernel(_ context.Context, a *attacker) error {
	a.syscall(abi.SysFaultHandler, 0)
	load(FaultAddr)
	return fmt.Errorf("kernel memory can be read at %#x", uint64(FaultAddr))
}

// noRegisters verifies that nothing is mapped at the address of registers.
func noRegisters(at uint64) error {
	return noAccess("registers that were given back", []uint64{at, at + abi.PageSize - 4})
}

// touchBeyond executes registers, and reaches for what lies beside them.
func (d *driver) touchBeyond() error {
	at := d.regs.Address()
	if !faults(func() { call(at) }) {
		return fmt.Errorf("registers at %#x were executed", at)
	}
	for _, addr := range []uint64{at - 1, at + abi.PageSize} {
		if !faults(func() { load(addr) }) || !faults(func() { store(addr, 0) }) {
			return fmt.Errorf("what lies at %#x, beside the registers, can be reached", addr)
		}
	}
	return nil
}
