// Package format is the on-disk format of statefs: superblocks and commits, to bytes
// and back. It reads and writes no device; package statefs does. The format is
// described in docs/statefs-format.md for whoever wants to read it without this code.
//
// Every decoder takes bytes that nobody has checked.
package format

import (
	"encoding/binary"
	"errors"
)

// HeaderSize is how many bytes of a commit come before its entries.
const HeaderSize = 104

// commitMagic begins a commit: "NXSC".
const commitMagic = 0x4353584e

// Offsets of the fields of a commit's header.
const (
	commitCRC        = 4  // u32 of everything behind it
	commitTag        = 8  // of everything behind it
	commitMeta       = 24 // u32
	commitSectors    = 28 // u32
	commitSequence   = 32
	commitGeneration = 40
	commitPosition   = 48
	commitVersion    = 56
	commitSalt       = 64
	commitPrev       = 80
	commitCount      = 96 // u16, then six bytes that are zero
)

// MaxEntries is how many entries a commit may have.
const MaxEntries = 512

// Header is what a commit says about itself.
type Header struct {
	Meta       uint32 // bytes of header, entries and the values among them
	Sectors    uint32 // of the whole commit, extents included
	Sequence   uint64
	Generation uint64
	Position   uint64 // in the ring, counted on over all its rounds
	Version    uint64 // that was given last
	Salt       Salt
	Prev       Tag // of the commit before
	Count      uint16
}

// ErrNoCommit says that bytes do not begin with the header of a commit.
var ErrNoCommit = errors.New("statefs: no commit")

// ErrEntry says that an entry of a commit is not one.
var ErrEntry = errors.New("statefs: entry of a commit")

// DecodeHeader reads the header of a commit, and checks nothing but its bounds.
func DecodeHeader(p []byte) (h Header, err error) {
	le := binary.LittleEndian
	if len(p) < HeaderSize || le.Uint32(p) != commitMagic {
		return h, ErrNoCommit
	}
	h = Header{
		Meta: le.Uint32(p[commitMeta:]), Sectors: le.Uint32(p[commitSectors:]),
		Sequence: le.Uint64(p[commitSequence:]), Generation: le.Uint64(p[commitGeneration:]),
		Position: le.Uint64(p[commitPosition:]), Version: le.Uint64(p[commitVersion:]),
		Salt: Salt(p[commitSalt:]), Prev: Tag(p[commitPrev:]), Count: le.Uint16(p[commitCount:]),
	}
	if h.Meta < HeaderSize || h.Sectors == 0 || h.Count > MaxEntries {
		return h, ErrNoCommit
	}
	return h, nil
}

// CommitTag returns the tag that the header has in it.
func CommitTag(p []byte) Tag { return Tag(p[commitTag:]) }

// CheckSum reports whether the bytes of a commit, p as long as h.Meta, are as they were
// written.
func CheckSum(p []byte) error {
	if Sum(p[commitTag:]) != binary.LittleEndian.Uint32(p[commitCRC:]) {
		return ErrChecksum
	}
	return nil
}

// Check reports whether a holder of the key of s wrote p, which is as long as h.Meta,
// with this tag.
func Check(p []byte, sequence uint64, t *Tag, s *Session) error {
	return s.check(sequence, slotCommit, p[commitMeta:], t)
}

// Finish completes a commit, whose entries stand behind HeaderSize in p: it writes the
// header, with h.Meta the length of p, and returns its tag.
func Finish(p []byte, h *Header, s *Session) Tag {
	le := binary.LittleEndian
	h.Meta, h.Salt = uint32(len(p)), s.salt
	clear(p[:HeaderSize])
	le.PutUint32(p, commitMagic)
	le.PutUint32(p[commitMeta:], h.Meta)
	le.PutUint32(p[commitSectors:], h.Sectors)
	le.PutUint64(p[commitSequence:], h.Sequence)
	le.PutUint64(p[commitGeneration:], h.Generation)
	le.PutUint64(p[commitPosition:], h.Position)
	le.PutUint64(p[commitVersion:], h.Version)
	copy(p[commitSalt:], h.Salt[:])
	copy(p[commitPrev:], h.Prev[:])
	le.PutUint16(p[commitCount:], h.Count)
	t := s.tag(h.Sequence, slotCommit, p[commitMeta:])
	copy(p[commitTag:], t[:])
	le.PutUint32(p[commitCRC:], Sum(p[commitTag:]))
	return t
}

