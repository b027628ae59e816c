package core

import (
	"reflect"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"pgregory.net/rapid"
)

// outcome is what a call or a reply leaves behind, without what only tells how it
// was done.
type outcome struct {
	client, server     [32]uint64
	cThread, sThread   uint8
	cWait, sWait       int64
	callDue            int64
	cur                uint32
	calls, switches    uint64
	record             call
	caller             uint32
	armed, taker       uint32
	cookie, buffer     uint64
	donors             uint64
	deadlines          int
	rights             [2]abi.Rights // of what a6 names
	first              int64
	onList, cEvt, sEvt bool
}

func (s *sim) outcome(c, v proc, ep uint32) outcome {
	i, end := callsOf(c.Process)
	for i < end-1 && s.calls[i].state == callFree {
		i++
	}
	r := s.calls[i]
	caller, taker := uint32(0), uint32(0)
	if r.caller != nil {
		caller = r.caller.id
	}
	r.caller, r.free = nil, nil
	if r.state != callQueued && r.state != callDone { // filled in only on the way
		r = call{state: r.state, right: r.right, client: r.client, server: r.server, cookie: r.cookie, accept: r.accept, deadline: r.deadline, reply: r.reply}
	}
	if r.state == callFree {
		r = call{right: r.right}
	}
	e := &s.endpoints[ep]
	if e.taker != nil {
		taker = e.taker.id
	}
	rights := [2]abi.Rights{}
	for i, q := range []proc{c, v} {
		rights[i] = s.caps[s.lookup(q.Process, q.main.Frame.X[hart.A6])].rights
	}
	return outcome{c.main.Frame.X, v.main.Frame.X, c.main.state, v.main.state, c.main.due(), v.main.due(), c.Process.callDue, s.h.cur.id, s.callsUsed(), s.switchCount(), r, caller,
		e.armed, taker, e.cookie, e.buffer, v.donors, s.h.deadline.n, rights, s.h.deadline.first, e.onList, c.pending != 0, v.pending != 0}
}

// due returns the deadline of the wait of t, 0 for none.
func (t *Thread) due() int64 {
	if t.state < threadWaiting {
		return 0
	}
	return t.waitDue
}

// direct makes the call or the reply of t on the direct path, as the hart loop does, and
// reports whether it could.
func (s *sim) direct(t *Thread) bool {
	var next *Thread
	due := uint64(0)
	switch x := &t.Frame.X; {
	case !t.Plain():
	case x[hart.A7] == abi.SysCall:
		next, due = s.CallDirect(s.h, t, x[hart.A1])
	default:
		next, due = s.ReplyDirect(s.h, t, x[hart.A1])
	}
	if due != 0 {
		s.ArmDue(t)
	}
	if next != nil {
		next.Frame.TakePayload(&t.Frame)
	}
	return next != nil
}

// unusual is what makes a call and its reply differ from the plain ones. Its zero value is a
// plain call of 8 bytes; every other value stands for one deviation.
type unusual struct {
	length, flags, due, wait, accept, cap, buffer, handle int
	event, queued, busy, stranger                         int
}

// kinds tells how many values each field of an unusual has.
var kinds = [...]int{4, 3, 4, 4, 3, 2, 3, 6, 2, 2, 2, 2}

// set gives field i the value v.
func (u *unusual) set(i, v int) {
	*[...]*int{&u.length, &u.flags, &u.due, &u.wait, &u.accept, &u.cap, &u.buffer, &u.handle, &u.event, &u.queued, &u.busy, &u.stranger}[i] = v
}

// The hand-offs of direct.go and carry.go do what the general path does in the same case, and
// keep away from every other case: the plain one, each deviation, and each two together.
func TestDirectPath(t *testing.T) {
	var alone []unusual
	for i, n := range kinds {
		for v := range n {
			var u unusual
			u.set(i, v)
			alone = append(alone, u)
			for j := range i {
				for w := 1; v > 0 && w < kinds[j]; w++ {
					both := u
					both.set(j, w)
					alone = append(alone, both)
				}
			}
		}
	}
	for _, u := range alone {
		u.compare(t)
	}
}

// So do any number of deviations together.
func TestPropertyDirectPath(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var u unusual
		for i, n := range kinds {
			if rapid.IntRange(0, 2).Draw(rt, "unusual") == 0 {
				u.set(i, rapid.IntRange(0, n-1).Draw(rt, "value"))
			}
		}
		u.compare(rapidTB{t, rt})
	})
}

