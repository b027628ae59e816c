package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"

	"github.com/u-root/u-root/pkg/mount/gpt"
)

// Find returns where on a disk of so many bytes a partition is. The copy of the table, in
// the last sector, counts if the first one is damaged.
func Find(r io.ReaderAt, size int64, name string) (at, length int64, err error) {
	t, err := gpt.Table(r, gpt.HeaderOff)
	if err != nil {
		var err2 error
		if t, err2 = gpt.Table(r, size-gpt.BlockSize); err2 != nil {
			return 0, 0, fmt.Errorf("%w: no partition table: %w", errDisk, err)
		}
	}
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.PartGUID == (gpt.GUID{}) || nameOf(&p.Name) != name {
			continue
		}
		if p.FirstLBA > p.LastLBA || p.LastLBA >= uint64(size/gpt.BlockSize) {
			return 0, 0, fmt.Errorf("%w: partition %q is not inside of it", errDisk, name)
		}
		return int64(p.FirstLBA) * gpt.BlockSize, int64(p.LastLBA-p.FirstLBA+1) * gpt.BlockSize, nil
	}
	return 0, 0, fmt.Errorf("%w: no partition %q", errDisk, name)
}

func nameOf(n *gpt.PartName) string {
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
