package core

import (
	"bytes"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

func TestServiceID(t *testing.T) {
	for name, want := range map[string]uint64{
		"":                0xcbf29ce484222325,
		"keystored":       0x866cecf1b02a841b,
		"policyd":         0xc4b6d847aa573fa1,
		"logd":            0xce07e8ad70ec4c6f,
		"selftest-client": 0x52c6c4a34ffb3f69,
	} {
		if got := ServiceID([]byte(name)); got != want {
			t.Errorf("%q: %#x, want %#x", name, got, want)
		}
	}
}

func TestSpawn(t *testing.T) {
	s := newSim(t)
	root := s.root
	files := root.must(abi.SysVMOCreate, 5000)
	root.write(msgVA, []byte("initial file"))
	root.must(abi.SysVMOWrite, files, 0, msgVA, 12)
	ep := root.must(abi.SysEndpointCreate, 4, 64)
	sp := s.spec(
		abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend, Badge: 77},
		abi.SpawnCap{Handle: abi.Handle(hConsole), Rights: abi.RightWrite},
	)
	sp.Console, sp.Files, sp.FilesLen = 2, abi.Handle(files), 4097
	reserved := s.pool.Unreserved()
	s.clock += 1e9
	h := s.spawnSpec(sp)
	if e := refusal(h); e != abi.OK {
		t.Fatal(e)
	}
	q := s.procOf(h)
	if pid := root.main.Frame.X[hart.A1]; pid != q.pid || pid != 2 {
		t.Errorf("pid %d", pid)
	}
	if got := reserved - s.pool.Unreserved(); got != childBudget {
		t.Errorf("%d frames reserved, want %d", got, childBudget)
	}
	s.check()

	var st abi.Start
	copy(startBytes(&st), q.read(abi.StartPage, len(startBytes(&st))))
	if st.PID != q.pid || st.ServiceID != ServiceID(q.name[:q.nameN]) || q.Name() != "svc1" || st.NumCaps != 2 || st.Console != uint64(abi.BootHandle(1)) {
		t.Errorf("start page %+v", st)
	}
	var rootSt abi.Start
	copy(startBytes(&rootSt), root.read(abi.StartPage, len(startBytes(&rootSt))))
	if st.Seed == rootSt.Seed || st.Seed == [32]byte{} {
		t.Error("entropy of the parent, or none")
	}
	// The same wall clock for everybody, however late he comes.
	if st.WallNS != simWall || rootSt.WallNS != simWall {
		t.Errorf("wall clock at 0 is %d for the child and %d for its parent", st.WallNS, rootSt.WallNS)
	}
	for _, part := range []struct {
		ptr  uint64
		want string
	}{{st.ArgsPtr, "prog\x00-x\x00"}, {st.EnvPtr, "K=v\x00"}, {st.DataPtr, "data"}, {st.FilesPtr, "initial file"}} {
		if got := q.read(part.ptr, len(part.want)); string(got) != part.want {
			t.Errorf("%q, want %q", got, part.want)
		}
	}
	if st.Argc != 2 || st.Envc != 1 || st.DataLen != 4 || st.FilesLen != 4097 {
		t.Errorf("start page %+v", st)
	}
	if !q.access(st.FilesPtr+4096, sv39.R) {
		t.Error("files cut")
	}
	if kind, rights, badge := q.info(uint64(abi.BootHandle(0))); kind != abi.KindEndpoint || rights != abi.RightSend || badge != 77 {
		t.Errorf("first capability: kind %d, rights %#x, badge %d", kind, rights, badge)
	}
	q.write(msgVA, []byte("hello"))
	q.must(abi.SysConsoleWrite, st.Console, msgVA, 5)
	if string(s.console) != "hello" {
		t.Errorf("console %q", s.console)
	}
	if got := root.must(abi.SysProcessInfo, h); got != 1 || root.main.Frame.X[hart.A2] != q.pid || root.main.Frame.X[hart.A3] != uint64(q.acct.Used()) || root.main.Frame.X[hart.A4] != childBudget {
		t.Errorf("info %x", root.main.Frame.X[hart.A0:hart.A7+1])
	}
	if got := q.must(abi.SysProcessInfo); got != 1 || q.main.Frame.X[hart.A2] != q.pid {
		t.Errorf("info about itself %x", q.main.Frame.X[hart.A0:hart.A7+1])
	}
	// What was handed over can be revoked.
	if got := root.must(abi.SysCapRevoke, ep); got != 1 {
		t.Errorf("%d revoked", got)
	}
	q.fails(abi.EBADF, abi.SysCapInfo, uint64(abi.BootHandle(0)))
	// Its name is free again when it has ended, not when it is forgotten.
	if e := refusal(s.spawnSpec(sp)); e != abi.EEXIST && e != abi.EBADF {
		t.Error(e)
	}
	q.sys(abi.SysExit, 5)
	if e := refusal(s.spawnSpec(sp)); e != abi.OK {
		t.Error(e)
	}
	s.check()
}

