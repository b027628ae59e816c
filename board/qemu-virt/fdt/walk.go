package fdt

import (
	"bytes"
	"encoding/binary"
)

// HeaderSize is the size in bytes of the header of a blob, which [Size] reads.
const HeaderSize = 40

// Limits on what a blob may hold. They keep the work and the memory of a parse
// proportional to what real firmware passes.
const (
	// MaxSize of a blob in bytes. QEMU's largest tree for eight harts is 8 KiB
	// and a laptop's is around 200 KiB; parsing takes up to about 64 times the
	// size in memory, which must fit in the kernel's boot heap.
	MaxSize = 256 << 10

	// MaxDepth of nodes, the root being 1. The library's walks recurse. QEMU's
	// deepest node is at 5.
	MaxDepth = 16

	// MaxName of a node or property in bytes. The specification allows 31 and a
	// unit address; the library appends node names byte by byte.
	MaxName = 64

	// MaxReserved is the number of entries of the memory reservation block, and
	// of reserved ranges in all.
	MaxReserved = 64
)

// Fault says why a blob is not a flattened device tree. It is a number with
// static texts, because it is used before package initialisation as well.
type Fault uint8

// What can be wrong with a blob.
const (
	_ Fault = iota
	FaultShort
	FaultMagic
	FaultVersion
	FaultTooLarge
	FaultTruncated
	FaultLayout
	FaultReserve
	FaultToken
	FaultBounds
	FaultName
	FaultDepth
	FaultNesting
	FaultEnd
)

// Error implements error.
func (f Fault) Error() string {
	switch f {
	case FaultShort:
		return "shorter than a header"
	case FaultMagic:
		return "no device tree magic"
	case FaultVersion:
		return "not compatible with version 17"
	case FaultTooLarge:
		return "larger than MaxSize"
	case FaultTruncated:
		return "total size exceeds the blob"
	case FaultLayout:
		return "blocks overlap, are misaligned or lie outside of the total size"
	case FaultReserve:
		return "memory reservation block without end, or more than MaxReserved entries"
	case FaultToken:
		return "unknown token in the structure block"
	case FaultBounds:
		return "token, name or value runs over the end of its block"
	case FaultName:
		return "name is longer than MaxName or not printable ASCII"
	case FaultDepth:
		return "nodes nested deeper than MaxDepth"
	case FaultNesting:
		return "nodes and properties are not properly nested under one root"
	case FaultEnd:
		return "structure block goes on behind its end token"
	}
	return "valid"
}

// Offsets and sizes of the format, chapter 5 of the Devicetree Specification.
const (
	magic      = 0xd00dfeed
	tokenBegin = 1
	tokenClose = 2
	tokenProp  = 3
	tokenNop   = 4
	tokenEnd   = 9
)

// walker goes through a blob token by token, checking every bound before it
// looks. It allocates nothing, and it needs no initialised package.
type walker struct {
	structs, strings []byte
	pos              int
	depth            int  // of the current node, 0 outside of the root
	closed           bool // the root has ended
	name, value      []byte
}

// open checks the header and the memory reservation block of blob and sets w to
// the start of its structure block. It returns the total size.
func (w *walker) open(blob []byte) (size int, fault Fault) {
	if len(blob) < HeaderSize {
		return 0, FaultShort
	}
	// All fields are 32 bits wide, so sums in 64 bits cannot overflow.
	field := func(i int) uint64 { return uint64(binary.BigEndian.Uint32(blob[4*i:])) }
	total, offStruct, offStrings, offReserve := field(1), field(2), field(3), field(4)
	version, compatible, sizeStrings, sizeStruct := field(5), field(6), field(8), field(9)
	switch {
	case field(0) != magic:
		return 0, FaultMagic
	case version < 17 || compatible > 17:
		return 0, FaultVersion
	case total > MaxSize:
		return 0, FaultTooLarge
	case total > uint64(len(blob)):
		return 0, FaultTruncated
	case offReserve < HeaderSize || offReserve%8 != 0 || offReserve >= total,
		offStruct < HeaderSize || offStruct%4 != 0 || sizeStruct%4 != 0 || offStruct+sizeStruct > total,
		offStrings < HeaderSize || offStrings+sizeStrings > total,
		offStruct < offStrings+sizeStrings && offStrings < offStruct+sizeStruct:
		return 0, FaultLayout
	}
	// The reservation block has no size field; a pair of zeros ends it, and it
	// must end before the structure block (which the library requires).
	for n, off := 0, offReserve; ; n, off = n+1, off+16 {
		if n > MaxReserved || off+16 > offStruct {
			return 0, FaultReserve
		}
		if binary.BigEndian.Uint64(blob[off:]) == 0 && binary.BigEndian.Uint64(blob[off+8:]) == 0 {
			break
		}
	}
	*w = walker{
		structs: blob[offStruct : offStruct+sizeStruct],
		strings: blob[offStrings : offStrings+sizeStrings],
	}
	return int(total), 0
}

