package rngd

import (
	"crypto/hmac"
	"crypto/sha256"
)

// drbg is HMAC_DRBG of NIST SP 800-90A, section 10.1.2, with SHA-256: whoever learns its
// state learns nothing that it said before, and after a reseed nothing that it says.
type drbg struct{ k, v [sha256.Size]byte }

// newDRBG starts with entropy, which has at least 256 bits of it, and a nonce.
func newDRBG(entropy, nonce []byte) *drbg {
	d := new(drbg)
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

// mac returns the HMAC of the parts.
func (d *drbg) mac(parts ...[]byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, d.k[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}
