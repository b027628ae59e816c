// Package initd is the root process, service name "init": it starts every service
// of the manifest in order, gives capabilities to those that the manifest and
// policyd allow them, watches its children and starts them again.
//
// How the system comes up:
//
//  1. init reads the manifest and the policy from the boot archive.
//  2. It starts the services one after another, each with nothing but the control
//     endpoint (and a console, if the manifest says so), and after those that it
//     calls are ready: first rngd and those that it needs, then all others, each with
//     entropy of rngd. A service says that it is ready in a message with its own
//     endpoint; that message stays unanswered.
//  3. When all are ready, init says so and answers, one service after another, so
//     that each announces itself before the next does.
//
// Invariants:
//
//   - A capability to a service exists in another one only after the manifest named
//     the pair and policyd said allow. No answer is a refusal.
//   - Who asks is decided by the control endpoint, of which every child has one of
//     its own, its badge, and the kernel's identity of the sender. All must belong to
//     the same child, and that child must be alive as the same process.
//   - A child has one request handled at a time and a queue of its own: whatever it
//     sends, nobody else waits for it or finds the queue full.
//   - A device has one owner, which the manifest and policyd allow. It was reset when
//     an owner gets it, and is reset when that ends.
//   - Every wait has a deadline, every table a size, every restart a budget.
package initd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/control"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/rng"
)

// Where the kernel puts the capabilities of the root process: spawn, console, the
// entries of the boot archive in the order in which mkimage writes them, and last,
// however many those are, the devices.
const (
	capSpawn = iota
	capConsole
	capPrograms
	capManifest
	capPolicy
	capBinaries // and on: manifest.Manifest.Binaries, then manifest.Manifest.Files
)

// Names of the services that init itself depends on.
const (
	policydName = "policyd"
	logdName    = "logd"
	rngdName    = "rngd"
)

const (
	// depth bounds the requests of one child that wait. Calls always find room: a
	// process has at most 32 under way, and of one-way messages, which a dead
	// predecessor may have left, at most 64 wait for init as a whole.
	depth = 96
	// maxPolicy is what fits into the boot data of policyd.
	maxPolicy = 12 << 10
)

// Main is the root process. It returns when the system is over.
func Main(ctx context.Context, env *svc.Env) error {
	s, err := newSupervisor(env)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range s.children {
		go s.serve(ctx, c)
	}
	go s.watch(ctx)
	go s.log.Run(ctx, journal.Client{To: svc.NewRemote(journal.Protocol, s.dialLogd)})
	env.Say("init: start")
	if err := s.bringUp(ctx); err != nil {
		return err
	}
	return <-s.over
}

// newSupervisor reads the archive and makes init's own objects.
func newSupervisor(env *svc.Env) (*supervisor, error) {
	p := env.Process
	spawner, err := p.BootCap(capSpawn).Spawner()
	if err != nil {
		return nil, fmt.Errorf("spawn capability: %w", err)
	}
	text, err := readEntry(p.BootCap(capManifest), manifest.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m, err := manifest.Decode(text)
	if err != nil {
		return nil, err
	}
	rules, err := readEntry(p.BootCap(capPolicy), maxPolicy)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	s := &supervisor{
		env: env, spawner: spawner, binaries: map[string]binary{}, rules: rules,
		files: m.Files, capFiles: capBinaries + len(m.Binaries), changed: make(chan struct{}), over: make(chan error, 1),
		log: journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn)),
	}
	env.Log, s.qos = slog.New(s.log), slog.New(s.log.WithScope(policy.QoSScope))
	if s.binaries[""], err = openBinary(p, capPrograms); err != nil {
		return nil, fmt.Errorf("programs: %w", err)
	}
	for i, name := range m.Binaries {
		if s.binaries[name], err = openBinary(p, capBinaries+i); err != nil {
			return nil, fmt.Errorf("binary %s: %w", name, err)
		}
	}
	all, err := p.BootCap(p.Start().NumCaps - 1).Devices()
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	if s.devices, err = findDevices(all, env.Log); err != nil {
		return nil, err
	}
	s.policy = policy.Client{To: svc.NewRemote(policy.Protocol, s.dialPolicyd)}
	s.entropy = rng.Client{To: svc.NewRemote(rng.Protocol, s.dialRngd)}
	for i := 0; i*watchBits < len(m.Services); i++ {
		n, err := p.NewNotification()
		if err != nil {
			return nil, fmt.Errorf("notification: %w", err)
		}
		s.ends = append(s.ends, n)
	}
	for i := range m.Services {
		ep, err := p.NewEndpoint(depth, abi.MaxMessage)
		if err != nil {
			return nil, fmt.Errorf("control endpoint %d: %w", i, err)
		}
		s.children = append(s.children, &child{service: &m.Services[i], index: i, id: manifest.ServiceID(m.Services[i].Name), control: ep})
	}
	return s, s.markEarly()
}

