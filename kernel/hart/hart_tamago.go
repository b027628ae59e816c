//go:build tamago && riscv64

package hart

// Init installs the trap vector and enables the supervisor timer interrupt for
// U-mode on this hart. It must run before the first Enter.
func Init()

// Enter runs the thread of frame f in U-mode, in its address space, until its next
// trap, and returns with the registers saved in f. Entries of the TLB are tagged
// with the ASID, so no fence belongs to a switch.
//
//go:noescape
func Enter(f *Frame)

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
