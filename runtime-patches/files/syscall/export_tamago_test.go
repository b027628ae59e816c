//go:build tamago

// Package syscall's tests are outside of it, because package testing imports it:
// this is what they reach inside.

package syscall

const (
	NameMax       = nameMax
	LinksMax      = linksMax
	FileMax       = fileMax
	FDMax         = fdMax
	PipeMax       = pipeMax
	ArchiveMagic  = archiveMagic
	ArchiveHeader = archiveHeader
	ArchiveMax    = archiveMax
)

// CheckArchive reports how many records an archive has.
func CheckArchive(archive []byte) (int, error) {
	records, err := parseArchive(archive)
	return len(records), err
}

// Tree is a file system of its own.
type Tree struct{ fs *fileSystem }

func NewTree() Tree {
	f := new(fileSystem)
	f.build()
	f.cwd = f.root
	return Tree{f}
}

func (t Tree) Mount(archive []byte) error { return t.fs.mount(archive) }

// Get returns the mode and contents of a file.
func (t Tree) Get(path string) (mode uint32, data string, err error) {
	n, err := t.fs.find(AtCWD, path, true)
	if err != nil {
		return 0, "", err
	}
	return n.mode, string(n.data), nil
}

// Put overwrites the start of a file.
func (t Tree) Put(path, data string) error {
	n, err := t.fs.find(AtCWD, path, true)
	if err == nil {
		_, err = n.writeAt([]byte(data), 0)
	}
	return err
}
