package core

import (
	"crypto/sha512"
	"encoding/binary"
)

// drbg gives every process entropy of its own: a hash chain over the real entropy
// of the boot and what makers of processes give for their children. An output and the
// next state are the two halves of a hash of the state, so that neither an output nor a
// state that leaks later tells an earlier output. What is given is hashed along with the
// state: it adds what nobody else knows about it, and whoever chooses it gains nothing.
type drbg struct{ state [32]byte }

// next returns 32 bytes that depend on everything before, on pid and on seed.
func (d *drbg) next(pid uint64, seed *[32]byte) (out [32]byte) {
	var in [32 + 8 + 32]byte // one block of the hash
	copy(in[:], d.state[:])
	binary.LittleEndian.PutUint64(in[32:], pid)
	copy(in[40:], seed[:])
	both := sha512.Sum512(in[:])
	copy(out[:], both[:])
	copy(d.state[:], both[32:])
	clear(in[:])
	clear(both[:])
	return out
}
