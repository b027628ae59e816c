package elf

import "nexus.internal/ipc/abi"

// Reason is why a file is not accepted. It is an error, and costs no memory as
// one.
type Reason uint8

// The reasons.
const (
	ErrTooShort      Reason = iota + 1 // no room for an ELF header
	ErrRead                            // the bytes could not be read
	ErrMagic                           // not an ELF file
	ErrClass                           // not 64-bit
	ErrByteOrder                       // not little-endian
	ErrVersion                         // not ELF version 1
	ErrType                            // not an executable with fixed addresses
	ErrMachine                         // not for RISC-V
	ErrHeaderSize                      // headers of another size than ELF64's
	ErrManyHeaders                     // more than MaxHeaders program headers
	ErrHeaderRange                     // program headers not inside the file
	ErrInterpreter                     // wants an interpreter
	ErrDynamic                         // wants dynamic linking
	ErrStack                           // wants an executable stack
	ErrWX                              // segment is writable and executable
	ErrFlags                           // segment is not readable, or has unknown flags
	ErrEmptySegment                    // segment without memory
	ErrFileSize                        // segment with more contents than memory
	ErrReadOnlyZeros                   // read-only segment with memory beyond its contents
	ErrFileRange                       // contents not inside the file
	ErrAddress                         // segment not inside the image area
	ErrAlignment                       // address and offset differ modulo the page size
	ErrManySegments                    // more than MaxSegments loadable segments
	ErrOrder                           // segments out of order, overlapping or sharing a page
	ErrNoSegment                       // nothing to load
	ErrEntry                           // entry not an instruction in an executable segment
	reasonEnd
)

var reasonText = [reasonEnd]string{
	ErrTooShort:      "file is shorter than an ELF header",
	ErrRead:          "file cannot be read",
	ErrMagic:         "not an ELF file",
	ErrClass:         "not a 64-bit ELF",
	ErrByteOrder:     "not little-endian",
	ErrVersion:       "unknown ELF version",
	ErrType:          "not a static executable",
	ErrMachine:       "not for RISC-V",
	ErrHeaderSize:    "wrong size of a header",
	ErrManyHeaders:   "too many program headers",
	ErrHeaderRange:   "program headers lie outside the file",
	ErrInterpreter:   "needs an interpreter",
	ErrDynamic:       "needs dynamic linking",
	ErrStack:         "needs an executable stack",
	ErrWX:            "segment is writable and executable",
	ErrFlags:         "segment is not readable or has unknown flags",
	ErrEmptySegment:  "segment is empty",
	ErrFileSize:      "segment has more contents than memory",
	ErrReadOnlyZeros: "read-only segment has memory beyond its contents",
	ErrFileRange:     "segment's contents lie outside the file",
	ErrAddress:       "segment lies outside the image area",
	ErrAlignment:     "segment's address and offset differ modulo the page size",
	ErrManySegments:  "too many segments",
	ErrOrder:         "segments are out of order or share a page",
	ErrNoSegment:     "no segment to load",
	ErrEntry:         "entry is not in an executable segment",
}

// Error says what is wrong with the file.
func (r Reason) Error() string {
	if r == 0 || r >= reasonEnd {
		return "elf: unknown reason"
	}
	return "elf: " + reasonText[r]
}

// Errno returns what a system call reports for err: EWX for memory that would be
// writable and executable, EELF for any other error, OK for nil.
func Errno(err error) abi.Errno {
	if err == nil {
		return abi.OK
	}
	// Not by errors.Is, which asks err for interfaces: the runtime remembers the
	// answer once in a while, in memory that it allocates, and the kernel has none.
	if r, ok := err.(Reason); ok && r == ErrWX {
		return abi.EWX
	}
	return abi.EELF
}
