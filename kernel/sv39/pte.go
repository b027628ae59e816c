// Package sv39 builds and walks the page tables of the RISC-V privileged
// architecture's Sv39 mode: those of processes ([Space]) and the kernel's own
// ([BuildKernel]). It also copies between the kernel and processes, and between
// processes, by walking the tables, so the kernel never has to let itself
// dereference user addresses.
//
// Invariants:
//   - No leaf is writable and executable. [FindWX] checks it from outside.
//   - A space has user leaves of 4 KiB, and of 2 MiB that it does not own, between
//     abi.UserBase and abi.UserEnd, and below that exactly the root entries of the
//     kernel, which are not its own.
//   - Every table of a space, and every leaf marked [Owned], is a frame charged
//     to the account of the space, and returns there no later than
//     [Space.Destroy]. Every other leaf belongs to someone else.
//   - Accessed and dirty bits are set beforehand: no hardware has to update an
//     entry, and none faults because it would have to.
//
// The package touches no CSR. Whoever removes or narrows a mapping of a space
// that a hart may hold in its TLB fences before user code runs again. Nothing
// here locks or allocates on the Go heap, except that BuildKernel may.
package sv39

import "nexus.internal/kernel/mem"

// Bits of a page table entry. They are untyped, so that they serve as [PTE] and,
// from R to G, as [Perm].
const (
	V     = 1 << 0 // valid
	R     = 1 << 1 // readable
	W     = 1 << 2 // writable
	X     = 1 << 3 // executable
	U     = 1 << 4 // for U-mode
	G     = 1 << 5 // in every address space
	A     = 1 << 6 // accessed
	D     = 1 << 7 // dirty
	Owned = 1 << 8 // for software: the frame belongs to the space and is freed with it

	// Device, for software too, says that registers are behind the leaf, not memory:
	// the kernel neither reads nor writes them for a process, because that has
	// effects and the kernel does not map them.
	Device = 1 << 9

	permBits = R | W | X | U | G
)

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	levelBits = 9
	entries   = 1 << levelBits // in a table
	ppnShift  = 10             // of the frame number in an entry

	megaPage = pageSize << levelBits // what a leaf of level 1 maps
	gigaPage = megaPage << levelBits // what a leaf of level 2 maps
)

// PTE is a page table entry. An entry with V and none of R, W and X points to
// the next table; one with any of them is a leaf.
type PTE uint64

// Perm says what a mapping allows: a combination of R, W, X, U and G.
type Perm uint64

// Addr returns the physical address in e. Bits 54 to 63 of every entry that this
// package makes are zero.
func (e PTE) Addr() mem.PA { return mem.PA(e >> ppnShift << pageShift) }

// Perm returns what e allows.
func (e PTE) Perm() Perm { return Perm(e) & permBits }

// IsLeaf reports whether e is valid and maps memory.
func (e PTE) IsLeaf() bool { return e&V != 0 && e&(R|W|X) != 0 }

// IsTable reports whether e is valid and points to a table.
func (e PTE) IsTable() bool { return e&(V|R|W|X) == V }

// leaf makes a valid leaf for the aligned address pa.
func leaf(pa mem.PA, perm Perm) PTE {
	const dirtyIfWritable = D / W
	return PTE(pa)>>(pageShift-ppnShift) | PTE(perm) | PTE(perm&W)*dirtyIfWritable | V | A
}

// table makes an entry that points to the table at pa.
func table(pa mem.PA) PTE { return PTE(pa)>>(pageShift-ppnShift) | V }

// Index of the entry for va in a table of level 2 (the root), 1 and 0. Two shifts take one
// instruction less than a shift and a mask.
func index2(va uint64) uint64 { return va << 25 >> 55 }
func index1(va uint64) uint64 { return va << 34 >> 55 }
func index0(va uint64) uint64 { return va << 43 >> 55 }

// What the tables accept. Bit p is set if Perm p is fine: readable or
// executable, not writable without readable (reserved), never W and X. User
// leaves need U and cannot be global, kernel leaves are the reverse.
const (
	userPerms   = 1<<(U|R) | 1<<(U|R|W) | 1<<(U|X) | 1<<(U|R|X)
	kernelPerms = 1<<R | 1<<(R|W) | 1<<X | 1<<(R|X)
)
