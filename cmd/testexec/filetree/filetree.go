// Package filetree packs files into the archive that a process finds as the
// initial content of its file system. The format is described where it is read,
// in runtime-patches/files/syscall/archive_tamago.go; that reader does not trust
// this writer.
//
// Equal trees give equal archives: names are sorted and times are left out.
package filetree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	magic     = "NXFILES1"
	alignment = 8

	// MaxFiles is what the reader accepts.
	MaxFiles = 1 << 15
	// MaxFile is the size of the largest file that the reader accepts, in bytes.
	MaxFile = 256 << 20

	modeRegular = 0o100000
	modeDir     = 0o040000
)

// Errors of [Tree.Marshal].
var (
	ErrTooMany = errors.New("more files than an archive may hold")
	ErrTooBig  = errors.New("file larger than an archive may hold")
	ErrName    = errors.New("not a clean path")
)

// file is one entry: a directory if data is nil.
type file struct {
	perm fs.FileMode
	data []byte
}

// Tree is a set of files by their path in the process. The zero value is empty.
type Tree struct {
	files map[string]file
}

func (t *Tree) set(name string, f file) {
	if t.files == nil {
		t.files = make(map[string]file)
	}
	t.files[name] = f
}

// Add adds a file, replacing one of the same name.
func (t *Tree) Add(name string, perm fs.FileMode, data []byte) {
	if data == nil {
		data = []byte{}
	}
	t.set(name, file{perm.Perm(), data})
}

// AddDir adds the directory dir of this machine as name. Of its subdirectories
// it takes, with everything below, those for which enter returns true. Symbolic
// links become what they lead to; other irregular files are left out.
func (t *Tree) AddDir(name, dir string, enter func(sub string) bool) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	t.set(name, file{perm: info.Mode().Perm()})
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(dir, e.Name()), path.Join(name, e.Name())
		info, err := os.Stat(from)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // a dangling link
		case err != nil:
			return err
		case info.IsDir() && e.IsDir() && enter(e.Name()):
			err = t.AddDir(to, from, func(string) bool { return true })
		case info.Mode().IsRegular():
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				t.Add(to, info.Mode(), data)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Len returns the number of files and directories.
func (t *Tree) Len() int { return len(t.files) }

// Marshal returns the archive. It refuses what the reader would refuse.
func (t *Tree) Marshal() ([]byte, error) {
	if len(t.files) > MaxFiles {
		return nil, fmt.Errorf("%w: %d", ErrTooMany, len(t.files))
	}
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	slices.Sort(names)
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), uint32(len(names)))
	b = le.AppendUint32(b, 0)
	for _, name := range names {
		f := t.files[name]
		if path.Clean(name) != name || name == "/" || name == "." || strings.HasPrefix(name, "..") || strings.ContainsRune(name, 0) {
			return nil, fmt.Errorf("%w: %q", ErrName, name)
		}
		if len(f.data) > MaxFile {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrTooBig, name, len(f.data))
		}
		mode := uint32(f.perm)
		if f.data == nil {
			mode |= modeDir
		} else {
			mode |= modeRegular
		}
		b = le.AppendUint32(b, mode)
		b = le.AppendUint32(b, uint32(len(name)))
		b = le.AppendUint64(b, uint64(len(f.data)))
		b = append(b, name...)
		b = append(b, f.data...)
		for len(b)%alignment != 0 {
			b = append(b, 0)
		}
	}
	return b, nil
}
