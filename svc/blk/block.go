package blk

import "context"

// Block is a disk for code that knows no contexts, like the store of package statefs. Its
// calls end with an answer, at the latest when blkd gives the device up.
type Block struct{ Disk *Disk }

// SectorSize is the unit of offsets and lengths.
func (Block) SectorSize() int { return SectorSize }

// Size returns how many bytes the partition has.
func (b Block) Size() int64 { return b.Disk.Size() }

// Read fills p from an offset on.
func (b Block) Read(p []byte, offset int64) error {
	return b.Disk.ReadAt(context.Background(), p, offset)
}

// Write writes p from an offset on. It lasts after a Flush.
func (b Block) Write(p []byte, offset int64) error {
	return b.Disk.WriteAt(context.Background(), p, offset)
}

// Flush returns when everything whose writing had ended before lasts.
func (b Block) Flush() error { return b.Disk.Flush(context.Background()) }
