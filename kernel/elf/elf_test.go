package elf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/sv39"
)

// reader reads a file that lies in memory. It fails the test when it is asked
// for anything outside the file.
func reader(tb testing.TB, file []byte) func(off uint64, dst []byte) bool {
	return func(off uint64, dst []byte) bool {
		if off > uint64(len(file)) || uint64(len(dst)) > uint64(len(file))-off {
			tb.Errorf("read of %d bytes at %d, of %d", len(dst), off, len(file))
			return false
		}
		copy(dst, file[off:])
		return true
	}
}

func load(tb testing.TB, file []byte) (*elf.Program, error) {
	p := new(elf.Program)
	err := p.Load(uint64(len(file)), reader(tb, file))
	return p, err
}

func TestLoad(t *testing.T) {
	f := elftest.Hello()
	file := f.Build()
	p, err := load(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if p.Entry != f.Entry {
		t.Errorf("entry %#x, want %#x", p.Entry, f.Entry)
	}
	var want []elftest.Segment
	for _, s := range f.Segments {
		if s.Type == elftest.Load {
			want = append(want, s)
		}
	}
	perms := []sv39.Perm{sv39.U | sv39.R | sv39.X, sv39.U | sv39.R, sv39.U | sv39.R | sv39.W}
	if len(p.Segments()) != len(want) {
		t.Fatalf("%d segments, want %d", len(p.Segments()), len(want))
	}
	for i, s := range p.Segments() {
		w := want[i]
		size := max(w.MemSize, uint64(len(w.Data)))
		if s.VA != w.VA || s.MemSize != size || s.Perm != perms[i] {
			t.Errorf("segment %d: %+v", i, s)
		}
		if got := file[s.FileOff : s.FileOff+s.FileSize]; !bytes.Equal(got, w.Data) {
			t.Errorf("segment %d: other contents", i)
		}
	}
}

// text is one correct segment at page n of the image area.
func text(n uint64) elftest.Segment {
	return elftest.Segment{Type: elftest.Load, Flags: elftest.R | elftest.X, VA: abi.ImageBase + n*abi.PageSize, Data: elftest.Pattern(1, 100)}
}

func data(n uint64) elftest.Segment {
	s := text(n)
	s.Flags = elftest.R | elftest.W
	return s
}

// build makes a file of segments whose entry is the first of them.
func build(segments ...elftest.Segment) []byte {
	return elftest.File{Entry: segments[0].VA, Segments: segments}.Build()
}

// TestRejectEveryReason breaks one thing at a time. Each file would be accepted
// without that, and each reason occurs.
func TestRejectEveryReason(t *testing.T) {
	le := binary.LittleEndian
	// header breaks the header of a correct file.
	header := func(f func(b []byte)) []byte {
		b := build(text(1), data(2))
		f(b)
		return b
	}
	set16 := func(off int, v uint16) []byte { return header(func(b []byte) { le.PutUint16(b[off:], v) }) }
	set64 := func(off int, v uint64) []byte { return header(func(b []byte) { le.PutUint64(b[off:], v) }) }
	setByte := func(off int, v byte) []byte { return header(func(b []byte) { b[off] = v }) }
	// segment breaks the second of two correct segments.
	segment := func(f func(s *elftest.Segment)) []byte {
		s := data(2)
		f(&s)
		return build(text(1), s)
	}
	entry := func(at uint64) []byte {
		return elftest.File{Entry: at, Segments: []elftest.Segment{text(1), data(2)}}.Build()
	}
	many := func(n int, make func(i uint64) elftest.Segment) []byte {
		segments := []elftest.Segment{text(1)}
		for i := range uint64(n - 1) {
			segments = append(segments, make(i+2))
		}
		return build(segments...)
	}
	note := func(uint64) elftest.Segment { return elftest.Segment{Type: elftest.Note} }
	plain := build(text(1), data(2))
	size := uint64(len(plain))

	seen := map[elf.Reason]bool{}
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"good", plain, nil},
		{"most headers", many(elf.MaxHeaders, note), nil},
		{"most segments", many(elf.MaxSegments, data), nil},
		{"unknown types", build(text(1), elftest.Segment{Type: 0}, elftest.Segment{Type: elftest.Note}, elftest.Segment{Type: 6}, elftest.Segment{Type: 0x70000003}), nil},
		{"stack without X", build(text(1), elftest.Segment{Type: elftest.Stack, Flags: elftest.R | elftest.W}), nil},
		{"first address", build(text(0)), nil},
		{"last address", build(text(1), elftest.Segment{Type: elftest.Load, Flags: elftest.R, VA: abi.MapBase - 100, Data: make([]byte, 100)}), nil},
		{"only zeros", build(text(1), elftest.Segment{Type: elftest.Load, Flags: elftest.R | elftest.W, VA: abi.ImageBase + 8*abi.PageSize, MemSize: 1 << 30, Offset: 4096}), nil},
		{"last instruction", entry(abi.ImageBase + abi.PageSize + 98), nil},

		{"empty file", nil, elf.ErrTooShort},
		{"half a header", plain[:63], elf.ErrTooShort},
		{"magic", setByte(1, 'e'), elf.ErrMagic},
		{"32-bit", setByte(elftest.OffClass, 1), elf.ErrClass},
		{"big-endian", setByte(elftest.OffData, 2), elf.ErrByteOrder},
		{"version in the ident", setByte(elftest.OffIdentVer, 0), elf.ErrVersion},
		{"version", setByte(elftest.OffVersion, 2), elf.ErrVersion},
		{"relocatable", set16(elftest.OffType, 1), elf.ErrType},
		{"position-independent", set16(elftest.OffType, 3), elf.ErrType},
		{"core dump", set16(elftest.OffType, 4), elf.ErrType},
		{"x86-64", set16(elftest.OffMachine, 62), elf.ErrMachine},
		{"header size", set16(elftest.OffEhsize, 52), elf.ErrHeaderSize},
		{"program header size", set16(elftest.OffPhsize, 64), elf.ErrHeaderSize},
		{"too many headers", many(elf.MaxHeaders+1, note), elf.ErrManyHeaders},
		{"count in another place", set16(elftest.OffPhnum, 0xffff), elf.ErrManyHeaders},
		{"headers behind the file", set64(elftest.OffPhoff, size+1), elf.ErrHeaderRange},
		{"headers not all in the file", set64(elftest.OffPhoff, size-2*elftest.ProgramHeaderSize+1), elf.ErrHeaderRange},
		{"header offset wraps", set64(elftest.OffPhoff, ^uint64(7)), elf.ErrHeaderRange},
		{"interpreter", build(text(1), elftest.Segment{Type: elftest.Interp}), elf.ErrInterpreter},
		{"dynamic", build(text(1), elftest.Segment{Type: elftest.Dynamic}), elf.ErrDynamic},
		{"executable stack", build(text(1), elftest.Segment{Type: elftest.Stack, Flags: elftest.R | elftest.W | elftest.X}), elf.ErrStack},
		{"writable and executable", segment(func(s *elftest.Segment) { s.Flags = 7 }), elf.ErrWX},
		{"the same, not readable", segment(func(s *elftest.Segment) { s.Flags = elftest.W | elftest.X }), elf.ErrWX},
		{"no access", segment(func(s *elftest.Segment) { s.Flags = 0 }), elf.ErrFlags},
		{"write-only", segment(func(s *elftest.Segment) { s.Flags = elftest.W }), elf.ErrFlags},
		{"execute-only", segment(func(s *elftest.Segment) { s.Flags = elftest.X }), elf.ErrFlags},
		{"unknown flag", segment(func(s *elftest.Segment) { s.Flags |= 1 << 20 }), elf.ErrFlags},
		{"no memory", segment(func(s *elftest.Segment) { s.Data = nil }), elf.ErrEmptySegment},
		{"more contents than memory", segment(func(s *elftest.Segment) { s.MemSize = 99 }), elf.ErrFileSize},
		{"read-only zeros", segment(func(s *elftest.Segment) { s.Flags, s.MemSize = elftest.R, 101 }), elf.ErrReadOnlyZeros},
		{"executable zeros", segment(func(s *elftest.Segment) { s.Flags, s.MemSize = elftest.R|elftest.X, 101 }), elf.ErrReadOnlyZeros},
		{"contents behind the file", segment(func(s *elftest.Segment) { s.Offset = 1 << 20 }), elf.ErrFileRange},
		{"contents not all in the file", segment(func(s *elftest.Segment) { s.FileSize, s.MemSize = 101, 101 }), elf.ErrFileRange},
		{"offset wraps", segment(func(s *elftest.Segment) { s.Offset = ^uint64(0) &^ 4095 }), elf.ErrFileRange},
		{"size wraps", segment(func(s *elftest.Segment) { s.FileSize, s.MemSize = ^uint64(0), ^uint64(0) }), elf.ErrFileRange},
		{"address 0", segment(func(s *elftest.Segment) { s.VA = 0 }), elf.ErrAddress},
		{"kernel address", segment(func(s *elftest.Segment) { s.VA = 0x8020_0000 }), elf.ErrAddress},
		{"below the image area", build(elftest.Segment{Type: elftest.Load, Flags: 5, VA: abi.ImageBase - 1, Data: make([]byte, 10)}), elf.ErrAddress},
		{"behind the image area", segment(func(s *elftest.Segment) { s.VA = abi.MapBase }), elf.ErrAddress},
		{"out of the image area", segment(func(s *elftest.Segment) { s.MemSize = abi.MapBase }), elf.ErrAddress},
		{"end wraps", segment(func(s *elftest.Segment) { s.MemSize = -s.VA + 1 }), elf.ErrAddress},
		{"upper half", segment(func(s *elftest.Segment) { s.VA = 0xffff_ffff_0000_0000 }), elf.ErrAddress},
		{"not congruent", segment(func(s *elftest.Segment) { s.Offset = 16 }), elf.ErrAlignment},
		{"too many segments", many(elf.MaxSegments+1, data), elf.ErrManySegments},
		{"descending", build(text(2), data(1)), elf.ErrOrder},
		{"twice", build(text(1), text(1)), elf.ErrOrder},
		{"shared page", build(text(1), elftest.Segment{Type: elftest.Load, Flags: 6, VA: abi.ImageBase + abi.PageSize + 200, Data: make([]byte, 8)}), elf.ErrOrder},
		{"overlap through zeros", build(func() elftest.Segment { s := data(1); s.MemSize = abi.PageSize + 1; return s }(), text(2)), elf.ErrOrder},
		{"no headers", set16(elftest.OffPhnum, 0), elf.ErrNoSegment},
		{"nothing to load", build(elftest.Segment{Type: elftest.Note}), elf.ErrNoSegment},
		{"entry 0", entry(0), elf.ErrEntry},
		{"entry before the text", entry(abi.ImageBase + abi.PageSize - 2), elf.ErrEntry},
		{"entry behind the text", entry(abi.ImageBase + abi.PageSize + 100), elf.ErrEntry},
		{"entry in the data", entry(abi.ImageBase + 2*abi.PageSize), elf.ErrEntry},
		{"entry between instructions", entry(abi.ImageBase + abi.PageSize + 1), elf.ErrEntry},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.file)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			want := abi.EELF
			switch c.want {
			case nil:
				want = abi.OK
			case elf.ErrWX:
				want = abi.EWX
			}
			if got := elf.Errno(err); got != want {
				t.Errorf("errno %d, want %d", got, want)
			}
		})
		if r, ok := c.want.(elf.Reason); ok {
			seen[r] = true
		}
	}
	seen[elf.ErrRead] = true // TestRejectUnreadable
	texts := map[string]bool{}
	for r := elf.ErrTooShort; r <= elf.ErrEntry; r++ {
		if !seen[r] {
			t.Errorf("no test for %q", r)
		}
		if texts[r.Error()] || r.Error() == "elf: " {
			t.Errorf("reason %d has no text of its own: %q", r, r)
		}
		texts[r.Error()] = true
	}
	for _, r := range []elf.Reason{0, elf.ErrEntry + 1, 255} {
		if r.Error() != "elf: unknown reason" {
			t.Errorf("reason %d: %q", r, r)
		}
	}
}

