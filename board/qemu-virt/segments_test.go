package virt

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"nexus.internal/kernel/sv39"
)

type segment struct {
	kind, flags uint32
	addr, size  uint64
}

// header makes an ELF header page with these program headers.
func header(segs ...segment) []byte {
	le := binary.LittleEndian
	b := make([]byte, 4096)
	copy(b, "\x7fELF")
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], uint16(len(segs)))
	for i, s := range segs {
		ph := b[64+56*i:]
		le.PutUint32(ph, s.kind)
		le.PutUint32(ph[4:], s.flags)
		le.PutUint64(ph[16:], s.addr)
		le.PutUint64(ph[40:], s.size)
	}
	return b
}

func TestSegments(t *testing.T) {
	got, err := segments(header(
		segment{6, 4, RAMStart, 0x100}, // not loaded
		segment{1, 5, RAMStart + 0x10000, 0x5001},
		segment{1, 4, RAMStart + 0x16000, 0x1000},
		segment{1, 6, RAMStart + 0x17000, 1},
	))
	want := []sv39.Region{
		{Range: between(RAMStart+0x10000, RAMStart+0x16000), Perm: sv39.R | sv39.X},
		{Range: between(RAMStart+0x16000, RAMStart+0x17000), Perm: sv39.R},
		{Range: between(RAMStart+0x17000, RAMStart+0x18000), Perm: sv39.R | sv39.W},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%#x, %v; want %#x", got, err, want)
	}
}

func TestRejectSegments(t *testing.T) {
	data := segment{1, 6, RAMStart + 0x10000, 1}
	count := func(n uint16) []byte {
		b := header(data)
		binary.LittleEndian.PutUint16(b[56:], n)
		return b
	}
	offset := func(o uint64) []byte {
		b := header(data)
		binary.LittleEndian.PutUint64(b[32:], o)
		return b
	}
	entry := header(data)
	entry[54] = 57
	for _, c := range []struct {
		name   string
		header []byte
		want   string
	}{
		{"nothing", nil, "no ELF header"},
		{"zeros", make([]byte, 4096), "no ELF header"},
		{"no segments", header(), "without a writable"},
		{"too many", count(73), "do not fit"},
		{"far", offset(4096 - 55), "do not fit"},
		{"wraps", offset(^uint64(0)), "do not fit"},
		{"entry size", entry, "do not fit"},
		{"writable text", header(segment{1, 7, RAMStart, 1}, data), "not RX"},
		{"execute only", header(segment{1, 1, RAMStart, 1}, data), "not RX"},
		{"empty", header(segment{1, 5, RAMStart, 0}, data), "not page aligned RAM"},
		{"unaligned", header(segment{1, 5, RAMStart + 8, 1}, data), "not page aligned RAM"},
		{"in the firmware", header(segment{1, 5, RAMStart - 4096, 1}, data), "not page aligned RAM"},
		{"above 4 GiB", header(segment{1, 5, 1 << 32, 1}, data), "not page aligned RAM"},
		{"ends above 4 GiB", header(segment{1, 5, RAMStart, 1 << 31}, data), "not page aligned RAM"},
		{"overlap", header(segment{1, 5, RAMStart + 0xf000, 0x1001}, data), "below the end"},
		{"no data", header(segment{1, 5, RAMStart, 1}), "without a writable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := segments(c.header); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%#x, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}
