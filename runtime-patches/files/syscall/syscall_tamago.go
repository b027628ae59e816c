//go:build tamago

// Package syscall for GOOS=tamago: what package os and its friends expect of a
// Unix-like system, answered inside the process. There is no kernel behind it:
// files live in the process's own memory (fs_tamago.go), descriptors in its own
// table (fd_tamago.go), and processes, users and sockets do not exist. The
// kernel of the machine is reached only through package runtime, which writes
// descriptors 1 and 2 to the console. What a process may do to the outside
// world is therefore never decided here.
package syscall

import (
	errorspkg "errors"
	"internal/oserror"
	"internal/strconv"
	"sync"
	"unsafe"
)

// Errno is an error number of this package's own table (tables_tamago.go). The
// zero Errno means no error.
type Errno uintptr

// Error returns the text for the number. Like on other systems it begins with a
// small letter, which the table does not: programs look for parts of it.
func (e Errno) Error() string {
	if 0 <= int(e) && int(e) < len(errorstr) && errorstr[e] != "" {
		s := errorstr[e]
		if c := s[0]; 'A' <= c && c <= 'Z' && 'a' <= s[1] && s[1] <= 'z' {
			s = string(c+'a'-'A') + s[1:]
		}
		return s
	}
	return "errno " + strconv.Itoa(int(e))
}

// Is maps the numbers onto the portable errors of package oserror.
func (e Errno) Is(target error) bool {
	switch target {
	case oserror.ErrPermission:
		return e == EACCES || e == EPERM
	case oserror.ErrExist:
		return e == EEXIST || e == ENOTEMPTY
	case oserror.ErrNotExist:
		return e == ENOENT
	case errorspkg.ErrUnsupported:
		return e == ENOSYS || e == ENOTSUP || e == EOPNOTSUPP
	}
	return false
}

// Temporary reports whether the call may succeed when repeated.
func (e Errno) Temporary() bool {
	return e == EINTR || e == EMFILE || e.Timeout()
}

// Timeout reports whether the call ended because of a deadline.
func (e Errno) Timeout() bool {
	return e == EAGAIN || e == EWOULDBLOCK || e == ETIMEDOUT
}

// Signal is a signal number. Nothing sends signals here; the numbers exist
// because portable code names them.
type Signal int

// The signals that portable code names, with their usual numbers.
const (
	SIGHUP  Signal = 1
	SIGINT  Signal = 2
	SIGQUIT Signal = 3
	SIGILL  Signal = 4
	SIGTRAP Signal = 5
	SIGABRT Signal = 6
	SIGBUS  Signal = 7
	SIGFPE  Signal = 8
	SIGKILL Signal = 9
	SIGUSR1 Signal = 10
	SIGSEGV Signal = 11
	SIGUSR2 Signal = 12
	SIGPIPE Signal = 13
	SIGALRM Signal = 14
	SIGTERM Signal = 15
	SIGCHLD Signal = 17
	SIGCONT Signal = 18
	SIGSTOP Signal = 19
	SIGTSTP Signal = 20
	SIGTTIN Signal = 21
	SIGTTOU Signal = 22
)

// Signal marks the type as an os.Signal.
func (s Signal) Signal() {}

func (s Signal) String() string {
	switch s {
	case SIGHUP:
		return "hangup"
	case SIGINT:
		return "interrupt"
	case SIGQUIT:
		return "quit"
	case SIGABRT:
		return "aborted"
	case SIGKILL:
		return "killed"
	case SIGSEGV:
		return "segmentation fault"
	case SIGPIPE:
		return "broken pipe"
	case SIGTERM:
		return "terminated"
	}
	return "signal " + strconv.Itoa(int(s))
}

// Standard descriptors. 0 is always at its end, 1 and 2 are the console.
const (
	Stdin  = 0
	Stdout = 1
	Stderr = 2
)

// Modes of Open.
const (
	O_RDONLY = 0
	O_WRONLY = 1
	O_RDWR   = 2

	O_CREAT     = 0100
	O_CREATE    = O_CREAT
	O_EXCL      = 0200
	O_TRUNC     = 01000
	O_APPEND    = 02000
	O_NONBLOCK  = 04000
	O_SYNC      = 010000
	O_DIRECTORY = 020000
	O_NOFOLLOW  = 040000

	O_CLOEXEC = 0

	openAccess = 3 // mask of O_RDONLY, O_WRONLY, O_RDWR
)

// Commands of Fcntl that package os names. Only F_GETFL is answered.
const (
	F_GETFL = 3
	F_SETFL = 4
)

// File types and permissions in Stat_t.Mode.
const (
	S_IFMT   = 0170000
	S_IFSOCK = 0140000
	S_IFLNK  = 0120000
	S_IFREG  = 0100000
	S_IFBLK  = 0060000
	S_IFDIR  = 0040000
	S_IFCHR  = 0020000
	S_IFIFO  = 0010000

	S_ISUID = 0004000
	S_ISGID = 0002000
	S_ISVTX = 0001000

	S_IRUSR = 0400
	S_IWUSR = 0200
	S_IXUSR = 0100

	permMask = 07777
)

