package rngd

import (
	"crypto/sha256"
	"hash"
)

// drbg is HMAC_DRBG of NIST SP 800-90A, section 10.1.2, with SHA-256: whoever learns its
// state learns nothing that it said before, and after a reseed nothing that it says. One
// hash and one buffer serve every step, so that the next key overwrites what HMAC made of
// the last one.
type drbg struct {
	hash hash.Hash
	pad  [sha256.BlockSize]byte
	sum  [sha256.Size]byte
	k, v [sha256.Size]byte
}

// newDRBG starts with entropy, which has at least 256 bits of it, and a nonce.
func newDRBG(entropy, nonce []byte) *drbg {
	d := &drbg{hash: sha256.New()}
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
func (d *drbg) mac(parts ...[]byte) [sha256.Size]byte {
	d.begin(0x36)
	for _, p := range parts {
		d.hash.Write(p)
	}
	d.hash.Sum(d.sum[:0])
	d.begin(0x5c)
	d.hash.Write(d.sum[:])
	d.hash.Sum(d.sum[:0])
	clear(d.pad[:])
	return d.sum
}

// begin starts a hash with the key, each byte of it changed by x.
func (d *drbg) begin(x byte) {
	clear(d.pad[:])
	copy(d.pad[:], d.k[:])
	for i := range d.pad {
		d.pad[i] ^= x
	}
	d.hash.Reset()
	d.hash.Write(d.pad[:])
}
