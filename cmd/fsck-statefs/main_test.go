package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nexus.internal/cmd/mkimage/disk"
	"nexus.internal/svc/statefs"
)

// image makes a disk with a store of 20 keys, and returns it with the key file, and where
// on the disk the ring begins.
func image(t *testing.T) (file, key string, ring int64) {
	t.Helper()
	dir := t.TempDir()
	file, key = filepath.Join(dir, "disk.img"), filepath.Join(dir, "key")
	if err := disk.Create(file, 8, disk.Default); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(strings.Repeat("07", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDevice(&cli{Disk: file, Partition: "state", Sector: 512, Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	opt := statefs.Options{Key: [32]byte(bytes.Repeat([]byte{7}, 32)), Random: rand.Reader}
	if err := statefs.Format(d, opt); err != nil {
		t.Fatal(err)
	}
	s, err := statefs.Open(d, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := s.Put(fmt.Sprintf("ns/key%02d", i), bytes.Repeat([]byte{byte(i)}, 100*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return file, key, d.at + 8192
}

// spoil changes a byte of a file.
func spoil(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	f.ReadAt(b[:], at)
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// want runs the command.
func want(t *testing.T, status int, says string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	if got := run(args, &out, &out); got != status || !strings.Contains(out.String(), says) {
		t.Errorf("fsck-statefs %q: status %d, want %d and %q\n%s", args, got, status, says, out.String())
	}
}

func TestCheck(t *testing.T) {
	file, key, ring := image(t)
	want(t, clean, "not authenticated", file)
	want(t, clean, "20 keys", "-key", key, file)
	want(t, clean, `1000 "ns/key10"`, "-key", key, "-list", file)
	spoil(t, file, ring+3*512+200)
	before, _ := os.ReadFile(file)
	want(t, damaged, "commits 4 to 4 are missing", file)
	want(t, damaged, "commits 4 to 4 are missing", "-key", key, file)
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Error("a check writes")
	}
	want(t, failed, "-repair takes -key", "-repair", file)
	want(t, repaired, "19 keys", "-key", key, "-repair", file)
	want(t, clean, "1 gaps that were repaired before", "-key", key, file)
}

// A value that cannot be read is found, and stays wrong after a repair.
func TestCheckValue(t *testing.T) {
	file, key, _ := image(t)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, file, int64(bytes.Index(b, bytes.Repeat([]byte{9}, 800))))
	want(t, damaged, `value of "ns/key09"`, file)
	want(t, damaged, `value of "ns/key09"`, "-key", key, "-repair", file)
}

func TestRejectNoStore(t *testing.T) {
	file, key, ring := image(t)
	want(t, failed, "no partition table", filepath.Join(filepath.Dir(file), "key"))
	want(t, failed, "no such file", filepath.Join(filepath.Dir(file), "none"))
	want(t, failed, `no partition "other"`, "-partition", "other", file)
	want(t, failed, "holds no store", "-partition", "keys", file)
	want(t, failed, "unknown flag", "-other", file)
	want(t, failed, "not 32 bytes", "-key", file, file)
	want(t, 0, "Usage", "-help")
	if err := os.WriteFile(key, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, failed, "without the key", "-key", key, file)
	for _, slot := range []int64{8192, 4096} {
		spoil(t, file, ring-slot+40)
	}
	want(t, failed, "cannot be read", file)
}

// The copy of the partition table counts if the first one is damaged; a raw file has none.
func TestFind(t *testing.T) {
	file, key, ring := image(t)
	spoil(t, file, 512+80)
	want(t, clean, "20 keys", "-key", key, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(filepath.Dir(file), "raw")
	d, err := openDevice(&cli{Disk: file, Partition: "state", Sector: 512})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(raw, b[ring-8192:][:d.size], 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, clean, "20 keys", "-raw", raw)
}
