package bake

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/image"
	"nexus.internal/test/tinykernel"
	"pgregory.net/rapid"
)

const (
	base   = tinykernel.Base
	rx, rw = elftest.R | elftest.X, elftest.R | elftest.W
)

// executable returns an ELF with these segments.
func executable(entry uint64, segments ...elftest.Segment) []byte {
	for i := range segments {
		segments[i].Type = elftest.Load
	}
	return elftest.File{Entry: entry, Segments: segments}.Build()
}

// config returns an image configuration around a kernel that prints text.
func config(text string) Config {
	code := tinykernel.Code(text, 0)
	return Config{
		Kernel: executable(base,
			elftest.Segment{VA: base, Data: code, Flags: rx},
			elftest.Segment{VA: base + 0x4000, Data: []byte("data"), MemSize: 0x2349, Flags: rw}),
		Root: "init", RootFrames: 512, Args: []string{"init"}, Env: []string{"A=b"},
		Entries: []Entry{{image.EntryPrograms, bytes.Repeat([]byte("p"), 9000)}, {image.EntryManifest, []byte("m")}},
	}
}

func TestBakeOpen(t *testing.T) {
	b, err := Bake(config("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if img.Entry != base || img.Board != QEMUVirt || img.Header.TextOffset != 0x200000 || img.Header.Size != uint64(len(b)) {
		t.Errorf("entry %#x, board %v, header %+v", img.Entry, img.Board, img.Header)
	}
	if img.Header.Archive != 0x17000 {
		t.Errorf("archive at %#x, want %#x (segments end at 0x16349)", img.Header.Archive, 0x17000)
	}
	if got := string(b[base+0x4000-QEMUVirt.Load:][:6]); got != "data\x00\x00" {
		t.Errorf("data segment: %q", got)
	}
	if img.Root != "init" || img.RootFrames != 512 || img.Program().Name != image.EntryPrograms {
		t.Errorf("root %q, %d frames, program %q", img.Root, img.RootFrames, img.Program().Name)
	}
	boot, err := image.ParseBoot(img.Lookup(image.EntryBoot).Data)
	if err != nil || string(boot.Args) != "init\x00" || string(boot.Env) != "A=b\x00" {
		t.Errorf("boot = %+v, %v", boot, err)
	}
	again, err := Bake(config("hello\n"))
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("second image differs (%v)", err)
	}
}

// No bit of an image can change unnoticed.
func TestRejectDamage(t *testing.T) {
	b, err := Bake(config("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 1 + i/97 {
		b[i] ^= 1 << (i % 8)
		if _, err := Open(b); err == nil {
			t.Errorf("byte %#x of %#x: damage not seen", i, len(b))
		}
		b[i] ^= 1 << (i % 8)
	}
	archive := 0x17000
	for _, tt := range []struct {
		name   string
		change func(b []byte) []byte
		want   error
		text   string
	}{
		{"magic", func(b []byte) []byte { b[48] ^= 1; return b }, image.ErrHeaderMagic, ""},
		{"jump", func(b []byte) []byte { b[0] ^= 1; return b }, ErrJump, ""},
		{"jump outside", func(b []byte) []byte { b[3] ^= 0x40; return b }, ErrJump, ""},
		{"board", func(b []byte) []byte { b[8] ^= 1; return b }, ErrBoard, ""},
		{"truncated", func(b []byte) []byte { return b[:len(b)-1] }, ErrTruncated, ""},
		{"trailing", func(b []byte) []byte { return append(b, 0) }, ErrTrailing, ""},
		{"kernel", func(b []byte) []byte { b[base-QEMUVirt.Load] ^= 1; return b }, ErrSum, "kernel"},
		{"directory", func(b []byte) []byte { b[archive+200] ^= 1; return b }, image.ErrChecksum, ""},
		{"program", func(b []byte) []byte { b[archive+0x1000] ^= 1; return b }, ErrSum, `"programs"`},
		{"padding", func(b []byte) []byte { b[archive+0x1000+9000] ^= 1; return b }, ErrPadding, `"programs"`},
		{"manifest", func(b []byte) []byte { b[archive+0x4000] ^= 1; return b }, ErrSum, `"manifest"`},
	} {
		_, err := Open(tt.change(bytes.Clone(b)))
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
}

func TestRejectKernel(t *testing.T) {
	code := tinykernel.Code("", 0)
	good := executable(base, elftest.Segment{VA: base, Data: code, Flags: rx})
	change := func(off int, v byte) []byte { b := bytes.Clone(good); b[off] = v; return b }
	for _, tt := range []struct {
		name   string
		kernel []byte
		text   string
	}{
		{"nothing", nil, ""},
		{"no ELF", []byte("no ELF at all"), ""},
		{"other machine", change(18, 62), "EM_X86_64"},
		{"shared object", change(16, 3), "ET_DYN"},
		{"no segments", executable(base), "entry"},
		{"below the load address", executable(base, elftest.Segment{VA: QEMUVirt.Load - 4096, Data: code, Flags: rx}), "free from"},
		{"over the header", executable(base, elftest.Segment{VA: QEMUVirt.Load, Data: code, Flags: rx}), "free from"},
		{"overlap", executable(base, elftest.Segment{VA: base, Data: code, Flags: rx}, elftest.Segment{VA: base + 8, Data: code, Flags: rw}), "free from"},
		{"W and X", executable(base, elftest.Segment{VA: base, Data: code, Flags: rx | rw}), "writable and executable"},
		{"too far", executable(base, elftest.Segment{VA: base, Data: code, Flags: rx}, elftest.Segment{VA: 1 << 40, Data: code, Flags: rw}), "ends beyond"},
		{"too much bss", executable(base, elftest.Segment{VA: base, Data: code, MemSize: image.MaxSize + 1, Flags: rx}), "ends beyond"},
		{"bss wraps", executable(base, elftest.Segment{VA: base, Data: code, MemSize: 1<<64 - 1000, Flags: rx}), ""},
		{"entry in data", executable(base, elftest.Segment{VA: base, Data: code, Flags: rw}), "entry"},
		{"entry in bss", executable(base+uint64(len(code)), elftest.Segment{VA: base, Data: code, MemSize: uint64(len(code)) + 100, Flags: rx}), "entry"},
		{"cut off", good[:len(good)-1], ""},
	} {
		cfg := config("")
		cfg.Kernel = tt.kernel
		if _, err := Bake(cfg); !errors.Is(err, ErrKernel) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, ErrKernel, tt.text)
		}
	}
}

