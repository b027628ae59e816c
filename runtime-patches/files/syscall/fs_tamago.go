//go:build tamago

// The file system of a process: a tree of inodes in its own memory, private to
// it and gone with it. It starts with /dev/null, /tmp and the initial files of
// the process (archive_tamago.go), and is built at the first use, so that a
// process that never opens a file pays nothing. Permission bits are kept but not
// enforced: everything in here belongs to the process already.

package syscall

import "sync"

const (
	// nameMax is the longest name of one entry, as on other Unix systems, which
	// tests rely on.
	nameMax = 255
	// linksMax bounds the symbolic links that one path may pass through, so that
	// a loop ends.
	linksMax = 40
	// fileMax bounds one file. Files are heap memory, and a wild Truncate or
	// Pwrite must be an error instead of the end of the process.
	fileMax = 256 << 20
	// utimeOmit in UtimesNano leaves a time alone; it equals unix.UTIME_OMIT.
	utimeOmit = -2
)

// inode is a file, directory, symbolic link or device. Which fields are used
// depends on the type in mode.
type inode struct {
	ino   uint64
	mode  uint32 // S_IFMT type and permissions
	nlink uint32 // names that lead here; a directory has 1, and 0 once removed
	uid   int
	gid   int
	atime Timespec
	mtime Timespec
	ctime Timespec

	data   []byte // regular file: contents; symbolic link: target
	shared bool   // data lies in the read-only initial files: copy before writing
	dev    device // device or pipe

	parent  *inode            // directory: the one above, itself at the root
	name    string            // directory: its name in parent
	entries map[string]*inode // directory: contents
	order   []string          // directory: names in the order of creation
}

func (n *inode) kind() uint32 { return n.mode & S_IFMT }

func (n *inode) isDir() bool { return n.kind() == S_IFDIR }

// link enters node into directory n under a name that is not taken.
func (n *inode) link(name string, node *inode) {
	n.entries[name] = node
	n.order = append(n.order, name)
	if node.isDir() {
		node.parent, node.name, node.nlink = n, name, 1
	} else {
		node.nlink++
	}
	n.touch()
}

// unlink takes an existing name out of directory n.
func (n *inode) unlink(name string) {
	n.entries[name].nlink--
	delete(n.entries, name)
	for i, o := range n.order {
		if o == name {
			n.order = append(n.order[:i:i], n.order[i+1:]...)
			break
		}
	}
	n.touch()
}

// touch notes that the contents changed now.
func (n *inode) touch() {
	n.mtime = timeNow()
	n.ctime = n.mtime
}

// resize sets the length of a regular file; new bytes are zero.
func (n *inode) resize(size int64) error {
	if size < 0 {
		return EINVAL
	}
	if size > fileMax {
		return EFBIG
	}
	old := len(n.data)
	if n.shared || size > int64(cap(n.data)) {
		room := size
		if !n.shared {
			room = max(size, min(2*int64(old), fileMax)) // appending stays linear in total
		}
		data := make([]byte, min(int64(old), size), room)
		copy(data, n.data)
		n.data, n.shared = data, false
	}
	n.data = n.data[:size]
	if size > int64(old) {
		clear(n.data[old:])
	}
	n.touch()
	return nil
}

// writeAt writes b into a regular file, extending it where needed.
func (n *inode) writeAt(b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	end := off + int64(len(b))
	if end < off || end > fileMax {
		return 0, EFBIG
	}
	if err := n.resize(max(end, int64(len(n.data)))); err != nil {
		return 0, err
	}
	return copy(n.data[off:], b), nil
}

func (n *inode) stat(st *Stat_t) {
	*st = Stat_t{
		Dev:       1,
		Ino:       n.ino,
		Mode:      n.mode,
		Nlink:     n.nlink,
		Uid:       uint32(n.uid),
		Gid:       uint32(n.gid),
		Size:      int64(len(n.data)),
		Blksize:   4096,
		Blocks:    int32((len(n.data) + 511) / 512),
		Atime:     n.atime.Sec,
		AtimeNsec: n.atime.Nsec,
		Mtime:     n.mtime.Sec,
		MtimeNsec: n.mtime.Nsec,
		Ctime:     n.ctime.Sec,
		CtimeNsec: n.ctime.Nsec,
	}
}

func timeNow() Timespec {
	sec, nsec := now()
	return Timespec{Sec: sec, Nsec: int64(nsec)}
}

// fileSystem is the tree and the table of open files. mu guards both and every
// inode; it is never held across I/O that can block.
type fileSystem struct {
	mu      sync.Mutex
	root    *inode // nil before the first use
	cwd     *inode
	lastIno uint64
	umask   uint32
	open    []*openFile // by descriptor, nil where free
}

var fs = fileSystem{umask: 022}

// lock locks the file system, which it builds at the first call.
func (f *fileSystem) lock() {
	f.mu.Lock()
	if f.root == nil {
		f.build()
	}
}

