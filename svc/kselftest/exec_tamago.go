//go:build tamago && riscv64

package kselftest

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strconv"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// Instructions, from the tables of the unprivileged specification.
const (
	insnReturn = 0x8067
	insnLiA0   = 10<<7 | 0x13 // li a0, with the value in the bits from 20 on
)

// vmoExec: a program that a process wrote into memory of its own runs once the memory
// is sealed and somebody who may create processes says so; then nobody can change it.
func vmoExec(t *tester) {
	own := caller(self)
	const exec, size = uint64(abi.RightExec), ProgramSlot
	buf := new([abi.MaxMessage]byte)
	v := own.sys(abi.SysVMOCreate, size)
	m := own.sys(abi.SysVMOMap, v, 0, 0, size, readWrite)
	for off := uint64(0); off < size; off += uint64(len(buf)) {
		own.sys(abi.SysVMORead, t.programs, ProgramExit*ProgramSlot+off, raw.AddressOf(buf), uint64(len(buf)))
		copy(memory(m+off, uint64(len(buf))), buf[:])
	}
	// Another status than the program of the archive has.
	const status = ExitStatus + 1
	li := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v<<20|insnLiA0) }
	at := bytes.Index(memory(m, size), li(ExitStatus))
	check(at >= 0, "the program does not load its exit status as expected")
	copy(memory(m+uint64(at), 4), li(status))

	noManage := own.sys(abi.SysCapCopy, spawnCap, uint64(abi.RightGrant))
	unread := own.sys(abi.SysCapCopy, v, uint64(abi.RightWrite))
	p := t.puppet(abi.SpawnCap{Handle: abi.Handle(v), Rights: abi.RightRead | abi.RightWrite})
	there := caller(p.call)
	mapped := there.sys(abi.SysVMOMap, given(0), 0, 0, size, readWrite)
	own.refuse(abi.EWRITABLE, abi.SysVMOExec, spawnCap, v)
	own.sys(abi.SysVMOSeal, v)
	own.refuse(abi.EPERM, abi.SysVMOExec, noManage, v)
	own.refuse(abi.EKIND, abi.SysVMOExec, console, v)
	own.refuse(abi.EPERM, abi.SysVMOExec, spawnCap, unread)
	own.refuse(abi.EKIND, abi.SysVMOExec, spawnCap, console)
	there.refuse(abi.EBADF, abi.SysVMOExec, spawnCap+100, given(0)) // it has no such handle
	there.refuse(abi.EKIND, abi.SysVMOExec, given(0), given(0))
	own.refuse(abi.EPERM, abi.SysVMOMap, v, 0, 0, size, readOnly|exec)
	own.refuse(abi.EPERM, abi.SysCapCopy, v, readOnly|exec)
	s := newSpec("exec", v, 0, size, smallFrames, nil)
	_, errno := t.trySpawn(s)
	check(errno == abi.EPERM, "a program of memory that may not be executed: %v", errno)

	x := own.sys(abi.SysVMOExec, spawnCap, v)
	info := self4(abi.SysCapInfo, x)
	check(info[1] == readOnly|exec|uint64(abi.RightGrant) && info[4] == 1, "it has the rights %#x", info[1])
	s.ELF = abi.Handle(x)
	child := t.spawn(s)
	own.refuse(abi.ESEALED, abi.SysVMOWrite, v, uint64(at), raw.AddressOf(buf), 4)
	f := p.do(opProbe, accessStore, mapped+uint64(at))
	check(f[0] == causeStorePage && f[1] == mapped+uint64(at), "store to a program that runs: scause %d at %#x", f[0], f[1])
	got := child.awaitEnd()
	check(got == status, "the program ended with %d, want %d", got, status)
	child.drop()
	closeAll(x, unread, noManage)
	own.sys(abi.SysUnmap, m, size)

	// The same for instructions of a mapping, which are never both.
	w := own.sys(abi.SysVMOCreate, abi.PageSize)
	at1 := own.sys(abi.SysVMOMap, w, 0, 0, abi.PageSize, readWrite)
	*word(at1) = insnReturn
	own.sys(abi.SysVMOSeal, w)
	x = own.sys(abi.SysVMOExec, spawnCap, w)
	own.refuse(abi.EWX, abi.SysVMOMap, x, 0, 0, abi.PageSize, readWrite|exec)
	own.refuse(abi.EPERM, abi.SysVMOMap, x, 0, 0, abi.PageSize, readWrite)
	at2 := own.sys(abi.SysVMOMap, x, 0, 0, abi.PageSize, readOnly|exec)
	cause, addr := access(accessCall, at2)
	check(cause == 0, "executing it: scause %d at %#x", cause, addr)
	cause, addr = access(accessStore, at2)
	check(cause == causeStorePage, "writing what is executed: scause %d at %#x", cause, addr)
	cause, addr = access(accessCall, at1)
	check(cause == causeFetchPage, "executing the mapping of data: scause %d at %#x", cause, addr)
	own.sys(abi.SysUnmap, at1, abi.PageSize)
	own.sys(abi.SysUnmap, at2, abi.PageSize)
	closeAll(v, w, x)
}

