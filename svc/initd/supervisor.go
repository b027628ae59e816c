package initd

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"slices"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
)

// watchBits is how many children share a notification. Bit 63 is the ipc library's.
const watchBits = 32

// maxEndWaiters bounds the callers that wait for the end of one child.
const maxEndWaiters = 4

// maxRefusals is how many refusals of one process are logged.
const maxRefusals = 16

// supervisor is the state of init.
type supervisor struct {
	env      *svc.Env
	spawner  ipc.Spawner
	binaries map[string]binary // by their names in the manifest; never changes
	files    []string          // names of the archive's entries from capFiles on
	capFiles int
	rules    []byte // the policy, for policyd
	policy   policy.Client
	entropy  rng.Client
	log      *journal.Handler
	qos      *slog.Logger                   // audit of decisions about classes of service
	ends     []ipc.Notification[ipc.Listen] // of children: bit index%watchBits of index/watchBits
	over     chan error                     // how the system ends
	devices  []*device                      // the list never changes

	mu       sync.Mutex // guards what follows and the state of children
	children []*child
	changed  chan struct{} // closed and replaced when a child's state changes
	closing  bool
}

// binary is an executable with services.
type binary struct {
	elf  ipc.VMO[ipc.ReadExec]
	size uint64
}

// child is a service of the manifest with its process, if it has one.
type child struct {
	service *manifest.Service
	index   int
	id      uint64 // service id
	early   bool   // runs before there is entropy
	control ipc.Endpoint[ipc.Serve]

	process    ipc.Child
	alive      bool
	classified bool // policyd decided about its QoS
	gone       bool // ended and will not be started again
	exit       control.Exit
	ep         ipc.Endpoint[ipc.SendGrant] // from its ready message
	ready      bool
	released   bool // the system is up: ready messages are answered at once
	announced  bool

	readyReply ipc.Pending
	readyWaits bool
	endWaiters []ipc.Pending // wait for it to have ended for good

	argument []string    // beside those of the manifest
	restarts uint32      // since somebody started it
	recent   []time.Time // starts after an end, within the window of the policy
	pause    *time.Timer // until it is started again, nil if it is not going to be
	stopped  bool        // it was ended on purpose and stays so
	refusals int         // of this process's requests
}

// badge returns the badge of the child's control endpoint.
func (c *child) badge() uint64 { return uint64(c.index) + 1 }

// rank orders the starts of services.
func (c *child) rank() int {
	if c.early {
		return 0
	}
	return 1
}

// byName returns the child of that name, or nil. The list never changes.
func (s *supervisor) byName(name string) *child {
	for _, c := range s.children {
		if c.service.Name == name {
			return c
		}
	}
	return nil
}

// change tells those who await. The lock is held.
func (s *supervisor) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until cond, which is called with the lock held, is true, and reports
// that, or false when ctx ends first.
func (s *supervisor) await(ctx context.Context, cond func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !cond() {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return cond()
		}
	}
	return true
}

// start creates the process of c, which must neither run nor be about to, and
// returns its pid. Its restarts are counted from here.
func (s *supervisor) start(c *child, argument ...string) (uint32, error) {
	var b seed
	defer clear(b[:])
	if err := s.fetch(c, &b); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.alive || c.pause != nil {
		return 0, ipc.ErrExists
	}
	c.argument, c.restarts, c.recent, c.stopped = argument, 0, nil, false
	return s.spawn(c, &b)
}

// spawn creates the process of c, with entropy for it. The lock is held.
func (s *supervisor) spawn(c *child, b *seed) (uint32, error) {
	bin := s.binaries[c.service.Binary]
	spec := &ipc.SpawnSpec{
		Name: c.service.Name, Program: bin.elf, Length: bin.size, Frames: c.service.Frames,
		Args: slices.Concat([]string{c.service.Program}, c.service.Args, c.argument), Env: c.service.Env,
		QoS:  initialQoS(c.service.QoS),
		Seed: *b,
		Caps: []ipc.Given{ipc.GiveSend(c.control, c.badge())},
	}
	if c.service.Console {
		give := ipc.GiveConsole(s.env.Process.BootCap(capConsole))
		if c.service.Spawner {
			give.Rights |= abi.RightGrant
		}
		spec.Caps = append(spec.Caps, give)
		spec.Console = len(spec.Caps)
	}
	if c.service.Name == policydName {
		spec.Data = s.rules
	}
	p, err := s.spawner.Spawn(spec)
	if err != nil {
		s.refusedQoS(c, err)
		return 0, err
	}
	if err := ipc.Watch(p, s.ends[c.index/watchBits], 1<<(c.index%watchBits)); err != nil {
		return 0, errors.Join(err, p.Kill(), p.Close())
	}
	c.process, c.alive, c.gone, c.exit = p, true, false, control.Exit{}
	c.refusals, c.classified = 0, false
	if c.service.QoS != 0 {
		go s.classify(c, p)
	}
	s.change()
	return p.PID, nil
}