// TestRejectUnreadable lets each read fail in turn.
func TestRejectUnreadable(t *testing.T) {
	file := elftest.Hello().Build()
	for fail := 0; ; fail++ {
		reads := 0
		var p elf.Program
		err := p.Load(uint64(len(file)), func(off uint64, dst []byte) bool {
			reads++
			return reads != fail+1 && reader(t, file)(off, dst)
		})
		if reads <= fail {
			if err != nil || reads != 1+len(elftest.Hello().Segments) {
				t.Errorf("%d reads: %v", reads, err)
			}
			return
		}
		if !errors.Is(err, elf.ErrRead) {
			t.Errorf("read %d fails: %v", fail, err)
		}
	}
}

// TestLoadAgain checks that nothing of one file is left for the next.
func TestLoadAgain(t *testing.T) {
	var p elf.Program
	big, small := elftest.Hello().Build(), build(text(1))
	for _, file := range [][]byte{big, nil, small, big[:100], small} {
		err := p.Load(uint64(len(file)), reader(t, file))
		if want := file == nil || len(file) == 100; (err != nil) != want {
			t.Fatalf("%d bytes: %v", len(file), err)
		}
	}
	if n := len(p.Segments()); n != 1 {
		t.Errorf("%d segments, want 1", n)
	}
}

