//go:build tamago

// Open files and the calls that take descriptors.

package syscall

import "unsafe"

// fdMax bounds the descriptors of a process; a leak is an error long before it
// is a memory problem.
const fdMax = 4096

// openFile is what descriptors refer to; Dup makes several refer to one.
type openFile struct {
	refs  int
	node  *inode
	flags int      // mode of Open
	pos   int64    // next byte; in a directory, next entry of names
	names []string // directory: its entries when reading began
}

// get returns the open file of fd.
func (f *fileSystem) get(fd int) (*openFile, error) {
	f.reserve()
	if fd < 0 || fd >= len(f.open) || f.open[fd] == nil {
		return nil, EBADF
	}
	return f.open[fd], nil
}

// reserve makes sure that the standard descriptors are in the table.
func (f *fileSystem) reserve() {
	if f.open != nil {
		return
	}
	for fd := Stdin; fd <= Stderr; fd++ {
		n := f.newNode(S_IFCHR | 0620)
		n.dev = console(fd)
		f.open = append(f.open, &openFile{refs: 1, node: n, flags: O_RDWR})
	}
}

// install gives file the lowest free descriptor.
func (f *fileSystem) install(file *openFile) (int, error) {
	f.reserve()
	for fd, o := range f.open {
		if o == nil {
			file.refs++
			f.open[fd] = file
			return fd, nil
		}
	}
	if len(f.open) >= fdMax {
		return -1, EMFILE
	}
	file.refs++
	f.open = append(f.open, file)
	return len(f.open) - 1, nil
}

func (o *openFile) readable() bool { return o.flags&openAccess != O_WRONLY }

func (o *openFile) writable() bool { return o.flags&openAccess != O_RDONLY }

// Open opens the file at path.
func Open(path string, mode int, perm uint32) (fd int, err error) {
	return Openat(AtCWD, path, mode, perm)
}

// Openat is Open from the directory dirfd.
func Openat(dirfd int, path string, mode int, perm uint32) (fd int, err error) {
	fs.lock()
	defer fs.mu.Unlock()
	exclusive := mode&O_CREAT != 0 && mode&O_EXCL != 0
	at, err := fs.walk(dirfd, path, !exclusive && mode&O_NOFOLLOW == 0)
	if err != nil {
		return -1, err
	}
	n := at.node
	created := n == nil
	switch {
	case created && mode&O_CREAT == 0, created && at.dir.nlink == 0:
		return -1, ENOENT
	case created && at.slash:
		return -1, EISDIR
	case created && mode&O_DIRECTORY != 0:
		return -1, EINVAL
	case created:
		n = fs.newNode(S_IFREG | perm&permMask&^fs.umask)
	case exclusive:
		return -1, EEXIST
	case n.kind() == S_IFLNK:
		return -1, ELOOP
	case n.isDir() && mode&(openAccess|O_CREAT|O_TRUNC) != O_RDONLY:
		return -1, EISDIR
	case !n.isDir() && mode&O_DIRECTORY != 0:
		return -1, ENOTDIR
	}
	file := &openFile{node: n, flags: mode}
	fd, err = fs.install(file)
	if err != nil {
		return -1, err
	}
	if created {
		at.dir.link(at.name, n)
	} else if mode&O_TRUNC != 0 && file.writable() && n.kind() == S_IFREG {
		n.resize(0)
	}
	return fd, nil
}

// Close frees a descriptor. The last one of a pipe's end closes that end.
func Close(fd int) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	fs.open[fd] = nil
	fs.release(file)
	return nil
}

func (f *fileSystem) release(file *openFile) {
	file.refs--
	if p, ok := file.node.dev.(*pipe); ok && file.refs == 0 {
		p.closeEnd(file.writable())
	}
}

// Dup returns another descriptor for the same open file.
func Dup(fd int) (int, error) {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return -1, err
	}
	return fs.install(file)
}

// Dup2 makes newfd, which must be open, refer to the same open file as fd.
func Dup2(fd, newfd int) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	old, err := fs.get(newfd)
	if err != nil {
		return err
	}
	file.refs++
	fs.open[newfd] = file
	fs.release(old)
	return nil
}

// CloseOnExec does nothing: nothing is ever executed.
func CloseOnExec(fd int) {}

// SetNonblock notes whether fd is non-blocking, which package os asks with
// F_GETFL. It makes no other difference: a call that waits holds up its own
// goroutine only, and package poll can end it.
func SetNonblock(fd int, nonblocking bool) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	file.flags &^= O_NONBLOCK
	if nonblocking {
		file.flags |= O_NONBLOCK
	}
	return nil
}

// Fcntl answers F_GETFL.
func Fcntl(fd, cmd, arg int) (int, error) {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return -1, err
	}
	if cmd != F_GETFL {
		return -1, ENOSYS
	}
	return file.flags & (openAccess | O_APPEND | O_NONBLOCK), nil
}

// Read reads from the file's position.
func Read(fd int, b []byte) (int, error) { return readFile(fd, b, -1) }

