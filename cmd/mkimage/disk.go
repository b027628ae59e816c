package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"nexus.internal/cmd/mkimage/disk"
)

// diskCmd makes an empty disk.
type diskCmd struct {
	Size      uint64   `default:"64" placeholder:"MIB" help:"Size of the disk in MiB (${default})."`
	Partition []string `sep:"none" default:"keys=1,state" placeholder:"NAME[=MIB]" help:"Partition and its size in MiB, or the rest of the disk; may be repeated, or a list with commas (${default})."`
	Keep      bool     `help:"Leave a file that exists as it is."`
	Output    string   `short:"o" required:"" placeholder:"FILE" help:"Disk to write."`
}

func (c *diskCmd) Run() error {
	if c.Keep {
		if _, err := os.Stat(c.Output); err == nil {
			return nil
		}
	}
	var parts []disk.Partition
	for _, list := range c.Partition {
		for p := range strings.SplitSeq(list, ",") {
			name, size, sized := strings.Cut(p, "=")
			mib := uint64(0)
			if sized {
				var err error
				if mib, err = strconv.ParseUint(size, 10, 32); err != nil || mib == 0 {
					return fmt.Errorf("partition %q: want NAME or NAME=MIB", p)
				}
			}
			parts = append(parts, disk.Partition{Name: name, MiB: mib})
		}
	}
	return disk.Create(c.Output, c.Size, parts)
}
