// Package manifest reads the description of a system as people write it, in
// TOML, and turns it into what the image holds: the manifest for init
// (svc/manifest) and the rules for policyd.
//
// Everything that can be known before the machine runs is checked here, so that
// a mistake fails the build and not a boot: unknown keys and services, names and
// identities used twice, calls that the policy would refuse, cycles in the start
// order, budgets beyond the machine.
package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"nexus.internal/ipc/abi"
	"nexus.internal/svc/manifest"
)

// The reasons, beside those of svc/manifest, for which a system is refused.
var (
	ErrSyntax = errors.New("not valid")
	ErrKey    = errors.New("unknown key")
	ErrSystem = errors.New("[system] is out of range")
	ErrFirst  = errors.New("[first] is out of range")
	ErrCycle  = errors.New("cycle in the start order")
	ErrLazy   = errors.New("lazy names a service that is not in calls")
	ErrRAM    = errors.New("budgets exceed the machine")
	ErrGrant  = errors.New("the policy does not grant what the manifest needs")
)

// What a service gets when its description does not say otherwise.
const (
	defaultReady         = 5 * time.Second
	defaultBackoff       = 100 * time.Millisecond
	defaultMaxBackoff    = 10 * time.Second
	defaultRestartLimit  = 5
	defaultRestartWindow = time.Minute
)

// maxMiB bounds sizes in the file: 64 GiB, far beyond any supported machine and
// far below an overflow.
const maxMiB = 64 << 10

// System is a checked description.
type System struct {
	RAM        uint64 // bytes of the smallest machine that must run it
	Kernel     uint64 // bytes that the kernel keeps for itself, its image not counted
	Root       string // name of the root process
	RootFrames uint64 // its budget in pages
	Args, Env  []string
	Manifest   manifest.Manifest // in start order

	// First, if it has a name, is a process that the kernel starts in the place of
	// the root process, which it starts itself.
	First       string
	FirstFrames uint64
}

// Boot returns the process that the kernel starts: its name, its budget in pages and
// its arguments. If that is not the root process, the arguments are its own name,
// and name, budget and arguments of the root process.
func (s *System) Boot() (name string, frames uint64, args []string) {
	if s.First == "" {
		return s.Root, s.RootFrames, s.Args
	}
	args = []string{s.First, s.Root, strconv.FormatUint(s.RootFrames, 10)}
	return s.First, s.FirstFrames, append(args, s.Args...)
}

// The TOML file. Keys that are not here are errors.
type file struct {
	System  *system
	First   *first
	Service []service
}

type first struct {
	Name      string
	BudgetKiB uint64 `toml:"budget_kib"`
}

type system struct {
	RAMMiB    uint64 `toml:"ram_mib"`
	KernelMiB uint64 `toml:"kernel_mib"`
	Root      struct {
		Name      string
		BudgetKiB uint64 `toml:"budget_kib"`
		Args, Env []string
	}
}

type service struct {
	Name, Program string
	Binary        string
	Args, Env     []string
	BudgetKiB     uint64 `toml:"budget_kib"`
	Console       bool
	Spawn         bool
	Spawner       bool
	Files         []string
	Calls, Lazy   []string
	Devices       []string
	Restart       restart
	Backoff       duration
	MaxBackoff    duration `toml:"max_backoff"`
	RestartLimit  int      `toml:"restart_limit"`
	RestartWindow duration `toml:"restart_window"`
	Ready         duration
	Demand        bool
	Essential     bool
	QoS           *class
	Share         *int
	Harts         *[]int
}

