// Package execd starts programs that are no services, for those that policyd lets have
// programs started: it has the right to create processes, and nobody who asks it gets
// that.
//
// What a child can do is what its requester gave it: capabilities that the requester
// had itself, and the console if policyd allows that too. Its identity is one that no
// service has. A child belongs to the session in which it was started; see package
// exec. When execd itself ends, the kernel ends all children, because nobody else has
// a capability to them.
//
// Invariants:
//
//   - Who asks is known from the kernel: the session belongs to a service id and pid,
//     and ends when its process does.
//   - No child without a yes of policyd for that very child. No answer is a no.
//   - No child without entropy of rngd for its own generator.
//   - Everything that a session can make grow has a limit, and takes nothing from
//     another session's.
//   - No request waits for another: policyd is asked without the lock, and who waits
//     for a child holds no worker.
package execd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
	"nexus.internal/svc/wire"
)

const (
	// depth bounds the requests that wait for a worker.
	depth = 32
	// workers handle requests; each may wait for policyd for as long as a decision may
	// take.
	workers = 4
	// maxRunning bounds the processes of all sessions: one bit each of a notification,
	// whose last one is the ipc library's.
	maxRunning = 63
	// seedTimeout bounds how long a child waits for its entropy: as long as rngd may wait
	// for its device.
	seedTimeout = 5 * time.Second
)

// server is the state of the service.
type server struct {
	env     *svc.Env
	ctx     context.Context
	spawner ipc.Spawner
	policy  policy.Client
	entropy rng.Client
	log     *slog.Logger
	qos     *slog.Logger    // audit of decisions about classes of service
	taken   map[uint64]bool // service ids that no child may have
	ends    ipc.Notification[ipc.Listen]
	console ipc.Any // with the right to give it to children

	mu       sync.Mutex      // guards what follows and all sessions
	files    map[string]file // programs of the image that were asked for
	sessions map[requester]*session
	running  [maxRunning]*child // by bit of ends
	lastID   uint32
}

// file is a program of the image.
type file struct {
	program ipc.VMO[ipc.ReadExec]
	size    uint64
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	s := &server{
		env: env, ctx: ctx, policy: policy.Client{To: env.Dial("policyd", policy.Protocol)},
		entropy: rng.Client{To: env.Dial("rngd", rng.Protocol)},
		files:   map[string]file{}, taken: map[uint64]bool{}, sessions: map[requester]*session{},
		console: env.Process.Console(),
	}
	if err := s.equip(ctx); err != nil {
		return err
	}
	h := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	s.log, s.qos = slog.New(h), slog.New(h.WithScope(policy.QoSScope))
	go h.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	ep, err := env.Process.NewEndpoint(depth, abi.MaxMessage)
	if err != nil {
		return err
	}
	go s.watch()
	return env.Serve(ctx, ipc.NewServer(ep, exec.Protocol, workers, s.handle), ep)
}

// equip gets from init what the service needs.
func (s *server) equip(ctx context.Context) error {
	var err error
	if s.ends, err = s.env.Process.NewNotification(); err != nil {
		return err
	}
	spawner, ids, err := s.env.Control.Spawner(ctx)
	if err != nil {
		return fmt.Errorf("right to create processes: %w", err)
	}
	s.spawner = spawner
	for _, id := range ids {
		s.taken[id] = true
	}
	return nil
}

