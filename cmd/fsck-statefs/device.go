package main

import (
	"fmt"
	"os"

	"nexus.internal/cmd/mkimage/disk"
)

// device is a part of a file as a statefs.Block.
type device struct {
	file   *os.File
	sector int
	at     int64
	size   int64
}

// openDevice opens what the command line names, for writing only if it must.
func openDevice(c *cli) (*device, error) {
	mode := os.O_RDONLY
	if c.Repair {
		mode = os.O_RDWR
	}
	f, err := os.OpenFile(c.Disk, mode, 0)
	if err != nil {
		return nil, err
	}
	d := &device{file: f, sector: c.Sector}
	if d.at, d.size, err = extent(c, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", c.Disk, err)
	}
	return d, nil
}

// extent returns where in the file the store is.
func extent(c *cli, f *os.File) (at, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	if c.Raw {
		return 0, info.Size(), nil
	}
	return disk.Find(f, info.Size(), c.Partition)
}

// SectorSize implements statefs.Block.
func (d *device) SectorSize() int { return d.sector }

// Size implements statefs.Block.
func (d *device) Size() int64 { return d.size }

// Read implements statefs.Block.
func (d *device) Read(p []byte, offset int64) error {
	_, err := d.file.ReadAt(p, d.at+offset)
	return err
}

// Write implements statefs.Block.
func (d *device) Write(p []byte, offset int64) error {
	_, err := d.file.WriteAt(p, d.at+offset)
	return err
}

// Flush implements statefs.Block.
func (d *device) Flush() error { return d.file.Sync() }
