//go:build tamago

// Calls that take paths. Each resolves its paths and acts on the tree under one
// lock, so all of them are atomic. Those with a directory descriptor (dirfd)
// start relative paths there, or in the working directory if it is AtCWD.

package syscall

// AtCWD stands for the working directory where a directory descriptor is wanted.
const AtCWD = -100

// Flags of the calls with a directory descriptor.
const (
	AtSymlinkNoFollow = 0x100 // act on a symbolic link itself
	AtRemoveDir       = 0x200 // Unlinkat: remove a directory
)

func follows(flags int) bool { return flags&AtSymlinkNoFollow == 0 }

// Stat fills in st for the file at path, following a symbolic link.
func Stat(path string, st *Stat_t) error { return Fstatat(AtCWD, path, st, 0) }

// Lstat is Stat for the link itself.
func Lstat(path string, st *Stat_t) error {
	return Fstatat(AtCWD, path, st, AtSymlinkNoFollow)
}

// Fstatat is Stat, or Lstat, from the directory dirfd.
func Fstatat(dirfd int, path string, st *Stat_t, flags int) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(dirfd, path, follows(flags))
	if err != nil {
		return err
	}
	n.stat(st)
	return nil
}

// Mkdir makes a directory.
func Mkdir(path string, perm uint32) error { return Mkdirat(AtCWD, path, perm) }

// Mkdirat is Mkdir from the directory dirfd.
func Mkdirat(dirfd int, path string, perm uint32) error {
	fs.lock()
	defer fs.mu.Unlock()
	at, err := fs.vacant(dirfd, path, true)
	if err != nil {
		return err
	}
	at.dir.link(at.name, fs.newNode(S_IFDIR|perm&permMask&^fs.umask))
	return nil
}

// Rmdir removes an empty directory.
func Rmdir(path string) error { return Unlinkat(AtCWD, path, AtRemoveDir) }

// Unlink removes a name of something other than a directory. The file itself
// lives on while it is open or has other names.
func Unlink(path string) error { return Unlinkat(AtCWD, path, 0) }

// Unlinkat is Unlink, or Rmdir, from the directory dirfd.
func Unlinkat(dirfd int, path string, flags int) error {
	fs.lock()
	defer fs.mu.Unlock()
	at, err := fs.occupied(dirfd, path)
	if err != nil {
		return err
	}
	if flags&AtRemoveDir != 0 {
		switch {
		case !at.node.isDir():
			return ENOTDIR
		case len(at.node.entries) > 0:
			return ENOTEMPTY
		}
	} else if at.node.isDir() {
		return EISDIR
	}
	at.dir.unlink(at.name)
	at.node.ctime = timeNow()
	return nil
}

// Rename moves from to to, replacing a file or an empty directory there.
func Rename(from, to string) error { return Renameat(AtCWD, from, AtCWD, to) }

// Renameat is Rename with a directory descriptor for each path.
func Renameat(fromfd int, from string, tofd int, to string) error {
	fs.lock()
	defer fs.mu.Unlock()
	src, err := fs.occupied(fromfd, from)
	if err != nil {
		return err
	}
	dst, err := fs.walk(tofd, to, false)
	switch {
	case err != nil:
		return err
	case dst.node == src.node:
		return nil
	case dst.name == "" || dst.name == "." || dst.name == "..":
		return EBUSY
	case dst.dir.nlink == 0:
		return ENOENT
	}
	if src.node.isDir() {
		for d := dst.dir; ; d = d.parent {
			if d == src.node {
				return EINVAL // into itself
			}
			if d == d.parent {
				break
			}
		}
	} else if dst.slash {
		return ENOTDIR
	}
	if dst.node != nil {
		switch {
		case src.node.isDir() && !dst.node.isDir():
			return ENOTDIR
		case !src.node.isDir() && dst.node.isDir():
			return EISDIR
		case len(dst.node.entries) > 0:
			return ENOTEMPTY
		}
		dst.dir.unlink(dst.name)
	}
	src.dir.unlink(src.name)
	dst.dir.link(dst.name, src.node)
	return nil
}

// Link gives the file at path another name.
func Link(path, link string) error { return Linkat(AtCWD, path, AtCWD, link) }

// Linkat is Link with a directory descriptor for each path.
func Linkat(fromfd int, path string, tofd int, link string) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(fromfd, path, false)
	if err != nil {
		return err
	}
	if n.isDir() {
		return EPERM
	}
	at, err := fs.vacant(tofd, link, false)
	if err != nil {
		return err
	}
	at.dir.link(at.name, n)
	n.ctime = timeNow()
	return nil
}

