//go:build tamago

// Initial files of a process. Whoever starts a process may map an archive
// read-only into it; the tree is entered into the file system at its first use.
// Contents stay where they are mapped until a file is written to.
//
// The archive is little-endian: the eight bytes "NXFILES1", the number of
// records as uint32, a zero uint32, and then the records, each at a multiple of
// eight bytes: mode uint32 (S_IFREG or S_IFDIR, and permissions), length of the
// name uint32, length of the contents uint64, name, contents. Bytes behind the
// last record are ignored, because memory comes in whole pages. A name is a path
// without ".", ".." or empty elements; a relative one is below the working
// directory. Directories above it are made as needed.

package syscall

import "internal/byteorder"

const (
	archiveMagic  = "NXFILES1"
	archiveHeader = 16 // bytes before the first record
	recordHeader  = 16 // bytes before a record's name
	// archiveMax bounds the records, and with them the memory that inodes take;
	// it is above the number of files in a Go source tree.
	archiveMax = 1 << 15
)

// record is one file or directory of an archive.
type record struct {
	mode uint32
	name string
	data []byte
}

// mount enters the files of an archive into the tree: none if the archive is
// malformed, those before the first that contradicts another if one does. An
// empty slice means no archive.
func (f *fileSystem) mount(archive []byte) error {
	if len(archive) == 0 {
		return nil
	}
	records, err := parseArchive(archive)
	if err != nil {
		return err
	}
	for _, r := range records {
		dir, base := f.cwd, r.name
		if base[0] == '/' {
			dir, base = f.root, base[1:]
		}
		if err := f.enter(dir, base, r); err != nil {
			return err
		}
	}
	return nil
}

// enter makes one record below dir.
func (f *fileSystem) enter(dir *inode, path string, r record) error {
	for i := 0; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		next := dir.entries[path[:i]]
		if next == nil {
			next = f.newNode(S_IFDIR | 0755)
			dir.link(path[:i], next)
		}
		if !next.isDir() {
			return ENOTDIR
		}
		dir, path, i = next, path[i+1:], -1
	}
	if old := dir.entries[path]; old != nil {
		if old.isDir() && r.mode&S_IFMT == S_IFDIR {
			old.mode = r.mode
			return nil
		}
		return EEXIST
	}
	n := f.newNode(r.mode)
	n.data, n.shared = r.data, true
	dir.link(path, n)
	return nil
}

// parseArchive checks all of b before any of it is used.
func parseArchive(b []byte) ([]record, error) {
	if len(b) < archiveHeader || string(b[:8]) != archiveMagic || byteorder.LEUint32(b[12:]) != 0 {
		return nil, EINVAL
	}
	count := byteorder.LEUint32(b[8:])
	if count > archiveMax {
		return nil, E2BIG
	}
	var records []record
	for at := uint64(archiveHeader); count > 0; count-- {
		if uint64(len(b)) < at || uint64(len(b))-at < recordHeader {
			return nil, EINVAL
		}
		head := b[at:]
		mode := byteorder.LEUint32(head)
		nameLen := uint64(byteorder.LEUint32(head[4:]))
		dataLen := byteorder.LEUint64(head[8:])
		body := head[recordHeader:]
		if nameLen > uint64(len(body)) || dataLen > uint64(len(body))-nameLen {
			return nil, EINVAL
		}
		r := record{mode: mode, name: string(body[:nameLen]), data: body[nameLen : nameLen+dataLen : nameLen+dataLen]}
		if !r.valid() {
			return nil, EINVAL
		}
		records = append(records, r)
		at += (recordHeader + nameLen + dataLen + 7) &^ 7
	}
	return records, nil
}

// valid reports whether the file system can hold the record.
func (r record) valid() bool {
	switch r.mode &^ permMask {
	case S_IFREG:
		if len(r.data) > fileMax {
			return false
		}
	case S_IFDIR:
		if len(r.data) != 0 {
			return false
		}
	default:
		return false
	}
	if len(r.name) > PathMax {
		return false
	}
	start := 0
	if len(r.name) > 0 && r.name[0] == '/' {
		start = 1
	}
	for i := start; i <= len(r.name); i++ {
		if i < len(r.name) && r.name[i] == 0 {
			return false
		}
		if i < len(r.name) && r.name[i] != '/' {
			continue
		}
		switch element := r.name[start:i]; {
		case element == "", element == ".", element == "..", len(element) > nameMax:
			return false
		}
		start = i + 1
	}
	return true
}
