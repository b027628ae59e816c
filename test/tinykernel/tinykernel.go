// Package tinykernel makes kernels of a dozen instructions, for the tests of the
// tools that bake and boot images: they print what they are told and end QEMU
// with the exit code they are told.
package tinykernel

import (
	"encoding/binary"

	"nexus.internal/kernel/elf/elftest"
)

// Base is where ELF links its kernels: where the real one begins.
const Base = 0x8021_0000

// ELF returns an executable at Base whose text is Code(text, exit).
func ELF(text string, exit int) []byte {
	return elftest.File{Entry: Base, Segments: []elftest.Segment{
		{Type: elftest.Load, Flags: elftest.R | elftest.X, VA: Base, Data: Code(text, exit)},
	}}.Build()
}

// Code returns a program for S-mode under OpenSBI that prints text, which
// must not contain NUL, on the console and then ends QEMU's machine "virt" with
// that exit code, or spins for ever if the code is negative. It runs at any
// address.
func Code(text string, exit int) []byte {
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
