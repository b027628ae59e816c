//go:build tamago && riscv64

package kernel

import _ "unsafe" // for go:linkname

// systemstack runs fn on the stack that the board set up: it does not grow, which
// would allocate, and ends in a guard page.
//
//go:linkname systemstack runtime.nexus_systemstack
func systemstack(fn func())
