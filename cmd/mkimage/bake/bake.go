// Package bake puts a kernel and the files it starts with into one bootable
// image (format: package kernel/image), and takes such an image apart again.
//
// Bake is a function of its arguments alone: it reads no clock, no environment
// and no file, so that the same inputs always give the same bytes. Open checks
// every byte of an image against the sums in it and says which part is damaged.
package bake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
)

// The reasons for which an image cannot be made of its parts.
var (
	ErrKernel    = errors.New("not a kernel for this board")
	ErrNoEntries = errors.New("no program for the root process")
	ErrReserved  = errors.New("entry name is reserved")
)

// Board is what an image must know about the machine that it is for.
type Board struct {
	Name    string
	RAM     uint64 // physical address of the first byte of RAM
	Load    uint64 // physical address at which boot loaders place the image
	MinSize uint64 // bytes of RAM of the smallest machine
	SBI     uint64 // bytes of RAM in front of Load that the firmware keeps
}

// QEMUVirt is QEMU's machine "virt" with OpenSBI in the first 2 MiB.
var QEMUVirt = Board{Name: "qemu-virt", RAM: 0x8000_0000, Load: 0x8020_0000, MinSize: 128 << 20, SBI: 2 << 20}

// Boards lists every board that images can be made for.
var Boards = []Board{QEMUVirt}

// Config says what goes into an image.
type Config struct {
	Board      Board    // the zero value means QEMUVirt
	Kernel     []byte   // the kernel's ELF
	Root       string   // name of the root process
	RootFrames uint64   // its budget in pages
	Args, Env  []string // of the root process
	Entries    []Entry  // the first is the ELF of the root process
}

// Entry is a file in the image.
type Entry struct {
	Name string
	Data []byte
}

// Bake returns the image that cfg describes.
func Bake(cfg Config) ([]byte, error) {
	if cfg.Board == (Board{}) {
		cfg.Board = QEMUVirt
	}
	if len(cfg.Entries) == 0 {
		return nil, ErrNoEntries
	}
	flat, entry, err := flatten(cfg.Kernel, cfg.Board)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	archive := image.Archive{Root: cfg.Root, RootFrames: cfg.RootFrames}
	boot, err := image.AppendBoot(nil, cfg.Args, cfg.Env)
	if err != nil {
		return nil, err
	}
	files := append(cfg.Entries[:len(cfg.Entries):len(cfg.Entries)], Entry{image.EntryBoot, boot})
	if len(files) > image.MaxEntries {
		return nil, fmt.Errorf("%w: %d with %q", image.ErrCount, len(files), image.EntryBoot)
	}
	for i, f := range files {
		if f.Name == image.EntryBoot && i != len(files)-1 {
			return nil, fmt.Errorf("%w: %q is made from the arguments", ErrReserved, f.Name)
		}
		archive.Table[i] = image.Entry{Name: f.Name, Data: f.Data, SHA256: sha256.Sum256(f.Data)}
	}
	archive.Count = len(files)

	size := uint64(len(flat)) + image.DirectorySize
	for _, f := range files {
		size += roundUp(uint64(len(f.Data)))
	}
	if size > image.MaxSize {
		return nil, fmt.Errorf("image of %d bytes: %w (%d)", size, image.ErrTooLong, image.MaxSize)
	}
	copy(flat, image.AppendHeader(nil, image.Header{
		Code:       jump(cfg.Board.Load, entry),
		TextOffset: cfg.Board.Load - cfg.Board.RAM,
		Size:       size,
		Archive:    uint64(len(flat)),
	}))
	archive.Kernel = sha256.Sum256(flat)
	return image.Append(flat, &archive)
}

// jump returns the two instructions that go from pc to target with every
// register but t0 unchanged: auipc t0, then jalr through it. They reach 2 GiB,
// which covers any image; a single jal would reach 1 MiB.
func jump(pc, target uint64) [2]uint32 {
	const (
		opAUIPC = 0x17
		opJALR  = 0x67
		t0      = 5
	)
	off := int64(target - pc)
	high := (off + 0x800) >> 12 // the low part is sign-extended
	low := off - high<<12
	return [2]uint32{
		uint32(high)<<12 | t0<<7 | opAUIPC,
		uint32(low)<<20 | t0<<15 | opJALR,
	}
}

// jumpTarget returns where the instructions made by jump lead, and false if they
// are others.
func jumpTarget(pc uint64, code [2]uint32) (uint64, bool) {
	high, low := int64(int32(code[0]))>>12, int64(int32(code[1]))>>20
	target := pc + uint64(high<<12+low)
	return target, jump(pc, target) == code
}

func roundUp(n uint64) uint64 { return (n + abi.PageSize - 1) &^ (abi.PageSize - 1) }

// Image is an image whose every byte has been checked.
type Image struct {
	Header image.Header
	Board  Board  // the board that it was made for
	Entry  uint64 // physical address of the kernel's first instruction
	Kernel []byte // the bytes in front of the archive
	*image.Archive
}

// The damage that Open reports, beyond what package image refuses.
var (
	ErrTruncated = errors.New("file is shorter than its header says")
	ErrTrailing  = errors.New("file is longer than its header says")
	ErrBoard     = errors.New("made for an unknown board")
	ErrSum       = errors.New("SHA-256 differs from the directory")
	ErrPadding   = errors.New("bytes behind an entry are not zero")
	ErrJump      = errors.New("boot header does not jump into the kernel")
)

// Open checks all of an image and returns its parts, which refer to b.
func Open(b []byte) (*Image, error) {
	h, err := image.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	img := &Image{Header: h}
	for _, board := range Boards {
		if board.Load-board.RAM == h.TextOffset {
			img.Board = board
		}
	}
	if img.Board == (Board{}) {
		return nil, fmt.Errorf("%w: text offset %#x", ErrBoard, h.TextOffset)
	}
	var ok bool
	if img.Entry, ok = jumpTarget(img.Board.Load, h.Code); !ok ||
		img.Entry < img.Board.Load+image.HeaderSize || img.Entry >= img.Board.Load+h.Archive {
		return nil, fmt.Errorf("%w: %#08x %#08x", ErrJump, h.Code[0], h.Code[1])
	}
	switch n := uint64(len(b)); {
	case n < h.Size:
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, n, h.Size)
	case n > h.Size:
		return nil, fmt.Errorf("%w: %d instead of %d bytes", ErrTrailing, n, h.Size)
	}
	img.Kernel = b[:h.Archive]
	if img.Archive, err = image.Parse(b[h.Archive:]); err != nil {
		return nil, err
	}
	if sha256.Sum256(img.Kernel) != img.Archive.Kernel {
		return nil, fmt.Errorf("kernel: %w", ErrSum)
	}
	archive := b[h.Archive:]
	for _, e := range img.Entries() {
		if sha256.Sum256(e.Data) != e.SHA256 {
			return nil, fmt.Errorf("entry %q: %w", e.Name, ErrSum)
		}
		end := e.Offset + e.Size
		if len(bytes.Trim(archive[end:roundUp(end)], "\x00")) != 0 {
			return nil, fmt.Errorf("entry %q: %w", e.Name, ErrPadding)
		}
	}
	if e := img.Lookup(image.EntryBoot); e != nil {
		if _, err := image.ParseBoot(e.Data); err != nil {
			return nil, err
		}
	}
	return img, nil
}