// Stat_t describes a file.
type Stat_t struct {
	Dev       int64
	Ino       uint64
	Mode      uint32
	Nlink     uint32
	Uid       uint32
	Gid       uint32
	Rdev      int64
	Size      int64
	Blksize   int32
	Blocks    int32
	Atime     int64
	AtimeNsec int64
	Mtime     int64
	MtimeNsec int64
	Ctime     int64
	CtimeNsec int64
}

// PathMax is the longest path, in bytes, that a call accepts.
const PathMax = 4096

// Dirent is one entry as ReadDirent lays it out; Name is as long as the entry
// needs.
type Dirent struct {
	Ino    uint64
	Reclen uint16
	Name   [nameMax + 1]byte
}

func direntIno(buf []byte) (uint64, bool) {
	return readInt(buf, unsafe.Offsetof(Dirent{}.Ino), unsafe.Sizeof(Dirent{}.Ino))
}

func direntReclen(buf []byte) (uint64, bool) {
	return readInt(buf, unsafe.Offsetof(Dirent{}.Reclen), unsafe.Sizeof(Dirent{}.Reclen))
}

func direntNamlen(buf []byte) (uint64, bool) {
	reclen, ok := direntReclen(buf)
	if !ok || reclen < uint64(unsafe.Offsetof(Dirent{}.Name)) {
		return 0, false
	}
	return reclen - uint64(unsafe.Offsetof(Dirent{}.Name)), true
}

// Timespec is a time in seconds and nanoseconds since 1970.
type Timespec struct {
	Sec  int64
	Nsec int64
}

// Timeval is a time in seconds and microseconds since 1970.
type Timeval struct {
	Sec  int64
	Usec int64
}

func setTimespec(sec, nsec int64) Timespec { return Timespec{Sec: sec, Nsec: nsec} }

func setTimeval(sec, usec int64) Timeval { return Timeval{Sec: sec, Usec: usec} }

// Gettimeofday sets tv to the time of day.
func Gettimeofday(tv *Timeval) error {
	sec, nsec := now()
	*tv = Timeval{Sec: sec, Usec: int64(nsec) / 1000}
	return nil
}

// Processes are started through capabilities, never through this package: the
// types exist because package os mentions them, and the calls refuse.

// ForkLock is taken by callers that create descriptors.
var ForkLock sync.RWMutex

// WaitStatus is never filled in.
type WaitStatus uint32

func (w WaitStatus) Exited() bool       { return false }
func (w WaitStatus) ExitStatus() int    { return 0 }
func (w WaitStatus) Signaled() bool     { return false }
func (w WaitStatus) Signal() Signal     { return 0 }
func (w WaitStatus) CoreDump() bool     { return false }
func (w WaitStatus) Stopped() bool      { return false }
func (w WaitStatus) Continued() bool    { return false }
func (w WaitStatus) StopSignal() Signal { return 0 }
func (w WaitStatus) TrapCause() int     { return 0 }

// Rusage is never filled in.
type Rusage struct {
	Utime Timeval
	Stime Timeval
}

// ProcAttr is refused by StartProcess.
type ProcAttr struct {
	Dir   string
	Env   []string
	Files []uintptr
	Sys   *SysProcAttr
}

// SysProcAttr has no settings.
type SysProcAttr struct{}

func Kill(pid int, signum Signal) error { return ENOSYS }

func StartProcess(argv0 string, argv []string, attr *ProcAttr) (pid int, handle uintptr, err error) {
	return 0, 0, ENOSYS
}

func Wait4(pid int, wstatus *WaitStatus, options int, rusage *Rusage) (wpid int, err error) {
	return 0, ENOSYS
}

// Raw system calls do not exist: the numbers of another kernel mean nothing here.

func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) { return 0, 0, ENOSYS }

func Syscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return 0, 0, ENOSYS
}

func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) { return 0, 0, ENOSYS }

func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return 0, 0, ENOSYS
}

// Sendfile refuses; callers copy instead.
func Sendfile(outfd int, infd int, offset *int64, count int) (written int, err error) {
	return 0, ENOSYS
}

// Sysctl answers the only name that package os asks for.
func Sysctl(key string) (string, error) {
	if key == "kern.hostname" {
		return "nexus", nil
	}
	return "", ENOSYS
}

// A process has one identity, its service id, which is not a user. Everything
// in its own file system belongs to it, which Unix spells user 0.

func Getuid() int                        { return 0 }
func Getgid() int                        { return 0 }
func Geteuid() int                       { return 0 }
func Getegid() int                       { return 0 }
func Getgroups() (gids []int, err error) { return nil, nil }

// Getpid returns the process's number as the kernel knows it.
func Getpid() int { return runtime_pid() }

// Getppid returns 0: a process is told nothing about its parent.
func Getppid() int { return 0 }

// Iovec exists for internal/poll, which never fills one in here.
type Iovec struct{}

// Provided by package runtime.

func now() (sec int64, nsec int32)

// runtime_pid returns the number of this process, 1 when no kernel gave it one.
func runtime_pid() int

// runtime_files returns the read-only initial files of this process in the
// format of archive_tamago.go, nil when there are none.
func runtime_files() []byte

// runtime_write writes n bytes to the console and returns how many it took, or
// a negative number.
//
//go:linkname runtime_write runtime.write
//go:noescape
func runtime_write(fd uintptr, p unsafe.Pointer, n int32) int32