// Kind says what an entry does to its key.
type Kind uint8

const (
	Value   Kind = 1 // the key has this value
	Deleted Kind = 2 // there is no such key any more
	Damaged Kind = 3 // the key had a value that could not be read when it was to be moved
	// Bridge is the one entry of a commit that repair wrote where others could not be
	// read: the commit that follows has the sequence Version and says that the tag
	// before it is Tag.
	Bridge Kind = 4
)

// Flags of a value.
const (
	Sealed = 1 << 0 // encrypted
	Extent = 1 << 1 // stands in sectors of its own behind the commit's
)

// MaxKey is how long a key may be, in bytes.
const MaxKey = 255

// Entry is one change of a commit.
type Entry struct {
	Kind    Kind
	Flags   uint8
	Key     string
	Length  uint32 // of the value
	Version uint64
	CRC     uint32 // of an extent as it is stored
	Tag     Tag    // of an extent, of a sealed value, of a bridge
	Inline  int    // where in the commit a value begins that has no extent
}

// The parts of an entry: always; if it has a tag; if it has an extent.
const (
	entryFixed = 16
	entryTag   = TagSize
	entryCRC   = 4
)

func (e *Entry) tagged() bool { return e.Flags != 0 || e.Kind == Bridge }

// EntrySize returns how long an entry is, without a value that stands in it.
func EntrySize(key int, flags uint8) int {
	n := entryFixed + key
	if flags != 0 {
		n += entryTag
	}
	if flags&Extent != 0 {
		n += entryCRC
	}
	return n
}

// AppendEntry appends an entry to p. A value that has no extent follows it.
func AppendEntry(p []byte, e *Entry) []byte {
	le := binary.LittleEndian
	p = append(p, byte(e.Kind), e.Flags, byte(len(e.Key)), 0)
	p = le.AppendUint32(p, e.Length)
	p = le.AppendUint64(p, e.Version)
	if e.tagged() {
		p = append(p, e.Tag[:]...)
	}
	if e.Flags&Extent != 0 {
		p = le.AppendUint32(p, e.CRC)
	}
	return append(p, e.Key...)
}

// Entries reads the entries of a commit one after the other.
type Entries struct {
	p     []byte
	at    int
	count int
}

// ReadEntries returns the entries of a commit, p as long as its Meta says.
func ReadEntries(p []byte, h *Header) Entries { return Entries{p, HeaderSize, int(h.Count)} }

// Next returns the next entry, or false at the end. [ErrEntry]: it is none.
func (r *Entries) Next() (e Entry, ok bool, err error) {
	le := binary.LittleEndian
	if r.count == 0 {
		if r.at != len(r.p) {
			return e, false, ErrEntry
		}
		return e, false, nil
	}
	r.count--
	p := r.p[r.at:]
	if len(p) < entryFixed {
		return e, false, ErrEntry
	}
	e = Entry{Kind: Kind(p[0]), Flags: p[1], Length: le.Uint32(p[4:]), Version: le.Uint64(p[8:])}
	key, n := int(p[2]), entryFixed
	if p[3] != 0 || e.Kind < Value || e.Kind > Bridge || e.Flags&^(Sealed|Extent) != 0 ||
		e.Kind != Value && e.Flags != 0 || (key == 0) != (e.Kind == Bridge) || e.Kind == Deleted && e.Length != 0 {
		return e, false, ErrEntry
	}
	need := n + key
	if e.tagged() {
		need += entryTag
	}
	if e.Flags&Extent != 0 {
		need += entryCRC
	}
	inline := e.Kind == Value && e.Flags&Extent == 0
	if inline {
		if e.Length > uint32(len(p)) {
			return e, false, ErrEntry
		}
		need += int(e.Length)
	}
	if len(p) < need {
		return e, false, ErrEntry
	}
	if e.tagged() {
		e.Tag = Tag(p[n:])
		n += entryTag
	}
	if e.Flags&Extent != 0 {
		e.CRC = le.Uint32(p[n:])
		n += entryCRC
	}
	e.Key = string(p[n : n+key])
	if inline {
		e.Inline = r.at + n + key
	}
	r.at += need
	return e, true, nil
}