// Boot data as large as it may be fills several pages behind the start page.
func TestSpawnMuchBootData(t *testing.T) {
	s := newSim(t)
	data := elftest.Pattern(4, abi.MaxBootData)
	sp := s.spec()
	s.root.write(bootVA+64, data)
	sp.Argc, sp.ArgsLen, sp.Envc, sp.EnvLen, sp.DataLen = 0, 0, 0, 0, abi.MaxBootData
	q := s.procOf(s.spawnSpec(sp))
	var st abi.Start
	copy(startBytes(&st), q.read(abi.StartPage, len(startBytes(&st))))
	if !bytes.Equal(q.read(st.DataPtr, abi.MaxBootData), data) {
		t.Error("boot data differ")
	}
	s.check()
	sp.Frames = minFrames
	s.root.must(abi.SysProcessKill, s.root.lastHandle())
	h := s.spawnSpec(sp)
	if e := refusal(h); e != abi.OK {
		t.Errorf("smallest budget: %v", e)
	}
	if p := s.procOf(h); !p.access(elftest.Hello().Entry, sv39.X) || !p.access(abi.StackTop-8, sv39.W) || !p.access(abi.HeapBase, sv39.W) || !p.access(elftest.Hello().Segments[3].VA, sv39.W) {
		t.Error("the smallest budget is too small")
	}
	s.check()
}

// lastHandle returns the handle in the result of the last call.
func (q proc) lastHandle() uint64 {
	for number := uint32(capsPerProcess); number > 0; number-- {
		if e := q.entry(number); e.node != nil && e.node.kind == abi.KindProcess {
			return e.word
		}
	}
	return 0
}

// A spawn that is refused half-way leaves nothing.
func TestSpawnUndone(t *testing.T) {
	s := newSim(t)
	s.spawn()
	free, unreserved := s.pool.Free(), s.pool.Unreserved()
	sp := s.spec()
	for _, name := range []string{"kind", "rights", "handle"} {
		bad := sp
		bad.NumCaps = 3
		for i := range 3 {
			bad.Caps[i] = abi.SpawnCap{Handle: abi.Handle(hConsole), Rights: abi.RightWrite}
		}
		switch name {
		case "kind":
			bad.Console, bad.Caps[2].Handle, bad.Caps[2].Rights = 3, abi.Handle(hFiles), abi.RightRead
		case "rights":
			bad.Caps[2].Rights = abi.RightSend
		case "handle":
			bad.Caps[2].Handle = 5
		}
		if e := refusal(s.spawnSpec(bad)); e == abi.OK {
			t.Errorf("%s: accepted", name)
		}
		s.check()
		if s.pool.Free() != free || s.pool.Unreserved() != unreserved {
			t.Errorf("%s: %d frames free, %d before", name, s.pool.Free(), free)
		}
	}
}

func TestPIDsEnd(t *testing.T) {
	s := newSim(t)
	s.lastPID = 1<<32 - 2
	q, _ := s.spawn()
	if q.pid != 1<<32-1 {
		t.Errorf("pid %#x", q.pid)
	}
	if e := refusal(s.spawnSpec(s.spec())); e != abi.ENOSPC {
		t.Errorf("spawn after the last pid: %v", e)
	}
	s.check()
}

