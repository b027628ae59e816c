package core

import (
	"strings"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/image"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

// Cases that random processes reach too seldom to rely on it.

// What was derived from a closed capability belongs to its parent.
func TestCloseMiddleOfTree(t *testing.T) {
	s := newSim(t)
	v, _ := s.spawn()
	all := uint64(abi.RightSend | abi.RightGrant)
	a := v.must(abi.SysEndpointCreate, 4, 64)
	b := v.must(abi.SysCapCopy, a, all)
	sibling := v.must(abi.SysCapCopy, a, all)
	c1, c2 := v.must(abi.SysCapCopy, b, all), v.must(abi.SysCapCopy, b, all)
	d := v.must(abi.SysCapCopy, c1, all)
	v.must(abi.SysCapClose, b)
	s.check()
	if got := v.must(abi.SysCapRevoke, c1); got != 1 {
		t.Errorf("%d revoked below the first copy", got)
	}
	v.fails(abi.EBADF, abi.SysCapInfo, d)
	if got := v.must(abi.SysCapRevoke, sibling); got != 0 {
		t.Errorf("%d revoked below the sibling", got)
	}
	if got := v.must(abi.SysCapRevoke, a); got != 3 {
		t.Errorf("%d revoked, want both copies and the sibling", got)
	}
	v.fails(abi.EBADF, abi.SysCapInfo, c2)
	s.check()
	// Closing a root leaves trees of their own.
	b = v.must(abi.SysCapCopy, a, all)
	v.must(abi.SysCapCopy, b, all)
	note := v.must(abi.SysNotificationCreate, 1)
	n1 := v.must(abi.SysCapCopy, note, uint64(abi.RightSignal|abi.RightGrant))
	v.must(abi.SysCapCopy, note, uint64(abi.RightSignal))
	v.must(abi.SysCapClose, a)
	v.must(abi.SysCapClose, note)
	s.check()
	v.fails(abi.ECLOSED, abi.SysNotify, n1, 1)
	if got := v.must(abi.SysCapRevoke, b); got != 1 {
		t.Errorf("%d revoked", got)
	}
	s.check()
}

func TestMapExecutable(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	program := s.give(s.root, hProgram, abi.RightRead|abi.RightExec, 0, q)
	va := q.must(abi.SysVMOMap, program, 0, 0, abi.PageSize, uint64(abi.RightRead|abi.RightExec))
	if !q.access(va, sv39.X) || !q.access(va, sv39.R) || string(q.read(va, 4)) != "\x7fELF" {
		t.Error("program is not there")
	}
	s.check()
	files := s.give(s.root, hFiles, abi.RightRead, 0, q)
	q.fails(abi.EPERM, abi.SysVMOMap, files, 0, 0, abi.PageSize, uint64(abi.RightRead|abi.RightExec))
	if q.access(va, sv39.W) || q.alive() {
		t.Error("the boot image was written")
	}
	s.check()
}

// A request that cannot be delivered does not hide the notification behind it.
func TestBadRequestHidesNothing(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	note := v.must(abi.SysNotificationCreate, 9)
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 100 | abi.FlagNoWait, 8, 0, 0, abi.MapBase}})
	v.must(abi.SysNotify, note, 4)
	v.schedule()
	v.preferEPs = true
	v.trap(abi.SysWait, &regs{A: [7]uint64{2: recv, 6: recvVA}, S10: 1})
	if e := v.event(); e.kind != abi.EventNotify || e.a2 != 4 {
		t.Errorf("event %+v", e)
	}
	if e := c.poll(); e.a2 != uint64(abi.EFAULT) {
		t.Errorf("event %+v", e)
	}
	s.check()
}

// The heap holds a lower bound of a deadline: an entry that comes up too early is
// put back.
func TestDeadlinePutOff(t *testing.T) {
	s := newSim(t)
	c, _, ep, _ := s.pair()
	note := c.must(abi.SysNotificationCreate, 9)
	send := s.give(c, note, abi.RightSignal, 0, s.root)
	start := s.clock
	due := func(d int64) *regs { return &regs{A: [7]uint64{3: uint64(start + d)}} }
	c.trap(abi.SysWait, due(1000))
	s.root.must(abi.SysNotify, send, 1)
	c.trap(abi.SysWait, due(5000))
	c.mustWait()
	s.root.wait(0, 0)
	s.advance(1000)
	c.mustWait()
	s.check()
	s.advance(3999)
	c.mustWait()
	s.advance(1)
	if e := c.event(); e.kind != abi.EventNone {
		t.Errorf("event %+v", e)
	}
	// The same with the deadlines of two calls.
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8 | abi.FlagNoWait, 1, uint64(s.clock + 10)}})
	c.trap(abi.SysCancel, &regs{A: [7]uint64{2: 1}})
	c.poll()
	c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 2, uint64(s.clock + 30)}})
	s.advance(10)
	c.mustWait()
	s.check()
	s.advance(20)
	c.reply(2, abi.ETIMEDOUT)
	s.check()
}

