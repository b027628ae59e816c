// Package disk makes disk images: files with a partition table (GPT) and nothing else.
// The same arguments give the same bytes.
package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unicode/utf16"

	"github.com/u-root/u-root/pkg/mount/gpt"
)

// Partition is a partition to make.
type Partition struct {
	Name string
	MiB  uint64 // 0: the rest of the disk; the last one only
}

// Default is what the system has on its disk.
var Default = []Partition{{"keys", 1}, {"state", 0}}

// DefaultMiB is the size of a disk that nobody asked more of. Its file has holes.
const DefaultMiB = 64

// Limits of a disk.
const (
	minMiB = 4
	maxMiB = 1 << 20
)

var errDisk = errors.New("disk")

// Where things are, in sectors. The table takes a header and 128 entries of 128 bytes,
// at both ends; partitions begin at whole MiB.
const (
	tableSectors = 33
	mib          = 1 << 20 / gpt.BlockSize
)

// linuxData is the type of a partition that has data of no special kind.
var linuxData = gpt.GUID{L: 0x0fc63daf, W1: 0x8483, W2: 0x4772, B: [8]byte{0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4}}

// Create writes a disk of so many MiB to a file, which has holes for what is empty.
func Create(file string, sizeMiB uint64, parts []Partition) error {
	t, err := table(sizeMiB, parts)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(sizeMiB << 20))
	return errors.Join(err, gpt.Write(f, t), f.Close())
}

// table returns the partition table of a disk.
func table(sizeMiB uint64, parts []Partition) (*gpt.PartitionTable, error) {
	if sizeMiB < minMiB || sizeMiB > maxMiB {
		return nil, fmt.Errorf("%w: %d MiB, not %d to %d", errDisk, sizeMiB, minMiB, maxMiB)
	}
	sectors := sizeMiB * mib
	g := gpt.GPT{
		Header: gpt.Header{
			Signature: gpt.Signature, Revision: gpt.Revision, HeaderSize: gpt.HeaderSize,
			CurrentLBA: 1, BackupLBA: sectors - 1, FirstLBA: 1 + tableSectors, LastLBA: sectors - 1 - tableSectors,
			DiskGUID: guid("disk"), PartStart: 2, NPart: gpt.MaxNPart, PartSize: 128,
		},
		Parts: make([]gpt.Part, gpt.MaxNPart),
	}
	if len(parts) > len(g.Parts) {
		return nil, fmt.Errorf("%w: %d partitions", errDisk, len(parts))
	}
	names, at := map[string]bool{}, uint64(mib)
	for i, p := range parts {
		end := at + p.MiB*mib - 1
		if p.MiB == 0 {
			if i != len(parts)-1 {
				return nil, fmt.Errorf("%w: %q has the rest and is not the last", errDisk, p.Name)
			}
			end = (g.LastLBA+1)/mib*mib - 1
		}
		if end > g.LastLBA || end < at || p.MiB > maxMiB {
			return nil, fmt.Errorf("%w: no room for %q", errDisk, p.Name)
		}
		name := utf16.Encode([]rune(p.Name))
		if len(name) == 0 || len(name) > 36 || names[p.Name] {
			return nil, fmt.Errorf("%w: partition %q", errDisk, p.Name)
		}
		names[p.Name] = true
		e := &g.Parts[i]
		e.PartGUID, e.UniqueGUID, e.FirstLBA, e.LastLBA = linuxData, guid("partition "+p.Name), at, end
		for j, u := range name {
			binary.LittleEndian.PutUint16(e.Name[2*j:], u)
		}
		at = end + 1
	}
	backup := g
	backup.CurrentLBA, backup.BackupLBA, backup.PartStart = g.BackupLBA, g.CurrentLBA, g.LastLBA+1
	return &gpt.PartitionTable{MasterBootRecord: protective(sectors), Primary: &g, Backup: &backup}, nil
}

// protective returns the boot record that tells programs which know no such tables that
// all of the disk is in use.
func protective(sectors uint64) *gpt.MBR {
	var m gpt.MBR
	e := m[446:]
	copy(e, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(sectors-1, 1<<32-1)))
	m[510], m[511] = 0x55, 0xaa
	return &m
}

// guid returns an identity that is the same each time: images are compared.
func guid(of string) gpt.GUID {
	h := sha256.Sum256([]byte("nexus " + of))
	le := binary.LittleEndian
	g := gpt.GUID{L: le.Uint32(h[:]), W1: le.Uint16(h[4:]), W2: le.Uint16(h[6:])&0x0fff | 0x8000}
	copy(g.B[:], h[8:16])
	g.B[0] = g.B[0]&0x3f | 0x80
	return g
}