// Symlink makes a symbolic link with the given target, which need not exist.
func Symlink(target, link string) error { return Symlinkat(target, AtCWD, link) }

// Symlinkat is Symlink from the directory dirfd.
func Symlinkat(target string, dirfd int, link string) error {
	if target == "" {
		return ENOENT
	}
	if len(target) > PathMax {
		return ENAMETOOLONG
	}
	fs.lock()
	defer fs.mu.Unlock()
	at, err := fs.vacant(dirfd, link, false)
	if err != nil {
		return err
	}
	n := fs.newNode(S_IFLNK | 0777)
	n.data = []byte(target)
	at.dir.link(at.name, n)
	return nil
}

// Readlink copies as much of the target of a symbolic link into buf as fits.
func Readlink(path string, buf []byte) (int, error) { return Readlinkat(AtCWD, path, buf) }

// Readlinkat is Readlink from the directory dirfd.
func Readlinkat(dirfd int, path string, buf []byte) (int, error) {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(dirfd, path, false)
	if err != nil {
		return 0, err
	}
	if n.kind() != S_IFLNK {
		return 0, EINVAL
	}
	return copy(buf, n.data), nil
}

// Chmod sets the permission bits, which nothing here enforces.
func Chmod(path string, mode uint32) error { return Fchmodat(AtCWD, path, mode, 0) }

// Fchmodat is Chmod from the directory dirfd.
func Fchmodat(dirfd int, path string, mode uint32, flags int) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(dirfd, path, follows(flags))
	if err != nil {
		return err
	}
	n.chmod(mode)
	return nil
}

func (n *inode) chmod(mode uint32) {
	n.mode = n.kind() | mode&permMask
	n.ctime = timeNow()
}

// Chown sets the owner; -1 leaves a value alone.
func Chown(path string, uid, gid int) error { return Fchownat(AtCWD, path, uid, gid, 0) }

// Lchown is Chown for a link itself.
func Lchown(path string, uid, gid int) error {
	return Fchownat(AtCWD, path, uid, gid, AtSymlinkNoFollow)
}

// Fchownat is Chown, or Lchown, from the directory dirfd.
func Fchownat(dirfd int, path string, uid, gid int, flags int) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(dirfd, path, follows(flags))
	if err != nil {
		return err
	}
	n.chown(uid, gid)
	return nil
}

func (n *inode) chown(uid, gid int) {
	if uid != -1 {
		n.uid = uid
	}
	if gid != -1 {
		n.gid = gid
	}
	n.ctime = timeNow()
}

// UtimesNano sets the times of last access and modification.
func UtimesNano(path string, ts []Timespec) error {
	if len(ts) != 2 {
		return EINVAL
	}
	return Utimensat(AtCWD, path, (*[2]Timespec)(ts), 0)
}

// Utimensat is UtimesNano from the directory dirfd.
func Utimensat(dirfd int, path string, ts *[2]Timespec, flags int) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(dirfd, path, follows(flags))
	if err != nil {
		return err
	}
	if ts[0].Nsec != utimeOmit {
		n.atime = ts[0]
	}
	if ts[1].Nsec != utimeOmit {
		n.mtime = ts[1]
	}
	n.ctime = timeNow()
	return nil
}

// Truncate sets the length of a file.
func Truncate(path string, length int64) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(AtCWD, path, true)
	if err != nil {
		return err
	}
	return n.truncate(length)
}

func (n *inode) truncate(length int64) error {
	switch n.kind() {
	case S_IFREG:
		return n.resize(length)
	case S_IFDIR:
		return EISDIR
	}
	return EINVAL
}

// Chdir changes the working directory.
func Chdir(path string) error {
	fs.lock()
	defer fs.mu.Unlock()
	n, err := fs.find(AtCWD, path, true)
	if err != nil {
		return err
	}
	return fs.chdir(n)
}

func (f *fileSystem) chdir(n *inode) error {
	if !n.isDir() {
		return ENOTDIR
	}
	f.cwd = n
	return nil
}

// ImplementsGetwd tells package os that Getwd works.
const ImplementsGetwd = true

// Getwd returns the working directory, ENOENT if it has been removed.
func Getwd() (string, error) {
	fs.lock()
	defer fs.mu.Unlock()
	path := ""
	for n := fs.cwd; n != fs.root; n = n.parent {
		if n.nlink == 0 {
			return "", ENOENT
		}
		path = "/" + n.name + path
	}
	if path == "" {
		path = "/"
	}
	return path, nil
}

// Umask sets the permission bits that new files do not get and returns the old ones.
func Umask(mask int) int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	old := fs.umask
	fs.umask = uint32(mask) & 0777
	return int(old)
}
