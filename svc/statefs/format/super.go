package format

import (
	"encoding/binary"
	"errors"
)

// Version is the version of the format.
const Version = 1

// SuperblockSize is how many bytes of its slot a superblock uses.
const SuperblockSize = 256

// Slots is how many superblocks there are; the one with the greater count is in force.
const Slots = 2

// superMagic begins a superblock.
const superMagic = "NXSTATE\x01"

// Offsets of the fields of a superblock.
const (
	superCRC        = 8  // u32 of everything behind it
	superTag        = 12 // of everything behind it
	superVersion    = 28
	superSector     = 32
	superStore      = 36
	superSalt       = 52
	superCount      = 68
	superGeneration = 76
	superRing       = 84
	superTail       = 92
	superTailSeq    = 100
	superTailPrev   = 108
	superHeadSeq    = 124
	superVersions   = 132
	superEnd        = 140
)

// Errors of a superblock.
var (
	ErrNoSuperblock = errors.New("statefs: no superblock")
	ErrChecksum     = errors.New("statefs: checksum fails")
	ErrVersion      = errors.New("statefs: unknown version of the format")
)

// Superblock says where the log begins.
type Superblock struct {
	Sector     uint32 // bytes of a sector
	Store      [16]byte
	Salt       Salt   // of the generation
	Count      uint64 // of superblocks written
	Generation uint64 // of openings
	Ring       uint64 // bytes of the ring
	Tail       uint64 // where the oldest commit is that counts
	TailSeq    uint64 // its sequence
	TailPrev   Tag    // of the commit before it
	HeadSeq    uint64 // of a commit that was durable before this superblock was written
	Version    uint64 // that was given last, at that time
}

// Offset returns where in the device the superblock goes: to the slots by turns, each
// as long as slot.
func (b *Superblock) Offset(slot int64) int64 { return int64(b.Count%Slots) * slot }

// Encode writes the superblock to p, which is as long as a sector.
func (b *Superblock) Encode(p []byte, s *Session) {
	clear(p)
	le := binary.LittleEndian
	copy(p, superMagic)
	le.PutUint32(p[superVersion:], Version)
	le.PutUint32(p[superSector:], b.Sector)
	copy(p[superStore:], b.Store[:])
	copy(p[superSalt:], b.Salt[:])
	le.PutUint64(p[superCount:], b.Count)
	le.PutUint64(p[superGeneration:], b.Generation)
	le.PutUint64(p[superRing:], b.Ring)
	le.PutUint64(p[superTail:], b.Tail)
	le.PutUint64(p[superTailSeq:], b.TailSeq)
	copy(p[superTailPrev:], b.TailPrev[:])
	le.PutUint64(p[superHeadSeq:], b.HeadSeq)
	le.PutUint64(p[superVersions:], b.Version)
	t := s.tag(b.Count, slotSuperblock, p[superVersion:SuperblockSize])
	copy(p[superTag:], t[:])
	le.PutUint32(p[superCRC:], Sum(p[superTag:SuperblockSize]))
}

// DecodeSuperblock reads a superblock. It does not look at its tag: see
// [Superblock.Check].
func DecodeSuperblock(p []byte) (b Superblock, err error) {
	le := binary.LittleEndian
	if len(p) < SuperblockSize || string(p[:len(superMagic)]) != superMagic {
		return b, ErrNoSuperblock
	}
	if Sum(p[superTag:SuperblockSize]) != le.Uint32(p[superCRC:]) {
		return b, ErrChecksum
	}
	if le.Uint32(p[superVersion:]) != Version {
		return b, ErrVersion
	}
	b = Superblock{
		Sector: le.Uint32(p[superSector:]), Store: [16]byte(p[superStore:]), Salt: Salt(p[superSalt:]),
		Count: le.Uint64(p[superCount:]), Generation: le.Uint64(p[superGeneration:]), Ring: le.Uint64(p[superRing:]),
		Tail: le.Uint64(p[superTail:]), TailSeq: le.Uint64(p[superTailSeq:]), TailPrev: Tag(p[superTailPrev:]),
		HeadSeq: le.Uint64(p[superHeadSeq:]), Version: le.Uint64(p[superVersions:]),
	}
	return b, nil
}

// Check reports whether a holder of the key of s wrote p, which decodes to b.
func (b *Superblock) Check(p []byte, s *Session) error {
	return s.check(b.Count, slotSuperblock, p[superVersion:SuperblockSize], (*Tag)(p[superTag:]))
}