func TestRejectConfig(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		want   error
	}{
		{"no entries", func(c *Config) { c.Entries = nil }, ErrNoEntries},
		{"boot entry", func(c *Config) { c.Entries[1].Name = image.EntryBoot }, ErrReserved},
		{"too many", func(c *Config) {
			for range image.MaxEntries {
				c.Entries = append(c.Entries, Entry{"x", []byte("x")})
			}
		}, image.ErrCount},
		{"duplicate", func(c *Config) { c.Entries = append(c.Entries, c.Entries[0]) }, image.ErrDuplicate},
		{"too long", func(c *Config) { c.Entries[0].Data = make([]byte, image.MaxSize) }, image.ErrTooLong},
		{"no budget", func(c *Config) { c.RootFrames = 0 }, image.ErrRootFrames},
		{"argument", func(c *Config) { c.Args = []string{"\x00"} }, image.ErrBootString},
	} {
		c := config("")
		tt.change(&c)
		if _, err := Bake(c); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestJumpProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := QEMUVirt.Load + rapid.Uint64Range(0, image.MaxSize).Draw(t, "offset")
		if got, ok := jumpTarget(QEMUVirt.Load, jump(QEMUVirt.Load, target)); !ok || got != target {
			t.Fatalf("jump to %#x goes to %#x (%v)", target, got, ok)
		}
	})
}

func FuzzOpen(f *testing.F) {
	b, err := Bake(config("hello\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if img, err := Open(b); err == nil && len(img.Kernel) == 0 {
			t.Fatal("image without kernel")
		}
	})
}

// QEMU boots what Bake makes, whether the entry is near or far.
func TestQEMUBoots(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-riscv64")
	if err != nil {
		t.Skip("qemu-system-riscv64 is not installed")
	}
	for _, entry := range []uint64{base, QEMUVirt.Load + 7<<20 + 0x8fc} {
		cfg := config("")
		cfg.Kernel = executable(entry, elftest.Segment{VA: entry, Data: tinykernel.Code("kernel runs\n", 0), Flags: rx})
		img, err := Bake(cfg)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(file, img, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, qemu, "-M", "virt", "-m", "128M", "-nographic", "-no-reboot", "-kernel", file).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("kernel runs\n")) && !bytes.Contains(out, []byte("kernel runs\r\n")) {
			t.Errorf("entry %#x: %v\n%s", entry, err, out)
		}
	}
}
