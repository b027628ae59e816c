//go:build tamago

// Random bytes come from the runtime's generator, which was seeded by the kernel
// with real entropy before the process began: it cannot fail and does not block.

package sysrand

import _ "unsafe" // for go:linkname

// runtime_getRandom is in package runtime; it keeps nothing of b.
//
//go:linkname runtime_getRandom
//go:noescape
func runtime_getRandom(b []byte)

func read(b []byte) error {
	runtime_getRandom(b)
	return nil
}
