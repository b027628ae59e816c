package image

import (
	"encoding/binary"
	"errors"
	"fmt"

	"nexus.internal/ipc/abi"
)

// The reasons for which [ParseHeader] refuses a boot header.
var (
	ErrHeaderShort   = errors.New("image: shorter than its boot header")
	ErrHeaderMagic   = errors.New("image: no RISC-V boot header")
	ErrHeaderVersion = errors.New("image: boot header of another version")
	ErrHeaderSize    = errors.New("image: size in the boot header out of range")
	ErrHeaderArchive = errors.New("image: place of the archive out of range")
	ErrHeaderFlags   = errors.New("image: reserved field of the boot header is in use")
)

// The fields of the boot header that never vary.
const (
	headerMagic   = 0x5643534952 // "RISCV", little-endian
	headerMagic2  = 0x05435352   // "RSC\x05", little-endian
	headerVersion = 2            // 0.2: major in the upper half, minor in the lower
)

// Header is the boot header that QEMU, U-Boot and OpenSBI know from Linux
// ("Boot image header in RISC-V Linux"), with the place of the archive in its
// field res2, which those loaders ignore.
type Header struct {
	Code       [2]uint32 // instructions that jump to the kernel entry
	TextOffset uint64    // bytes from the start of RAM to the load address
	Size       uint64    // bytes of the image from its start, a multiple of the page size
	Archive    uint64    // bytes from the start of the image to the archive, a multiple of the page size
}

// AppendHeader appends the 64 bytes of h to dst.
func AppendHeader(dst []byte, h Header) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, h.Code[0])
	dst = le.AppendUint32(dst, h.Code[1])
	dst = le.AppendUint64(dst, h.TextOffset)
	dst = le.AppendUint64(dst, h.Size)
	dst = le.AppendUint64(dst, 0) // flags: little-endian kernel
	dst = le.AppendUint32(dst, headerVersion)
	dst = le.AppendUint32(dst, 0) // res1
	dst = le.AppendUint64(dst, h.Archive)
	dst = le.AppendUint64(dst, headerMagic)
	dst = le.AppendUint32(dst, headerMagic2)
	return le.AppendUint32(dst, 0) // res3
}

// ParseHeader reads the boot header at the start of b, which may be longer or be
// the header alone. It does not know how long the image is in memory: Size is
// checked only against MaxSize.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrHeaderShort, len(b))
	}
	le := binary.LittleEndian
	h := Header{
		Code:       [2]uint32{le.Uint32(b), le.Uint32(b[4:])},
		TextOffset: le.Uint64(b[8:]),
		Size:       le.Uint64(b[16:]),
		Archive:    le.Uint64(b[40:]),
	}
	switch {
	case le.Uint64(b[48:]) != headerMagic || le.Uint32(b[56:]) != headerMagic2:
		return Header{}, ErrHeaderMagic
	case le.Uint32(b[32:]) != headerVersion:
		return Header{}, fmt.Errorf("%w: %#x", ErrHeaderVersion, le.Uint32(b[32:]))
	case le.Uint64(b[24:]) != 0 || le.Uint32(b[36:]) != 0 || le.Uint32(b[60:]) != 0:
		return Header{}, ErrHeaderFlags
	case h.Size > MaxSize || h.Size%abi.PageSize != 0:
		return Header{}, fmt.Errorf("%w: %d bytes", ErrHeaderSize, h.Size)
	case h.Archive < HeaderSize || h.Archive%abi.PageSize != 0 || h.Archive > h.Size || h.Size-h.Archive < DirectorySize:
		return Header{}, fmt.Errorf("%w: %#x in an image of %#x bytes", ErrHeaderArchive, h.Archive, h.Size)
	}
	return h, nil
}
