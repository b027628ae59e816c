package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

const rx = uint64(abi.RightRead | abi.RightExec)

// filled returns a memory object of q with these bytes.
func (q proc) filled(b []byte) uint64 {
	q.s.tb.Helper()
	h := q.must(abi.SysVMOCreate, uint64(len(b)))
	for off := 0; off < len(b); off += abi.PageSize {
		piece := b[off:min(len(b), off+abi.PageSize)]
		q.write(msgVA, piece)
		q.must(abi.SysVMOWrite, h, uint64(off), msgVA, uint64(len(piece)))
	}
	return h
}

// A process makes a program of memory that it has filled, and it runs, also when
// nobody names the memory any more.
func TestProgramOfProcess(t *testing.T) {
	s := newSim(t)
	root := s.root
	free, unreserved := s.pool.Free()+root.acct.Used(), s.pool.Unreserved()
	f := elftest.Hello()
	f.Segments[1].Data = elftest.Pattern(77, 6000) // other text than the boot image's
	image := f.Build()
	h := root.filled(image)
	root.must(abi.SysVMOSeal, h)
	fences := s.coded
	x := root.must(abi.SysVMOExec, hSpawn, h)
	if s.coded != fences+1 {
		t.Error("harts may remember what the memory held before")
	}
	root.must(abi.SysCapInfo, x)
	if got := root.main.Frame.X[hart.A1]; got != uint64(abi.RightRead|abi.RightExec|abi.RightGrant) {
		t.Errorf("rights %#x", got)
	}
	sp := s.spec()
	sp.ELF, sp.ELFLen = abi.Handle(x), uint64(len(image))
	child := s.spawnSpec(sp)
	if e := refusal(child); e != abi.OK {
		t.Fatal(e)
	}
	q := s.procOf(child)
	root.must(abi.SysCapClose, h)
	root.must(abi.SysCapClose, x)
	s.check()
	if !q.access(f.Entry, sv39.X) || q.main.Frame.X[0] != f.Entry {
		t.Fatal("the program does not run")
	}
	if got := q.read(abi.ImageBase+0x1_1000, 6000); !bytes.Equal(got, elftest.Pattern(77, 6000)) {
		t.Error("the text is another")
	}
	if q.access(abi.ImageBase+0x1_1000, sv39.W) || q.alive() {
		t.Error("the text was written")
	}
	s.check()
	root.must(abi.SysCapClose, child)
	if got := s.pool.Free() + root.acct.Used(); got != free || s.pool.Unreserved() != unreserved {
		t.Errorf("%d frames free or of the parent and %d unreserved, before %d and %d", got, s.pool.Unreserved(), free, unreserved)
	}
	s.check()
}

// The right to execute goes with the seal: what can be executed cannot be written by
// anybody, now or later, whatever capabilities there are.
func TestExecutable(t *testing.T) {
	s := newSim(t)
	root := s.root
	const size = 3 * abi.PageSize
	h := root.must(abi.SysVMOCreate, size)
	va := root.must(abi.SysVMOMap, h, 0, 0, size, rw)
	root.write(va, []byte("code"))
	root.fails(abi.EWRITABLE, abi.SysVMOExec, hSpawn, h)
	root.fails(abi.EPERM, abi.SysVMOMap, h, 0, 0, size, rx)
	root.must(abi.SysVMOSeal, h)
	root.fails(abi.EPERM, abi.SysVMOMap, h, 0, 0, size, rx) // the seal alone gives nothing
	root.fails(abi.EPERM, abi.SysCapCopy, h, rx)
	x := root.must(abi.SysVMOExec, hSpawn, h)
	root.fails(abi.EPERM, abi.SysVMOMap, h, 0, 0, size, rx) // nor to the other capability
	at := root.must(abi.SysVMOMap, x, 0, 0, size, rx)
	if !root.access(at, sv39.X) {
		t.Fatal("memory that may be executed is not")
	}
	root.fails(abi.EPERM, abi.SysVMOMap, x, 0, 0, size, rw)
	root.fails(abi.EWX, abi.SysVMOMap, x, 0, 0, size, rw|uint64(abi.RightExec))
	root.fails(abi.EPERM, abi.SysVMOProtect, x, rw, at, size)
	root.fails(abi.ESEALED, abi.SysVMOProtect, h, rw, at, size)
	root.fails(abi.EPERM, abi.SysVMOWrite, x, 0, msgVA, 4)
	root.fails(abi.ESEALED, abi.SysVMOWrite, h, 0, msgVA, 4)
	root.fails(abi.ESEALED, abi.SysVMOResize, h, abi.PageSize)
	// A page that was never written appears when it is executed; its frame may have
	// held instructions of another program.
	fences := s.coded
	if !root.access(at+2*abi.PageSize, sv39.X) || s.coded == fences {
		t.Error("harts may remember what a frame held before")
	}
	s.check()

	// A capability that cannot be given away does not become one that can.
	c, _ := s.spawn(abi.SpawnCap{Handle: abi.Handle(hSpawn), Rights: abi.RightManage})
	ro := s.give(root, h, abi.RightRead, 0, c)
	cx := c.must(abi.SysVMOExec, uint64(abi.BootHandle(0)), ro)
	c.fails(abi.EPERM, abi.SysCapCopy, cx, rx)
	// It ends with the one that it was derived from.
	if n := root.must(abi.SysCapRevoke, h); n != 3 {
		t.Errorf("%d capabilities revoked", n)
	}
	c.fails(abi.EBADF, abi.SysCapInfo, cx)
	s.check()
	// Memory of the boot image was never writable.
	root.must(abi.SysCapClose, root.must(abi.SysVMOExec, hSpawn, hFiles))
	s.check()
}

