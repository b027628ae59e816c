package blkd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/u-root/u-root/pkg/mount/gpt"
)

const tableTest = 4096 // sectors of the disk

// sink is a disk that a table is written to.
type sink []byte

func (s sink) WriteAt(p []byte, off int64) (int, error) { return copy(s[off:], p), nil }

// makeTable writes a table with these partitions to a disk, changed before the sums are
// made.
func makeTable(t testing.TB, change func(*gpt.GPT), parts ...partition) sink {
	t.Helper()
	g := gpt.GPT{
		Header: gpt.Header{Signature: gpt.Signature, Revision: gpt.Revision, HeaderSize: gpt.HeaderSize,
			CurrentLBA: 1, BackupLBA: tableTest - 1, FirstLBA: 34, LastLBA: tableTest - 34, PartStart: 2, NPart: gpt.MaxNPart, PartSize: entrySize},
		Parts: make([]gpt.Part, gpt.MaxNPart),
	}
	for i, p := range parts {
		e := &g.Parts[i]
		e.PartGUID.L, e.UniqueGUID.L, e.FirstLBA, e.LastLBA = 7, uint32(i), p.first, p.first+p.count-1
		for j, u := range utf16.Encode([]rune(p.name)) {
			binary.LittleEndian.PutUint16(e.Name[2*j:], u)
		}
	}
	if change != nil {
		change(&g)
	}
	b := g
	b.CurrentLBA, b.BackupLBA, b.PartStart = g.BackupLBA, g.CurrentLBA, tableTest-33
	disk := make(sink, tableTest*sectorSize)
	if err := gpt.Write(disk, &gpt.PartitionTable{MasterBootRecord: &gpt.MBR{}, Primary: &g, Backup: &b}); err != nil {
		t.Fatal(err)
	}
	return disk
}

func (s sink) parse() ([]partition, error) {
	n := len(s) - tableSectors*sectorSize
	return parseTable(slices.Clone(s[:(1+tableSectors)*sectorSize]), slices.Clone(s[n:]), uint64(len(s)/sectorSize))
}

var two = []partition{{"keys", 34, 100}, {"state", 134, tableTest - 34 - 134 + 1}}

func TestTable(t *testing.T) {
	disk := makeTable(t, nil, two...)
	if got, err := disk.parse(); err != nil || !slices.Equal(got, two) {
		t.Fatal(got, err)
	}
	// Either copy is enough, whatever is wrong with the other one.
	for name, at := range map[string][2]int{"first copy": {1, 2}, "second copy": {tableTest - 1, tableTest - 33}} {
		for what, sector := range map[string]int{"header": at[0], "entries": at[1]} {
			d := slices.Clone(disk)
			d[sector*sectorSize+56] ^= 1
			if got, err := d.parse(); err != nil || !slices.Equal(got, two) {
				t.Errorf("%s of the %s: %v, %v", what, name, got, err)
			}
		}
	}
	if got, err := makeTable(t, nil).parse(); err != nil || len(got) != 0 {
		t.Error("an empty table:", got, err)
	}
}

