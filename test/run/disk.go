package main

import (
	"errors"
	"os"
	"path/filepath"

	"nexus.internal/test/nbd"
	"nexus.internal/test/qemu"
)

// Where a bad disk is bad: in the partition of the self-test, which begins at 2 MiB, as
// svc/selftest has it.
const (
	badFrom = (2 + 6) << 20
	badTo   = badFrom + 8<<10
)

// badDisk serves a disk with sectors that can be neither read nor written.
func badDisk() (s *nbd.Server, remove func(), err error) {
	dir, err := os.MkdirTemp("", "nexus-run-")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "disk.img")
	var content []byte
	if err = qemu.NewDisk(file); err == nil {
		content, err = os.ReadFile(file)
	}
	if err == nil {
		d := nbd.NewDisk(content)
		d.Fail = func(_ bool, off, n int64) error {
			if off < badTo && off+n > badFrom {
				return errors.New("bad sectors")
			}
			return nil
		}
		s, err = nbd.Listen(filepath.Join(dir, "socket"), d)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	return s, func() { s.Close(); os.RemoveAll(dir) }, nil
}