// openBinary returns the executable that is the capability i.
func openBinary(p ipc.Process, i int) (b binary, err error) {
	if b.elf, err = p.BootCap(i).Program(); err != nil {
		return b, err
	}
	info, err := b.elf.Info()
	b.size = info.Size
	return b, err
}

// readEntry returns the one CBOR item at the start of an archive entry, which is
// padded with zeroes to whole pages.
func readEntry(c ipc.Any, limit int) ([]byte, error) {
	v, err := c.Memory()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	info, err := v.Info()
	if err != nil {
		return nil, err
	}
	if info.Size > uint64(limit+abi.PageSize) {
		return nil, fmt.Errorf("%d bytes: %w", info.Size, ipc.ErrTooLarge)
	}
	b := make([]byte, info.Size)
	if err := ipc.ReadVMO(v, 0, b); err != nil {
		return nil, err
	}
	var item cbor.RawMessage
	rest, err := cbor.UnmarshalFirst(b, &item)
	if err != nil {
		return nil, err
	}
	for _, c := range rest {
		if c != 0 {
			return nil, errors.New("bytes behind the item")
		}
	}
	return item, nil
}

// bringUp starts all services that are not started on demand.
func (s *supervisor) bringUp(ctx context.Context) error {
	order := slices.Clone(s.children)
	slices.SortStableFunc(order, func(a, b *child) int { return a.rank() - b.rank() })
	for _, c := range order {
		if c.service.Demand {
			continue
		}
		for _, call := range c.service.Calls {
			if d := s.byName(call.Name); !call.Lazy && !d.service.Demand {
				if err := s.awaitReady(ctx, d); err != nil {
					return err
				}
			}
		}
		if !c.early { // what follows has waited long enough for entropy when it fails
			if err := s.awaitReady(ctx, s.byName(rngdName)); err != nil {
				s.env.Say("init: no entropy")
				return err
			}
		}
		s.env.Say("init: start %s", c.service.Name)
		if _, err := s.start(c); err != nil {
			s.env.Say("init: fail %s: %v", c.service.Name, err)
			return err
		}
		s.env.Say("init: up %s", c.service.Name)
	}
	for _, c := range s.children {
		if c.service.Demand {
			continue
		}
		if err := s.awaitReady(ctx, c); err != nil {
			return err
		}
	}
	s.awaitClassified(ctx)
	s.proveDeviceDenial(ctx)
	s.env.Say("init: ready")
	for _, c := range s.children {
		if !c.service.Demand {
			s.release(ctx, c)
		}
	}
	if os.Getenv(benchEnv) != "" {
		// Under -icount, nanoseconds since power-on are instructions, but for those in which
		// the hart waited for a device.
		info, err := s.spawner.SystemInfo()
		if err != nil {
			return err
		}
		s.env.Say("bench: boot_ready %d insns", s.env.Process.Now()-info.IdleNS)
	}
	return nil
}

// benchEnv is the environment variable that makes init report how long the start
// of the system took, for cmd/bench.
const benchEnv = "BENCH"

// awaitReady waits until c is ready, for as long as the manifest allows.
func (s *supervisor) awaitReady(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, c.service.Ready)
	defer cancel()
	if !s.await(ctx, func() bool { return c.ready || c.gone }) {
		s.env.Say("init: fail %s: not ready after %v", c.service.Name, c.service.Ready)
		return fmt.Errorf("%s is not ready after %v", c.service.Name, c.service.Ready)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.gone {
		return fmt.Errorf("%s ended with status %d", c.service.Name, c.exit.Status)
	}
	return nil
}

// release answers the ready message of c and waits until it has announced itself.
func (s *supervisor) release(ctx context.Context, c *child) {
	s.mu.Lock()
	c.released = true
	reply, waits := c.readyReply, c.readyWaits
	c.readyWaits = false
	s.mu.Unlock()
	if !waits {
		return
	}
	if err := reply.Reply(ipc.StatusOK, []byte{control.FlagAnnounce}); err != nil {
		s.env.Log.Warn("ready message is gone", "svc", c.service.Name, "err", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, control.AnnounceTimeout*time.Nanosecond)
	defer cancel()
	if !s.await(ctx, func() bool { return c.announced || c.gone }) {
		s.env.Log.Warn("does not announce itself", "svc", c.service.Name)
	}
}

// dialPolicyd returns a capability to send to policyd.
func (s *supervisor) dialPolicyd(context.Context) (ipc.Endpoint[ipc.Send], error) {
	return s.dial(policydName)
}

// dialLogd returns a capability to send to logd.
func (s *supervisor) dialLogd(context.Context) (ipc.Endpoint[ipc.Send], error) {
	return s.dial(logdName)
}

// dial returns a capability for init itself.
func (s *supervisor) dial(name string) (ipc.Endpoint[ipc.Send], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byName(name)
	if c == nil {
		return ipc.Endpoint[ipc.Send]{}, ipc.StatusNotFound
	}
	if !c.ep.Valid() {
		return ipc.Endpoint[ipc.Send]{}, ipc.StatusUnavailable
	}
	return ipc.DeriveSend(c.ep, 0)
}
