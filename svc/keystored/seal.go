package keystored

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// errSeal says that something sealed is not what was sealed here under its name.
var errSeal = errors.New("keystored: what is sealed was changed, or is another's")

// keys are what the root secret is used for. It is used for nothing else.
type keys struct {
	sealing  [chacha20poly1305.KeySize]byte // of what is kept
	deriving [sha256.Size]byte              // of keys for others
}

// use makes the keys of the root secret.
func (k *keys) use(root []byte) {
	for purpose, key := range map[string][]byte{"seal": k.sealing[:], "derive": k.deriving[:]} {
		expand(key, root, "nexus keystored 1 "+purpose)
	}
}

// expand fills key with HKDF-SHA256 of a secret, for a purpose.
func expand(key, secret []byte, purpose string) {
	b, err := hkdf.Key(sha256.New, secret, nil, purpose, len(key))
	if err != nil {
		panic(err) // no key here is too long
	}
	copy(key, b)
	clear(b)
}

// derive fills key with that of a service for a label. The id has a fixed length, so no
// two pairs are the same bytes.
func (k *keys) derive(key []byte, service uint64, label string) {
	expand(key, k.deriving[:], string(binary.LittleEndian.AppendUint64([]byte("nexus key for "), service))+label)
}

// sealedBytes is how much longer something is when it is sealed: version, nonce, tag.
const sealedBytes = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// sealVersion is the first byte of what is sealed.
const sealVersion = 1

// seal returns plain as it is kept under a name: XChaCha20-Poly1305 with a random nonce,
// which has room for as many as anybody draws. Under another name it does not open.
func (k *keys) seal(name string, plain []byte) []byte {
	aead, err := chacha20poly1305.NewX(k.sealing[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, sealedBytes+len(plain))
	out[0] = sealVersion
	rand.Read(out[1:])
	return aead.Seal(out, out[1:], plain, bound(name))
}

// open appends to dst what was sealed under a name.
func (k *keys) open(dst []byte, name string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealedBytes || sealed[0] != sealVersion {
		return dst, errSeal
	}
	aead, err := chacha20poly1305.NewX(k.sealing[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	const head = 1 + chacha20poly1305.NonceSizeX
	plain, err := aead.Open(dst, sealed[1:head], sealed[head:], bound(name))
	if err != nil {
		return dst, errSeal
	}
	return plain, nil
}

// bound is what is authenticated beside the plain text.
func bound(name string) []byte { return append([]byte{sealVersion}, name...) }