// compare makes the call and the reply on each of the three paths.
func (d unusual) compare(t testing.TB) {
	t.Helper()
	var got [3][]outcome
	for path := range got {
		s := newSim(t)
		c, v, ep, recv := s.pair()
		gone := ep // a capability to an endpoint whose place in the table recv has taken
		v.must(abi.SysCapClose, recv)
		recv = v.must(abi.SysEndpointCreate, 4, abi.MaxMessage)
		ep = s.give(v, recv, abi.RightSend|abi.RightGrant, 0x78, c)
		u, _ := s.spawn()
		theirs := u.must(abi.SysEndpointCreate, 4, abi.MaxMessage)
		obj := s.caps[s.lookup(v.Process, recv)].obj
		note := c.must(abi.SysNotificationCreate, 3)
		issue := func(p proc, num uint64, r regs) {
			p.schedule()
			x := &p.main.Frame.X
			copy(x[hart.A0:], r.A[:])
			x[hart.A7], x[hart.S10] = num, r.S10
			copy(x[hart.S2:], r.Data[:])
			p.main.Frame.Cause, p.main.Frame.Full = hart.CauseEcallU, 0
			if path == 2 {
				s.General(p.main)
			} else if path == 1 || !s.direct(p.main) {
				s.Trap(p.main)
			}
			s.check()
			got[path] = append(got[path], s.outcome(c, v, obj))
		}
		due := func(i int) uint64 { return []uint64{0, uint64(s.clock + 50), 1, ^uint64(0)}[i] }
		v.wait(recv, 5)
		if d.busy > 0 {
			s.wake(v.main, abi.EventNone)
		}
		if d.event > 0 {
			c.must(abi.SysNotify, note, 1)
		}
		length := []uint64{8, 0, 64, 65}[d.length]
		handle := []uint64{ep, 0, note, ep | 1<<63, ep + 1<<32, gone}[d.handle]
		buffer := []uint64{0, recvVA, 8}[d.buffer]
		r := regs{A: [7]uint64{handle, length, 42, due(d.due), 0, msgVA, buffer}, S10: due(d.wait), Data: [8]uint64{1, 2, 3}}
		if d.flags == 1 {
			r.A[1] |= abi.FlagNoWait
		}
		if d.flags == 2 {
			r.A[1] |= abi.FlagDropGrant
		}
		if d.cap > 0 {
			r.A[4] = c.must(abi.SysCapCopy, note, uint64(abi.RightSignal|abi.RightGrant))
		}
		issue(c, abi.SysCall, r)
		if v.main.state == threadWaiting || v.main.Frame.X[hart.A0] != abi.EventRequest {
			continue
		}
		right := v.main.Frame.X[hart.A4]
		if d.queued > 0 && c.main.state != threadWaiting {
			c.post(ep, 9)
		}
		r = regs{A: [7]uint64{right, length, []uint64{recv, 0, ep}[d.accept], due(d.wait), 0, msgVA, buffer}, S10: 77, Data: [8]uint64{9, 9}}
		if d.stranger > 0 {
			r.A[2] = theirs
			issue(u, abi.SysReply, r)
			continue
		}
		issue(v, abi.SysReply, r)
	}
	for path, name := range []string{"direct ", "carried"} {
		if !reflect.DeepEqual(got[path], got[2]) {
			t.Fatalf("%+v:\n%s %+v\ngeneral %+v", d, name, got[path], got[2])
		}
	}
}

