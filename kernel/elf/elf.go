// Package elf decides which programs the kernel loads: static RISC-V ELF64
// executables, linked into the image area of a process, with nothing that would
// need an interpreter, a relocation or memory that is writable and executable.
//
// The bytes are untrusted. Everything that the loader relies on afterwards has
// been checked, nothing is believed because a header says so, and each cause of
// refusal has a [Reason] of its own. Nothing here allocates.
package elf

import (
	"encoding/binary"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/sv39"
)

// Limits of what is accepted.
const (
	// MaxSegments bounds loadable segments. Go links three (text, read-only
	// data, data), C linkers four or five.
	MaxSegments = 8

	// MaxHeaders bounds program headers of all types. Go writes five to eight.
	MaxHeaders = 16
)

// Sizes and offsets that ELF64 prescribes.
const (
	headerSize        = 64
	programHeaderSize = 56
)

// Values of fields.
const (
	class64       = 2
	littleEndian  = 1
	version       = 1
	typeExec      = 2
	machineRISCV  = 243
	segLoad       = 1
	segDynamic    = 2
	segInterp     = 3
	segStack      = 0x6474e551
	flagX         = 1
	flagW         = 2
	flagR         = 4
	flagsPortable = flagR | flagW | flagX
)

// Segment is a range of the program's memory. It spans whole pages of its own:
// no other segment touches them.
type Segment struct {
	VA       uint64    // first address, not always page aligned
	MemSize  uint64    // bytes, never 0; those beyond FileSize are zero
	FileOff  uint64    // offset of the contents, congruent with VA modulo the page size
	FileSize uint64    // bytes of contents, all of them in the file
	Perm     sv39.Perm // R and U, and W or X or neither
}

// Program is what [Program.Load] found. If Perm of a segment lacks W then
// FileSize equals MemSize, so its pages can be mapped from the file as they are.
type Program struct {
	Entry    uint64 // address of the first instruction, in an executable segment
	count    int
	segments [MaxSegments]Segment

	// scratch takes what is read. It lies here so that handing it to a function
	// value does not move it to the heap.
	scratch [headerSize]byte
}

// Segments returns the segments in ascending order of address; there is at least
// one. They are part of p.
func (p *Program) Segments() []Segment { return p.segments[:p.count] }

// Load checks the executable of size bytes that readAt reads: readAt fills dst
// from the file at off and reports false if it cannot. It is only asked for
// ranges inside the file, and must not keep dst.
//
// An error is always a [Reason]; then p is of no use but for another Load.
func (p *Program) Load(size uint64, readAt func(off uint64, dst []byte) bool) error {
	p.Entry, p.count = 0, 0
	h, err := p.header(size, readAt)
	if err != nil {
		return err
	}
	for i := range h.count {
		ph := p.scratch[:programHeaderSize]
		if !readAt(h.offset+i*programHeaderSize, ph) {
			return ErrRead
		}
		if err := p.programHeader(ph, size); err != nil {
			return err
		}
	}
	if p.count == 0 {
		return ErrNoSegment
	}
	return p.checkEntry(h.entry)
}

// header is what Load needs from the ELF header.
type header struct {
	entry         uint64
	offset, count uint64 // of the program headers, all inside the file
}

func (p *Program) header(size uint64, readAt func(off uint64, dst []byte) bool) (header, error) {
	b := p.scratch[:headerSize]
	if size < headerSize {
		return header{}, ErrTooShort
	}
	if !readAt(0, b) {
		return header{}, ErrRead
	}
	le := binary.LittleEndian
	switch {
	case le.Uint32(b) != 0x464c457f: // "\x7fELF"
		return header{}, ErrMagic
	case b[4] != class64:
		return header{}, ErrClass
	case b[5] != littleEndian:
		return header{}, ErrByteOrder
	case b[6] != version || le.Uint32(b[20:]) != version:
		return header{}, ErrVersion
	case le.Uint16(b[16:]) != typeExec:
		return header{}, ErrType
	case le.Uint16(b[18:]) != machineRISCV:
		return header{}, ErrMachine
	case le.Uint16(b[52:]) != headerSize || le.Uint16(b[54:]) != programHeaderSize:
		return header{}, ErrHeaderSize
	}
	h := header{
		entry:  le.Uint64(b[24:]),
		offset: le.Uint64(b[32:]),
		count:  uint64(le.Uint16(b[56:])),
	}
	switch {
	case h.count > MaxHeaders:
		return header{}, ErrManyHeaders
	case h.offset > size || h.count*programHeaderSize > size-h.offset:
		return header{}, ErrHeaderRange
	}
	return h, nil
}

// programHeader checks one program header of a file of size bytes and adds the
// segment, if it is one to load.
func (p *Program) programHeader(b []byte, size uint64) error {
	le := binary.LittleEndian
	flags := le.Uint32(b[4:])
	switch le.Uint32(b) {
	case segLoad:
	case segInterp:
		return ErrInterpreter
	case segDynamic:
		return ErrDynamic
	case segStack:
		if flags&flagX != 0 {
			return ErrStack
		}
		return nil
	default: // notes, attributes and the like ask nothing of a loader
		return nil
	}

	s := Segment{
		FileOff:  le.Uint64(b[8:]),
		VA:       le.Uint64(b[16:]),
		FileSize: le.Uint64(b[32:]),
		MemSize:  le.Uint64(b[40:]),
		Perm:     perm(flags),
	}
	switch {
	case flags&(flagW|flagX) == flagW|flagX:
		return ErrWX
	case flags&flagR == 0 || flags&^flagsPortable != 0:
		return ErrFlags
	case s.MemSize == 0:
		return ErrEmptySegment
	case s.FileSize > s.MemSize:
		return ErrFileSize
	case s.FileSize < s.MemSize && flags&flagW == 0:
		return ErrReadOnlyZeros
	case s.FileOff > size || s.FileSize > size-s.FileOff:
		return ErrFileRange
	case s.VA < abi.ImageBase || s.VA >= abi.MapBase || s.MemSize > abi.MapBase-s.VA:
		return ErrAddress
	case s.VA%abi.PageSize != s.FileOff%abi.PageSize:
		return ErrAlignment
	case p.count == MaxSegments:
		return ErrManySegments
	}
	if p.count > 0 {
		last := &p.segments[p.count-1]
		if s.VA/abi.PageSize <= (last.VA+last.MemSize-1)/abi.PageSize {
			return ErrOrder
		}
	}
	p.segments[p.count] = s
	p.count++
	return nil
}

func perm(flags uint32) sv39.Perm {
	p := sv39.Perm(sv39.U)
	if flags&flagR != 0 {
		p |= sv39.R
	}
	if flags&flagW != 0 {
		p |= sv39.W
	}
	if flags&flagX != 0 {
		p |= sv39.X
	}
	return p
}

// checkEntry accepts an entry on an instruction boundary in the contents of an
// executable segment.
func (p *Program) checkEntry(entry uint64) error {
	for _, s := range p.Segments() {
		if s.Perm&sv39.X != 0 && entry >= s.VA && entry-s.VA < s.FileSize && entry%2 == 0 {
			p.Entry = entry
			return nil
		}
	}
	return ErrEntry
}
