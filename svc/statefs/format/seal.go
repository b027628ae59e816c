package format

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes of what authenticates.
const (
	KeySize  = chacha20poly1305.KeySize
	TagSize  = chacha20poly1305.Overhead
	SaltSize = 16
)

// Tag authenticates a superblock, a commit or a value.
type Tag [TagSize]byte

// Salt is the random half of every nonce of one generation.
type Salt [SaltSize]byte

// ErrTag says that bytes are not what a holder of the key wrote there.
var ErrTag = errors.New("statefs: authentication fails")

// Slots of a nonce that are no entry of a commit. A commit has fewer entries.
const (
	slotCommit     = 0xffff
	slotSuperblock = 0xfffe
)

// MaxSequence is the largest sequence of a commit: it shares a word of the nonce with
// the slot. A store that commits a million times a second lasts for eight years.
const MaxSequence = 1<<48 - 1

// Session authenticates and seals for one salt: XChaCha20-Poly1305, whose nonce is the
// salt and a word with sequence and slot. What the salt adds to the key is computed
// once, so that a tag costs what it costs with ChaCha20-Poly1305.
type Session struct {
	salt Salt
	aead cipher.AEAD
}

// NewSession returns the session of a key and a salt.
func NewSession(key *[KeySize]byte, salt Salt) *Session {
	sub, err := chacha20.HChaCha20(key[:], salt[:])
	if err != nil {
		panic(err) // the lengths are right
	}
	aead, err := chacha20poly1305.New(sub)
	clear(sub)
	if err != nil {
		panic(err)
	}
	return &Session{salt, aead}
}

// Salt returns the salt of the session.
func (s *Session) Salt() Salt { return s.salt }

// nonce is the second half of the nonce of XChaCha20, as ChaCha20 wants it.
func nonce(number uint64, slot uint16) (n [chacha20poly1305.NonceSize]byte) {
	binary.LittleEndian.PutUint64(n[4:], number<<16|uint64(slot))
	return n
}

// tag authenticates bytes that stay as they are.
func (s *Session) tag(number uint64, slot uint16, b []byte) (t Tag) {
	n := nonce(number, slot)
	s.aead.Seal(t[:0], n[:], nil, b)
	return t
}

func (s *Session) check(number uint64, slot uint16, b []byte, t *Tag) error {
	got := s.tag(number, slot, b)
	if subtle.ConstantTimeCompare(got[:], t[:]) != 1 {
		return ErrTag
	}
	return nil
}

// ValueTag authenticates the value of an entry that has an extent.
func (s *Session) ValueTag(sequence uint64, entry int, value []byte) Tag {
	return s.tag(sequence, uint16(entry), value)
}

// CheckValue reports whether a value is the one of a tag.
func (s *Session) CheckValue(sequence uint64, entry int, value []byte, t *Tag) error {
	return s.check(sequence, uint16(entry), value, t)
}

// SealValue appends the value of an entry to dst, encrypted, and returns its tag, which
// binds it to the key of the entry as well.
func (s *Session) SealValue(dst []byte, sequence uint64, entry int, key string, value []byte) ([]byte, Tag) {
	n := nonce(sequence, uint16(entry))
	dst = s.aead.Seal(dst, n[:], value, []byte(key))
	end := len(dst) - TagSize
	return dst[:end], Tag(dst[end:])
}

// OpenValue appends the value to dst that SealValue sealed.
func (s *Session) OpenValue(dst []byte, sequence uint64, entry int, key string, sealed []byte, t *Tag) ([]byte, error) {
	n := nonce(sequence, uint16(entry))
	b := make([]byte, 0, len(sealed)+TagSize)
	dst, err := s.aead.Open(dst, n[:], append(append(b, sealed...), t[:]...), []byte(key))
	if err != nil {
		return nil, ErrTag
	}
	return dst, nil
}

// castagnoli is the polynomial of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum returns the CRC-32C of b.
func Sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
