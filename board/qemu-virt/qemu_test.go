//go:build !tamago

package virt

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nexus.internal/kernel/image"
)

// These tests boot the program internal/probe in QEMU. They need the toolchain
// of the project and QEMU, and are skipped without.

// probe returns the segments of the probe as they stand in memory from RAMStart
// on, and its entry.
var probe = sync.OnceValues(func() (flat []byte, entry uint64) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "probe.elf")
	cmd := exec.Command(toolchain, "build", "-o", file, "-ldflags", "-T 0x80211000 -R 0x1000", "./internal/probe")
	cmd.Env = append(os.Environ(), "GOOS=tamago", "GOARCH=riscv64", "GOOSPKG=github.com/usbarmory/tamago", "GOTOOLCHAIN=local", "GOROOT=", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %v\n%s", cmd, err, out))
	}
	f, err := elf.Open(file)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			flat = append(flat, make([]byte, p.Paddr-RAMStart+p.Memsz-uint64(len(flat)))...)
			if _, err := p.ReadAt(flat[p.Paddr-RAMStart:][:p.Filesz], 0); err != nil {
				panic(err)
			}
		}
	}
	return append(flat, make([]byte, -len(flat)&4095)...), f.Entry
})

const toolchain = "../../build/toolchain/bin/go"

// testImage returns an image whose first instructions replace a1 by tree, unless
// that is 0, and jump to the probe.
func testImage(t *testing.T, tree uint64) []byte {
	t.Helper()
	if _, err := os.Stat(toolchain); err != nil {
		t.Skip("no toolchain: ", err)
	}
	if _, err := exec.LookPath("qemu-system-riscv64"); err != nil {
		t.Skip(err)
	}
	flat, entry := probe()
	flat = bytes.Clone(flat)
	const stub = image.HeaderSize
	copy(flat, image.AppendHeader(nil, image.Header{
		Code:       [2]uint32{stub<<20 | 0x6f}, // j stub
		TextOffset: 2 << 20,
		Size:       uint64(len(flat) + image.DirectorySize), // the archive would follow
		Archive:    uint64(len(flat)),
	}))
	code := []uint32{
		0x00000297, // auipc t0, 0
		0x0182b583, // ld a1, 24(t0)
		0x0202b283, // ld t0, 32(t0)
		0x00028067, // jr t0
		0, 0,
		uint32(tree), uint32(tree >> 32),
		uint32(entry), uint32(entry >> 32),
	}
	if tree == 0 {
		code[1] = 0x13 // nop
	}
	for i, c := range code {
		binary.LittleEndian.PutUint32(flat[stub+4*i:], c)
	}
	return append(flat, make([]byte, image.DirectorySize)...)
}

// boot runs the image until QEMU ends, and returns what the image printed and
// QEMU's exit status.
func boot(t *testing.T, img []byte, args ...string) (string, int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-riscv64", append([]string{"-M", "virt", "-nographic", "-monitor", "none", "-kernel", file}, args...)...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || !exit.Exited()) {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	s := string(out)
	if _, ours, ok := strings.Cut(s, "Boot HART MEDELEG"); ok { // the last line of OpenSBI
		_, s, _ = strings.Cut(ours, "\n")
	}
	return s, cmd.ProcessState.ExitCode()
}

func TestBootMachines(t *testing.T) {
	var randoms sync.Map
	for _, c := range []struct{ args, want string }{
		{"-m 128M", "ram=0x8000000 harts=1 sstc=true seed= "},
		{"-m 128M -cpu rv64,sstc=off", "ram=0x8000000 harts=1 sstc=false seed= "},
		{"-m 2G -smp 8", "ram=0x80000000 harts=8 sstc=true seed= "},
		{"-m 2G -smp 8 -cpu rv64,sstc=off", "ram=0x80000000 harts=8 sstc=false seed= "},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, status := boot(t, testImage(t, 0), append(strings.Fields(c.args), "-append", "exit=7")...)
			if status != 7 || !strings.HasPrefix(out, "probe: "+c.want) || strings.Count(out, "\n") != 1 {
				t.Errorf("status %d, %s", status, out)
			}
			random := regexp.MustCompile("random=.*").FindString(out)
			if other, twice := randoms.LoadOrStore(random, c.args); twice {
				t.Errorf("%s as with %s", random, other)
			}
		})
	}
}

