package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"unicode/utf16"

	"github.com/u-root/u-root/pkg/mount/gpt"
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
	// The copy of the table, in the last sector, counts if the first one is damaged.
	t, err := gpt.Table(f, gpt.HeaderOff)
	if err != nil {
		var err2 error
		if t, err2 = gpt.Table(f, info.Size()-gpt.BlockSize); err2 != nil {
			return 0, 0, fmt.Errorf("no partition table: %w (use -raw for a file that is the store)", err)
		}
	}
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.PartGUID == (gpt.GUID{}) || name(&p.Name) != c.Partition {
			continue
		}
		end := info.Size() / gpt.BlockSize
		if p.FirstLBA > p.LastLBA || p.LastLBA >= uint64(end) {
			return 0, 0, fmt.Errorf("partition %q is not inside of the disk", c.Partition)
		}
		return int64(p.FirstLBA) * gpt.BlockSize, int64(p.LastLBA-p.FirstLBA+1) * gpt.BlockSize, nil
	}
	return 0, 0, fmt.Errorf("no partition %q", c.Partition)
}

// name decodes the name of a partition.
func name(n *gpt.PartName) string {
	var units []uint16
	for i := 0; i+1 < len(n); i += 2 {
		u := binary.LittleEndian.Uint16(n[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
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
