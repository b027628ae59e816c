package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"nexus.internal/ipc/abi"
)

// The reasons for which [ParseBoot] refuses the entry "boot".
var (
	ErrBootShort  = errors.New("boot entry: shorter than it says")
	ErrBootLong   = errors.New("boot entry: bytes behind its strings")
	ErrBootLimit  = errors.New("boot entry: more than abi.MaxBootData bytes of strings")
	ErrBootString = errors.New("boot entry: strings do not match their number")
)

const bootFixed = 16 // bytes in front of the strings

// Boot is what the entry "boot" holds: arguments and environment of the root
// process, as the kernel lays them out in a start page.
type Boot struct {
	Args []byte // Argc NUL-terminated strings
	Argc int
	Env  []byte // Envc NUL-terminated strings "key=value"
	Envc int
}

// AppendBoot appends the entry "boot" for these strings to dst: number and bytes
// of the arguments, number and bytes of the environment (32 bits each,
// little-endian), then the strings. None may contain NUL.
func AppendBoot(dst []byte, args, env []string) ([]byte, error) {
	var strs [2][]byte
	for i, list := range [][]string{args, env} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return nil, fmt.Errorf("%w: NUL in %q", ErrBootString, s)
			}
			strs[i] = append(append(strs[i], s...), 0)
		}
	}
	if n := len(strs[0]) + len(strs[1]); n > abi.MaxBootData {
		return nil, fmt.Errorf("%w: %d", ErrBootLimit, n)
	}
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, uint32(len(args)))
	dst = le.AppendUint32(dst, uint32(len(strs[0])))
	dst = le.AppendUint32(dst, uint32(len(env)))
	dst = le.AppendUint32(dst, uint32(len(strs[1])))
	return append(append(dst, strs[0]...), strs[1]...), nil
}

// ParseBoot reads the entry "boot". The result refers to b.
func ParseBoot(b []byte) (Boot, error) {
	if len(b) < bootFixed {
		return Boot{}, fmt.Errorf("%w: %d bytes", ErrBootShort, len(b))
	}
	le := binary.LittleEndian
	argc, argsLen := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
	envc, envLen := uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	b = b[bootFixed:]
	switch n := argsLen + envLen; {
	case n > abi.MaxBootData:
		return Boot{}, fmt.Errorf("%w: %d", ErrBootLimit, n)
	case n > uint64(len(b)):
		return Boot{}, fmt.Errorf("%w: %d bytes of strings, %d left", ErrBootShort, n, len(b))
	case n < uint64(len(b)):
		return Boot{}, fmt.Errorf("%w: %d", ErrBootLong, uint64(len(b))-n)
	}
	boot := Boot{Args: b[:argsLen:argsLen], Env: b[argsLen:]}
	if !holdsStrings(boot.Args, argc) || !holdsStrings(boot.Env, envc) {
		return Boot{}, ErrBootString
	}
	boot.Argc, boot.Envc = int(argc), int(envc)
	return boot, nil
}

// holdsStrings reports whether b is exactly n NUL-terminated strings.
func holdsStrings(b []byte, n uint64) bool {
	if len(b) == 0 {
		return n == 0
	}
	return b[len(b)-1] == 0 && uint64(bytes.Count(b, []byte{0})) == n
}
