//go:build tamago

// Tests of the in-memory file system against itself: what packages os, io/fs
// and path/filepath test through their own calls is not repeated here.

package syscall_test

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	. "syscall"
	"testing"
)

// inDir runs f with a fresh directory as the working directory.
func inDir(t *testing.T, f func()) {
	t.Helper()
	old, err := Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := "/tmp/" + strings.ReplaceAll(t.Name(), "/", "_")
	if err := Mkdir(dir, 0755); err != nil {
		t.Fatal(err)
	}
	if err := Chdir(dir); err != nil {
		t.Fatal(err)
	}
	defer Chdir(old)
	f()
}

func write(t *testing.T, name, content string) {
	t.Helper()
	fd, err := Open(name, O_CREAT|O_TRUNC|O_WRONLY, 0644)
	if err != nil {
		t.Fatal(name, err)
	}
	defer Close(fd)
	if n, err := Write(fd, []byte(content)); n != len(content) || err != nil {
		t.Fatal(name, n, err)
	}
}

func TestPathErrors(t *testing.T) {
	inDir(t, func() {
		write(t, "file", "x")
		Mkdir("dir", 0755)
		Mkdir("dir/sub", 0755)
		Symlink("loop", "loop")
		Symlink("dir", "link")
		Symlink("nowhere", "dangling")
		long := strings.Repeat("a", NameMax+1)
		open := func(flags int) func(string) error {
			return func(p string) error {
				fd, err := Open(p, flags, 0644)
				if err == nil {
					Close(fd)
				}
				return err
			}
		}
		mkdir := func(p string) error { return Mkdir(p, 0755) }
		for _, c := range []struct {
			name string
			do   func(string) error
			path string
			want error
		}{
			{"open", open(O_RDONLY), "", ENOENT},
			{"open", open(O_RDONLY), "none", ENOENT},
			{"open", open(O_RDONLY), "none/file", ENOENT},
			{"open", open(O_RDONLY), "file/x", ENOTDIR},
			{"open", open(O_RDONLY), "file/", ENOTDIR},
			{"open", open(O_RDONLY), "loop", ELOOP},
			{"open", open(O_RDONLY), "nul\x00", EINVAL},
			{"open", open(O_RDONLY), long, ENAMETOOLONG},
			{"open", open(O_RDONLY), strings.Repeat("a/", PathMax/2) + "b", ENAMETOOLONG},
			{"open", open(O_RDONLY | O_NOFOLLOW), "link", ELOOP},
			{"open", open(O_RDONLY | O_DIRECTORY), "file", ENOTDIR},
			{"open", open(O_RDWR), "dir", EISDIR},
			{"open", open(O_WRONLY | O_CREAT), "new/", EISDIR},
			{"open", open(O_WRONLY | O_CREAT | O_EXCL), "file", EEXIST},
			{"open", open(O_WRONLY | O_CREAT | O_EXCL), "dangling", EEXIST},
			{"mkdir", mkdir, "file", EEXIST},
			{"mkdir", mkdir, "/", EEXIST},
			{"mkdir", mkdir, "dir/", EEXIST},
			{"rmdir", Rmdir, "file", ENOTDIR},
			{"rmdir", Rmdir, "dir", ENOTEMPTY},
			{"rmdir", Rmdir, "dir/.", EINVAL},
			{"rmdir", Rmdir, "dir/..", EBUSY},
			{"rmdir", Rmdir, "/", EBUSY},
			{"rmdir", Rmdir, "link", ENOTDIR},
			{"unlink", Unlink, "dir", EISDIR},
			{"unlink", Unlink, "none", ENOENT},
			{"chdir", Chdir, "file", ENOTDIR},
		} {
			if err := c.do(c.path); err != c.want {
				t.Errorf("%s(%q) = %v, want %v", c.name, c.path, err, c.want)
			}
		}
		for _, c := range []struct {
			from, to string
			want     error
		}{
			{"none", "x", ENOENT},
			{"dir", "dir/sub/x", EINVAL},
			{"dir", "dir/sub", EINVAL},
			{"dir", "file", ENOTDIR},
			{"file", "dir", EISDIR},
			{"file", "x/", ENOTDIR},
			{"file", "file", nil},
			{"/", "x", EBUSY},
		} {
			if err := Rename(c.from, c.to); err != c.want {
				t.Errorf("Rename(%q, %q) = %v, want %v", c.from, c.to, err, c.want)
			}
		}
		var st Stat_t
		if err := Stat("link/sub/../../link/", &st); err != nil || st.Mode&S_IFMT != S_IFDIR {
			t.Errorf("Stat through links: %v, mode %o", err, st.Mode)
		}
	})
}

