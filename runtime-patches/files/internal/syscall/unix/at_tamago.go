//go:build tamago

// The calls with a directory descriptor are ordinary ones of package syscall.

package unix

import "syscall"

const (
	// UTIME_OMIT leaves a time alone. Its value is also in package syscall.
	UTIME_OMIT = -0x2

	AT_REMOVEDIR        = syscall.AtRemoveDir
	AT_SYMLINK_NOFOLLOW = syscall.AtSymlinkNoFollow
)

func Openat(dirfd int, path string, flags int, perm uint32) (int, error) {
	return syscall.Openat(dirfd, path, flags, perm)
}

func Unlinkat(dirfd int, path string, flags int) error {
	return syscall.Unlinkat(dirfd, path, flags)
}

func Fstatat(dirfd int, path string, stat *syscall.Stat_t, flags int) error {
	return syscall.Fstatat(dirfd, path, stat, flags)
}

func Readlinkat(dirfd int, path string, buf []byte) (int, error) {
	return syscall.Readlinkat(dirfd, path, buf)
}

func Mkdirat(dirfd int, path string, mode uint32) error {
	return syscall.Mkdirat(dirfd, path, mode)
}

func Fchmodat(dirfd int, path string, mode uint32, flags int) error {
	return syscall.Fchmodat(dirfd, path, mode, flags)
}

func Fchownat(dirfd int, path string, uid, gid int, flags int) error {
	return syscall.Fchownat(dirfd, path, uid, gid, flags)
}

func Utimensat(dirfd int, name string, times *[2]syscall.Timespec, flag int) error {
	return syscall.Utimensat(dirfd, name, times, flag)
}

func Renameat(olddirfd int, oldpath string, newdirfd int, newpath string) error {
	return syscall.Renameat(olddirfd, oldpath, newdirfd, newpath)
}

func Linkat(olddirfd int, oldpath string, newdirfd int, newpath string, flag int) error {
	return syscall.Linkat(olddirfd, oldpath, newdirfd, newpath)
}

func Symlinkat(oldpath string, newdirfd int, newpath string) error {
	return syscall.Symlinkat(oldpath, newdirfd, newpath)
}
