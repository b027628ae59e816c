package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"nexus.internal/ipc/abi"
)

var sampleHeader = Header{Code: [2]uint32{0x11, 0x22}, TextOffset: 0x200000, Size: 0x40000, Archive: 0x20000}

func TestHeaderLayout(t *testing.T) {
	b := AppendHeader(nil, sampleHeader)
	if len(b) != HeaderSize {
		t.Fatalf("header of %d bytes", len(b))
	}
	// Where the boot loaders look.
	for _, f := range []struct {
		off  int
		want string
	}{
		{0, "\x11\x00\x00\x00\x22\x00\x00\x00"},
		{8, "\x00\x00\x20\x00\x00\x00\x00\x00"},
		{16, "\x00\x00\x04\x00\x00\x00\x00\x00"},
		{32, "\x02\x00\x00\x00"},
		{48, "RISCV\x00\x00\x00"},
		{56, "RSC\x05"},
	} {
		if got := string(b[f.off:][:len(f.want)]); got != f.want {
			t.Errorf("offset %d: %q, want %q", f.off, got, f.want)
		}
	}
	if h, err := ParseHeader(append(b, 1, 2, 3)); err != nil || h != sampleHeader {
		t.Errorf("ParseHeader = %+v, %v", h, err)
	}
}

func TestRejectHeader(t *testing.T) {
	le := binary.LittleEndian
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   error
	}{
		{"short", func(b []byte) []byte { return b[:HeaderSize-1] }, ErrHeaderShort},
		{"magic", func(b []byte) []byte { b[48] ^= 1; return b }, ErrHeaderMagic},
		{"magic2", func(b []byte) []byte { b[59] ^= 1; return b }, ErrHeaderMagic},
		{"version", func(b []byte) []byte { b[32]++; return b }, ErrHeaderVersion},
		{"flags", func(b []byte) []byte { b[24] = 1; return b }, ErrHeaderFlags},
		{"res1", func(b []byte) []byte { b[36] = 1; return b }, ErrHeaderFlags},
		{"res3", func(b []byte) []byte { b[60] = 1; return b }, ErrHeaderFlags},
		{"size", func(b []byte) []byte { le.PutUint64(b[16:], MaxSize+abi.PageSize); return b }, ErrHeaderSize},
		{"size uneven", func(b []byte) []byte { b[16]++; return b }, ErrHeaderSize},
		{"archive in header", func(b []byte) []byte { le.PutUint64(b[40:], 0); return b }, ErrHeaderArchive},
		{"archive uneven", func(b []byte) []byte { b[40]++; return b }, ErrHeaderArchive},
		{"archive at end", func(b []byte) []byte { le.PutUint64(b[40:], sampleHeader.Size); return b }, ErrHeaderArchive},
		{"archive beyond", func(b []byte) []byte { le.PutUint64(b[40:], 1<<64-abi.PageSize); return b }, ErrHeaderArchive},
	} {
		if _, err := ParseHeader(tt.change(AppendHeader(nil, sampleHeader))); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, sampleHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && !bytes.Equal(AppendHeader(nil, h), b[:HeaderSize]) {
			t.Fatal("header has two encodings")
		}
	})
}
