package crash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func sealed(text string) []byte {
	mem := make([]byte, RecordSize)
	Seal(mem, copy(Text(mem), text))
	return mem
}

func TestRecord(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("x", MaxText)} {
		mem := sealed(text)
		got, err := Open(mem)
		if err != nil || string(got) != text {
			t.Errorf("record of %d bytes: %d bytes, %v", len(text), len(got), err)
		}
		Clear(mem)
		if _, err := Open(mem); err != ErrNone {
			t.Errorf("cleared record: %v", err)
		}
	}
	mem := make([]byte, RecordSize)
	Seal(mem, MaxText+1)
	if got, err := Open(mem); err != nil || len(got) != MaxText {
		t.Errorf("text that is too long: %d bytes, %v", len(got), err)
	}
}

func TestRejectRecord(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"short":       {func(b []byte) []byte { return b[:RecordSize-1] }, ErrNone},
		"none":        {func(b []byte) []byte { clear(b); return b }, ErrNone},
		"magic":       {func(b []byte) []byte { b[0]++; return b }, ErrNone},
		"too long":    {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[offLength:], MaxText+1); return b }, ErrLength},
		"4 GiB":       {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[offLength:], ^uint32(0)); return b }, ErrLength},
		"one less":    {func(b []byte) []byte { b[offLength]--; return b }, ErrCRC},
		"checksum":    {func(b []byte) []byte { b[offCRC]++; return b }, ErrCRC},
		"bit of text": {func(b []byte) []byte { b[headerSize] ^= 1; return b }, ErrCRC},
	} {
		if got, err := Open(c.change(sealed("text"))); got != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sealed("kernel: PANIC\n"))
	f.Add(make([]byte, RecordSize))
	f.Fuzz(func(t *testing.T, mem []byte) {
		if text, err := Open(mem); err == nil {
			Show(text, func(line []byte) {
				if len(line) > 256 || line[len(line)-1] != '\n' {
					t.Errorf("line %q", line)
				}
			})
		}
	})
}

func TestShow(t *testing.T) {
	var out bytes.Buffer
	Show([]byte("one\n\tt\x1b[2Jwo\n\nlast"), func(b []byte) { out.Write(b) })
	if want := "crash: | one\ncrash: |  t?[2Jwo\ncrash: | \ncrash: | last\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	lines := 0
	Show(bytes.Repeat([]byte{'x'}, MaxText), func(b []byte) { lines++ })
	if lines != (MaxText+245)/246 {
		t.Errorf("%d lines", lines)
	}
}

func TestReport(t *testing.T) {
	var out []byte
	r := Report{Print: func(c byte) { out = append(out, c) }, Buf: make([]byte, 20)}
	r.Text("a ")
	r.Dec(0)
	r.Byte(' ')
	r.Dec(1<<64 - 1)
	r.Hex(0xab)
	if want := "a 0 184467440737095516150x00000000000000ab"; string(out) != want || string(r.Buf[:r.N]) != want[:20] {
		t.Errorf("%q, %q", out, r.Buf[:r.N])
	}
	out = nil
	r.Registers(&[32]uint64{2: 1, 27: 2, 31: 3})
	s := string(out)
	if strings.Count(s, "\n") != 8 || !strings.Contains(s, "  sp 0x0000000000000001") || !strings.Contains(s, "   g 0x0000000000000002") ||
		!strings.HasSuffix(s, "  t6 0x0000000000000003\n") {
		t.Error(s)
	}
}

func TestParseOptions(t *testing.T) {
	for args, want := range map[string]struct {
		o   Options
		bad string
	}{
		"":                                       {},
		"console=hvc0 exit=1":                    {},
		"nexus.onfault=halt":                     {o: Options{OnFault: Halt}},
		"a nexus.onfault=reset nexus.fault=load": {o: Options{OnFault: Reset, Fault: "load"}},
		"nexus.fault=index":                      {o: Options{Fault: "index"}},
		"nexus.fault=panic":                      {o: Options{Fault: "panic"}},
		"nexus.fault=":                           {bad: "nexus.fault="},
		"nexus.onfault=reset nexus.onfault=no":   {o: Options{OnFault: Reset}, bad: "nexus.onfault=no"},
	} {
		if o, bad := ParseOptions(args); o != want.o || bad != want.bad {
			t.Errorf("%q: %+v, %q", args, o, bad)
		}
	}
}
