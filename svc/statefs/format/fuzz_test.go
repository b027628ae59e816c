package format

import (
	"bytes"
	"encoding/binary"
	"testing"
)

var testKey = [KeySize]byte{7}

// FuzzSuperblock: what decodes encodes to the same bytes, and is not authentic unless it
// was made with the key.
func FuzzSuperblock(f *testing.F) {
	b := Superblock{Sector: 512, Salt: Salt{1}, Count: 3, Generation: 2, Ring: 1 << 20, Tail: 512, TailSeq: 2, TailPrev: Tag{4}, HeadSeq: 9, Version: 8}
	s := NewSession(&testKey, b.Salt)
	p := make([]byte, 512)
	b.Encode(p, s)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		// As somebody would who knows the format: with a checksum that is right.
		if len(p) >= SuperblockSize {
			p = bytes.Clone(p)
			copy(p, superMagic)
			binary.LittleEndian.PutUint32(p[superCRC:], Sum(p[superTag:SuperblockSize]))
		}
		b, err := DecodeSuperblock(p)
		if err != nil {
			return
		}
		s := NewSession(&testKey, b.Salt)
		again := make([]byte, max(512, len(p)))
		b.Encode(again, s)
		if c, err := DecodeSuperblock(again); err != nil || c != b {
			t.Fatalf("%+v becomes %+v, %v", b, c, err)
		}
		if b.Check(p, s) == nil && !bytes.Equal(p[superVersion:superEnd], again[superVersion:superEnd]) {
			t.Fatal("authentic, and not what was encoded")
		}
	})
}

// FuzzCommit: entries stay inside of the commit, and what decodes encodes to the same
// bytes.
func FuzzCommit(f *testing.F) {
	h := Header{Sectors: 1, Sequence: 5, Generation: 1, Position: 1024, Version: 4, Prev: Tag{3}, Count: 4}
	p := make([]byte, HeaderSize)
	p = append(AppendEntry(p, &Entry{Kind: Value, Key: "key", Length: 5, Version: 2}), "value"...)
	p = AppendEntry(p, &Entry{Kind: Value, Flags: Extent | Sealed, Key: "k", Length: 5000, Version: 3, CRC: 1, Tag: Tag{1}})
	p = append(AppendEntry(p, &Entry{Kind: Value, Flags: Sealed, Key: "s", Length: 2, Version: 4, Tag: Tag{2}}), "ab"...)
	p = AppendEntry(p, &Entry{Kind: Deleted, Key: "gone", Version: 4})
	Finish(p, &h, NewSession(&testKey, Salt{1}))
	f.Add(p)
	h.Count = 1
	p = AppendEntry(make([]byte, HeaderSize), &Entry{Kind: Bridge, Version: 9, Tag: Tag{1}})
	Finish(p, &h, NewSession(&testKey, Salt{1}))
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := DecodeHeader(p)
		if err != nil || int64(h.Meta) > int64(len(p)) {
			return
		}
		p = p[:h.Meta]
		again := make([]byte, HeaderSize)
		for r := ReadEntries(p, &h); ; {
			e, ok, err := r.Next()
			if err != nil {
				return
			}
			if !ok {
				break
			}
			again = AppendEntry(again, &e)
			if e.Kind == Value && e.Flags&Extent == 0 {
				again = append(again, p[e.Inline:e.Inline+int(e.Length)]...)
			}
		}
		if !bytes.Equal(p[HeaderSize:], again[HeaderSize:]) {
			t.Fatalf("%x becomes %x", p[HeaderSize:], again[HeaderSize:])
		}
	})
}

// Sealed values open with their key, their place and their tag, and with no other.
func TestSeal(t *testing.T) {
	s := NewSession(&testKey, Salt{1})
	plain := []byte("what nobody may read")
	sealed, tag := s.SealValue(nil, 7, 3, "key", plain)
	if bytes.Contains(sealed, plain[:8]) || len(sealed) != len(plain) {
		t.Fatalf("%q", sealed)
	}
	if got, err := s.OpenValue(nil, 7, 3, "key", sealed, &tag); err != nil || !bytes.Equal(got, plain) {
		t.Fatal(err)
	}
	other := tag
	other[0]++
	for _, open := range []func() ([]byte, error){
		func() ([]byte, error) { return s.OpenValue(nil, 8, 3, "key", sealed, &tag) },
		func() ([]byte, error) { return s.OpenValue(nil, 7, 4, "key", sealed, &tag) },
		func() ([]byte, error) { return s.OpenValue(nil, 7, 3, "kez", sealed, &tag) },
		func() ([]byte, error) { return s.OpenValue(nil, 7, 3, "key", sealed[1:], &tag) },
		func() ([]byte, error) { return s.OpenValue(nil, 7, 3, "key", sealed, &other) },
		func() ([]byte, error) {
			return NewSession(&testKey, Salt{2}).OpenValue(nil, 7, 3, "key", sealed, &tag)
		},
	} {
		if got, err := open(); err != ErrTag {
			t.Errorf("opened: %q, %v", got, err)
		}
	}
}
