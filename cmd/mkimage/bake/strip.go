package bake

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"nexus.internal/kernel/elf"
)

// Strip returns the program without what is only for debuggers: everything
// behind its last segment, and the mention of sections. It refuses what the
// kernel's loader would refuse, before and after.
func Strip(program []byte) ([]byte, error) {
	p, err := load(program)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	end := le.Uint64(program[32:]) + uint64(le.Uint16(program[56:]))*56 // of the program headers
	for _, s := range p.Segments() {
		end = max(end, s.FileOff+s.FileSize)
	}
	out := bytes.Clone(program[:end])
	clear(out[40:48]) // offset of the section headers
	clear(out[58:64]) // their size, their number, which one has the names
	_, err = load(out)
	return out, err
}

// load asks the kernel's loader.
func load(file []byte) (*elf.Program, error) {
	var p elf.Program
	err := p.Load(uint64(len(file)), func(off uint64, dst []byte) bool {
		copy(dst, file[off:]) // Load asks only for what is inside the file
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("the kernel would not load it: %w", err)
	}
	return &p, nil
}
