//go:build tamago && riscv64

package kselftest

import (
	"fmt"
	"strings"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// spawnReasons: every reason for which no process is created is brought about, is
// told apart, and leaves nothing behind.
func spawnReasons(t *tester) {
	own := caller(self)
	live := t.puppet()
	noExec := own.sys(abi.SysCapCopy, services, readOnly)
	noRead := own.sys(abi.SysCapCopy, services, uint64(abi.RightExec))
	noGrant := own.sys(abi.SysCapCopy, spawnCap, uint64(abi.RightManage))
	noManage := own.sys(abi.SysCapCopy, spawnCap, uint64(abi.RightGrant))
	ep := own.sys(abi.SysEndpointCreate, 1, 8)
	badged := own.sys(abi.SysCapCopy, ep, sendGrant, 9)
	before := t.counts()

	// The capability that creates.
	s := t.small("spawn-reasons", ProgramExit)
	at := raw.AddressOf(&s.SpawnSpec)
	own.refuse(abi.EBADF, abi.SysSpawn, 0, at)
	own.refuse(abi.EBADF, abi.SysSpawn, spawnCap+1<<32, at)
	own.refuse(abi.EKIND, abi.SysSpawn, console, at)
	own.refuse(abi.EPERM, abi.SysSpawn, noManage, at)
	own.refuse(abi.EFAULT, abi.SysSpawn, spawnCap, 0)

	free := self4(abi.SysSystemInfo, spawnCap)[2]
	size := self4(abi.SysCapInfo, services)[3]
	long := strings.Repeat("x", abi.MaxName+1)
	cap1 := func(c abi.SpawnCap) func(*spec) { return func(s *spec) { s.NumCaps, s.Caps[0] = 1, c } }
	for _, w := range []struct {
		why   string
		errno abi.Errno
		set   func(s *spec)
	}{
		// oom: the budget is not to be had.
		{"budget over what is free", abi.ENOMEM, func(s *spec) { s.Frames = free + 1 }},
		{"budget over all memory", abi.ENOMEM, func(s *spec) { s.Frames = 1 << 20 }},
		{"budget below any process", abi.EINVAL, func(s *spec) { s.Frames = 1 }},
		{"no budget", abi.EINVAL, func(s *spec) { s.Frames = 0 }},
		{"budget that overflows", abi.EINVAL, func(s *spec) { s.Frames = 1 << 63 }},
		// denied: rights that are missing, of the program and of what is handed over.
		{"program without the right to execute", abi.EPERM, func(s *spec) { s.ELF = abi.Handle(noExec) }},
		{"program without the right to read", abi.EPERM, func(s *spec) { s.ELF = abi.Handle(noRead) }},
		{"memory that is no program", abi.EPERM, func(s *spec) { s.ELF = abi.Handle(manifest) }},
		{"capability without the right to give it", abi.EPERM, cap1(abi.SpawnCap{Handle: abi.Handle(noGrant), Rights: abi.RightManage})},
		{"right that the giver lacks", abi.EPERM, cap1(abi.SpawnCap{Handle: abi.Handle(noExec), Rights: abi.RightRead | abi.RightExec})},
		{"right to receive", abi.EPERM, cap1(abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightRecv})},
		{"right that does not exist", abi.EINVAL, cap1(abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.AllRights + 1})},
		{"second badge", abi.EINVAL, cap1(abi.SpawnCap{Handle: abi.Handle(badged), Rights: abi.RightSend, Badge: 10})},
		{"badge on no endpoint", abi.EINVAL, cap1(abi.SpawnCap{Handle: abi.Handle(console), Rights: abi.RightWrite, Badge: 1})},
		{"capability that is none", abi.EBADF, cap1(abi.SpawnCap{Handle: 12345, Rights: abi.RightSend})},
		{"last of many capabilities is none", abi.EBADF, func(s *spec) {
			for i := range s.Caps {
				s.Caps[i] = abi.SpawnCap{Handle: abi.Handle(console), Rights: abi.RightWrite}
			}
			s.NumCaps, s.Caps[abi.MaxSpawnCaps-1].Handle = abi.MaxSpawnCaps, 0
		}},
		{"console that is none", abi.EKIND, func(s *spec) {
			s.NumCaps, s.Console = 1, 1
			s.Caps[0] = abi.SpawnCap{Handle: abi.Handle(ep), Rights: abi.RightSend}
		}},
		{"console that is not there", abi.EINVAL, func(s *spec) { s.Console = 1 }},
		{"too many capabilities", abi.EINVAL, func(s *spec) { s.NumCaps = abi.MaxSpawnCaps + 1 }},
		// invalid: what describes the process.
		{"no name", abi.EINVAL, func(s *spec) { s.NameLen = 0 }},
		{"long name", abi.EINVAL, func(s *spec) { s.NameLen = uint64(copy(s.name[:], long)) }},
		{"name of endless length", abi.EINVAL, func(s *spec) { s.NameLen = 1 << 63 }},
		{"arguments past the limit", abi.EINVAL, func(s *spec) { s.ArgsLen = abi.MaxBootData + 1 }},
		{"together past the limit", abi.EINVAL, func(s *spec) { s.EnvLen, s.DataLen = abi.MaxBootData/2, abi.MaxBootData/2+1 }},
		{"lengths that overflow", abi.EINVAL, func(s *spec) { s.EnvLen, s.DataLen = 1<<63, 1<<63 }},
		{"argument without an end", abi.EINVAL, func(s *spec) { boot[0], s.Argc, s.ArgsLen = 'x', 1, 1 }},
		{"fewer arguments than said", abi.EINVAL, func(s *spec) { boot[0], s.Argc, s.ArgsLen = 0, 2, 1 }},
		{"more arguments than said", abi.EINVAL, func(s *spec) { boot[0], boot[1], s.Argc, s.ArgsLen = 0, 0, 1, 2 }},
		{"arguments without bytes", abi.EINVAL, func(s *spec) { s.Argc = 1 }},
		{"files that are none", abi.EBADF, func(s *spec) { s.Files, s.FilesLen = 12345, 1 }},
		{"files of another kind", abi.EKIND, func(s *spec) { s.Files, s.FilesLen = abi.Handle(console), 1 }},
		{"files of no length", abi.EINVAL, func(s *spec) { s.Files = abi.Handle(manifest) }},
		{"files past their end", abi.EINVAL, func(s *spec) { s.Files, s.FilesLen = abi.Handle(manifest), 1<<40 }},
		// map-failed and bad programs.
		{"program that is none", abi.EBADF, func(s *spec) { s.ELF = 0 }},
		{"program of another kind", abi.EKIND, func(s *spec) { s.ELF = abi.Handle(console) }},
		{"program off a page", abi.EINVAL, func(s *spec) { s.ELFOff += 8 }},
		{"program past the end", abi.EINVAL, func(s *spec) { s.ELFOff = 1 << 40 }},
		{"program longer than its object", abi.EINVAL, func(s *spec) { s.ELF, s.ELFOff, s.ELFLen = abi.Handle(services), 0, size+1 }},
		{"program of overflowing length", abi.EINVAL, func(s *spec) { s.ELFLen = ^uint64(0) - 4096 }},
		{"program of no length", abi.EELF, func(s *spec) { s.ELFLen = 0 }},
		{"program that is cut off", abi.EELF, func(s *spec) { s.ELF, s.ELFOff, s.ELFLen = abi.Handle(services), 0, size/2 }},
		{"program cut off in its headers", abi.EELF, func(s *spec) { s.ELFLen = 100 }},
		{"middle of a program", abi.EELF, func(s *spec) { s.ELF, s.ELFOff, s.ELFLen = abi.Handle(services), 1<<16, 1<<16 }},
		{"writable and executable program", abi.EWX, func(s *spec) { s.ELFOff = ProgramWX * ProgramSlot }},
		// duplicate identity.
		{"name of this process", abi.EEXIST, func(s *spec) { s.NameLen = uint64(copy(s.name[:], "kselftest")) }},
		{"name of another process", abi.EEXIST, func(s *spec) { s.NameLen = uint64(copy(s.name[:], live.name)) }},
	} {
		t.notSpawned(before, w.why, w.errno, w.set)
	}
	for slot := uint64(FirstBad); slot < Programs; slot++ {
		if slot != ProgramWX {
			t.notSpawned(before, fmt.Sprintf("bad program %d", slot), abi.EELF, func(s *spec) { s.ELFOff = slot * ProgramSlot })
		}
	}
	// Many times: what goes wrong once in a thousand refusals goes wrong here.
	s.ELFOff = ProgramEntry * ProgramSlot
	for range 1500 {
		_, errno := t.trySpawn(s)
		check(errno == abi.EELF, "bad program: %v", errno)
	}
	check(t.counts() == before, "many refusals left something behind: %+v, was %+v", t.counts(), before)
	s.ELFOff = ProgramExit * ProgramSlot
	// After all that, one that is right.
	p := t.spawn(s)
	check(p.awaitEnd() == ExitStatus, "a good program after all refusals ended otherwise")
	p.drop()
	closeAll(noExec, noRead, noGrant, noManage, ep, badged)
	live.drop()
	t.nothing("after the end of the other process")
	t.tablesFull()
}