// TestClock gives the clock of the board dates. Its time is that of the virtual machine,
// and instructions are its clock, so that nothing gets between the accesses that read it
// and the time CSR.
func TestClock(t *testing.T) {
	for _, date := range []string{"2001-09-09T01:46:40", "2031-05-06T07:08:09", "2106-02-07T06:28:16"} {
		t.Run(date, func(t *testing.T) {
			t.Parallel()
			out, status := boot(t, testImage(t, 0), "-icount", "shift=0,sleep=off", "-rtc", "base="+date+",clock=vm", "-append", "wall")
			want, err := time.Parse("2006-01-02T15:04:05", date)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(out, "probe: wall clock at 0: ")
			got, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if d := time.Unix(0, got).Sub(want); err != nil || status != 0 || d.Abs() > 10*time.Microsecond {
				t.Errorf("status %d, %v from %v at power-on; %s", status, d, want, out)
			}
		})
	}
}

// TestBootEnds tests that every way in which a kernel ends is told by QEMU's
// exit status, and by a line if it is a failure.
func TestBootEnds(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		text   string
	}{
		{"exit=0", 0, ""},
		{"exit=1", 1, ""},
		{"exit=255", 255, ""},
		{"exit=256", 255, ""},
		{"exit=0xffffffff", 255, ""},
		{"panic", 2, "panic: panic"},
		{"store=0x200000000", statusTrap, "kernel: PANIC: early exception scause=0x0000000000000007 pc=0x00000000802[0-9a-f]* stval=0x0000000200000000 ra="},
		{"block", statusBlocked, "kernel: PANIC: every goroutine of the kernel is blocked"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, status := boot(t, testImage(t, 0), "-append", c.args)
			if status != c.status || !regexp.MustCompile(c.text).MatchString(out) {
				t.Errorf("status %d, want %d and %q; %s", status, c.status, c.text, out)
			}
		})
	}
}

// TestFirmware compares what package sbi gets with the state of a machine of two
// harts that OpenSBI has just started.
func TestFirmware(t *testing.T) {
	out, status := boot(t, testImage(t, 0), "-smp", "2", "-append", "sbi")
	_, out, _ = strings.Cut(out, "\n")
	// OpenSBI starts on any hart; let the other one be stopped.
	out = strings.Replace(out, "hart 0: state 1", "hart 0: state 0", 1)
	out = strings.Replace(out, "hart 1: state 0", "hart 1: state 1", 1)
	want := `probe: version 1 by 1, extension 1<<63: false
probe: extension 0x54494d45: true
probe: extension 0x735049: true
probe: extension 0x52464e43: true
probe: extension 0x48534d: true
probe: extension 0x53525354: true
probe: hart 0: state 0, sbi: success
probe: hart 1: state 1, sbi: success
probe: hart 2: state 0, sbi: invalid parameter
probe: hart start: sbi: invalid parameter
probe: ipi: sbi: success
probe: fences: sbi: success sbi: success sbi: success
probe: reset: sbi: invalid parameter
`
	if status != 0 || out != want {
		t.Errorf("status %d\n%s\nwant\n%s", status, out, want)
	}
}

// A second hart that comes to the entry of the image changes nothing there, and can be
// started again.
func TestRejectSecondEntry(t *testing.T) {
	out, status := boot(t, testImage(t, 0), "-smp", "2", "-append", "enter")
	if status != 0 || !strings.Contains(out, "probe: second entry: sbi: success, state 1\n") || strings.Count(out, "\n") != 2 {
		t.Errorf("status %d, %s", status, out)
	}
}