func TestRemovedDirectory(t *testing.T) {
	inDir(t, func() {
		Mkdir("dir", 0755)
		Chdir("dir")
		if err := Rmdir("../dir"); err != nil {
			t.Fatal(err)
		}
		if _, err := Getwd(); err != ENOENT {
			t.Errorf("Getwd in a removed directory: %v", err)
		}
		if _, err := Open("x", O_CREAT|O_WRONLY, 0644); err != ENOENT {
			t.Errorf("Open in a removed directory: %v", err)
		}
		if err := Mkdir("x", 0755); err != ENOENT {
			t.Errorf("Mkdir in a removed directory: %v", err)
		}
	})
}

func TestUnlinkedFileLives(t *testing.T) {
	inDir(t, func() {
		write(t, "a", "hello")
		if err := Link("a", "b"); err != nil {
			t.Fatal(err)
		}
		fd, err := Open("a", O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer Close(fd)
		Unlink("a")
		Unlink("b")
		var st Stat_t
		if Fstat(fd, &st); st.Nlink != 0 {
			t.Errorf("Nlink = %d", st.Nlink)
		}
		buf := make([]byte, 8)
		if n, err := Read(fd, buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("Read = %q, %v", buf[:n], err)
		}
	})
}

func TestTruncateZeroes(t *testing.T) {
	inDir(t, func() {
		write(t, "f", "secret")
		if err := Truncate("f", 2); err != nil {
			t.Fatal(err)
		}
		if err := Truncate("f", 6); err != nil {
			t.Fatal(err)
		}
		fd, _ := Open("f", O_RDONLY, 0)
		defer Close(fd)
		buf := make([]byte, 8)
		if n, _ := Read(fd, buf); string(buf[:n]) != "se\x00\x00\x00\x00" {
			t.Errorf("after shrinking and growing: %q", buf[:n])
		}
	})
}

func TestRejectLargeFile(t *testing.T) {
	inDir(t, func() {
		write(t, "f", "x")
		if err := Truncate("f", FileMax+1); err != EFBIG {
			t.Errorf("Truncate = %v", err)
		}
		fd, _ := Open("f", O_WRONLY, 0)
		defer Close(fd)
		for _, off := range []int64{FileMax, 1<<63 - 1} {
			if _, err := Pwrite(fd, []byte("x"), off); err != EFBIG {
				t.Errorf("Pwrite at %d = %v", off, err)
			}
		}
	})
}

func TestRejectDescriptors(t *testing.T) {
	inDir(t, func() {
		write(t, "f", "")
		var open []int
		defer func() {
			for _, fd := range open {
				Close(fd)
			}
		}()
		for len(open) <= FDMax {
			fd, err := Open("f", O_RDONLY, 0)
			if err != nil {
				if err != EMFILE {
					t.Error(err)
				}
				var p [2]int
				if err := Pipe(p[:]); err != EMFILE {
					t.Errorf("Pipe = %v", err)
				}
				return
			}
			open = append(open, fd)
		}
		t.Error("no limit")
	})
}

func TestRejectSymlinkChain(t *testing.T) {
	inDir(t, func() {
		write(t, "l0", "")
		var st Stat_t
		for i := 1; i <= LinksMax+1; i++ {
			name := func(i int) string { return "l" + strings.Repeat("x", i) }
			target := name(i - 1)
			if i == 1 {
				target = "l0"
			}
			if err := Symlink(target, name(i)); err != nil {
				t.Fatal(err)
			}
			err := Stat(name(i), &st)
			if want := error(ELOOP); i <= LinksMax && err != nil || i > LinksMax && err != want {
				t.Errorf("%d links: %v", i, err)
			}
		}
	})
}

func TestPipe(t *testing.T) {
	var p [2]int
	if err := Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 3*PipeMax)
	for i := range big {
		big[i] = byte(i * 7)
	}
	done := make(chan error)
	go func() {
		_, err := Write(p[1], big)
		Close(p[1])
		done <- err
	}()
	var got []byte
	buf := make([]byte, 1000)
	for {
		n, err := Read(p[0], buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got = append(got, buf[:n]...)
	}
	if err := <-done; err != nil || string(got) != string(big) {
		t.Errorf("%d of %d bytes arrived, %v", len(got), len(big), err)
	}
	Close(p[0])
	if _, err := Read(p[0], buf); err != EBADF {
		t.Errorf("Read of a closed descriptor: %v", err)
	}
	Pipe(p[:])
	Close(p[0])
	if _, err := Write(p[1], buf); err != EPIPE {
		t.Errorf("Write without a reader: %v", err)
	}
	Close(p[1])
}

func TestStopIO(t *testing.T) {
	var p [2]int
	if err := Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := Read(p[0], make([]byte, 1))
		done <- err
	}()
	StopIO(p[0], 'w', true) // not what this end does
	StopIO(p[0], 'r', true)
	if err := <-done; err != EAGAIN {
		t.Errorf("stopped Read = %v", err)
	}
	StopIO(p[0], 'r', false)
	Write(p[1], []byte("x"))
	if n, err := Read(p[0], make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("Read after a stop = %d, %v", n, err)
	}
	Close(p[0])
	Close(p[1])
	if err := StopIO(Stdout, 'w', true); err != ENOTSUP {
		t.Errorf("StopIO of the console = %v", err)
	}
}

