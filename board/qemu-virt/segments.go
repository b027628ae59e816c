package virt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/sv39"
)

// Offsets in the ELF header and its program headers (ELF-64 object file format),
// and the values that matter here.
const (
	elfPhoff     = 32
	elfPhentsize = 54
	elfPhnum     = 56
	elfSize      = 64
	phFlags      = 4
	phVaddr      = 16
	phMemsz      = 40
	phSize       = 56
	ptLoad       = 1
)

// segments returns the loaded segments of the ELF whose header page is given, in
// the page granularity in which they are mapped. The linker puts that page in
// front of the text, so the kernel carries an exact description of itself; the
// symbols of the linker do not tell where read-only data ends.
func segments(header []byte) ([]sv39.Region, error) {
	le := binary.LittleEndian
	if len(header) < elfSize || le.Uint32(header) != 0x464c457f {
		return nil, errors.New("no ELF header in front of the kernel's text")
	}
	off, size, n := le.Uint64(header[elfPhoff:]), le.Uint16(header[elfPhentsize:]), le.Uint16(header[elfPhnum:])
	if size != phSize || off > uint64(len(header)) || uint64(n)*phSize > uint64(len(header))-off {
		return nil, fmt.Errorf("ELF header of the kernel: %d program headers of %d bytes at %d do not fit in %d bytes", n, size, off, len(header))
	}
	var regions []sv39.Region
	for i := range uint64(n) {
		ph := header[off+i*phSize:][:phSize]
		if le.Uint32(ph) != ptLoad {
			continue
		}
		start, memsz := le.Uint64(ph[phVaddr:]), le.Uint64(ph[phMemsz:])
		if start%abi.PageSize != 0 || start < RAMStart || start >= abi.UserBase || memsz == 0 || memsz > abi.UserBase-start {
			return nil, fmt.Errorf("segment of the kernel at %#x of %d bytes: not page aligned RAM", start, memsz)
		}
		end := (start + memsz + abi.PageSize - 1) &^ (abi.PageSize - 1)
		r := sv39.Region{Range: between(start, end)}
		switch flags := le.Uint32(ph[phFlags:]); flags { // 1 execute, 2 write, 4 read
		case 4 | 1:
			r.Perm = sv39.R | sv39.X
		case 4:
			r.Perm = sv39.R
		case 4 | 2:
			r.Perm = sv39.R | sv39.W
		default:
			return nil, fmt.Errorf("segment of the kernel at %#x: flags %d are not RX, R or RW", start, flags)
		}
		if k := len(regions); k > 0 && r.Start < regions[k-1].End {
			return nil, fmt.Errorf("segment of the kernel at %#x starts below the end of the one before it", start)
		}
		regions = append(regions, r)
	}
	if k := len(regions); k == 0 || regions[k-1].Perm != sv39.R|sv39.W {
		return nil, errors.New("kernel without a writable last segment")
	}
	return regions, nil
}
