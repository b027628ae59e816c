package core

import (
	"crypto/sha256"
	"encoding/binary"
)

// drbg gives every process entropy of its own: a hash chain over the real entropy
// of the boot. Each output and each next state are different hashes of the state,
// so that neither an output nor a state that leaks later tells an earlier output.
type drbg struct{ state [32]byte }

// next returns 32 bytes that depend on everything before and on pid.
func (d *drbg) next(pid uint64) [32]byte {
	var in [32 + 1 + 8]byte
	copy(in[:], d.state[:])
	binary.LittleEndian.PutUint64(in[33:], pid)
	in[32] = 1
	out := sha256.Sum256(in[:])
	in[32] = 2
	d.state = sha256.Sum256(in[:])
	return out
}
