//go:build tamago && riscv64 && !nexusproc

package virt

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"nexus.internal/board/qemu-virt/fdt"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
)

// What cpuinit saves. It runs before Go code, so these have no initial values.
var (
	bootHart uint64 // a0 at entry
	bootTree uint64 // a1 at entry: physical address of the device tree
	heapEnd  uint64 // end of the runtime's heap; the guard page follows
	booted   uint32 // set by the first hart at the entry
)

// maxImage is the longest image that cpuinit accepts.
const maxImage = image.MaxSize

// ramBase is where RAM starts on this board. Nothing below is read as memory:
// reading a device register can have effects.
const ramBase = 0x8000_0000

var (
	errTreeNone    = errors.New("no device tree: the firmware passed no aligned address in RAM")
	errTreeOverlap = errors.New("device tree lies in the memory of the kernel")
)

// tree returns the device tree where the firmware left it, at most fdt.MaxSize
// bytes. It allocates nothing. An address behind the end of RAM traps, with a
// report.
func tree() ([]byte, error) {
	if bootTree < ramBase || bootTree >= abi.UserBase-fdt.MaxSize || bootTree%8 != 0 {
		return nil, errTreeNone
	}
	n, fault := fdt.Size(physical(bootTree, fdt.HeaderSize))
	if fault != 0 {
		return nil, fault
	}
	if bootTree < heapEnd+guardSize+stackSize && bootTree+uint64(n) > RAMStart {
		return nil, errTreeOverlap
	}
	return physical(bootTree, n), nil
}

// physical returns n bytes of memory that is no part of the Go heap.
func physical(address uint64, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), address)), n)
}

// Boot reads the device tree and returns what the kernel runs on. From then on
// console, power-off and clock are those of the tree. The entropy in the tree
// has been used up: RNGSeed is nil, see [Random]. The tree itself lies in free
// memory, and nothing refers to it.
//
// It allocates on the heap, so the kernel calls it while it boots, and once.
func Boot() (*Machine, error) {
	blob, err := tree()
	if err != nil {
		return nil, fmt.Errorf("device tree at %#x: %w", bootTree, err)
	}
	d, err := fdt.Parse(bytes.Clone(blob))
	if err != nil {
		return nil, err
	}
	d.RNGSeed = nil
	header, err := image.ParseHeader(physical(RAMStart, image.HeaderSize))
	if err != nil {
		return nil, err
	}
	text, _ := runtime.TextRegion()
	segs, err := segments(physical(text-abi.PageSize, abi.PageSize))
	if err != nil {
		return nil, err
	}
	m, err := plan(d, placement{bootHart: bootHart, header: header, segments: segs, heapEnd: heapEnd})
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	if m.Controller, err = m.openPLIC(); err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	uart = uintptr(d.Console.Start)
	finisher = uintptr(d.Finisher.Start)
	tickNS = m.TickNS
	m.WallNS = m.readClock()
	enableFIFO()
	return m, nil
}
