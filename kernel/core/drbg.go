package core

import (
	"crypto/sha512"
	"encoding/binary"
)

// drbg gives every process entropy of its own: a hash chain over the real entropy
// of the boot. An output and the next state are the two halves of a hash of the
// state, so that neither an output nor a state that leaks later tells an earlier
// output.
type drbg struct{ state [32]byte }

// next returns 32 bytes that depend on everything before and on pid.
func (d *drbg) next(pid uint64) [32]byte {
	var in [32 + 8]byte
	copy(in[:], d.state[:])
	binary.LittleEndian.PutUint64(in[32:], pid)
	both := sha512.Sum512(in[:])
	d.state = [32]byte(both[32:])
	return [32]byte(both[:32])
}