// watch waits for children to end.
func (s *supervisor) watch(ctx context.Context) {
	for i, n := range s.ends {
		go func() {
			for {
				set, err := ipc.WaitBits(ctx, n)
				if err != nil {
					return
				}
				for set != 0 {
					bit := bits.TrailingZeros64(set)
					set &^= 1 << bit
					if at := i*watchBits + bit; at < len(s.children) {
						s.ended(s.children[at])
					}
				}
			}
		}()
	}
}

// ended takes notice of the end of c and does what the manifest says.
func (s *supervisor) ended(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.alive {
		return
	}
	info, err := c.process.State()
	if err == nil && info.Alive {
		return // bits of an earlier process
	}
	c.exit = control.Exit{Status: info.Status, Cause: info.Cause, PC: info.PC, Addr: info.Addr, Restarts: c.restarts}
	c.process.Close()
	c.ep.Close()
	c.process, c.ep = ipc.Child{}, ipc.Endpoint[ipc.SendGrant]{}
	c.alive, c.ready, c.announced, c.readyWaits = false, false, false, false
	s.reclaim(c)
	if !c.service.Demand || c.service.Restart.Policy != manifest.Never {
		s.env.Log.Warn("service ended", "svc", c.service.Name, "status", info.Status, "cause", info.Cause, "pc", info.PC, "addr", info.Addr)
	}
	s.next(c)
	s.change()
}

// next decides what becomes of c, which has no process. The lock is held.
func (s *supervisor) next(c *child) {
	if s.closing || c.stopped || !c.restartable() {
		s.giveUp(c)
		return
	}
	pause, ok := c.again(time.Now())
	if !ok {
		s.env.Say("init: give up %s: ended with status %d after %d restarts in %v", c.service.Name, c.exit.Status, c.service.Restart.Limit, c.service.Restart.Window)
		s.giveUp(c)
		return
	}
	c.restarts++
	var t *time.Timer
	t = time.AfterFunc(pause, func() {
		var b seed
		defer clear(b[:])
		err := s.fetch(c, &b)
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.pause == t { // nobody stopped it in the meantime
			c.pause = nil
			s.restart(c, &b, err)
		}
	})
	c.pause = t
}

// restartable reports whether the policy of c wants it to be started again after
// the way in which it ended.
func (c *child) restartable() bool {
	switch c.service.Restart.Policy {
	case manifest.Always:
		return true
	case manifest.OnFailure:
		return c.exit.Status != 0
	}
	return false
}

// again decides whether one more restart is within the limit, and after which
// pause.
func (c *child) again(now time.Time) (time.Duration, bool) {
	r := &c.service.Restart
	kept := c.recent[:0]
	for _, t := range c.recent {
		if now.Sub(t) < r.Window {
			kept = append(kept, t)
		}
	}
	c.recent = kept
	if len(c.recent) >= r.Limit {
		return 0, false
	}
	pause := r.Backoff
	for range c.recent {
		pause = min(2*pause, r.MaxBackoff)
	}
	c.recent = append(c.recent, now)
	return pause, true
}

// restart starts c again after its pause, with entropy, or with the reason for which
// there is none. The lock is held.
func (s *supervisor) restart(c *child, b *seed, err error) {
	var pid uint32
	if err == nil {
		pid, err = s.spawn(c, b)
	}
	if err != nil {
		s.env.Log.Error("service cannot be started again", "svc", c.service.Name, "err", err)
		s.next(c)
		s.change()
		return
	}
	s.env.Log.Info("service started again", "svc", c.service.Name, "pid", pid)
}

// giveUp leaves c ended, tells those who wait for that, and ends the system if it
// cannot be without c. The lock is held.
func (s *supervisor) giveUp(c *child) {
	c.gone = true
	for _, w := range c.endWaiters {
		w.Reply(ipc.StatusOK, c.exit.Append(nil))
	}
	c.endWaiters = nil
	if !c.service.Essential || s.closing {
		return
	}
	s.closing = true
	status := c.exit.Status
	if status == 0 {
		s.over <- nil
		return
	}
	s.over <- svc.Exit(status)
}

// usage collects what the system and its services use.
func (s *supervisor) usage() (*control.Usage, error) {
	sys, err := s.spawner.SystemInfo()
	if err != nil {
		return nil, err
	}
	u := &control.Usage{Free: sys.Free, Unreserved: sys.Unreserved, Processes: sys.Processes, Caps: sys.Caps, Calls: sys.Calls}
	self, err := s.env.Process.Info()
	if err != nil {
		return nil, err
	}
	u.Services = append(u.Services, control.ServiceUsage{Name: s.env.Name, PID: self.PID, Used: self.Used, Budget: self.Budget})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.children {
		if !c.alive {
			continue
		}
		info, err := c.process.State()
		if err != nil {
			return nil, err
		}
		u.Services = append(u.Services, control.ServiceUsage{Name: c.service.Name, PID: info.PID, Used: info.Used, Budget: info.Budget, Restarts: c.restarts})
	}
	return u, nil
}