type record struct {
	mode uint32
	name string
	data []byte
}

// archive builds an archive by the letter of the format.
func archive(records ...record) []byte {
	b := []byte(ArchiveMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, r := range records {
		b = binary.LittleEndian.AppendUint32(b, r.mode)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.name)))
		b = binary.LittleEndian.AppendUint64(b, uint64(len(r.data)))
		b = append(b, r.name...)
		b = append(b, r.data...)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

func TestMount(t *testing.T) {
	tree := NewTree()
	a := archive(
		record{S_IFREG | 0644, "testdata/sub/a.txt", []byte("alpha")},
		record{S_IFDIR | 0700, "testdata/sub", nil},
		record{S_IFREG | 0600, "/top/hosts", []byte("localhost")},
		record{S_IFDIR | 0755, "empty", nil},
	)
	before := string(a)
	if err := tree.Mount(append(a, make([]byte, 100)...)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode uint32
		data string
	}{
		{"/testdata/sub/a.txt", S_IFREG | 0644, "alpha"},
		{"testdata/sub", S_IFDIR | 0700, ""},
		{"testdata", S_IFDIR | 0755, ""},
		{"/top/hosts", S_IFREG | 0600, "localhost"},
		{"empty", S_IFDIR | 0755, ""},
	} {
		if mode, data, err := tree.Get(c.path); err != nil || mode != c.mode || data != c.data {
			t.Errorf("%s: mode %o, %q, %v", c.path, mode, data, err)
		}
	}
	if err := tree.Put("testdata/sub/a.txt", "AL"); err != nil {
		t.Error(err)
	}
	if _, data, _ := tree.Get("testdata/sub/a.txt"); data != "ALpha" {
		t.Errorf("after writing: %q", data)
	}
	if string(a) != before {
		t.Error("writing to a file changed the archive")
	}
	if tree.Mount(archive(record{S_IFREG, "empty", nil})) != EEXIST {
		t.Error("a file in place of a directory was accepted")
	}
	if tree.Mount(archive(record{S_IFREG, "testdata/sub/a.txt/b", nil})) != ENOTDIR {
		t.Error("a file below a file was accepted")
	}
}

