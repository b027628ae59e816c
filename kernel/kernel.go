// Package kernel ties the kernel together on the target: it maps memory, starts
// the root process from the archive and runs the hart loop, which enters a
// process and handles the trap that comes back, until the root process ends.
//
// The logic is in package core, the processor in package hart; a board supplies
// a [Machine].
package kernel

import (
	"nexus.internal/kernel/core"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Version is the release of the kernel, which it prints at boot.
const Version = "0.1.0"

// Machine is what a board tells the kernel about itself.
type Machine struct {
	Free    []mem.Range   // RAM for page frames: ascending, page aligned, nothing else in it
	Map     []sv39.Region // kernel mappings below 4 GiB, Free included: ascending, with holes as guards
	Archive mem.Range     // the archive of the boot image, inside Map
	TickNS  uint64        // nanoseconds per tick of the time CSR
	WallNS  int64         // wall clock at time CSR 0 in ns since 1970; 0: the board has none
	Seed    [32]byte      // real entropy

	// Others are the harts that are not running yet, by the ids that Start and
	// Interrupt take. At most core.MaxHarts-1 are used.
	Others []uint64
	// Boot is the id of the hart that runs.
	Boot uint64
	// Start lets a hart begin at physical address entry, with opaque in a1.
	Start func(id, entry, opaque uint64) error
	// Stopped tells whether a hart waits to be started.
	Stopped func(id uint64) bool
	// Interrupt raises the supervisor software interrupt of a hart.
	Interrupt func(id uint64)
	// Fence makes a hart discard what it has cached of size bytes of an address
	// space from va on. It returns when that is done.
	Fence func(id, va, size, asid uint64)
	// FenceCode makes a hart see, as instructions, what others wrote to memory. It
	// returns when that is done.
	FenceCode func(id uint64)

	// Devices that processes may have, apart from everything in Map, and the
	// controller that brings their interrupts to the boot hart, all disabled.
	Devices    []core.Device
	Controller core.Controller

	// SetTimer asks for a timer interrupt when the time CSR reaches tick; all ones
	// means never. Nil if the hart has the Sstc extension.
	SetTimer func(tick uint64)
	// Console writes to the serial console. It must neither allocate nor block for
	// longer than the line takes.
	Console func([]byte)
	// Printk writes one byte to the console and PowerOff ends the machine; QEMU
	// exits with status. Both work in an exception of the kernel: they are nosplit
	// and touch no heap.
	Printk   func(byte)
	PowerOff func(status int32)
	// Reset starts the machine over, in an exception of the kernel too, and returns
	// only if it cannot. Memory keeps what it holds.
	Reset func()
	// OnExit makes the Go runtime end the kernel, after a panic, through a function.
	OnExit func(func(status int32))

	// Record is memory of crash.RecordSize bytes for the crash record, inside Map.
	Record mem.Range
	// Args is the kernel's command line; see crash.Options.
	Args string
}
