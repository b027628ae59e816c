package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"nexus.internal/ipc/abi"
)

// The reasons for which [Parse] refuses an archive.
var (
	ErrShort      = errors.New("archive: shorter than its directory")
	ErrMagic      = errors.New("archive: no archive magic")
	ErrVersion    = errors.New("archive: format of another version")
	ErrABI        = errors.New("archive: programs of another ABI version")
	ErrChecksum   = errors.New("archive: directory damaged")
	ErrCount      = errors.New("archive: number of entries out of range")
	ErrSize       = errors.New("archive: length differs from the directory")
	ErrRootFrames = errors.New("archive: budget of the root process out of range")
	ErrName       = errors.New("archive: name not 1 to 32 of a-z 0-9 . _ -")
	ErrDuplicate  = errors.New("archive: two entries of one name")
	ErrEmpty      = errors.New("archive: entry without content")
	ErrOffset     = errors.New("archive: entry not where the one before it ends")
	ErrBounds     = errors.New("archive: entry beyond the end")
	ErrReserved   = errors.New("archive: directory not zero behind its entries")
	ErrTooLong    = errors.New("archive: longer than an image may be")
)

// Names of entries that have a meaning. The first entry of an archive is the ELF
// of the root process, whatever its name.
const (
	EntryPrograms = "programs" // ELF of all services
	EntryManifest = "manifest" // svc/manifest in CBOR, for init
	EntryPolicy   = "policy"   // rules for policyd in CBOR
	EntryBoot     = "boot"     // arguments and environment of the root process ([Boot])
	EntryFiles    = "files"    // read-only initial files of the root process
)

// archiveMagic is "NXARCHIV", little-endian.
const archiveMagic = 0x564948435241584e

// The directory, little-endian:
//
//	0   8  magic
//	8   4  format version
//	12  4  ABI version
//	16  4  number of entries
//	20  4  CRC-32C of the directory with this field zero
//	24  8  bytes of the archive
//	32 32  name of the root process, NUL-padded
//	64  8  its budget in pages
//	72 32  SHA-256 of the image in front of the archive
//	104 24 zero
//	128    entries of 80 bytes: name 32, offset 8, size 8, SHA-256 32
//	       zero up to the page size
const (
	offCRC     = 20
	offRoot    = 32
	offFrames  = 64
	offKernel  = 72
	offPadding = offKernel + sumSize
)

// Entry is one file of an archive.
type Entry struct {
	Name   string
	Offset uint64 // bytes from the start of the archive, a multiple of the page size
	Size   uint64 // bytes, never zero
	SHA256 [sumSize]byte
	Data   []byte // Size bytes; from Parse, a part of its argument
}

// Archive is a parsed directory.
type Archive struct {
	Root       string        // name of the root process
	RootFrames uint64        // its budget in pages
	Kernel     [sumSize]byte // SHA-256 of the image in front of the archive
	Count      int           // entries in use
	Table      [MaxEntries]Entry
}

// Entries returns the entries in directory order.
func (a *Archive) Entries() []Entry { return a.Table[:a.Count] }

// Lookup returns the entry of that name, or nil.
func (a *Archive) Lookup(name string) *Entry {
	for i := range a.Entries() {
		if a.Table[i].Name == name {
			return &a.Table[i]
		}
	}
	return nil
}

// Program returns the ELF of the root process: the first entry.
func (a *Archive) Program() *Entry { return &a.Table[0] }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC-32C of a directory as if its own field were zero.
func checksum(dir []byte) uint32 {
	var zero [4]byte
	c := crc32.Update(0, castagnoli, dir[:offCRC])
	c = crc32.Update(c, castagnoli, zero[:])
	return crc32.Update(c, castagnoli, dir[offCRC+len(zero):DirectorySize])
}

// pages rounds n up to whole pages, in bytes. n is at most MaxSize.
func pages(n uint64) uint64 { return (n + abi.PageSize - 1) &^ (abi.PageSize - 1) }