// malformed are archives that must be refused.
func malformed() map[string][]byte {
	reg := func(name string) []byte { return archive(record{S_IFREG, name, nil}) }
	count := archive()
	binary.LittleEndian.PutUint32(count[8:], 1)
	huge := reg("a")
	binary.LittleEndian.PutUint64(huge[ArchiveHeader+8:], 1<<63)
	longName := reg("a")
	binary.LittleEndian.PutUint32(longName[ArchiveHeader+4:], 1<<31)
	return map[string][]byte{
		"short":                   []byte("NXFILES1"),
		"magic":                   append([]byte("NXFILES2"), make([]byte, 8)...),
		"reserved":                append([]byte("NXFILES1\x00\x00\x00\x00"), 1, 0, 0, 0),
		"missing":                 count,
		"huge contents":           huge,
		"huge name":               longName,
		"cut":                     archive(record{S_IFREG, "a", []byte("0123456789")})[:40],
		"no name":                 reg(""),
		"root":                    reg("/"),
		"dot":                     reg("./a"),
		"dot dot":                 reg("a/../b"),
		"empty element":           reg("a//b"),
		"trailing":                reg("a/"),
		"nul":                     reg("a\x00b"),
		"long element":            reg(strings.Repeat("a", NameMax+1)),
		"long path":               reg(strings.Repeat("a/", PathMax/2) + "a"),
		"link":                    archive(record{S_IFLNK, "a", []byte("b")}),
		"device":                  archive(record{S_IFCHR, "a", nil}),
		"directory with contents": archive(record{S_IFDIR, "a", []byte("x")}),
	}
}

func TestRejectArchive(t *testing.T) {
	for name, a := range malformed() {
		if _, err := CheckArchive(a); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	many := archive()
	binary.LittleEndian.PutUint32(many[8:], ArchiveMax+1)
	if _, err := CheckArchive(many); err != E2BIG {
		t.Errorf("too many records: %v", err)
	}
}

// mountOrRefuse fails if a is accepted but cannot be mounted.
func mountOrRefuse(t *testing.T, a []byte) {
	n, err := CheckArchive(a)
	if err != nil {
		return
	}
	if err := NewTree().Mount(a); err != nil && err != EEXIST && err != ENOTDIR {
		t.Errorf("mount of %d records: %v", n, err)
	}
}

// TestDamagedArchives changes bytes of a good archive at random: a process cannot
// start the workers that fuzzing needs.
func TestDamagedArchives(t *testing.T) {
	good := archive(
		record{S_IFREG | 0644, "a/b", []byte("contents")},
		record{S_IFDIR | 0755, "/d/e", nil},
		record{S_IFREG | 0600, "a/c", nil},
	)
	rounds := 20000
	if testing.Short() {
		rounds /= 10
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		a := append([]byte(nil), good[:len(good)-r.IntN(2)*r.IntN(len(good))]...)
		for range r.IntN(4) {
			if len(a) > 0 {
				a[r.IntN(len(a))] ^= 1 << r.IntN(8)
			}
		}
		mountOrRefuse(t, a)
	}
}

func FuzzParseArchive(f *testing.F) {
	f.Add(archive(record{S_IFREG | 0644, "a/b", []byte("c")}, record{S_IFDIR, "/d", nil}))
	for _, a := range malformed() {
		f.Add(a)
	}
	f.Fuzz(mountOrRefuse)
}