// A memory object that takes the place of one that was executed is not executable.
func TestExecutableForgotten(t *testing.T) {
	s := newSim(t)
	root := s.root
	h := root.must(abi.SysVMOCreate, 1)
	root.must(abi.SysVMOSeal, h)
	root.must(abi.SysCapClose, root.must(abi.SysVMOExec, hSpawn, h))
	root.must(abi.SysCapClose, h)
	again := root.must(abi.SysVMOCreate, 1)
	root.fails(abi.EWRITABLE, abi.SysVMOExec, hSpawn, again)
	s.check()
	// Nor is a DMA buffer sealed that does.
	d := s.driver()
	h = d.must(abi.SysVMOCreate, 1)
	d.must(abi.SysVMOSeal, h)
	d.must(abi.SysCapClose, h)
	buf := d.must(abi.SysDMACreate, d.window, 1)
	if d.must(abi.SysCapInfo, buf); d.main.Frame.X[hart.A4] != 0 {
		t.Error("a new DMA buffer is sealed")
	}
	d.must(abi.SysVMOMap, buf, 0, 0, abi.PageSize, rw)
	s.check()
}

// Who ends leaves no process behind that only he could name; how long the chain is
// does not matter.
func TestOrphans(t *testing.T) {
	s := newSim(t)
	free, unreserved, live := s.pool.Free()+s.root.acct.Used(), s.pool.Unreserved(), s.live
	spawnGrant := abi.SpawnCap{Handle: abi.Handle(hSpawn), Rights: abi.RightManage | abi.RightGrant}
	program := abi.SpawnCap{Handle: abi.Handle(hProgram), Rights: abi.RightRead | abi.RightExec | abi.RightGrant}
	first, h := s.spawn(spawnGrant, program)
	const depth = 60
	at := first
	for range depth {
		// Each starts the next one and gives it what it needs to do the same.
		sp := s.spec()
		at.write(bootVA, s.root.read(bootVA, 128))
		sp.ELF, sp.Frames, sp.NumCaps = abi.BootHandle(1), 40, 2
		sp.Caps[0], sp.Caps[1] = spawnGrant, program
		sp.Caps[0].Handle, sp.Caps[1].Handle = abi.BootHandle(0), abi.BootHandle(1)
		at.write(specVA, specBytes(&sp))
		c := at.must(abi.SysSpawn, uint64(abi.BootHandle(0)), specVA)
		next := &s.procs[s.caps[s.lookup(at.Process, c)].obj]
		at = s.life(next)
	}
	s.check()
	last := at
	n := s.root.must(abi.SysNotificationCreate, 1)
	s.root.must(abi.SysProcessWatch, h, n, 1)
	first.sys(abi.SysExit, 5)
	s.check()
	if last.alive() || s.live != live {
		t.Errorf("%d live processes, were %d", s.live, live)
	}
	s.root.must(abi.SysCapClose, h)
	s.root.must(abi.SysCapClose, n)
	if got := s.pool.Free() + s.root.acct.Used(); got != free || s.pool.Unreserved() != unreserved {
		t.Errorf("%d frames free or of the first one, were %d", got, free)
	}
}

// The end of the last capability ends a process in whatever way it comes, and not
// before.
func TestOrphanedBy(t *testing.T) {
	for name, drop := range map[string]func(s *sim, h uint64, q proc){
		"close":  func(s *sim, h uint64, q proc) { s.root.must(abi.SysCapClose, h) },
		"kill":   func(s *sim, h uint64, q proc) { s.root.must(abi.SysProcessKill, h); s.root.must(abi.SysCapClose, h) },
		"waiter": func(s *sim, h uint64, q proc) { q.wait(0, 0); s.root.must(abi.SysCapClose, h) },
		"revoke": func(s *sim, h uint64, q proc) {
			// The capability that is closed has a copy, which is revoked last.
			other, _ := s.spawn()
			c := s.root.must(abi.SysCapCopy, h, uint64(abi.RightRead|abi.RightGrant))
			s.give(s.root, c, abi.RightRead, 0, other)
			if s.root.must(abi.SysCapRevoke, c); !q.alive() {
				s.tb.Fatal("ended while somebody names it")
			}
			s.root.must(abi.SysCapClose, h)
			if !q.alive() {
				s.tb.Fatal("ended while somebody names it")
			}
			s.root.must(abi.SysCapClose, c)
		},
		"itself": func(s *sim, h uint64, q proc) {
			own := s.give(s.root, h, abi.RightRead, 0, q)
			s.root.must(abi.SysCapClose, h)
			if !q.alive() {
				s.tb.Fatal("ended while it names itself")
			}
			q.sys(abi.SysCapClose, own)
		},
		"queue": func(s *sim, h uint64, q proc) {
			// The capability is in a message when the endpoint of that closes.
			_, v, _, recv := s.pair()
			e := s.give(v, recv, abi.RightSend, 0, s.root)
			s.root.trap(abi.SysSend, &regs{A: [7]uint64{0: e, 4: h}})
			if !q.alive() {
				s.tb.Fatal("ended while a message names it")
			}
			v.must(abi.SysCapClose, recv)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			q, h := s.spawn()
			drop(s, h, q)
			if q.alive() {
				t.Error("lives, and nobody can name it")
			}
			if s.orphans != 0 {
				t.Error("left to be ended")
			}
			s.check()
		})
	}
}
