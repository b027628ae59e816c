package execd

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
)

// child is a process that was started for somebody, or will be.
type child struct {
	id      uint32
	session *session
	request exec.Request
	program file    // what it runs
	memory  ipc.Any // that the program came in, if its requester brought it
	given   []given // capabilities for it

	process ipc.Child
	bit     int  // in running while it has a process, else -1
	killed  bool // somebody wanted its end
	ended   bool
	end     exec.End
}

// given is a capability for a child that is held.
type given struct {
	c      ipc.Any
	rights abi.Rights
}

// newChild takes a request into a session. The lock is held.
func (s *server) newChild(ss *session, r *exec.Request, q *ipc.Request) (*child, ipc.Status) {
	if len(ss.children) == exec.MaxChildren {
		return nil, exec.Quota.Status()
	}
	if s.taken[manifest.ServiceID(exec.Prefix+r.Name)] {
		return nil, exec.NameInUse.Status()
	}
	s.lastID++
	c := &child{id: s.lastID, session: ss, request: *r, bit: -1}
	if r.File != "" {
		c.program = s.files[r.File]
	} else if status := s.adopt(c, q.Take()); status != ipc.StatusOK {
		c.drop()
		return nil, status
	}
	ss.children = append(ss.children, c)
	return c, ipc.StatusOK
}

// adopt makes the program of c of memory that its requester has filled. The kernel
// executes it only if nobody can write it any more, and checks what is in it.
func (s *server) adopt(c *child, memory ipc.Any) ipc.Status {
	c.memory = memory
	info, err := memory.Info()
	if err != nil || info.Kind != abi.KindVMO || info.Size < c.request.Length {
		return exec.BadProgram.Status()
	}
	read, err := memory.Memory()
	if err != nil {
		c.memory = ipc.Any{} // it was closed
		return exec.BadProgram.Status()
	}
	program, err := ipc.Program(s.spawner, read)
	if err != nil {
		return reasonOf(err).Status()
	}
	c.program = file{program, c.request.Length}
	return ipc.StatusOK
}

// drop closes what c holds for a process that it does not have yet.
func (c *child) drop() {
	if c.memory.Valid() {
		c.program.program.Close()
		c.memory.Close()
	}
	for _, g := range c.given {
		g.c.Close()
	}
	c.memory, c.program, c.given = ipc.Any{}, file{}, nil
}

// forget takes c, which has no process, out of its session. The lock is held.
func (s *server) forget(c *child) {
	c.drop()
	c.session.children = slices.DeleteFunc(c.session.children, func(d *child) bool { return d == c })
}

// held returns the child with that id of the requester if it was not started yet. The
// lock is held.
func (s *server) held(q *ipc.Request, id uint32) *child {
	ss := s.sessions[of(q)]
	if ss == nil {
		return nil
	}
	for _, c := range ss.children {
		if c.id == id && c.bit < 0 && !c.ended {
			return c
		}
	}
	return nil
}

// start creates the process of c, with entropy for it, or forgets c. The lock is held.
func (s *server) start(c *child, b *seed) ipc.Status {
	reason, err := s.create(c, b)
	if err != nil {
		s.log.Info("not started", "name", exec.Prefix+c.request.Name, "reason", reason.String(), "err", err)
		s.forget(c)
		return reason.Status()
	}
	if c.memory.Valid() && c.request.Flags&exec.FlagConsole != 0 {
		s.env.Say("execd: elf load ok")
	}
	c.drop()
	return ipc.StatusOK
}

// Errors of create that are not the kernel's.
var (
	errBudget = errors.New("the budgets of the session are spent")
	errFull   = errors.New("as many processes as can be watched")
)

