//go:build tamago && riscv64

package hart

// Init installs the trap vector and enables the supervisor timer interrupt for
// U-mode on this hart. It must run before the first Enter.
func Init()

// Enter runs the thread of frame f in U-mode until its next trap, and returns
// with the registers saved in f. The address space must be the current one.
//
//go:noescape
func Enter(f *Frame)

// SetSATP switches the address space. Entries tagged with the ASID in satp stay
// in the TLB, so no fence belongs to a switch.
func SetSATP(satp uint64)

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

// Floating-point unit. FPOff makes the next floating-point instruction in
// U-mode trap; FPDirty reports whether the registers changed since FPLoad.
func FPOff()
func FPDirty() bool

// FPSave stores the registers in s and marks them clean.
//
//go:noescape
func FPSave(s *FPState)

// FPLoad enables the unit, loads s and marks the registers clean.
//
//go:noescape
func FPLoad(s *FPState)

// FPClean enables the unit with the registers as they are, marked clean.
func FPClean()
