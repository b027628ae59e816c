//go:build tamago

package hostile

import (
	"context"
	"fmt"

	"nexus.internal/ipc/abi"
)

// sleeperEntry returns where a thread starts that sleeps for ever and uses no stack.
func sleeperEntry() uint64

// threadBomb starts threads until no more are given, and dies with all of them. Those
// that it asks to run in the kernel, or on its stack, it must not get.
func threadBomb(_ context.Context, a *attacker) error {
	const stack = abi.StackTop
	for _, wild := range [][2]uint64{{FaultAddr, stack}, {0, stack}, {abi.UserEnd, stack}, {sleeperEntry(), FaultAddr}, {sleeperEntry(), 0}} {
		_, errno := a.syscall(abi.SysThreadCreate, wild[0], wild[1])
		if err := refused(fmt.Sprintf("a thread at %#x with its stack at %#x", wild[0], wild[1]), errno, abi.EINVAL); err != nil {
			return err
		}
	}
	started := 0
	for ; started < attempts; started++ {
		if _, errno := a.syscall(abi.SysThreadCreate, sleeperEntry(), stack); errno != abi.OK {
			if err := refused("one more thread", errno, abi.ENOSPC); err != nil {
				return err
			}
			break
		}
	}
	if started == 0 || started >= abi.MaxThreads {
		return fmt.Errorf("%d threads beside the first one", started)
	}
	_, errno := a.syscall(abi.SysThreadExit, FaultAddr)
	return refused("an exit that writes to the kernel", errno, abi.EFAULT)
}