func (s *server) create(c *child, b *seed) (exec.Reason, error) {
	r := &c.request
	if c.session.frames+uint64(r.Frames) > exec.MaxBudget {
		return exec.NoMemory, errBudget
	}
	bit := slices.Index(s.running[:], nil)
	if bit < 0 {
		return exec.CapTableFull, errFull
	}
	spec := &ipc.SpawnSpec{
		Name: exec.Prefix + r.Name, Program: c.program.program, Length: c.program.size,
		Frames: uint64(r.Frames), Args: r.Args, Env: r.Env, QoS: r.QoS, Seed: *b,
	}
	for _, g := range c.given {
		spec.Caps = append(spec.Caps, ipc.Give(g.c, g.rights))
	}
	if r.Flags&exec.FlagConsole != 0 {
		spec.Caps = append(spec.Caps, ipc.GiveConsole(s.console))
		spec.Console = len(spec.Caps)
	}
	p, err := s.spawner.Spawn(spec)
	if err != nil {
		return reasonOf(err), err
	}
	if err := ipc.Watch(p, s.ends, 1<<bit); err != nil {
		p.Close() // which ends it
		return exec.Unknown, err
	}
	c.process, c.bit, s.running[bit] = p, bit, c
	c.session.frames += uint64(r.Frames)
	if r.QoS != 0 {
		s.audit(c.session.who, policy.QoSApplied, p.PID, abi.DefaultQoS, r.QoS)
	}
	return 0, nil
}

// reasonOf returns the reason that a refusal of the kernel is.
func reasonOf(err error) exec.Reason {
	var e *ipc.Error
	if !errors.As(err, &e) {
		return exec.Unknown
	}
	switch e.Errno {
	case abi.ENOMEM:
		return exec.NoMemory
	case abi.ENOSPC:
		return exec.CapTableFull
	case abi.EWX, abi.EOVERLAP:
		return exec.MapFailed
	case abi.EELF, abi.EINVAL, abi.EWRITABLE:
		return exec.BadProgram
	case abi.EEXIST:
		return exec.NameInUse
	}
	return exec.Unknown
}

// kill ends a child, or forgets one that was held. The lock is held.
func (s *server) kill(ss *session, id uint32) ipc.Status {
	if ss == nil {
		return ipc.StatusNotFound
	}
	for _, c := range ss.children {
		if c.id != id {
			continue
		}
		switch {
		case c.ended:
			return ipc.StatusUnavailable
		case c.bit < 0:
			s.forget(c)
			return ipc.StatusOK
		}
		c.killed = true
		if err := c.process.Kill(); err != nil && err != ipc.ErrNoEntry {
			s.log.Error("kill", "pid", c.process.PID, "err", err)
			return ipc.StatusInternal
		}
		return ipc.StatusOK
	}
	return ipc.StatusNotFound
}

// watch waits for children to end.
func (s *server) watch() {
	for {
		set, err := ipc.WaitBits(s.ctx, s.ends)
		if err != nil {
			return
		}
		for ; set != 0; set &= set - 1 {
			s.ended(bits.TrailingZeros64(set))
		}
	}
}

// ended takes notice of the end of the process with that bit.
func (s *server) ended(bit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.running[bit]
	if c == nil {
		return
	}
	info, err := c.process.State()
	if err != nil {
		s.log.Error("state", "pid", c.process.PID, "err", err)
	} else if info.Alive {
		return // the bit of an earlier process
	}
	c.end = exec.End{ID: c.id, PID: c.process.PID, Status: info.Status, Cause: info.Cause, PC: info.PC, Addr: info.Addr}
	c.process.Close()
	s.running[bit], c.bit, c.ended = nil, -1, true
	c.session.frames -= uint64(c.request.Frames)
	s.report(c)
	if s.sessions[c.session.who] != c.session {
		s.forget(c)
		return
	}
	s.tell(c)
}

// report says how a child ended: in the journal if it was not well, and where a child
// with the console printed.
func (s *server) report(c *child) {
	e, name := &c.end, exec.Prefix+c.request.Name
	onConsole := c.request.Flags&exec.FlagConsole != 0
	if e.Status == 0 {
		if onConsole {
			s.env.Say("execd: child exited pid=%d code=0 name=%s", e.PID, name)
		}
		return
	}
	if c.killed {
		return
	}
	text := fmt.Sprintf("pid=%d code=%d name=%s", e.PID, e.Status, name)
	s.log.Warn("crash "+text, "event", "crash.v1", "cause", e.Cause, "pc", e.PC, "addr", e.Addr)
	if e.Cause != 0 {
		text += fmt.Sprintf(" cause=%d pc=%#x addr=%#x", e.Cause, e.PC, e.Addr)
	}
	if onConsole {
		s.env.Say("execd: crash report %s", text)
	}
}
