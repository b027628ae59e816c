package statefs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
	"nexus.internal/svc/statefs/format"
)

// FuzzReplay reads devices that somebody changed who knows the format: the bytes of patch
// stand at an offset, and the checksums of superblock and commit around it are right.
// Without the key nothing tells that they are not authentic; with it they are refused. In
// neither case is anything read outside of the device, or without end.
func FuzzReplay(f *testing.F) {
	d := disksim.New(sector, 160<<10)
	if err := statefs.Format(d, options(1)); err != nil {
		f.Fatal(err)
	}
	s, err := statefs.Open(d, options(2))
	if err != nil {
		f.Fatal(err)
	}
	for i := range 40 {
		var x statefs.Txn
		x.Put(fmt.Sprintf("a/%d", i%10), make([]byte, i*30))
		x.PutSealed("b", make([]byte, 100))
		x.Delete(fmt.Sprintf("a/%d", i%7))
		if _, err := s.Commit(&x); err != nil {
			f.Fatal(err)
		}
	}
	image := d.Image()
	f.Add(uint32(92), []byte{1, 2})
	f.Add(uint32(ringAt+24), []byte{0xff, 0xff})
	f.Add(uint32(ringAt+28), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(ringAt+96), []byte{9})
	f.Add(uint32(ringAt+108), []byte{0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(image)
		at %= uint32(len(b))
		copy(b[at:], patch)
		for slot := 0; slot < 2*4096; slot += 4096 {
			binary.LittleEndian.PutUint32(b[slot+8:], format.Sum(b[slot+12:slot+format.SuperblockSize]))
		}
		start := at &^ (sector - 1)
		if h, err := format.DecodeHeader(b[start:]); at >= ringAt && err == nil && uint64(start)+uint64(h.Meta) <= uint64(len(b)) {
			binary.LittleEndian.PutUint32(b[start+4:], format.Sum(b[start+8:start+h.Meta]))
		}
		statefs.Check(disksim.Of(sector, bytes.Clone(b)), nil)
		opt := options(3)
		statefs.Repair(disksim.Of(sector, bytes.Clone(b)), opt)
		statefs.Open(disksim.Of(sector, b), opt)
	})
}