// orphans: a process that nobody can name any more ends, with everything it had.
func orphans(t *tester) {
	before := t.counts()
	own := caller(self)
	// The last capability is closed.
	p := t.spawn(t.small("orphan", ProgramPark))
	other := own.sys(abi.SysCapCopy, p.handle, readOnly)
	own.sys(abi.SysCapClose, p.handle)
	check(self4(abi.SysProcessInfo, other)[0] == 1, "a process ended while somebody names it")
	own.sys(abi.SysCapClose, other)
	t.forget(p)
	t.fall(before.processes)
	check(t.counts() == before, "a process that nobody names: %+v, before it %+v", t.counts(), before)

	// Its parent closes it, or ends.
	for _, how := range []string{"closes them", "exits", "is killed"} {
		q := t.puppet(
			abi.SpawnCap{Handle: abi.Handle(spawnCap), Rights: abi.RightManage},
			abi.SpawnCap{Handle: abi.Handle(t.programs), Rights: abi.RightRead | abi.RightExec})
		alone := t.counts()
		there := caller(q.call)
		var children [2]uint64
		for i, name := range []string{"grandchild-1", "grandchild-2"} {
			s := t.small(name, ProgramPark)
			b := specBytes(&s.SpawnSpec)
			s.ELF, s.NamePtr = abi.Handle(given(1)), q.out()+uint64(len(b))
			copy(q.page.out[:], b)
			copy(q.page.out[len(b):], name)
			children[i] = there.sys(abi.SysSpawn, given(0), q.out())
		}
		with := t.counts()
		check(with.processes == alone.processes+2 && with.unreserved == alone.unreserved-2*smallFrames, "%+v with two children, before them %+v", with, alone)
		switch how {
		case "closes them":
			for i, h := range children {
				there.sys(abi.SysCapClose, h)
				t.fall(with.processes - uint64(i+1))
			}
		case "exits":
			q.order(abi.SysExit, 1)
			q.awaitEnd()
		}
		q.drop()
		t.fall(before.processes)
		check(t.counts() == before, "after a parent %s %+v, before %+v", how, t.counts(), before)
	}
}

// roundsEnv is the environment variable that says how many processes come and go, and
// defaultRounds how many without it: what does not make the ladder much longer.
const (
	roundsEnv     = "SPAWN_ROUNDS"
	defaultRounds = 1000
)

// spawnRounds: processes that come and go, in every way in which a process ends, leave
// the counts of the system, the places in its tables and the numbers that it gives out
// exactly where they were.
func spawnRounds(t *tester) {
	rounds := uint64(defaultRounds)
	if text := os.Getenv(roundsEnv); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		check(err == nil, "%s=%q", roundsEnv, text)
		rounds = n
	}
	places := func() (n int, pid uint64) {
		ps := t.fillProcesses()
		for _, p := range ps {
			p.drop()
		}
		return len(ps), ps[len(ps)-1].pid
	}
	room, pid := places()
	before := t.counts()
	exits, parks := t.small("round", ProgramExit), t.small("round", ProgramPark)
	for i := range rounds {
		s := exits
		if i%4 > 1 {
			s = parks
		}
		p := t.spawn(s)
		pid++
		check(p.pid == pid, "process %d has pid %d, want %d", i, p.pid, pid)
		switch i % 4 {
		case 0: // exits, and is waited for
			status := p.awaitEnd()
			check(status == ExitStatus, "process %d ended with %d", i, status)
			p.drop()
		case 1, 2: // is killed, perhaps before it has run, or while it waits
			p.drop()
		case 3: // is not named any more
			t.forget(p)
			closeAll(p.handle)
			t.fall(before.processes)
		}
		if i%1000 == 0 {
			check(t.counts() == before, "after %d processes %+v, before %+v", i+1, t.counts(), before)
		}
	}
	check(t.counts() == before, "after %d processes %+v, before %+v", rounds, t.counts(), before)
	after, last := places()
	check(after == room, "%d processes have room after %d rounds, had %d before", after, rounds, room)
	check(last == pid+uint64(room), "the last of %d processes has pid %d, want %d", room, last, pid+uint64(room))
}

// fall waits until so many processes live: one that another hart runs when it has to
// end does so when that hart enters the kernel.
func (t *tester) fall(processes uint64) {
	t.until("processes to end", func() bool { return self4(abi.SysSystemInfo, spawnCap)[3] <= processes })
	check(self4(abi.SysSystemInfo, spawnCap)[3] == processes, "fewer than %d processes live", processes)
}

// forget takes a process off the list of children without touching it.
func (t *tester) forget(p *process) {
	p.gone = true
	t.children = slices.DeleteFunc(t.children, func(q *process) bool { return q == p })
}