// duration is written like "100ms"; a bare number has no unit and is refused.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// or returns d, or what applies if the file does not say.
func (d duration) or(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

type restart manifest.Policy

func (r *restart) UnmarshalText(text []byte) error {
	for _, v := range []manifest.Policy{manifest.Never, manifest.OnFailure, manifest.Always} {
		if string(text) == v.String() {
			*r = restart(v)
			return nil
		}
	}
	return fmt.Errorf("restart policy %q: want never, on-failure or always", text)
}

type class abi.Class

func (c *class) UnmarshalText(text []byte) error {
	v, ok := abi.ParseClass(string(text))
	if !ok {
		return fmt.Errorf("qos %q: want idle, normal, interactive or perfburst", text)
	}
	*c = class(v)
	return nil
}

// qos returns how a service shares the harts, 0 if its description does not say. What is
// out of range is refused, not taken for what is next to it.
func (src *service) qos() (abi.QoS, error) {
	if src.QoS == nil && src.Share == nil && src.Harts == nil {
		return 0, nil
	}
	c, share, harts := abi.DefaultQoS.Class(), int(abi.DefaultShare), uint32(abi.AllHarts)
	if src.QoS != nil {
		c = abi.Class(*src.QoS)
	}
	if src.Share != nil {
		share = *src.Share
	}
	if share < 1 || share > abi.MaxShare {
		return 0, fmt.Errorf("%w: share = %d", manifest.ErrQoS, share)
	}
	if src.Harts != nil {
		harts = 0
		for _, h := range *src.Harts {
			if h < 0 || abi.AllHarts>>h&1 == 0 || harts>>h&1 != 0 {
				return 0, fmt.Errorf("%w: hart %d is none, or there twice", manifest.ErrQoS, h)
			}
			harts |= 1 << h
		}
		if harts == 0 {
			return 0, fmt.Errorf("%w: no harts", manifest.ErrQoS)
		}
	}
	return abi.NewQoS(c, uint16(share), harts), nil
}

// Source is one file of a description.
type Source struct{ Name, Text string }

// Parse reads and checks a description, which may be spread over several files:
// one of them has the table [system], one may have [first], each adds its services.
func Parse(sources ...Source) (*System, error) {
	var sys *system
	var before first
	var services []service
	for _, src := range sources {
		var f file
		if err := decode(src.Text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", src.Name, err)
		}
		if f.System != nil && sys != nil {
			return nil, fmt.Errorf("%s: %w: it is there twice", src.Name, ErrSystem)
		}
		if f.System != nil {
			sys = f.System
		}
		if f.First != nil {
			if before != (first{}) {
				return nil, fmt.Errorf("%s: %w: it is there twice", src.Name, ErrFirst)
			}
			before = *f.First
			if err := before.check(); err != nil {
				return nil, fmt.Errorf("%s: %w", src.Name, err)
			}
		}
		services = append(services, f.Service...)
	}
	if sys == nil {
		return nil, fmt.Errorf("%w: it is missing", ErrSystem)
	}
	return build(sys, before, services)
}

func (f *first) check() error {
	if f.Name == "" || len(f.Name) > abi.MaxName || f.BudgetKiB == 0 || f.BudgetKiB > maxMiB<<10 {
		return fmt.Errorf("%w: name = %q, budget_kib = %d", ErrFirst, f.Name, f.BudgetKiB)
	}
	return nil
}

// build checks the parts against each other.
func build(sys *system, before first, services []service) (*System, error) {
	switch {
	case sys.RAMMiB == 0 || sys.RAMMiB > maxMiB || sys.KernelMiB == 0 || sys.KernelMiB >= sys.RAMMiB:
		return nil, fmt.Errorf("%w: ram_mib = %d, kernel_mib = %d", ErrSystem, sys.RAMMiB, sys.KernelMiB)
	case sys.Root.BudgetKiB == 0 || sys.Root.BudgetKiB > sys.RAMMiB<<10:
		return nil, fmt.Errorf("%w: root.budget_kib = %d", ErrSystem, sys.Root.BudgetKiB)
	case sys.Root.Name == "" || len(sys.Root.Name) > abi.MaxName:
		return nil, fmt.Errorf("%w: root.name = %q", ErrSystem, sys.Root.Name)
	}
	s := &System{
		RAM: sys.RAMMiB << 20, Kernel: sys.KernelMiB << 20,
		Root: sys.Root.Name, RootFrames: frames(sys.Root.BudgetKiB), Args: sys.Root.Args, Env: sys.Root.Env,
		Manifest: manifest.Manifest{Version: manifest.Version},
		First:    before.Name, FirstFrames: frames(before.BudgetKiB),
	}
	if s.First == s.Root {
		return nil, fmt.Errorf("%w: [first] %q and the root process", manifest.ErrDuplicate, s.First)
	}
	for _, src := range services {
		svc, err := src.convert()
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", src.Name, err)
		}
		if svc.Name == s.Root || manifest.ServiceID(svc.Name) == manifest.ServiceID(s.Root) {
			return nil, fmt.Errorf("%w: service %q and the root process", manifest.ErrDuplicate, svc.Name)
		}
		if s.First != "" && manifest.ServiceID(svc.Name) == manifest.ServiceID(s.First) {
			return nil, fmt.Errorf("%w: service %q and [first]", manifest.ErrDuplicate, svc.Name)
		}
		s.Manifest.Services = append(s.Manifest.Services, svc)
		s.Manifest.Files = append(s.Manifest.Files, svc.Files...)
		if svc.Binary != "" {
			s.Manifest.Binaries = append(s.Manifest.Binaries, svc.Binary)
		}
	}
	for _, list := range []*[]string{&s.Manifest.Files, &s.Manifest.Binaries} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	var err error
	if s.Manifest.Services, err = startOrder(s.Manifest.Services); err != nil {
		return nil, err
	}
	return s, s.Manifest.Validate()
}

