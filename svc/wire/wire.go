// Package wire has the two halves of every payload in the system: appending
// integers and strings to a frame, and taking them out of one that nobody has
// checked yet. All integers are little-endian; strings carry their length.
package wire

import "encoding/binary"

// AppendString8 appends a string of up to 255 bytes behind its length in one byte.
// Longer ones are a mistake of the caller and panic: protocols have limits below.
func AppendString8(b []byte, s string) []byte {
	if len(s) > 255 {
		panic("wire: string longer than 255 bytes")
	}
	return append(append(b, byte(len(s))), s...)
}

// AppendU16 appends v.
func AppendU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

// AppendU32 appends v.
func AppendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendU64 appends v.
func AppendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// Reader takes values out of a payload from front to back. After the first value
// that is not there it gives zero values, and [Reader.Done] is false for good.
type Reader struct {
	b     []byte
	short bool
}

// Read returns a reader of b.
func Read(b []byte) Reader { return Reader{b: b} }

// Bytes returns the next n bytes, which are those of the payload itself.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short = true
		r.b = nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// U8 returns the next byte.
func (r *Reader) U8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 returns the next two bytes.
func (r *Reader) U16() uint16 {
	if b := r.Bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 returns the next four bytes.
func (r *Reader) U32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 returns the next eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// String8 returns the bytes of a string with its length in one byte. They are
// those of the payload itself.
func (r *Reader) String8() []byte { return r.Bytes(int(r.U8())) }

// Rest returns all that is left.
func (r *Reader) Rest() []byte { return r.Bytes(len(r.b)) }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// OK reports whether everything asked for was there.
func (r *Reader) OK() bool { return !r.short }

// Done reports whether everything asked for was there, and nothing else.
func (r *Reader) Done() bool { return !r.short && len(r.b) == 0 }
