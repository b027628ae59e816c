package main

import (
	"bytes"
	"testing"

	"nexus.internal/kernel/elf"
	"nexus.internal/svc/kselftest"
)

// The loader takes the good programs and refuses each bad one for its own reason:
// what svc/kselftest sees refused on the target is refused for what it is about.
func TestPrograms(t *testing.T) {
	want := [kselftest.Programs]error{
		kselftest.ProgramWX:        elf.ErrWX,
		kselftest.ProgramMagicless: elf.ErrMagic,
		kselftest.ProgramMachine:   elf.ErrMachine,
		kselftest.ProgramDynamic:   elf.ErrDynamic,
		kselftest.ProgramKernel:    elf.ErrAddress,
		kselftest.ProgramOverlap:   elf.ErrOrder,
		kselftest.ProgramEntry:     elf.ErrEntry,
		kselftest.ProgramStack:     elf.ErrStack,
		kselftest.ProgramEmpty:     elf.ErrNoSegment,
	}
	all := build()
	if len(all) != kselftest.Programs*kselftest.ProgramSlot {
		t.Fatalf("%d bytes", len(all))
	}
	if !bytes.HasPrefix(all[kselftest.MagicOffset:], []byte(kselftest.ProgramMagic)) {
		t.Error("the first program does not carry the magic")
	}
	for i, reason := range want {
		b := all[i*kselftest.ProgramSlot:][:kselftest.ProgramSlot]
		var p elf.Program
		err := p.Load(uint64(len(b)), func(off uint64, dst []byte) bool { copy(dst, b[off:]); return true })
		if err != reason {
			t.Errorf("program %d: %v, want %v", i, err, reason)
		}
	}
}
