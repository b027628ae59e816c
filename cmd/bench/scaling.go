package main

import (
	"context"
	"fmt"
	"time"

	"nexus.internal/test/qemu"
)

// The one figure that is not a count of instructions: how many calls two pairs of
// client and server on two harts make in the time in which one pair on one makes a
// hundred. It is a ratio within one run on the wall clock, so it depends a little on
// what else the machine does, and has no baseline.
const (
	scalingName  = "smp2_scaling"
	scalingGoal  = 170 // percent
	scalingFloor = 130 // below it the run fails: harts wait for each other where they need not
)

// scaling boots the benchmark on two harts and judges what it says.
func scaling(ctx context.Context, file string, timeout time.Duration, verbose bool) error {
	percent := uint64(0)
	m := qemu.Machine{Image: file, SMP: 2}
	end, err := m.Run(ctx, timeout, func(line string) time.Duration {
		if verbose {
			fmt.Println(line)
		}
		if _, err := fmt.Sscanf(line, "bench: "+scalingName+" %d percent", &percent); err != nil {
			return -1
		}
		return 0
	})
	switch {
	case err != nil:
		return err
	case percent == 0:
		return fmt.Errorf("no figure; QEMU ended with %+v", end)
	case percent < scalingFloor:
		return fmt.Errorf("two pairs on two harts make %d %% of the calls of one, less than %d %%", percent, scalingFloor)
	}
	note := ""
	if percent < scalingGoal {
		note = ", below the goal"
	}
	fmt.Printf("%s: two pairs on two harts make %d %% of the calls of one pair on one; goal %d %%%s\n", scalingName, percent, scalingGoal, note)
	return nil
}