func TestNoAllocation(t *testing.T) {
	good := elftest.Hello().Build()
	bad := build(text(1), func() elftest.Segment { s := data(2); s.Flags = 7; return s }())
	var p elf.Program
	file := good
	read := reader(t, good)
	readBad := reader(t, bad)
	var failed error
	n := testing.AllocsPerRun(100, func() {
		if err := p.Load(uint64(len(file)), read); err != nil {
			failed = err
		}
		if err := p.Load(uint64(len(bad)), readBad); elf.Errno(err) != abi.EWX {
			failed = fmt.Errorf("W+X file: %w", err)
		}
	})
	if n != 0 || failed != nil {
		t.Errorf("%v allocations, %v", n, failed)
	}
}

// FuzzLoad holds every accepted file against the promises of Program. A file is
// its headers and a size, for the contents of segments are never looked at.
func FuzzLoad(f *testing.F) {
	add := func(file []byte, headers int) {
		n := min(len(file), elftest.HeaderSize+headers*elftest.ProgramHeaderSize)
		f.Add(file[:n], uint64(len(file)))
	}
	add(elftest.Hello().Build(), len(elftest.Hello().Segments))
	add(build(text(1)), 1)
	add(build(text(1), data(2), data(5)), 3)
	add(build(text(1), elftest.Segment{Type: elftest.Stack, Flags: 7}), 2)
	add(elftest.Hello().Build()[:200], 5)
	f.Fuzz(func(t *testing.T, head []byte, size uint64) {
		var p elf.Program
		err := p.Load(size, func(off uint64, dst []byte) bool {
			if off > size || uint64(len(dst)) > size-off {
				t.Fatalf("read of %d bytes at %d, of %d", len(dst), off, size)
			}
			clear(dst)
			if off < uint64(len(head)) {
				copy(dst, head[off:])
			}
			return true
		})
		if err != nil {
			if _, ok := err.(elf.Reason); !ok || elf.Errno(err) == abi.OK {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		entry := false
		end := uint64(abi.ImageBase)
		if n := len(p.Segments()); n == 0 || n > elf.MaxSegments {
			t.Fatalf("%d segments", n)
		}
		for _, s := range p.Segments() {
			first, last := s.VA&^(abi.PageSize-1), s.VA+s.MemSize-1
			switch {
			case s.MemSize == 0, s.MemSize > abi.MapBase-abi.ImageBase, s.FileSize > s.MemSize:
				t.Fatalf("sizes: %+v", s)
			case first < end, last < s.VA, last >= abi.MapBase:
				t.Fatalf("addresses: %+v behind %#x", s, end)
			case s.FileOff > size, s.FileSize > size-s.FileOff:
				t.Fatalf("contents: %+v of %d", s, size)
			case s.FileOff%abi.PageSize != s.VA%abi.PageSize:
				t.Fatalf("alignment: %+v", s)
			}
			switch s.Perm {
			case sv39.U | sv39.R, sv39.U | sv39.R | sv39.X:
				if s.FileSize != s.MemSize {
					t.Fatalf("read-only zeros: %+v", s)
				}
			case sv39.U | sv39.R | sv39.W:
			default:
				t.Fatalf("perm: %+v", s)
			}
			if s.Perm&sv39.X != 0 && p.Entry >= s.VA && p.Entry <= last {
				entry = true
			}
			end = last&^(abi.PageSize-1) + abi.PageSize
		}
		if !entry || p.Entry%2 != 0 {
			t.Fatalf("entry %#x", p.Entry)
		}
	})
}
