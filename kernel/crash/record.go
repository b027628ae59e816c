// Package crash is what the kernel does when it fails itself: it writes a report,
// to the console and into a record in RAM that survives a reset, and the next boot
// shows the record and clears it. Boot arguments say what happens after the report.
//
// The package has no state and allocates nothing once it is initialised; all of it
// works in the middle of a fault, on the memory that it is handed. What a boot finds
// in the record's memory is not trusted: it may be anything that RAM holds after
// power-on.
package crash

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// RecordSize is the memory of a record in bytes, whole pages: 16 KiB for registers and a
// traceback of the depth that the runtime prints at most, and 22 KiB for the flight
// recorder of each of eight harts, whose events take at most that many bytes.
const RecordSize = (16 + 8*22) << 10

// Layout of a record: magic, length of the text, CRC32-C of length and text, text.
const (
	magic      = 0x314853524353584e // "NXSCRSH1" in memory
	offLength  = 8
	offCRC     = 12
	headerSize = 16
)

// MaxText is the longest text of a record in bytes.
const MaxText = RecordSize - headerSize

// Why there is no text in a record.
var (
	ErrNone   = errors.New("no record")
	ErrLength = errors.New("record longer than its memory")
	ErrCRC    = errors.New("checksum of the record does not match")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Text returns the part of a record's memory that the text goes to. mem is at least
// RecordSize bytes long.
func Text(mem []byte) []byte { return mem[headerSize:RecordSize:RecordSize] }

// Seal makes a record of the first n bytes of [Text]; longer than that it is cut.
func Seal(mem []byte, n int) {
	n = min(n, MaxText)
	binary.LittleEndian.PutUint32(mem[offLength:], uint32(n))
	binary.LittleEndian.PutUint32(mem[offCRC:], sum(mem, n))
	binary.LittleEndian.PutUint64(mem, magic)
}

// Open returns the text of the record in mem.
func Open(mem []byte) ([]byte, error) {
	if len(mem) < RecordSize || binary.LittleEndian.Uint64(mem) != magic {
		return nil, ErrNone
	}
	n := binary.LittleEndian.Uint32(mem[offLength:])
	if n > MaxText {
		return nil, ErrLength
	}
	if binary.LittleEndian.Uint32(mem[offCRC:]) != sum(mem, int(n)) {
		return nil, ErrCRC
	}
	return Text(mem)[:n], nil
}

// Clear makes sure that no later boot finds a record.
func Clear(mem []byte) { clear(mem[:RecordSize]) }

func sum(mem []byte, n int) uint32 {
	c := crc32.Update(0, castagnoli, mem[offLength:offCRC])
	return crc32.Update(c, castagnoli, Text(mem)[:n])
}

// Show writes the text of a record line by line, each in one call and marked as
// being about the past. What is not printable ASCII becomes a question mark.
func Show(text []byte, write func([]byte)) {
	const mark = "crash: | "
	var line [256]byte
	n := copy(line[:], mark)
	for i, c := range text {
		if c == '\t' {
			c = ' '
		}
		if c != '\n' {
			if c < ' ' || c > '~' {
				c = '?'
			}
			line[n] = c
			n++
		}
		if c == '\n' || n == len(line)-1 || i == len(text)-1 {
			line[n] = '\n'
			write(line[:n+1])
			n = len(mark)
		}
	}
}
