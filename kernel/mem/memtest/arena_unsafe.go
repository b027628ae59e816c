package memtest

import "unsafe"

// address returns where the memory of b is.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
