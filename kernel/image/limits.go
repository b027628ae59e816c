package image

import "nexus.internal/ipc/abi"

// Limits of the format.
const (
	// FormatVersion is the version of the archive's layout.
	FormatVersion = 1
	// MaxEntries bounds the directory. One page would hold 49; the kernel gives the
	// root process a capability for each, so the number stays small.
	MaxEntries = 32
	// MaxSize is the longest image, in bytes: half the RAM of the smallest machine
	// (128 MiB), so that what is left can run it.
	MaxSize = 64 << 20
	// MaxName is the longest name of an entry and of the root process, in bytes.
	MaxName = abi.MaxName
	// MaxRootFrames bounds the budget of the root process, in pages: all of the
	// 4 GiB below user space, the most memory that the kernel can map.
	MaxRootFrames = 4 << 30 / abi.PageSize
)

// Sizes of the parts, in bytes.
const (
	HeaderSize    = 64           // the boot header
	DirectorySize = abi.PageSize // the archive's directory
	fixedSize     = 128          // of the directory in front of its entries
	entrySize     = 80           // of one entry in the directory
	sumSize       = 32           // SHA-256
)
