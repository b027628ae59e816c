//go:build tamago && riscv64

package hart

// Init installs the trap vector and enables the supervisor timer, software and external
// interrupts for U-mode on this hart. It must run before the first Enter.
func Init()

// Enter runs the thread of frame f in U-mode, in its address space, until its next
// trap, and returns with the registers saved in f. The payload registers come from
// the frame from, which is f or that of the thread whose message this one gets.
// Entries of the TLB are tagged with the ASID, so no fence belongs to a switch.
//
//go:noescape
func Enter(f, from *Frame)

// SetSATP switches the address space.
func SetSATP(satp uint64)

// SATP returns the current address space.
func SATP() uint64

// FenceASID discards what the TLB holds for one address space.
func FenceASID(asid uint64)

// FencePage discards what the TLB holds for one page of an address space.
func FencePage(va, asid uint64)

// FenceAll discards the whole TLB.
func FenceAll()

// FenceCode makes the hart see, as instructions, what was written to memory.
func FenceCode()

// Wait halts the hart until an enabled interrupt is pending.
func Wait()

// Time returns the time CSR.
func Time() uint64

// SetTimeCompare writes stimecmp (Sstc extension).
func SetTimeCompare(t uint64)

// FPOff turns the floating-point unit off for the kernel, so that an instruction
// which would change a thread's registers faults.
func FPOff()

// FPOn turns it on for the kernel, when no thread will run any more.
func FPOn()

// FPSave stores the registers in s. The unit is off for the kernel afterwards.
//
//go:noescape
func FPSave(s *FPState)

// FPLoad loads the registers from s. The unit is off for the kernel afterwards.
//
//go:noescape
func FPLoad(s *FPState)

// Entry is what a hart starts with.
type Entry struct {
	SATP  uint64 // the kernel's address space
	SP    uint64 // end of the hart's stack
	G     uint64 // Go's g for that stack
	Index uint64 // handed to Started
}

// EntryPC returns where a hart starts, in S-mode without paging, with the address
// of an [Entry] in a1. It then calls Started.
func EntryPC() uint64

// Started runs on a started hart and must not return. It is set before the first
// hart starts.
var Started func(index int)

func started(index uint64) { Started(int(index)) }

// TakeInterrupt clears the software interrupt of this hart and reports whether one
// was pending.
func TakeInterrupt() bool

// Mask disables all interrupts of this hart, for good.
func Mask()
