package rngd

import (
	"hash"

	"golang.org/x/crypto/blake2s"
)

// drbg is HMAC_DRBG of NIST SP 800-90A, section 10.1.2: whoever learns its state learns
// nothing that it said before, and after a reseed nothing that it says.
//
// Its hash is BLAKE2s, as strong as SHA-256 and as long. Every process of the services
// binary initialises the packages of all: the standard library's SHA-256 would cost each
// three times as much at its start. The tests run the same code with SHA-256 on NIST's
// vectors.
type drbg struct {
	hash hash.Hash
	k, v [hashSize]byte
}

// hashSize and blockSize are those of BLAKE2s, and of SHA-256.
const (
	hashSize  = 32
	blockSize = 64
)

// newHash returns the hash of the generator.
func newHash() hash.Hash {
	h, err := blake2s.New256(nil)
	if err != nil {
		panic(err) // there is no key that could be too long
	}
	return h
}

// newDRBG starts with entropy, which has at least 256 bits of it, and a nonce.
func newDRBG(h hash.Hash, entropy, nonce []byte) *drbg {
	d := &drbg{hash: h}
	for i := range d.v {
		d.v[i] = 1
	}
	d.update(entropy, nonce)
	return d
}

// reseed adds entropy.
func (d *drbg) reseed(entropy []byte) { d.update(entropy) }

// generate fills b, which must not be longer than 64 KiB.
func (d *drbg) generate(b []byte) {
	for len(b) > 0 {
		d.v = d.mac(d.v[:])
		b = b[copy(b, d.v[:]):]
	}
	d.update()
}

// update makes the next state from this one and what is provided.
func (d *drbg) update(provided ...[]byte) {
	for _, round := range []byte{0, 1} {
		d.k = d.mac(append([][]byte{d.v[:], {round}}, provided...)...)
		d.v = d.mac(d.v[:])
		if len(provided) == 0 {
			return
		}
	}
}

// mac returns the HMAC of the parts (RFC 2104).
func (d *drbg) mac(parts ...[]byte) (sum [hashSize]byte) {
	var inner, outer [blockSize]byte
	copy(inner[:], d.k[:])
	copy(outer[:], d.k[:])
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	h := d.hash
	h.Reset()
	h.Write(inner[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	h.Reset()
	h.Write(outer[:])
	h.Write(sum[:])
	h.Sum(sum[:0])
	return sum
}
