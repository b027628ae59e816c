package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "s"))
		a, b, c := rapid.Uint16().Draw(t, "a"), rapid.Uint32().Draw(t, "b"), rapid.Uint64().Draw(t, "c")
		p := AppendU64(AppendU32(AppendU16(AppendString8(nil, s), a), b), c)
		r := Read(p)
		if got := string(r.String8()); got != s || r.U16() != a || r.U32() != b || r.U64() != c || !r.Done() {
			t.Fatal("not what was written")
		}
		cut := rapid.IntRange(0, len(p)-1).Draw(t, "cut")
		r = Read(p[:cut])
		r.String8()
		r.U16()
		r.U32()
		r.U64()
		if r.OK() || r.Done() {
			t.Fatalf("%d of %d bytes were enough", cut, len(p))
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{3, 'a', 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Read(b)
		n := 0
		for r.OK() && !r.Done() {
			n += 1 + len(r.String8())
		}
		if r.Done() && n != len(b) {
			t.Fatalf("read %d of %d bytes", n, len(b))
		}
	})
}
