package core

import (
	"unsafe"

	"nexus.internal/ipc/abi"
)

// The structures of the ABI have fixed little-endian layouts without padding
// holes, and every machine that builds this package is little-endian: their
// bytes in memory are their bytes on the wire.

func specBytes(s *abi.SpawnSpec) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

func startBytes(s *abi.Start) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

// setStartCaps fills in the fields of a start page that are known last. A start
// page begins on a page, so it is aligned.
func setStartCaps(page []byte, console, numCaps uint64) {
	s := (*abi.Start)(unsafe.Pointer(&page[0]))
	s.Console, s.NumCaps = console, numCaps
}