// A table that says what cannot be is no table, though its sums are right.
func TestRejectTable(t *testing.T) {
	one := func(first, count uint64) []partition { return []partition{{"x", first, count}} }
	var many []partition
	for i := range uint64(maxPartitions + 1) {
		many = append(many, partition{fmt.Sprint(i), 34 + i, 1})
	}
	for name, c := range map[string]struct {
		change func(*gpt.GPT)
		parts  []partition
	}{
		"starts in the table":       {nil, one(33, 10)},
		"starts at the boot record": {nil, one(0, 10)},
		"ends in the copy":          {nil, one(100, tableTest-34-100+2)},
		"ends behind the disk":      {nil, one(100, tableTest)},
		"ends before it starts":     {nil, one(100, 0)},
		"ends before the disk":      {nil, one(100, 1<<64-50)},
		"far off":                   {nil, one(1<<63, 10)},
		"two have a sector":         {nil, []partition{{"a", 34, 10}, {"b", 43, 10}}},
		"one inside of another":     {nil, []partition{{"a", 34, 100}, {"b", 40, 1}}},
		"two of a name":             {nil, []partition{{"a", 34, 1}, {"a", 35, 1}}},
		"too many":                  {nil, many},
		"another place":             {func(g *gpt.GPT) { g.FirstLBA = 33 }, two},
		"longer than the disk":      {func(g *gpt.GPT) { g.LastLBA = tableTest - 33 }, two},
		"no sectors":                {func(g *gpt.GPT) { g.FirstLBA, g.LastLBA = 200, 199 }, nil},
		"more entries":              {func(g *gpt.GPT) { g.NPart++; g.Parts = append(g.Parts, gpt.Part{}) }, two},
	} {
		if got, err := makeTable(t, c.change, c.parts...).parse(); !errors.Is(err, errTable) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// Headers that would have the library take any memory or read anywhere.
	for name, change := range map[string]func([]byte){
		"large entries":   func(h []byte) { binary.LittleEndian.PutUint32(h[84:], 1<<31) },
		"no entries":      func(h []byte) { binary.LittleEndian.PutUint32(h[84:], 0) },
		"entries far off": func(h []byte) { binary.LittleEndian.PutUint64(h[72:], 1<<55) },
		"entries nowhere": func(h []byte) { binary.LittleEndian.PutUint64(h[72:], 1<<63) },
		"another header":  func(h []byte) { binary.LittleEndian.PutUint64(h[24:], 2) },
		"no signature":    func(h []byte) { h[0] = 0 },
	} {
		d := makeTable(t, nil, two...)
		for _, sector := range []int{1, tableTest - 1} {
			h := d[sector*sectorSize:][:sectorSize]
			change(h)
			binary.LittleEndian.PutUint32(h[16:], 0)
			binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		}
		if got, err := d.parse(); !errors.Is(err, errTable) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := make(sink, 67*sectorSize).parse(); !errors.Is(err, errTable) {
		t.Error("a short disk:", err)
	}
	if _, err := make(sink, 100*sectorSize).parse(); !errors.Is(err, errTable) {
		t.Error("zeroes:", err)
	}
}

// FuzzTable: whatever the sectors say, no partition has a sector that another one or a
// table has. The sums are made right, so that the rest is looked at.
func FuzzTable(f *testing.F) {
	d := makeTable(f, nil, two...)
	f.Add([]byte(append(slices.Clone(d[sectorSize:][:92]), d[2*sectorSize:][:2*entrySize]...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := make(sink, tableTest*sectorSize)
		h := d[sectorSize:][:92]
		copy(d[2*sectorSize:][:tableSectors*sectorSize-sectorSize], b[copy(h, b):])
		le := binary.LittleEndian
		if n := le.Uint32(h[80:]); n <= gpt.MaxNPart {
			le.PutUint32(h[88:], crc32.ChecksumIEEE(d[2*sectorSize:][:n*entrySize]))
		}
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		parts, err := d.parse()
		if err != nil {
			return
		}
		taken := make([]bool, tableTest)
		for _, p := range parts {
			for s := p.first; s < p.first+p.count; s++ {
				if s < 1+tableSectors || s >= tableTest-tableSectors || taken[s] {
					t.Fatalf("sector %d is %q's: %+v", s, p.name, parts)
				}
				taken[s] = true
			}
			if p.count == 0 {
				t.Fatalf("%q is empty", p.name)
			}
		}
	})
}

func TestAskable(t *testing.T) {
	for name, want := range map[string]bool{"keys": true, "a-1": true, "": false, "Keys": false, "a b": false, "a.b": false, "ä": false} {
		if askable(name) != want {
			t.Errorf("%q", name)
		}
	}
}
