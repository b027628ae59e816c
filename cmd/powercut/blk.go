package main

import (
	"fmt"
	"strings"

	"nexus.internal/test/powercut"
)

// blkLoad is the load of package svc/cutload: after a cut each writer finds the number of
// the write that was acknowledged last, or the one after.
func blkLoad() powercut.Load {
	acked := map[int]uint64{}
	return powercut.Load{Start: "cut: start", Most: 300, Line: func(boot int, line string) error {
		var writer int
		var n uint64
		switch {
		case strings.Contains(line, "FAIL"), strings.Contains(line, "panic"),
			// What policyd says when a slow host lets an audit wait has nothing to do with disks.
			strings.HasPrefix(line, "[ERROR") && !strings.HasPrefix(line, "[ERROR policyd]"):
			return fmt.Errorf("%s", line)
		case scan(line, "cut: found %d %d", &writer, &n):
			if was := acked[writer]; n != was && n != was+1 {
				return fmt.Errorf("writer %d finds %d, and %d was acknowledged last", writer, n, was)
			}
			acked[writer] = n
		case scan(line, "cut: acked %d %d", &writer, &n):
			if n != acked[writer]+1 {
				return fmt.Errorf("writer %d acknowledges %d after %d", writer, n, acked[writer])
			}
			acked[writer] = n
		}
		return nil
	}}
}

// scan reports whether a line has this form and nothing else, and reads what is in it.
func scan(line, form string, args ...any) bool {
	n, err := fmt.Sscanf(line+"\n", form+"\n", args...)
	return err == nil && n == len(args)
}
