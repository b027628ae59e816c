package blkd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/u-root/u-root/pkg/mount/gpt"

	"nexus.internal/svc/blk"
)

// maxPartitions bounds the partitions that a disk may have, and with them the memory of
// their buffers.
const maxPartitions = 8

// tableSectors is what each copy of the table takes: its header, and entries for 128
// partitions.
const tableSectors = 33

// entrySize is how many bytes an entry of the table has.
const entrySize = 128

var errTable = errors.New("blkd: no partition table")

// partition is a range of the disk.
type partition struct {
	name  string
	first uint64
	count uint64
}

// parseTable returns the partitions of a disk of so many sectors. head has its first
// sector and the table behind it, tail its last sectors with the copy of the table,
// which counts if the first one is damaged.
func parseTable(head, tail []byte, sectors uint64) ([]partition, error) {
	if sectors < 2*tableSectors+2 {
		return nil, fmt.Errorf("%w: %d sectors have no room for one", errTable, sectors)
	}
	parts, err := parseCopy(head, 0, 1, sectors)
	if err == nil {
		return parts, nil
	}
	parts, err2 := parseCopy(tail, sectors-tableSectors, sectors-1, sectors)
	if err2 != nil {
		return nil, fmt.Errorf("%w: %w; its copy: %w", errTable, err, err2)
	}
	return parts, nil
}

// window reads from what is known of a disk.
type window struct {
	b  []byte
	at int64 // where on the disk it begins
}

func (w window) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(w.b).ReadAt(p, off-w.at)
}

// parseCopy reads the table whose header is in the sector at, of what begins at the
// sector first.
func parseCopy(b []byte, first, at, sectors uint64) ([]partition, error) {
	header := b[(at-first)*sectorSize:][:sectorSize]
	// The library takes memory for whatever size the header says.
	if n := binary.LittleEndian.Uint32(header[84:]); n != entrySize {
		return nil, fmt.Errorf("entries of %d bytes", n)
	}
	t, err := gpt.Table(window{b, int64(first) * sectorSize}, int64(at)*sectorSize)
	if err != nil {
		return nil, err
	}
	low, high := uint64(1+tableSectors), sectors-1-tableSectors
	if t.CurrentLBA != at || t.FirstLBA < low || t.LastLBA > high || t.FirstLBA > t.LastLBA {
		return nil, fmt.Errorf("a table at %d for the sectors %d to %d of %d", t.CurrentLBA, t.FirstLBA, t.LastLBA, sectors)
	}
	var parts []partition
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.PartGUID == (gpt.GUID{}) {
			continue
		}
		if p.FirstLBA < t.FirstLBA || p.LastLBA > t.LastLBA || p.FirstLBA > p.LastLBA {
			return nil, fmt.Errorf("partition %d from %d to %d", i, p.FirstLBA, p.LastLBA)
		}
		part := partition{nameOf(&p.Name), p.FirstLBA, p.LastLBA - p.FirstLBA + 1}
		for _, q := range parts {
			if part.name == q.name {
				return nil, fmt.Errorf("two partitions %q", q.name)
			}
			if part.first < q.first+q.count && q.first < part.first+part.count {
				return nil, fmt.Errorf("%q and %q have sectors in common", part.name, q.name)
			}
		}
		if len(parts) == maxPartitions {
			return nil, fmt.Errorf("more than %d partitions", maxPartitions)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// nameOf decodes a name.
func nameOf(n *gpt.PartName) string {
	var units []uint16
	for i := 0; i < len(n); i += 2 {
		u := binary.LittleEndian.Uint16(n[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// askable reports whether a name may stand in a question to policyd.
func askable(name string) bool {
	return name != "" && len(name) <= blk.MaxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
