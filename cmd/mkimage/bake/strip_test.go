package bake

import (
	"bytes"
	"debug/elf"
	"testing"

	"nexus.internal/kernel/elf/elftest"
)

func TestStrip(t *testing.T) {
	bare := elftest.Hello().Build()
	got, err := Strip(bare)
	if err != nil || !bytes.Equal(got, bare) {
		t.Errorf("a program without symbols changes (%v)", err)
	}
	// Section headers behind the segments, as a linker writes them.
	full := append(bytes.Clone(bare), make([]byte, 5000)...)
	full[40], full[41] = byte(len(bare)), byte(len(bare)>>8)
	full[58], full[60] = 64, 2
	got, err = Strip(full)
	if err != nil || !bytes.Equal(got, bare) {
		t.Errorf("sections remain: %d bytes of %d (%v)", len(got), len(bare), err)
	}
	if _, err := elf.NewFile(bytes.NewReader(got)); err != nil {
		t.Errorf("debug/elf refuses it: %v", err)
	}
	if _, err := Strip(nil); err == nil {
		t.Error("nothing is a program")
	}
}