// decode reads TOML into v and refuses keys that v does not have.
func decode(text string, v any) error {
	meta, err := toml.Decode(text, v)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return fmt.Errorf("%w: %s", ErrSyntax, strings.TrimSpace(pe.ErrorWithPosition()))
		}
		return fmt.Errorf("%w: %v", ErrSyntax, err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		return fmt.Errorf("%w %v", ErrKey, keys[0])
	}
	return nil
}

// convert fills in what the description leaves open.
func (src *service) convert() (manifest.Service, error) {
	s := manifest.Service{
		Name: src.Name, Program: src.Program, Binary: src.Binary, Args: src.Args, Env: src.Env,
		Frames: frames(src.BudgetKiB), Console: src.Console, Spawn: src.Spawn, Spawner: src.Spawner,
		Ready: src.Ready.or(defaultReady), Demand: src.Demand, Essential: src.Essential, Devices: src.Devices,
	}
	if s.Program == "" {
		s.Program = s.Name
	}
	s.Files = slices.Sorted(slices.Values(src.Files))
	for _, name := range src.Calls {
		s.Calls = append(s.Calls, manifest.Call{Name: name, Lazy: slices.Contains(src.Lazy, name)})
	}
	for _, name := range src.Lazy {
		if !s.MayCall(name) {
			return s, fmt.Errorf("%w: %q", ErrLazy, name)
		}
	}
	s.Restart = manifest.Restart{
		Policy: manifest.Policy(src.Restart), Backoff: time.Duration(src.Backoff), MaxBackoff: time.Duration(src.MaxBackoff),
		Limit: src.RestartLimit, Window: time.Duration(src.RestartWindow),
	}
	if r := &s.Restart; r.Policy != manifest.Never {
		r.Backoff = src.Backoff.or(defaultBackoff)
		r.MaxBackoff = src.MaxBackoff.or(max(r.Backoff, defaultMaxBackoff))
		r.Window = src.RestartWindow.or(defaultRestartWindow)
		if r.Limit == 0 {
			r.Limit = defaultRestartLimit
		}
	}
	var err error
	s.QoS, err = src.qos()
	return s, err
}

// frames returns the whole pages in kib KiB.
func frames(kib uint64) uint64 { return kib / (abi.PageSize >> 10) }

// startOrder sorts services so that each comes after those it calls, lazy calls
// aside, and otherwise keeps the order of the file.
func startOrder(services []manifest.Service) ([]manifest.Service, error) {
	const (
		open = iota
		visiting
		done
	)
	index := make(map[string]int, len(services))
	for i, s := range services {
		if _, ok := index[s.Name]; ok {
			return nil, fmt.Errorf("%w: %q", manifest.ErrDuplicate, s.Name)
		}
		index[s.Name] = i
	}
	state := make([]int, len(services))
	var order []manifest.Service
	var path []string
	var visit func(i int) error
	visit = func(i int) error {
		s := &services[i]
		path = append(path, s.Name)
		switch state[i] {
		case done:
		case visiting:
			return fmt.Errorf("%w: %s", ErrCycle, strings.Join(path[slices.Index(path, s.Name):], " calls "))
		case open:
			state[i] = visiting
			for _, c := range s.Calls {
				at, ok := index[c.Name]
				if !ok {
					return fmt.Errorf("%w: %q calls %q", manifest.ErrUnknown, s.Name, c.Name)
				}
				if c.Lazy || at == i { // a call to itself is refused by Validate
					continue
				}
				if err := visit(at); err != nil {
					return err
				}
			}
			state[i] = done
			order = append(order, *s)
		}
		path = path[:len(path)-1]
		return nil
	}
	for i := range services {
		if err := visit(i); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// CheckRAM reports whether the whole system fits its smallest machine, of which
// used bytes are taken before the kernel runs: firmware and image. Budgets are
// reservations, so they must fit together, whether they are used or not.
func (s *System) CheckRAM(used uint64) error {
	sum := (s.RootFrames + s.FirstFrames) * abi.PageSize
	for _, svc := range s.Manifest.Services {
		sum += svc.Frames * abi.PageSize
	}
	if total := used + s.Kernel + sum; total > s.RAM {
		return fmt.Errorf("%w: firmware and image %d KiB, kernel %d KiB, budgets %d KiB, together %d KiB more than %d MiB",
			ErrRAM, used>>10, s.Kernel>>10, sum>>10, (total-s.RAM+1023)>>10, s.RAM>>20)
	}
	return nil
}