// Pread reads from the given offset.
func Pread(fd int, b []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, EINVAL
	}
	return readFile(fd, b, offset)
}

// readFile reads from offset, or from the position if that is negative.
func readFile(fd int, b []byte, offset int64) (int, error) {
	fs.lock()
	file, err := fs.get(fd)
	if err == nil && !file.readable() {
		err = EBADF
	}
	if err != nil {
		fs.mu.Unlock()
		return 0, err
	}
	if dev := file.node.dev; dev != nil {
		fs.mu.Unlock() // a pipe may block
		if offset >= 0 {
			return 0, ESPIPE
		}
		return dev.read(b)
	}
	defer fs.mu.Unlock()
	if file.node.isDir() {
		return 0, EISDIR
	}
	from := offset
	if offset < 0 {
		from = file.pos
	}
	if from >= int64(len(file.node.data)) {
		return 0, nil
	}
	n := copy(b, file.node.data[from:])
	if offset < 0 {
		file.pos += int64(n)
	}
	return n, nil
}

// Write writes at the file's position, or at its end after O_APPEND.
func Write(fd int, b []byte) (int, error) { return writeFile(fd, b, -1) }

// Pwrite writes at the given offset.
func Pwrite(fd int, b []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, EINVAL
	}
	return writeFile(fd, b, offset)
}

// writeFile writes at offset, or at the position if that is negative.
func writeFile(fd int, b []byte, offset int64) (int, error) {
	fs.lock()
	file, err := fs.get(fd)
	if err == nil && !file.writable() {
		err = EBADF
	}
	if err != nil {
		fs.mu.Unlock()
		return 0, err
	}
	if dev := file.node.dev; dev != nil {
		fs.mu.Unlock() // a pipe may block
		if offset >= 0 {
			return 0, ESPIPE
		}
		return dev.write(b)
	}
	defer fs.mu.Unlock()
	to := offset
	if offset < 0 {
		if file.flags&O_APPEND != 0 {
			file.pos = int64(len(file.node.data))
		}
		to = file.pos
	}
	n, err := file.node.writeAt(b, to)
	if offset < 0 {
		file.pos += int64(n)
	}
	return n, err
}

// Seek sets the position: from the start (0), the position (1) or the end (2).
// In a directory only a return to the start is meaningful.
func Seek(fd int, offset int64, whence int) (int64, error) {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return 0, err
	}
	if file.node.dev != nil {
		if _, ok := file.node.dev.(nullDevice); ok {
			return 0, nil
		}
		return 0, ESPIPE
	}
	switch whence {
	case 0:
	case 1:
		offset += file.pos
	case 2:
		offset += int64(len(file.node.data))
	default:
		return 0, EINVAL
	}
	if offset < 0 {
		return 0, EINVAL
	}
	file.pos = offset
	if offset == 0 {
		file.names = nil
	}
	return offset, nil
}

// ReadDirent fills buf with as many entries of a directory as fit. It shows the
// directory as it was when reading began.
func ReadDirent(fd int, buf []byte) (int, error) {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return 0, err
	}
	if !file.node.isDir() {
		return 0, ENOTDIR
	}
	if file.names == nil {
		if file.node.nlink == 0 {
			return 0, ENOENT
		}
		file.names = append(make([]string, 0, len(file.node.order)), file.node.order...)
	}
	const head = int(unsafe.Offsetof(Dirent{}.Name))
	n := 0
	for file.pos < int64(len(file.names)) {
		name := file.names[file.pos]
		size := (head + len(name) + 1 + 7) &^ 7
		if n+size > len(buf) {
			if n == 0 {
				return 0, EINVAL // not even one fits
			}
			break
		}
		file.pos++
		node := file.node.entries[name]
		if node == nil {
			continue // removed since
		}
		rec := buf[n : n+size]
		clear(rec)
		putLE64(rec, node.ino)
		rec[8], rec[9] = byte(size), byte(size>>8)
		copy(rec[head:], name)
		n += size
	}
	return n, nil
}

func putLE64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

// Fstat fills in st for an open file.
func Fstat(fd int, st *Stat_t) error {
	return withNode(fd, func(n *inode) error { n.stat(st); return nil })
}

// Fchmod is Chmod of an open file.
func Fchmod(fd int, mode uint32) error {
	return withNode(fd, func(n *inode) error { n.chmod(mode); return nil })
}

// Fchown is Chown of an open file.
func Fchown(fd int, uid, gid int) error {
	return withNode(fd, func(n *inode) error { n.chown(uid, gid); return nil })
}

// Fchdir makes an open directory the working directory.
func Fchdir(fd int) error { return withNode(fd, fs.chdir) }

// Fsync has nothing to do: there is no medium behind the memory.
func Fsync(fd int) error { return withNode(fd, func(*inode) error { return nil }) }

// Ftruncate is Truncate of a file that is open for writing.
func Ftruncate(fd int, length int64) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	if !file.writable() {
		return EINVAL
	}
	return file.node.truncate(length)
}

func withNode(fd int, do func(*inode) error) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	return do(file.node)
}
