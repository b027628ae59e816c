package bake

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"slices"

	"nexus.internal/kernel/image"
)

// flatten returns the bytes of a kernel as they must stand in memory from the
// board's load address on, up to a page boundary behind the last segment, and
// the address of its entry. The first image.HeaderSize bytes are free.
func flatten(file []byte, board Board) (flat []byte, entry uint64, err error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %v", ErrKernel, err)
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != elf.EM_RISCV || f.Type != elf.ET_EXEC {
		return nil, 0, fmt.Errorf("%w: %v %v %v %v, not a 64-bit little-endian RISC-V executable", ErrKernel, f.Class, f.Data, f.Machine, f.Type)
	}
	loads := make([]*elf.Prog, 0, len(f.Progs))
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Memsz > 0 {
			loads = append(loads, p)
		}
	}
	slices.SortStableFunc(loads, func(a, b *elf.Prog) int { return cmp.Compare(a.Paddr, b.Paddr) })

	free, entryOK := board.Load+image.HeaderSize, false
	for _, p := range loads {
		switch {
		case p.Paddr < free:
			return nil, 0, fmt.Errorf("%w: segment at %#x, memory is free from %#x on", ErrKernel, p.Paddr, free)
		case p.Filesz > p.Memsz:
			return nil, 0, fmt.Errorf("%w: segment at %#x has %d bytes in the file, %d in memory", ErrKernel, p.Paddr, p.Filesz, p.Memsz)
		case p.Memsz > image.MaxSize || p.Paddr-board.Load > image.MaxSize-p.Memsz:
			return nil, 0, fmt.Errorf("%w: segment at %#x of %d bytes ends beyond %d MiB", ErrKernel, p.Paddr, p.Memsz, image.MaxSize>>20)
		case p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0:
			return nil, 0, fmt.Errorf("%w: segment at %#x is writable and executable", ErrKernel, p.Paddr)
		case p.Vaddr != p.Paddr:
			return nil, 0, fmt.Errorf("%w: segment at %#x is linked for %#x; the kernel is identity-mapped", ErrKernel, p.Paddr, p.Vaddr)
		}
		end := p.Paddr - board.Load + p.Memsz
		flat = append(flat, make([]byte, end-uint64(len(flat)))...)
		if _, err := p.ReadAt(flat[p.Paddr-board.Load:][:p.Filesz], 0); err != nil && p.Filesz > 0 {
			return nil, 0, fmt.Errorf("%w: segment at %#x: %v", ErrKernel, p.Paddr, err)
		}
		free = p.Paddr + p.Memsz
		entryOK = entryOK || p.Flags&elf.PF_X != 0 && f.Entry >= p.Paddr && f.Entry < p.Paddr+p.Filesz
	}
	if !entryOK {
		return nil, 0, fmt.Errorf("%w: entry %#x is in no executable segment", ErrKernel, f.Entry)
	}
	return append(flat, make([]byte, roundUp(uint64(len(flat)))-uint64(len(flat)))...), f.Entry, nil
}