// fetch makes sure that the program of the image that r names is there. A manifest
// names few, and they stay.
func (s *server) fetch(q *ipc.Request, name string) ipc.Status {
	s.mu.Lock()
	_, ok := s.files[name]
	s.mu.Unlock()
	if ok || name == "" {
		return ipc.StatusOK
	}
	ctx, cancel := q.Context(s.ctx)
	defer cancel()
	c, err := s.env.Control.File(ctx, name)
	if err == ipc.StatusDenied {
		return ipc.StatusNotFound
	}
	if err != nil {
		return ipc.StatusUnavailable
	}
	program, err := c.Program()
	if err != nil { // an entry that is no program
		return exec.BadProgram.Status()
	}
	info, err := program.Info()
	if err != nil {
		return ipc.StatusInternal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[name]; ok { // another worker was faster
		program.Close()
	} else {
		s.files[name] = file{program, info.Size}
	}
	return ipc.StatusOK
}

func (s *server) handle(q *ipc.Request) {
	switch q.Op {
	case exec.OpOpen:
		s.open(q)
	case exec.OpSpawn:
		s.spawn(q)
	case exec.OpGive:
		s.give(q)
	case exec.OpStart, exec.OpKill:
		s.change(q)
	case exec.OpWait:
		s.wait(q)
	case exec.OpQoS:
		s.changeQoS(q)
	case exec.OpClose:
		s.close(q)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// may asks policyd about a requester. The question and its answer are audited there.
func (s *server) may(q *ipc.Request, capability, object string) bool {
	ctx, cancel := q.Context(s.ctx)
	defer cancel()
	err := s.policy.Check(ctx, policy.Question{Subject: q.SenderService, Capability: capability, Object: object})
	if err != nil && err != policy.ErrDenied {
		s.log.Warn("no decision of policyd", "capability", capability, "object", object, "err", err)
	}
	return err == nil
}

// seed is entropy for a child that is to be started. Who asked for it wipes it.
type seed [32]byte

// fill fills b for a child of the caller. The lock must not be held.
func (s *server) fill(b *seed, q *ipc.Request) ipc.Status {
	ctx, cancel := q.Context(s.ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, seedTimeout)
	defer stop()
	if err := s.entropy.Read(ctx, b[:]); err != nil {
		s.log.Warn("no entropy for a child", "err", err)
		return ipc.StatusUnavailable
	}
	return ipc.StatusOK
}

// spawn creates a child, and starts it unless it is to be held.
func (s *server) spawn(q *ipc.Request) {
	var r exec.Request
	if status := r.Decode(q.Payload()); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	if status := s.room(of(q)); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	name := exec.Prefix + r.Name
	if !s.may(q, policy.Spawn, name) || r.Flags&exec.FlagConsole != 0 && !s.may(q, policy.Console, name) {
		q.Reply(exec.Denied.Status(), nil)
		return
	}
	if r.QoS != 0 {
		if status := s.mayQoS(q, r.QoS, abi.DefaultQoS, 0); status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
	}
	if status := s.fetch(q, r.File); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	var b seed
	defer clear(b[:])
	if r.Flags&exec.FlagHold == 0 {
		if status := s.fill(&b, q); status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
	}
	s.inSession(q, func(ss *session) { // it may have ended meanwhile
		c, status := s.newChild(ss, &r, q)
		if status == ipc.StatusOK && r.Flags&exec.FlagHold == 0 {
			status = s.start(c, &b)
		}
		if status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
		q.Reply(ipc.StatusOK, wire.AppendU32(wire.AppendU32(q.Inline(), c.id), c.process.PID))
	})
}

// give adds a capability to those that a child will start with.
func (s *server) give(q *ipc.Request) {
	d := wire.Read(q.Payload())
	id, rights := d.U32(), abi.Rights(d.U32())
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	got := q.Take()
	info, err := got.Info()
	if err != nil || rights&^info.Rights != 0 || info.Rights&abi.RightGrant == 0 {
		got.Close()
		q.Reply(ipc.StatusInvalidArgs, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.held(q, id)
	status := ipc.StatusNotFound
	if c != nil {
		if status = ipc.StatusOK; len(c.given) == exec.MaxCaps {
			status = exec.CapTableFull.Status()
		}
	}
	if status != ipc.StatusOK {
		got.Close()
		q.Reply(status, nil)
		return
	}
	c.given = append(c.given, given{got, rights})
	q.Reply(ipc.StatusOK, append(q.Inline(), byte(len(c.given)-1)))
}

// change starts a child that is held, or kills one.
func (s *server) change(q *ipc.Request) {
	d := wire.Read(q.Payload())
	id := d.U32()
	if !d.Done() {
		q.Reply(ipc.StatusMalformed, nil)
		return
	}
	var b seed
	defer clear(b[:])
	if q.Op == exec.OpStart {
		s.mu.Lock()
		held := s.held(q, id) != nil
		s.mu.Unlock()
		if !held { // for which no entropy is spent
			q.Reply(ipc.StatusNotFound, nil)
			return
		}
		if status := s.fill(&b, q); status != ipc.StatusOK {
			q.Reply(status, nil)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Op == exec.OpKill {
		q.Reply(s.kill(s.sessions[of(q)], id), nil)
		return
	}
	c := s.held(q, id)
	if c == nil {
		q.Reply(ipc.StatusNotFound, nil)
		return
	}
	if status := s.start(c, &b); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	q.Reply(ipc.StatusOK, wire.AppendU32(q.Inline(), c.process.PID))
}