// notSpawned verifies that a process that set has changed is refused with errno.
func (t *tester) notSpawned(before counts, why string, errno abi.Errno, set func(*spec)) {
	s := t.small("spawn-reasons", ProgramExit)
	set(s)
	_, got := t.trySpawn(s)
	check(got == errno, "%s: %v, want %v", why, got, errno)
	check(t.counts() == before, "%s left something behind: %+v, was %+v", why, t.counts(), before)
}

// tablesFull spawns with each table full.
func (t *tester) tablesFull() {
	own := caller(self)
	// cap-table-full: no room for the handle of the new process.
	var held []uint64
	for {
		h, errno := own.try(abi.SysCapCopy, spawnCap, 0)
		if errno != abi.OK {
			check(errno == abi.ENOSPC, "copy %d: %v", len(held), errno)
			break
		}
		held = append(held, h)
	}
	full := t.counts()
	t.notSpawned(full, "no free handle", abi.ENOSPC, func(*spec) {})
	own.refuse(abi.ENOSPC, abi.SysEndpointCreate, 1, 8)
	own.refuse(abi.ENOSPC, abi.SysNotificationCreate, 1)
	own.refuse(abi.ENOSPC, abi.SysVMOCreate, abi.PageSize)
	own.refuse(abi.ENOSPC, abi.SysTimerCreate, t.watch, 1)
	check(t.counts() == full, "with a full table, refused calls left something behind")
	closeAll(held...)

	// quota: no process more, living or ended and still named.
	before := t.counts()
	ps := t.fillProcesses()
	check(t.counts().processes == before.processes+uint64(len(ps)), "%d live processes after %d more", t.counts().processes, len(ps))
	t.notSpawned(t.counts(), "no free process", abi.ENOSPC, func(*spec) {})
	ps[0].kill()
	t.notSpawned(t.counts(), "no free process but one that is still named", abi.ENOSPC, func(*spec) {})
	ps[0].drop()
	p := t.spawn(t.small("spawn-reasons", ProgramPark))
	for _, p := range append(ps[1:], p) {
		p.drop()
	}
	check(t.counts() == before, "after the end of %d processes %+v, before %+v", len(ps), t.counts(), before)
}