// Parse reads the directory of the archive b, whose length must be exactly the
// archive's. The result refers to b. The content of the entries is not checked.
func Parse(b []byte) (*Archive, error) {
	le := binary.LittleEndian
	if len(b) < DirectorySize {
		return nil, fmt.Errorf("%w: %d bytes", ErrShort, len(b))
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, len(b))
	}
	if le.Uint64(b) != archiveMagic {
		return nil, ErrMagic
	}
	if got, want := checksum(b), le.Uint32(b[offCRC:]); got != want {
		return nil, fmt.Errorf("%w: CRC-32C %#08x, expected %#08x", ErrChecksum, got, want)
	}
	if v := le.Uint32(b[8:]); v != FormatVersion {
		return nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	if v := le.Uint32(b[12:]); v != abi.Version {
		return nil, fmt.Errorf("%w: %d", ErrABI, v)
	}
	count := le.Uint32(b[16:])
	if count == 0 || count > MaxEntries {
		return nil, fmt.Errorf("%w: %d", ErrCount, count)
	}
	if total := le.Uint64(b[24:]); total != uint64(len(b)) {
		return nil, fmt.Errorf("%w: %d bytes, directory says %d", ErrSize, len(b), total)
	}
	a := &Archive{Count: int(count), RootFrames: le.Uint64(b[offFrames:])}
	if a.RootFrames == 0 || a.RootFrames > MaxRootFrames {
		return nil, fmt.Errorf("%w: %d pages", ErrRootFrames, a.RootFrames)
	}
	var err error
	if a.Root, err = parseName(b[offRoot : offRoot+MaxName]); err != nil {
		return nil, fmt.Errorf("root process: %w", err)
	}
	copy(a.Kernel[:], b[offKernel:])

	next := uint64(DirectorySize)
	for i := range a.Entries() {
		if next, err = a.parseEntry(i, b, next); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	if next != uint64(len(b)) {
		return nil, fmt.Errorf("%w: entries end at %d of %d", ErrSize, next, len(b))
	}
	if !allZero(b[offPadding:fixedSize]) || !allZero(b[fixedSize+a.Count*entrySize:DirectorySize]) {
		return nil, ErrReserved
	}
	return a, nil
}

// parseEntry reads entry i of the archive b, which must begin at next, and
// returns where the one behind it must begin.
func (a *Archive) parseEntry(i int, b []byte, next uint64) (uint64, error) {
	le := binary.LittleEndian
	raw := b[fixedSize+i*entrySize:][:entrySize]
	name, err := parseName(raw[:MaxName])
	if err != nil {
		return 0, err
	}
	for _, other := range a.Table[:i] {
		if other.Name == name {
			return 0, fmt.Errorf("%w: %q", ErrDuplicate, name)
		}
	}
	e := Entry{Name: name, Offset: le.Uint64(raw[32:]), Size: le.Uint64(raw[40:])}
	switch room := uint64(len(b)) - next; {
	case e.Offset != next:
		return 0, fmt.Errorf("%w: %q at %d, expected %d", ErrOffset, name, e.Offset, next)
	case e.Size == 0:
		return 0, fmt.Errorf("%w: %q", ErrEmpty, name)
	case e.Size > room || pages(e.Size) > room:
		return 0, fmt.Errorf("%w: %q of %d bytes, %d left", ErrBounds, name, e.Size, room)
	}
	copy(e.SHA256[:], raw[48:])
	e.Data = b[e.Offset:][:e.Size:e.Size]
	a.Table[i] = e
	return next + pages(e.Size), nil
}

// Append appends the archive a to dst, which the caller has filled up to a page
// boundary, and gives a's entries their Offset and Size. It refuses what Parse
// would refuse. SHA256 of each entry and Kernel are the caller's to fill.
func Append(dst []byte, a *Archive) ([]byte, error) {
	if a.Count < 1 || a.Count > MaxEntries {
		return nil, fmt.Errorf("%w: %d", ErrCount, a.Count)
	}
	if len(a.Root) > MaxName {
		return nil, fmt.Errorf("root process: %w: %q", ErrName, a.Root)
	}
	total := uint64(DirectorySize)
	for i := range a.Entries() {
		e := &a.Table[i]
		if len(e.Name) > MaxName {
			return nil, fmt.Errorf("entry %d: %w: %q", i, ErrName, e.Name)
		}
		e.Offset, e.Size = total, uint64(len(e.Data))
		if total += pages(e.Size); total > MaxSize {
			return nil, fmt.Errorf("entry %d: %w: %q of %d bytes", i, ErrTooLong, e.Name, e.Size)
		}
	}

	le := binary.LittleEndian
	start := len(dst)
	dst = append(dst, make([]byte, total)...)
	b := dst[start:]
	le.PutUint64(b, archiveMagic)
	le.PutUint32(b[8:], FormatVersion)
	le.PutUint32(b[12:], abi.Version)
	le.PutUint32(b[16:], uint32(a.Count))
	le.PutUint64(b[24:], total)
	copy(b[offRoot:], a.Root)
	le.PutUint64(b[offFrames:], a.RootFrames)
	copy(b[offKernel:], a.Kernel[:])
	for i, e := range a.Entries() {
		raw := b[fixedSize+i*entrySize:][:entrySize]
		copy(raw, e.Name)
		le.PutUint64(raw[32:], e.Offset)
		le.PutUint64(raw[40:], e.Size)
		copy(raw[48:], e.SHA256[:])
		copy(b[e.Offset:], e.Data)
	}
	le.PutUint32(b[offCRC:], checksum(b))
	if _, err := Parse(b); err != nil {
		return nil, err
	}
	return dst, nil
}

// parseName reads a NUL-padded name.
func parseName(field []byte) (string, error) {
	name, rest, _ := bytes.Cut(field, []byte{0})
	if len(name) == 0 || !allZero(rest) {
		return "", fmt.Errorf("%w: %q", ErrName, field)
	}
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return "", fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	return string(name), nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