// Thousands of lives later everything is where it was.
func TestSpawnExitRounds(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	s := newSim(t)
	sp := s.spec()
	s.root.write(specVA, specBytes(&sp))
	note := s.root.must(abi.SysNotificationCreate, 5)
	recv := s.root.must(abi.SysEndpointCreate, 8, 64)
	before := (&world{sim: s}).counts(s.root)
	free, unreserved, used := s.pool.Free(), s.pool.Unreserved(), s.root.acct.Used()
	for i := range rounds {
		h := s.root.must(abi.SysSpawn, hSpawn, specVA)
		s.root.must(abi.SysProcessWatch, h, note, 1)
		q := s.procOf(h)
		if q.pid != uint64(i+2) {
			t.Fatalf("pid %d in round %d", q.pid, i)
		}
		// Something of everything, in flight when it ends.
		ep := s.give(s.root, recv, abi.RightSend|abi.RightGrant, 0, q)
		own := q.must(abi.SysEndpointCreate, 4, 64)
		q.must(abi.SysTimerSet, q.must(abi.SysTimerCreate, q.must(abi.SysNotificationCreate, 1), 1), uint64(s.clock+1))
		v := q.must(abi.SysVMOCreate, abi.PageSize)
		q.must(abi.SysVMOWrite, v, 0, q.must(abi.SysVMOMap, v, 0, 0, abi.PageSize, rw), 1)
		q.post(own, 1)
		q.callCap(ep, 2, q.must(abi.SysCapCopy, v, uint64(abi.RightRead|abi.RightGrant)), abi.FlagNoWait)
		if i%2 == 0 {
			q.sys(abi.SysExit, 0)
		} else {
			s.root.must(abi.SysProcessKill, h)
		}
		if e := s.root.poll(); e.kind != abi.EventNotify || e.a2 != 1 {
			t.Fatalf("event %+v", e)
		}
		s.root.must(abi.SysCapClose, h)
		if i%1000 == 0 {
			s.check()
		}
	}
	s.check()
	if after := (&world{sim: s}).counts(s.root); after != before {
		// Free lists may start elsewhere; how much is free may not change.
		after.eps, after.notes, after.tmrs, after.vmos, after.free, after.freeH = before.eps, before.notes, before.tmrs, before.vmos, before.free, before.freeH
		if after != before {
			t.Errorf("%+v before, %+v after", before, after)
		}
	}
	if s.pool.Free() != free || s.pool.Unreserved() != unreserved || s.root.acct.Used() != used {
		t.Errorf("%d frames free, %d before", s.pool.Free(), free)
	}
	s.Shutdown()
	s.allBack()
}

func TestShutdown(t *testing.T) {
	s := newSim(t)
	for range 5 {
		s.spawn()
	}
	if name, va, found := s.FindWX(); found {
		t.Errorf("%s has %#x", name, va)
	}
	// A page that should not be: the walk must see it.
	q, _ := s.spawn()
	q.access(abi.HeapBase, sv39.W)
	table := mem.Words(q.space.Root)
	for _, shift := range []int{30, 21} {
		table = mem.Words(sv39.PTE(table[abi.HeapBase>>shift%512]).Addr())
	}
	table[abi.HeapBase>>12%512] |= sv39.X
	if name, va, found := s.FindWX(); !found || va != abi.HeapBase || name != q.Name() {
		t.Errorf("%s has %#x: %v", name, va, found)
	}
	table[abi.HeapBase>>12%512] &^= sv39.X
	s.Shutdown()
	s.check()
	s.allBack()
	if status, ended := s.Ended(); !ended || status != abi.ExitKilled {
		t.Errorf("ended %v with %d", ended, status)
	}
}

func TestRootExits(t *testing.T) {
	s := newSim(t)
	s.spawn()
	if _, ended := s.Ended(); ended {
		t.Error("ended")
	}
	s.root.sys(abi.SysExit, 42)
	if status, ended := s.Ended(); !ended || status != 42 {
		t.Errorf("ended %v with %d", ended, status)
	}
	s.check()
}