// fillProcesses starts processes until there is no room for one more.
func (t *tester) fillProcesses() (ps []*process) {
	for {
		p, errno := t.trySpawn(t.small(fmt.Sprintf("many-%d", len(ps)), ProgramPark))
		if errno != abi.OK {
			check(errno == abi.ENOSPC, "process %d: %v", len(ps), errno)
			return ps
		}
		ps = append(ps, p)
		check(len(ps) < 1000, "1000 processes and no end")
	}
}

// resourceSentinel: processes that come and go, and every kind of object taken until
// there is none and given back, leave all counts where they were, round after round.
func resourceSentinel(t *tester) {
	const spawns, rounds, puppets = 200, 3, 5
	before := t.counts()
	pid := uint64(0)
	for i := range spawns {
		p := t.spawn(t.small("sentinel", ProgramExit))
		check(p.pid > pid, "pid %d after %d", p.pid, pid)
		pid = p.pid
		if i%2 == 0 {
			status := p.awaitEnd()
			check(status == ExitStatus, "process %d ended with %d", i, status)
		}
		p.drop() // every second one is killed, perhaps before it ran
		if i%20 == 0 {
			check(t.counts() == before, "after %d processes %+v, before %+v", i+1, t.counts(), before)
		}
	}
	check(t.counts() == before, "after %d processes %+v, before %+v", spawns, t.counts(), before)
	for i := range puppets {
		p := t.puppet()
		if i%2 == 0 {
			exhaust(p.call)
		}
		p.drop()
		t.nothing("after the end of a process")
		check(t.counts() == before, "after a process with all it may have %+v, before %+v", t.counts(), before)
	}
	var first []int
	for round := range rounds {
		got := exhaust(self)
		check(t.counts() == before, "round %d: %+v, before %+v", round, t.counts(), before)
		if round == 0 {
			first = got
		}
		check(fmt.Sprint(got) == fmt.Sprint(first), "round %d gave %d objects, the first %d", round, got, first)
		ps := t.fillProcesses()
		for _, p := range ps {
			p.drop()
		}
		check(t.counts() == before, "after %d processes at once %+v, before %+v", len(ps), t.counts(), before)
	}
}

// exhaust takes each kind of object until there is none left, gives them back and
// says how many there were.
func exhaust(c caller) (n []int) {
	note := c.sys(abi.SysNotificationCreate, 66)
	for _, kind := range []struct {
		name string
		num  uint64
		args []uint64
	}{
		{"endpoint", abi.SysEndpointCreate, []uint64{8, 64}},
		{"notification", abi.SysNotificationCreate, []uint64{67}},
		{"timer", abi.SysTimerCreate, []uint64{note, 1}},
		{"VMO", abi.SysVMOCreate, []uint64{abi.PageSize}},
		{"large VMO", abi.SysVMOCreate, []uint64{64 * abi.PageSize}},
		{"copy", abi.SysCapCopy, []uint64{note, uint64(abi.RightSignal)}},
	} {
		var held []uint64
		bounded := false
		for {
			h, errno := c.try(kind.num, kind.args...)
			if errno != abi.OK {
				check(errno == abi.ENOSPC || errno == abi.ENOMEM, "%s %d: %v", kind.name, len(held), errno)
				bounded = errno == abi.ENOSPC
				break
			}
			if kind.num == abi.SysTimerCreate {
				c.sys(abi.SysTimerSet, h, uint64(now()+3600*1000*ms))
			}
			held = append(held, h)
			check(len(held) < 1000, "1000 of %s and no end", kind.name)
		}
		check(len(held) > 0, "not one %s", kind.name)
		if bounded { // what memory bounds depends on what this process has used
			n = append(n, len(held))
		}
		for _, h := range held {
			c.sys(abi.SysCapClose, h)
		}
	}
	c.sys(abi.SysCapClose, note)
	return n
}