func TestRejectImage(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"no magic":  func(b []byte) { b[48] = 0 },
		"no size":   func(b []byte) { clear(b[16:24]) },
		"odd size":  func(b []byte) { b[16]++ },
		"huge size": func(b []byte) { binary.LittleEndian.PutUint64(b[16:], image.MaxSize+4096) },
		"size without bss": func(b []byte) {
			binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])-4096-image.DirectorySize)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := testImage(t, 0)
			change(img)
			if out, status := boot(t, img, "-append", "exit=0"); status != statusImage || !strings.Contains(out, "not started by its boot header") {
				t.Errorf("status %d, %s", status, out)
			}
		})
	}
}

// TestRejectTreeAtBoot hands the probe trees, or no trees, that firmware should
// not pass. Each must end in a message.
func TestRejectTreeAtBoot(t *testing.T) {
	const at = 0x8400_0000 // in free RAM
	good, err := os.ReadFile("fdt/testdata/opensbi-128m-2harts.dtb")
	if err != nil {
		t.Fatal(err)
	}
	put := func(off int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[off:], v)
		return b
	}
	for _, c := range []struct {
		name   string
		at     uint64
		blob   []byte
		status int
		text   string
	}{
		{"good", at, good, 0, "ram=0x8000000 harts=2"},
		{"misaligned", at + 4, good, statusTree, "no aligned address"},
		{"far away", 1 << 63, nil, statusTree, "no aligned address"},
		{"a device", 0x1000_0000, nil, statusTree, "no aligned address"},
		{"behind 4 GiB", 1 << 32, nil, statusTree, "no aligned address"},
		{"in the firmware", 0x8000_0000, nil, statusTrap, "scause=0x0000000000000005"},
		{"behind RAM", 0x9000_0000, nil, statusTrap, "stval=0x0000000090000"},
		{"in the kernel", RAMStart, nil, statusTree, "no device tree magic"},
		{"in the heap", 0x8100_0000, good, statusTree, "in the memory of the kernel"},
		{"zeros", at, make([]byte, 4096), statusTree, "no device tree magic"},
		{"4 GiB", at, put(4, ^uint32(0)), statusTree, "larger than MaxSize"},
		{"longer than RAM", 0x87ff_f000, put(4, 0x2000), statusTrap, "stval=0x0000000088000"},
		{"struct outside", at, put(8, 0x100000), statusTree, "lie outside"},
		{"strings of 4 GiB", at, put(32, ^uint32(0)), statusTree, "lie outside"},
		{"property of 4 GiB", at, put(0x38+12, ^uint32(0)), statusTree, "runs over the end"},
		{"unknown token", at, put(0x38+8, 77), statusTree, "unknown token"},
		{"no entropy", at, bytes.Replace(good, []byte("rng-seed"), []byte("rng-weed"), 1), statusEntropy, "no entropy"},
		{"no clock", at, bytes.Replace(bytes.Replace(good, []byte("goldfish"), []byte("coldfish"), 1), []byte("hello a=b"), []byte("wall=0000"), 1), 0, "wall clock at 0: 0\n"},
		{"no finisher", at, bytes.Replace(bytes.Replace(good, []byte("sifive,test"), []byte("sifive,rest"), 2), []byte("hello a=b"), []byte("exit=0x07"), 1), 0, "probe: "}, // OpenSBI 1.1 shuts down without a status
		{"no memory", at, bytes.Replace(good, []byte("memory@"), []byte("nemory@"), 1), 9, "no memory node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-append", "x"}
			if c.blob != nil {
				file := filepath.Join(t.TempDir(), "tree")
				if err := os.WriteFile(file, c.blob, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", file, c.at))
			}
			out, status := boot(t, testImage(t, c.at), args...)
			if status != c.status || !strings.Contains(out, c.text) {
				t.Errorf("status %d, want %d and %q; %s", status, c.status, c.text, out)
			}
		})
	}
}
