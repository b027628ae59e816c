// Package elftest builds small RISC-V executables for tests of the loader. It
// can build wrong ones as well: it writes what it is told.
package elftest

import (
	"encoding/binary"

	"nexus.internal/ipc/abi"
)

// Types of program headers, and flags of segments.
const (
	Load    = 1
	Dynamic = 2
	Interp  = 3
	Note    = 4
	Stack   = 0x6474e551

	X = 1
	W = 2
	R = 4
)

// Offsets of fields in the ELF header, for tests that break one.
const (
	OffClass    = 4
	OffData     = 5
	OffIdentVer = 6
	OffType     = 16
	OffMachine  = 18
	OffVersion  = 20
	OffPhoff    = 32
	OffEhsize   = 52
	OffPhsize   = 54
	OffPhnum    = 56

	HeaderSize        = 64
	ProgramHeaderSize = 56
)

// Segment is a program header and its contents. Build sets Offset to where it
// puts Data, unless Offset is not 0, and FileSize and MemSize to the length of
// Data, where they are 0.
type Segment struct {
	Type     uint32
	Flags    uint32
	VA       uint64
	Data     []byte
	Offset   uint64
	FileSize uint64
	MemSize  uint64
}

// File is an executable to build.
type File struct {
	Entry    uint64
	Segments []Segment
}

// Hello returns a correct program like those that Go links: a page and a half of
// text, a page of read-only data, and data with a bss of three pages behind it.
// The contents are patterns, no instructions.
func Hello() File {
	return File{
		Entry: abi.ImageBase + 0x1_1000,
		Segments: []Segment{
			{Type: Note, Flags: R, VA: abi.ImageBase + 0x1_0f00, Data: Pattern(3, 64)},
			{Type: Load, Flags: R | X, VA: abi.ImageBase + 0x1_1000, Data: Pattern(1, 6000)},
			{Type: Load, Flags: R, VA: abi.ImageBase + 0x1_3000, Data: Pattern(2, 4096)},
			{Type: Load, Flags: R | W, VA: abi.ImageBase + 0x1_4000, Data: Pattern(5, 1000), MemSize: 4*4096 - 100},
			{Type: Stack, Flags: R | W},
		},
	}
}

// Pattern returns n bytes that differ from those of another seed and between
// neighbouring pages.
func Pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i*7 + i>>8)
	}
	return b
}

// Build returns the bytes of f. The contents of a segment to load begin at an
// offset congruent with its address; the file ends with the last contents.
func (f File) Build() []byte {
	le := binary.LittleEndian
	size := uint64(HeaderSize + ProgramHeaderSize*len(f.Segments))
	out := make([]byte, size)
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[OffType:], 2)
	le.PutUint16(out[OffMachine:], 243)
	le.PutUint32(out[OffVersion:], 1)
	le.PutUint64(out[24:], f.Entry)
	le.PutUint64(out[OffPhoff:], HeaderSize)
	le.PutUint32(out[48:], 4) // floating-point registers hold doubles
	le.PutUint16(out[OffEhsize:], HeaderSize)
	le.PutUint16(out[OffPhsize:], ProgramHeaderSize)
	le.PutUint16(out[OffPhnum:], uint16(len(f.Segments)))
	for i, s := range f.Segments {
		at := size + (s.VA-size)%abi.PageSize
		if len(s.Data) > 0 {
			out = append(out, make([]byte, at-size)...)
			out = append(out, s.Data...)
			size = uint64(len(out))
		}
		if s.Offset == 0 {
			s.Offset = at
		}
		if s.FileSize == 0 {
			s.FileSize = uint64(len(s.Data))
		}
		if s.MemSize == 0 {
			s.MemSize = uint64(len(s.Data))
		}
		ph := out[HeaderSize+ProgramHeaderSize*i:]
		le.PutUint32(ph, s.Type)
		le.PutUint32(ph[4:], s.Flags)
		le.PutUint64(ph[8:], s.Offset)
		le.PutUint64(ph[16:], s.VA)
		le.PutUint64(ph[24:], s.VA)
		le.PutUint64(ph[32:], s.FileSize)
		le.PutUint64(ph[40:], s.MemSize)
		le.PutUint64(ph[48:], abi.PageSize)
	}
	return out
}
