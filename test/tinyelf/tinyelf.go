// Package tinyelf writes small RISC-V executables for the tests of the tools:
// image baking and the QEMU harness need kernels long before, and simpler than,
// the real one.
package tinyelf

import (
	"debug/elf"
	"encoding/binary"
)

// Segment is one loadable part of a program, at the same virtual and physical
// address.
type Segment struct {
	Addr  uint64
	Data  []byte
	Zeros uint64 // bytes of zeros behind Data
	Flags elf.ProgFlag
}

const (
	headerSize = 64
	progSize   = 56
)

// Encode returns a 64-bit RISC-V ELF executable of these segments.
func Encode(entry uint64, segments ...Segment) []byte {
	le := binary.LittleEndian
	b := append([]byte(elf.ELFMAG), byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT))
	b = append(b, make([]byte, elf.EI_NIDENT-len(b))...)
	b = le.AppendUint16(b, uint16(elf.ET_EXEC))
	b = le.AppendUint16(b, uint16(elf.EM_RISCV))
	b = le.AppendUint32(b, uint32(elf.EV_CURRENT))
	b = le.AppendUint64(b, entry)
	b = le.AppendUint64(b, headerSize)
	b = le.AppendUint64(b, 0) // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []int{headerSize, progSize, len(segments), 0, 0, 0} {
		b = le.AppendUint16(b, uint16(v))
	}
	off := uint64(headerSize + progSize*len(segments))
	for _, s := range segments {
		b = le.AppendUint32(b, uint32(elf.PT_LOAD))
		b = le.AppendUint32(b, uint32(s.Flags))
		size := uint64(len(s.Data))
		for _, v := range []uint64{off, s.Addr, s.Addr, size, size + s.Zeros, 1} {
			b = le.AppendUint64(b, v)
		}
		off += size
	}
	for _, s := range segments {
		b = append(b, s.Data...)
	}
	return b
}

// Printer returns a program for S-mode under OpenSBI that prints text, which
// must not contain NUL, on the console and then ends QEMU's machine "virt" with
// that exit code, or spins for ever if the code is negative. It runs at any
// address.
func Printer(text string, exit int) []byte {
	const testDevice = 0x100 // upper 20 bits of the address of sifive_test
	end := uint32(0x5555)    // finisher: pass
	if exit > 0 {
		end = 0x3333 | uint32(exit)<<16 // finisher: fail with a code
	}
	// lui is sign-extended, and so is the addi behind it.
	high := (end + 0x800) >> 12
	low := end & 0xfff
	words := []uint32{
		0x00000497,          // auipc s1, 0
		16*4<<20 | 0x048493, // addi  s1, s1, 64
		0x0004c503,          // lbu   a0, 0(s1)
		0x00050a63,          // beqz  a0, +20
		0x00100893,          // li    a7, 1: console putchar
		0x00000073,          // ecall
		0x00148493,          // addi  s1, s1, 1
		0xfedff06f,          // j     -20
		testDevice<<12 | 0x2b7,
		high<<12 | 0x337,     // lui   t1, high
		low<<20 | 0x0003031b, // addiw t1, t1, low
		0x0062a023,           // sw    t1, 0(t0)
		0x0000006f,           // j     .
		0, 0, 0,
	}
	if exit < 0 {
		words[8] = 0x0000006f // j .
	}
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return append(append(b, text...), 0)
}
