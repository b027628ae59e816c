//go:build tamago

// Crash ends by an exception that nobody handles.
package main

import (
	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

var nowhere *uint64

func main() {
	ipc.Self().Syscall(abi.SysFaultHandler, new(ipc.Regs))
	*nowhere = 1
}