// The kernel allocates nothing.
func TestNoAllocation(t *testing.T) {
	s := newSim(t)
	c, v, ep, recv := s.pair()
	note := s.root.must(abi.SysNotificationCreate, 5)
	bad, _ := s.spawn()
	bad.must(abi.SysFaultHandler, abi.ImageBase)
	sp := s.spec()
	s.root.write(specVA, specBytes(&sp))
	vmo := s.root.must(abi.SysVMOCreate, 4*abi.PageSize)
	cap := c.must(abi.SysCapCopy, c.must(abi.SysNotificationCreate, 1), uint64(abi.RightSignal|abi.RightGrant))
	console := make([]byte, 0, 1<<20)
	s.Kernel.console = func(b []byte) { console = append(console[:0], b...) }
	s.write8K(c, v)
	right := uint64(0)
	v.wait(recv, 1)
	serve := func(length uint64) {
		right = v.main.Frame.X[hart.A4]
		v.trap(abi.SysReply, &regs{A: [7]uint64{right, length, recv, 0, 0, msgVA, recvVA}, S10: 1})
	}
	next := uint64(abi.HeapBase + 0x100_0000)
	for _, tt := range []struct {
		name string
		f    func()
	}{
		{"call and reply", func() { c.call(ep, 1); serve(8) }},
		{"long call and reply", func() {
			c.trap(abi.SysCall, &regs{A: [7]uint64{ep, abi.MaxMessage, 1, 0, 0, msgVA, recvVA}})
			serve(abi.MaxMessage)
		}},
		{"call with capability and back", func() {
			c.trap(abi.SysCall, &regs{A: [7]uint64{ep, 8, 1, 0, cap}})
			v.trap(abi.SysReply, &regs{A: [7]uint64{v.main.Frame.X[hart.A4], 8, recv, 0, v.main.Frame.X[hart.A6], 0, recvVA}, S10: 1})
			cap = c.main.Frame.X[hart.A6]
		}},
		{"post, cancel and poll", func() {
			c.post(ep, 1)
			c.trap(abi.SysCancel, &regs{A: [7]uint64{2: 1}})
			c.poll()
			v.wait(recv, 1)
			v.wait(recv, 1)
		}},
		{"call that times out", func() {
			c.callDue(ep, 1, s.clock+10)
			v.wait(recv, 1)
			s.advance(10)
		}},
		{"spawn, watch and kill", func() {
			h := s.root.must(abi.SysSpawn, hSpawn, specVA)
			s.root.must(abi.SysProcessWatch, h, note, 1)
			s.root.must(abi.SysProcessKill, h)
			s.root.poll()
			s.root.must(abi.SysCapClose, h)
		}},
		{"fault in a page", func() {
			s.root.schedule()
			s.root.main.Frame.Cause, s.root.main.Frame.Tval, s.root.main.Frame.Full = hart.CauseStorePage, next, 1
			s.Trap(s.root.main)
			next += abi.PageSize
		}},
		{"fault for a handler", func() {
			bad.fault(hart.CauseLoadPage, 8)
			bad.must(abi.SysFaultDone)
		}},
		{"map and unmap", func() {
			va := s.root.must(abi.SysVMOMap, vmo, 0, 0, 4*abi.PageSize, rw)
			s.root.must(abi.SysVMOWrite, vmo, 100, msgVA, 5000)
			s.root.must(abi.SysVMORead, vmo, 100, msgVA, 5000)
			s.root.must(abi.SysUnmap, va, 4*abi.PageSize)
		}},
		{"objects", func() {
			ep := s.root.must(abi.SysEndpointCreate, 4, 64)
			n := s.root.must(abi.SysNotificationCreate, 1)
			tm := s.root.must(abi.SysTimerCreate, n, 1)
			s.root.must(abi.SysTimerSet, tm, uint64(s.clock+5))
			v := s.root.must(abi.SysVMOCreate, abi.PageSize)
			s.root.must(abi.SysCapCopy, v, 0)
			s.root.must(abi.SysCapRevoke, v)
			for _, h := range []uint64{ep, n, tm, v} {
				s.root.must(abi.SysCapClose, h)
			}
		}},
		{"console and information", func() {
			s.root.must(abi.SysConsoleWrite, hConsole, msgVA, 100)
			s.root.must(abi.SysSystemInfo, hSpawn)
			s.root.must(abi.SysProcessInfo)
		}},
		{"floating point", func() { c.yieldAll(); v.yieldAll() }},
	} {
		if n := testing.AllocsPerRun(20, tt.f); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
		s.check()
	}
}

// write8K gives both processes the memory for long messages.
func (s *sim) write8K(ps ...proc) {
	b := make([]byte, abi.MaxMessage)
	for _, p := range append(ps, s.root) {
		p.write(msgVA, b)
		p.write(recvVA, b)
	}
}

// yieldAll makes q use the floating-point unit if it can run.
func (q proc) yieldAll() {
	if !q.waits() {
		q.float(1)
	}
}