// build makes the initial tree. The working directory is $PWD, or else the root.
func (f *fileSystem) build() {
	f.root = f.newNode(S_IFDIR | 0755)
	f.root.parent, f.root.nlink = f.root, 1
	f.cwd = f.root
	f.root.link("tmp", f.newNode(S_IFDIR|S_ISVTX|0777))
	dev := f.newNode(S_IFDIR | 0755)
	f.root.link("dev", dev)
	null := f.newNode(S_IFCHR | 0666)
	null.dev = nullDevice{}
	dev.link("null", null)

	if pwd, ok := Getenv("PWD"); ok && len(pwd) > 0 && pwd[0] == '/' {
		if dir, err := f.makeAll(pwd); err == nil {
			f.cwd = dir
		}
	}
	if err := f.mount(runtime_files()); err != nil {
		console(Stderr).write([]byte("syscall: initial files refused: " + err.Error() + "\n"))
	}
}

func (f *fileSystem) newNode(mode uint32) *inode {
	f.lastIno++
	n := &inode{ino: f.lastIno, mode: mode, mtime: timeNow()}
	n.atime, n.ctime = n.mtime, n.mtime
	if n.isDir() {
		n.entries = make(map[string]*inode)
	}
	return n
}

// makeAll returns the directory at path, making it and those above as needed.
func (f *fileSystem) makeAll(path string) (*inode, error) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		at, err := f.walk(AtCWD, path[:i], true)
		if err != nil {
			return nil, err
		}
		if at.node == nil {
			at.node = f.newNode(S_IFDIR | 0755)
			at.dir.link(at.name, at.node)
		}
		if i == len(path) {
			if !at.node.isDir() {
				return nil, ENOTDIR
			}
			return at.node, nil
		}
	}
	return nil, ENOENT
}

// place is where a path leads: name in dir, and the node there, nil if none.
// After a path that ends in "." or ".." or names the root, name is not a name
// that could be entered or removed.
type place struct {
	dir   *inode
	name  string
	node  *inode
	slash bool // the path ended in a slash
}

// walk resolves path, starting in the directory that is open as dirfd if it is
// relative. The last element may be missing (node is nil then); if it is a
// symbolic link it is followed only if follow is set or a slash follows.
func (f *fileSystem) walk(dirfd int, path string, follow bool) (place, error) {
	if path == "" {
		return place{}, ENOENT
	}
	if len(path) > PathMax {
		return place{}, ENAMETOOLONG
	}
	for i := 0; i < len(path); i++ {
		if path[i] == 0 {
			return place{}, EINVAL
		}
	}
	base := f.cwd
	if path[0] != '/' && dirfd != AtCWD {
		file, err := f.get(dirfd)
		if err != nil {
			return place{}, err
		}
		if base = file.node; !base.isDir() {
			return place{}, ENOTDIR
		}
	}
	at := f.start(path, base)
	links := 0
	for rest := path; ; {
		slashes := 0
		for slashes < len(rest) && rest[slashes] == '/' {
			slashes++
		}
		rest = rest[slashes:]
		if slashes > 0 && at.node != nil && !at.node.isDir() {
			return place{}, ENOTDIR
		}
		if rest == "" {
			at.slash = slashes > 0
			return at, nil
		}
		if at.node == nil {
			return place{}, ENOENT
		}
		end := 0
		for end < len(rest) && rest[end] != '/' {
			end++
		}
		name := rest[:end]
		rest = rest[end:]
		if len(name) > nameMax {
			return place{}, ENAMETOOLONG
		}
		dir := at.node
		switch name {
		case ".":
			at = place{dir: dir, name: name, node: dir}
			continue
		case "..":
			at = place{dir: dir, name: name, node: dir.parent}
			continue
		}
		at = place{dir: dir, name: name, node: dir.entries[name]}
		if at.node != nil && at.node.kind() == S_IFLNK && (follow || rest != "") {
			if links++; links > linksMax {
				return place{}, ELOOP
			}
			target := string(at.node.data)
			at = f.start(target, dir)
			rest = target + rest
		}
	}
}

// start is where the walk along path begins: at the root, or in dir.
func (f *fileSystem) start(path string, dir *inode) place {
	if path[0] == '/' {
		dir = f.root
	}
	return place{dir: dir, node: dir}
}

// find resolves path to an existing node.
func (f *fileSystem) find(dirfd int, path string, follow bool) (*inode, error) {
	at, err := f.walk(dirfd, path, follow)
	if err == nil && at.node == nil {
		err = ENOENT
	}
	return at.node, err
}

// vacant resolves path to a name under which a new node can be entered. Only a
// directory may be named with a slash behind it.
func (f *fileSystem) vacant(dirfd int, path string, dir bool) (place, error) {
	at, err := f.walk(dirfd, path, false)
	switch {
	case err != nil:
		return at, err
	case at.node != nil:
		return at, EEXIST
	case at.dir.nlink == 0, at.slash && !dir:
		return at, ENOENT
	}
	return at, nil
}

// occupied resolves path to a name that can be removed.
func (f *fileSystem) occupied(dirfd int, path string) (place, error) {
	at, err := f.walk(dirfd, path, false)
	switch {
	case err != nil:
		return at, err
	case at.node == nil:
		return at, ENOENT
	case at.name == ".":
		return at, EINVAL
	case at.name == "" || at.name == "..":
		return at, EBUSY
	}
	return at, nil
}
