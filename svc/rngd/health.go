package rngd

import "errors"

// The continuous health tests of NIST SP 800-90B, section 4.4, on bytes. The cutoffs
// are for a source with at least four bits of entropy in a byte: a good one fails a
// test once in 2^30 bytes.
const (
	// repeatCutoff is how many equal bytes in a row are too many: 1 + 30/4, rounded up.
	repeatCutoff = 9
	// window and windowCutoff: of so many bytes, how many like the first are too many;
	// the binomial distribution with 1/16 exceeds that with a probability below 2^-30.
	window       = 512
	windowCutoff = 71
	// startup is how many bytes must pass before the first is used (section 4.3).
	startup = 1024
)

// The ways in which a source is broken.
var (
	errRepeats    = errors.New("entropy source repeats itself")
	errProportion = errors.New("entropy source prefers one value")
)

// health is the state of the tests over everything that a source has said.
type health struct {
	last    byte
	repeats int // of last, itself included; 0 before the first byte
	first   byte
	seen    int // bytes of this window
	alike   int // of those, like first
}

// test looks at more bytes of the source. After an error none of them may be used, nor
// any that follow.
func (h *health) test(b []byte) error {
	for _, c := range b {
		if h.repeats == 0 || c != h.last {
			h.last, h.repeats = c, 0
		}
		if h.repeats++; h.repeats >= repeatCutoff {
			return errRepeats
		}
		if h.seen == 0 {
			h.first, h.alike = c, 0
		}
		if c == h.first {
			h.alike++
		}
		if h.alike >= windowCutoff {
			return errProportion
		}
		h.seen = (h.seen + 1) % window
	}
	return nil
}
