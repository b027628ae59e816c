// Package blk is what blkd and those who keep something on the disk have in common: the
// protocol, and a client ([Disk]). The device is driven by package blkd.
//
// The disk has partitions, and each is a capability of its own. Who opens one by name,
// which policyd must allow it ([policy.Disk]), gets an endpoint: what comes in there is
// for that partition and can be for no other. With it comes a buffer that the device
// reaches and both sides map: data are never copied on their way through blkd. A
// request names a place of the buffer and a place of the partition, and blkd checks
// both.
package blk

import (
	"encoding/binary"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of blkd.
var Protocol = ipc.Protocol{Magic: [2]byte{'B', 'K'}, Version: 1}

// Operations. The first is one of blkd's own endpoint, the others of a partition's.
const (
	OpOpen    = 1 // partition str8 → Info; moves the endpoint of the partition
	OpBuffer  = 2 // → moves the buffer, of BufferSize bytes
	OpRead    = 3 // Transfer → it is in the buffer
	OpWrite   = 4 // Transfer → the device has it; it lasts after the next flush
	OpFlush   = 5 // → everything that was answered before it was asked for lasts
	OpDiscard = 6 // Transfer without an offset → the sectors have any contents
	OpDrain   = 7 // → no earlier request of this partition touches the buffer any more
)

// Statuses of this protocol, beside those of all.
const (
	StatusIO          = ipc.StatusService + iota // the device could not read or write there
	StatusUnsupported                            // the device cannot do that
	StatusRange                                  // not inside of the partition, or of the buffer
	StatusAlign                                  // not whole sectors
	StatusReadOnly                               // the disk cannot be written
	StatusNoDisk                                 // there is no disk that can be used
	StatusStale                                  // the partition was opened again since
	StatusBroken                                 // the device broke its protocol and was reset
)

// Limits.
const (
	SectorSize  = 512
	BufferSize  = 256 << 10 // of a partition
	MaxInFlight = 32        // requests of a partition that are not answered yet
	MaxName     = 36        // bytes of a partition's name, as in its table
)

// Info describes a partition.
type Info struct {
	Sectors    uint64
	MaxSectors uint32 // that one request may read or write
	MaxDiscard uint32 // that one request may discard, 0: none
	ReadOnly   bool
}

// Append appends the payload of i.
func (i *Info) Append(b []byte) []byte {
	b = wire.AppendU64(b, i.Sectors)
	b = wire.AppendU32(wire.AppendU32(b, i.MaxSectors), i.MaxDiscard)
	if i.ReadOnly {
		return append(b, 1)
	}
	return append(b, 0)
}

// Decode reads a payload and reports whether it is an Info.
func (i *Info) Decode(b []byte) bool {
	d := wire.Read(b)
	*i = Info{Sectors: d.U64(), MaxSectors: d.U32(), MaxDiscard: d.U32()}
	readOnly := d.U8()
	i.ReadOnly = readOnly == 1
	return d.Done() && readOnly <= 1
}

// Transfer is what a request moves: so many sectors of the partition from the first on,
// to or from the offset in the buffer.
type Transfer struct {
	Sector uint64
	Count  uint32
	Offset uint32 // bytes, whole sectors
}

const transferBytes = 16

// Append appends the payload of t.
func (t *Transfer) Append(b []byte) []byte {
	return wire.AppendU32(wire.AppendU32(wire.AppendU64(b, t.Sector), t.Count), t.Offset)
}

// Decode reads a payload and reports whether it is a Transfer.
func (t *Transfer) Decode(b []byte) bool {
	if len(b) != transferBytes {
		return false
	}
	le := binary.LittleEndian
	*t = Transfer{le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:])}
	return true
}
