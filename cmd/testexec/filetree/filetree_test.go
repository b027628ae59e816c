package filetree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// list reads an archive back by the letter of the format.
func list(t *testing.T, b []byte) map[string]string {
	t.Helper()
	le := binary.LittleEndian
	if string(b[:8]) != magic {
		t.Fatalf("magic %q", b[:8])
	}
	got := make(map[string]string)
	at := 16
	for range le.Uint32(b[8:]) {
		mode, n, size := le.Uint32(b[at:]), int(le.Uint32(b[at+4:])), int(le.Uint64(b[at+8:]))
		name := string(b[at+16 : at+16+n])
		text := string(b[at+16+n : at+16+n+size])
		if mode&modeDir != 0 {
			text = "<dir>"
		}
		got[name] = text
		at += (16 + n + size + 7) &^ 7
	}
	if at != len(b) {
		t.Fatalf("%d bytes left over", len(b)-at)
	}
	return got
}

func TestAddDir(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "package a", "testdata/deep/x": "x", "sub/b.go": "no", "empty": ""} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("a.go", filepath.Join(dir, "link")), os.Symlink("nowhere", filepath.Join(dir, "dangling"))); err != nil {
		t.Fatal(err)
	}
	var tree Tree
	if err := tree.AddDir("/src/a", dir, func(sub string) bool { return sub == "testdata" }); err != nil {
		t.Fatal(err)
	}
	b, err := tree.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/src/a": "<dir>", "/src/a/a.go": "package a", "/src/a/link": "package a", "/src/a/empty": "",
		"/src/a/testdata": "<dir>", "/src/a/testdata/deep": "<dir>", "/src/a/testdata/deep/x": "x",
	}
	got := list(t, b)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s = %q, want %q", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("archive holds %v", got)
	}
	again, _ := tree.Marshal()
	if !bytes.Equal(b, again) {
		t.Error("the same tree gave two archives")
	}
}

func TestRejectNames(t *testing.T) {
	for _, name := range []string{"", "/", ".", "..", "../x", "a//b", "a/", "a\x00"} {
		var tree Tree
		tree.Add(name, 0o644, nil)
		if _, err := tree.Marshal(); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRejectTooMany(t *testing.T) {
	var tree Tree
	for i := range MaxFiles + 1 {
		tree.Add(string(binary.AppendUvarint([]byte("n"), uint64(i)+1)), 0o644, nil)
	}
	if _, err := tree.Marshal(); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

func TestRejectTooBig(t *testing.T) {
	var tree Tree
	tree.Add("big", 0o644, make([]byte, MaxFile+1))
	if _, err := tree.Marshal(); !errors.Is(err, ErrTooBig) {
		t.Error(err)
	}
}
