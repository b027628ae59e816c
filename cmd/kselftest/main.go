// Kselftest writes the small programs that package svc/kselftest spawns, one behind
// the other, as one entry for the archive of a test image:
//
//	kselftest FILE
//
// Most of them are wrong in one way, and no linker would make them.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/svc/kselftest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kselftest FILE")
		os.Exit(2)
	}
	b := build()
	if old, err := os.ReadFile(os.Args[1]); err == nil && bytes.Equal(old, b) {
		return
	}
	if err := os.WriteFile(os.Args[1], b, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "kselftest:", err)
		os.Exit(1)
	}
}

const text = abi.ImageBase + 0x1000

// Instructions, from the tables of the unprivileged specification.

func li(reg, value uint32) uint32 { return value<<20 | reg<<7 | 0x13 } // 0 <= value < 2048
func jump(offset int32) uint32 {
	return uint32(offset)>>12<<12&0xff000 | uint32(offset>>11&1)<<20 | uint32(offset>>1&0x3ff)<<21 | uint32(offset>>20&1)<<31 | 0x6f
}

const (
	ecall  = 0x73
	a0, a7 = 10, 17
)

// clear sets the arguments of a system call to zero.
func clear(insns ...uint32) []uint32 {
	for reg := uint32(a0); reg < a7; reg++ {
		insns = append(insns, li(reg, 0))
	}
	return insns
}

// program returns an executable of these instructions.
func program(insns ...uint32) elftest.File {
	var code []byte
	for _, insn := range insns {
		code = binary.LittleEndian.AppendUint32(code, insn)
	}
	return elftest.File{Entry: text, Segments: []elftest.Segment{
		{Type: elftest.Load, Flags: elftest.R | elftest.X, VA: text, Data: code},
	}}
}

// build returns all programs.
func build() []byte {
	exit := func() elftest.File { return program(li(a0, kselftest.ExitStatus), li(a7, abi.SysExit), ecall) }
	// li s10, 0 comes with the arguments: s10 is 0 when a process starts.
	park := append(clear(), li(a7, abi.SysWait), ecall, jump(-4*9))
	with := func(segments ...elftest.Segment) elftest.File {
		f := exit()
		f.Segments = append(f.Segments, segments...)
		return f
	}
	edit := func(f elftest.File, at int, v byte) []byte {
		b := f.Build()
		b[at] = v
		return b
	}
	data := elftest.Pattern(1, 64)
	wx := exit()
	wx.Segments[0].Flags |= elftest.W
	entry := exit()
	entry.Entry = text + 64
	empty := elftest.File{Entry: text, Segments: []elftest.Segment{{Type: elftest.Note, Flags: elftest.R, VA: text, Data: data}}}
	first := exit().Build()
	copy(first[kselftest.MagicOffset:], kselftest.ProgramMagic)
	programs := [kselftest.Programs][]byte{
		kselftest.ProgramExit:      first,
		kselftest.ProgramPark:      program(park...).Build(),
		kselftest.ProgramWX:        wx.Build(),
		kselftest.ProgramMagicless: edit(exit(), 0, 0x7e),
		kselftest.ProgramMachine:   edit(exit(), elftest.OffMachine, 62),
		kselftest.ProgramDynamic:   with(elftest.Segment{Type: elftest.Dynamic, Flags: elftest.R, VA: text + 0x1000, Data: data}).Build(),
		kselftest.ProgramKernel:    with(elftest.Segment{Type: elftest.Load, Flags: elftest.R | elftest.W, VA: 0x8030_0000, Data: data}).Build(),
		kselftest.ProgramOverlap:   with(elftest.Segment{Type: elftest.Load, Flags: elftest.R | elftest.W, VA: text + 0x800, Data: data}).Build(),
		kselftest.ProgramEntry:     entry.Build(),
		kselftest.ProgramStack:     with(elftest.Segment{Type: elftest.Stack, Flags: elftest.R | elftest.W | elftest.X}).Build(),
		kselftest.ProgramEmpty:     empty.Build(),
	}
	var out []byte
	for _, p := range programs {
		slot := make([]byte, kselftest.ProgramSlot)
		if copy(slot, p) != len(p) {
			panic("a program is larger than its slot")
		}
		out = append(out, slot...)
	}
	return out
}