// next moves to the next token other than NOP. After tokenBegin, w.name is the
// node's name; after tokenProp, w.name and w.value are the property's. Both
// alias the blob. tokenEnd comes last.
func (w *walker) next() (token uint32, fault Fault) {
	for token = tokenNop; token == tokenNop; {
		t, ok := w.take(4)
		if !ok {
			return 0, FaultBounds
		}
		token = binary.BigEndian.Uint32(t)
	}
	switch token {
	case tokenBegin:
		return token, w.begin()
	case tokenClose:
		if w.depth == 0 {
			return 0, FaultNesting
		}
		w.depth--
		w.closed = w.depth == 0
	case tokenProp:
		return token, w.prop()
	case tokenEnd:
		if !w.closed {
			return 0, FaultNesting
		}
		if w.pos != len(w.structs) {
			return 0, FaultEnd
		}
	default:
		return 0, FaultToken
	}
	return token, 0
}

// begin reads the name of a node.
func (w *walker) begin() Fault {
	if w.closed {
		return FaultNesting
	}
	if w.depth++; w.depth > MaxDepth {
		return FaultDepth
	}
	name, fault := cString(w.structs[w.pos:])
	if fault != 0 {
		return fault
	}
	w.name = name
	if _, ok := w.take(uint64(len(name)) + 1); !ok {
		return FaultBounds
	}
	return 0
}

// prop reads a property.
func (w *walker) prop() Fault {
	if w.depth == 0 {
		return FaultNesting
	}
	head, ok := w.take(8)
	if !ok {
		return FaultBounds
	}
	size, off := binary.BigEndian.Uint32(head), uint64(binary.BigEndian.Uint32(head[4:]))
	if w.value, ok = w.take(uint64(size)); !ok || off >= uint64(len(w.strings)) {
		return FaultBounds
	}
	var fault Fault
	w.name, fault = cString(w.strings[off:])
	return fault
}

// take returns the next n bytes of the structure block and skips the padding
// that follows them.
func (w *walker) take(n uint64) ([]byte, bool) {
	padded := (n + 3) &^ 3
	if padded > uint64(len(w.structs)-w.pos) {
		return nil, false
	}
	b := w.structs[w.pos : w.pos+int(n)]
	w.pos += int(padded)
	return b, true
}

// cString returns the name at the start of b, without the NUL that ends it.
func cString(b []byte) ([]byte, Fault) {
	window := b[:min(len(b), MaxName+1)]
	n := bytes.IndexByte(window, 0)
	if n < 0 {
		if len(window) <= MaxName {
			return nil, FaultBounds
		}
		return nil, FaultName
	}
	for _, c := range b[:n] {
		if c <= ' ' || c > '~' {
			return nil, FaultName
		}
	}
	return b[:n], 0
}

// check walks through the whole blob and returns its total size.
func check(blob []byte) (size int, fault Fault) {
	var w walker
	if size, fault = w.open(blob); fault != 0 {
		return 0, fault
	}
	for {
		token, fault := w.next()
		if fault != 0 {
			return 0, fault
		}
		if token == tokenEnd {
			return size, 0
		}
	}
}

// Size returns the total size that a valid header in the first bytes of a blob
// claims, at most MaxSize. The rest of the blob need not be there.
func Size(header []byte) (int, Fault) {
	if len(header) < HeaderSize {
		return 0, FaultShort
	}
	if binary.BigEndian.Uint32(header) != magic {
		return 0, FaultMagic
	}
	size := binary.BigEndian.Uint32(header[4:])
	if size < HeaderSize {
		return 0, FaultTruncated
	}
	if size > MaxSize {
		return 0, FaultTooLarge
	}
	return int(size), 0
}

// Seed returns the value of /chosen/rng-seed, which aliases blob, so that the
// caller can wipe it after use; nil if there is none. It neither allocates nor
// needs initialised packages: the runtime asks for entropy before it has a heap.
func Seed(blob []byte) ([]byte, Fault) {
	var w walker
	if _, fault := w.open(blob); fault != 0 {
		return nil, fault
	}
	inChosen := false
	for {
		token, fault := w.next()
		if fault != 0 {
			return nil, fault
		}
		switch token {
		case tokenBegin:
			inChosen = w.depth == 2 && string(w.name) == "chosen"
		case tokenClose:
			inChosen = false
		case tokenProp:
			if inChosen && string(w.name) == "rng-seed" {
				return w.value, 0
			}
		case tokenEnd:
			return nil, 0
		}
	}
}