// A fault that needs a page table which the budget cannot pay for takes nothing.
func TestRejectTableOverBudget(t *testing.T) {
	s := newSim(t)
	q, h := s.spawn()
	for va := uint64(abi.HeapBase); q.acct.Used() < q.acct.Limit()-1; va += abi.PageSize {
		q.access(va, sv39.W)
	}
	s.check()
	far := uint64(abi.HeapBase + heapSlack)
	q.fails(abi.EFAULT, abi.SysConsoleWrite, s.give(s.root, hConsole, abi.RightWrite, 0, q), far, 1)
	if q.acct.Used() != q.acct.Limit()-1 {
		t.Errorf("%d frames used of %d", q.acct.Used(), q.acct.Limit())
	}
	s.check()
	if q.access(far, sv39.W) || q.alive() {
		t.Error("page over the budget")
	}
	s.root.must(abi.SysProcessInfo, h)
	if status := int64(s.root.main.Frame.X[hart.A1]); status != abi.ExitNoMem {
		t.Errorf("status %d", status)
	}
	s.check()
}

// A reply right is never used twice: behind the last generation of a record come rights
// that no reply accepts. Their calls end like those of a server that does not answer.
func TestRejectReplyRightsEnd(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	c.freeCalls.right |= 1<<62 - nextRight
	v.wait(recv, 1)
	c.call(ep, 1)
	last := v.request(1).right
	if errno := v.answer(last, 0); errno != abi.OK {
		t.Error(errno)
	}
	c.reply(1, abi.OK)
	v.fails(abi.ENOENT, abi.SysReply, last, 8)
	v.wait(recv, 1)
	c.callDue(ep, 2, s.clock+10)
	v.fails(abi.EBADF, abi.SysReply, v.request(1).right, 8)
	s.advance(10)
	c.reply(2, abi.ETIMEDOUT)
	s.check()
}

// What the root process of an image can be refused for.
func TestRejectBoot(t *testing.T) {
	archive := func(frames uint64, program, boot []byte) *image.Archive {
		a := &image.Archive{Root: "second", RootFrames: frames, Count: 2}
		a.Table[0] = image.Entry{Name: "programs", Data: program}
		a.Table[1] = image.Entry{Name: image.EntryBoot, Data: boot}
		return a
	}
	good, err := image.AppendBoot(nil, []string{"root"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		a    *image.Archive
		want string
	}{
		{"small budget", archive(minFrames-1, simProgram, good), abi.EINVAL.Error()},
		{"budget over the memory", archive(simFrames, simProgram, good), abi.ENOMEM.Error()},
		{"no program", archive(rootBudget, []byte("text"), good), abi.EELF.Error()},
		{"bad boot entry", archive(rootBudget, simProgram, []byte{1, 2, 3}), "boot entry"},
	} {
		s := newSim(t)
		raw, err := image.Append(nil, tt.a)
		if err != nil {
			t.Fatal(err)
		}
		// The archive lies in frames that nobody else has, and that follow each other.
		var acct mem.Account
		n := (len(raw) + abi.PageSize - 1) / abi.PageSize
		s.pool.Open(&acct, n)
		base, _ := s.pool.Take(&acct)
		for i := 1; i < n; i++ {
			if pa, _ := s.pool.Take(&acct); pa != base+mem.PA(i*abi.PageSize) {
				t.Fatalf("frame %d at %#x", i, pa)
			}
		}
		free, caps := s.pool.Free(), s.capsUsed
		b := mem.Bytes(base, len(raw))
		copy(b, raw)
		a, err := image.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Boot(a, base); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if s.live != 1 || s.capsUsed != caps || s.pool.Free() != free {
			t.Errorf("%s: something remains", tt.name)
		}
	}
}

// Programs may only have the segments of an ELF file at their addresses, with
// what those allow.
func TestSegmentsOfProgram(t *testing.T) {
	s := newSim(t)
	q, _ := s.spawn()
	for _, seg := range elftest.Hello().Segments {
		if seg.Type != elftest.Load {
			continue
		}
		r := q.regionOf(seg.VA)
		if r == nil {
			t.Fatalf("no region at %#x", seg.VA)
		}
		want := sv39.Perm(sv39.U | sv39.R)
		if seg.Flags&elftest.W != 0 {
			want |= sv39.W
		}
		if seg.Flags&elftest.X != 0 {
			want |= sv39.X
		}
		if r.perm != want || r.user || (r.kind == regionShare) != (want&sv39.W == 0) {
			t.Errorf("region at %#x: %+v", seg.VA, r)
		}
		q.fails(abi.ENOENT, abi.SysUnmap, r.start, r.end-r.start)
	}
}
