package main

import (
	"bytes"
	"fmt"

	"nexus.internal/cmd/mkimage/disk"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

// stateLoad is the load of cutload.State, which says the same as that of the disk. Its
// store is so small that what it has is moved again and again. What each cut leaves must
// also please the check of the store, which has no key here and so looks at checksums and
// what follows what.
func stateLoad() load {
	l := blkLoad()
	l.Left = func(content []byte) error {
		at, size, err := disk.Find(bytes.NewReader(content), int64(len(content)), "state")
		if err != nil {
			return err
		}
		r, err := statefs.Check(disksim.Of(512, content[at:at+size]), nil)
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		if len(r.Findings) > 0 {
			return fmt.Errorf("check: %v", r.Findings)
		}
		return nil
	}
	return load{l, func(file string) error {
		return disk.Create(file, 4, []disk.Partition{{Name: "keys", MiB: 1}, {Name: "state"}})
	}}
}
