// Package manifest is what init knows about the system that it starts: which
// services there are, what each may call, and what becomes of one that ends.
//
// The source of it is a TOML file that cmd/mkimage checks and bakes into the
// image as CBOR, the entry "manifest"; see cmd/mkimage/manifest for that side.
// init decodes it with [Decode], which trusts nothing: limits hold before memory
// is taken, unknown fields are refused, and [Manifest.Validate] holds for what it
// returns. mkimage runs the same validation, so what fails here has failed the
// build before.
//
// Invariant of a valid manifest: services stand in start order, that is, a
// service comes after every service that it calls, except those it calls lazily.
package manifest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/ipc/abi"
)

// Version is the version of the encoding.
const Version = 1

// Limits of a manifest.
const (
	MaxBytes    = 64 << 10         // of its CBOR: 64 services of 1 KiB
	MaxServices = 64               // as many as there are badges in a word of notification bits
	MaxCalls    = 32               // services that one service may call
	MaxDevices  = 8                // devices that one service may own
	MaxFiles    = 8                // entries of the archive that services may have
	MaxBinaries = 4                // executables with services, beside the one that has init
	MaxStrings  = 16               // arguments, and environment strings, of one service
	MaxString   = 256              // bytes of one of them
	MaxFrames   = 1 << 20          // pages of one budget: 4 GiB, all memory below user space
	MinFrames   = 256              // pages: below 1 MiB no Go program starts
	MaxReady    = time.Minute      // longest wait for readiness
	MaxBackoff  = 10 * time.Minute // longest pause between restarts
	MaxRestarts = 1000             // in one window
	MaxWindow   = 24 * time.Hour
)

// The reasons for which a manifest is refused.
var (
	ErrEncoding  = errors.New("manifest: not a manifest in CBOR")
	ErrTooLong   = errors.New("manifest: longer than MaxBytes")
	ErrVersion   = errors.New("manifest: of another version")
	ErrServices  = errors.New("manifest: number of services out of range")
	ErrName      = errors.New("manifest: name not 1 to 32 of a-z 0-9 . -")
	ErrDuplicate = errors.New("manifest: two services of one name")
	ErrCollision = errors.New("manifest: two names with one service id")
	ErrProgram   = errors.New("manifest: bad program name")
	ErrUnknown   = errors.New("manifest: calls an unknown service")
	ErrCalls     = errors.New("manifest: calls listed twice, too many, or to itself")
	ErrOrder     = errors.New("manifest: service stands before one that it calls")
	ErrBudget    = errors.New("manifest: budget out of range")
	ErrReady     = errors.New("manifest: readiness timeout out of range")
	ErrRestart   = errors.New("manifest: restart policy out of range")
	ErrDevices   = errors.New("manifest: devices unknown, listed twice or too many")
	ErrFiles     = errors.New("manifest: files unknown, listed twice or too many")
	ErrBinaries  = errors.New("manifest: binaries unknown, listed twice or too many")
	ErrQoS       = errors.New("manifest: class, share or harts out of range")
	ErrStrings   = errors.New("manifest: arguments or environment out of range")
)

// Policy says when a service that ended is started again.
type Policy uint8

// The restart policies.
const (
	Never     Policy = iota
	OnFailure        // after an exit status other than 0, or a fault
	Always
	policies // number of policies
)

// String returns the policy as the TOML file spells it.
func (p Policy) String() string {
	if p >= policies {
		return fmt.Sprintf("Policy(%d)", p)
	}
	return [policies]string{"never", "on-failure", "always"}[p]
}

// Restart bounds the restarts of one service. The n-th restart of a window waits
// Backoff << n, at most MaxBackoff.
type Restart struct {
	Policy     Policy        `cbor:"1,keyasint"`
	Backoff    time.Duration `cbor:"2,keyasint,omitempty"`
	MaxBackoff time.Duration `cbor:"3,keyasint,omitempty"`
	Limit      int           `cbor:"4,keyasint,omitempty"` // restarts in one window; one more gives the service up
	Window     time.Duration `cbor:"5,keyasint,omitempty"`
}

// Call is one service that a service may call.
type Call struct {
	Name string `cbor:"1,keyasint"`
	Lazy bool   `cbor:"2,keyasint,omitempty"` // need not be ready before the caller starts
}

// Service is one process that init starts.
type Service struct {
	Name      string        `cbor:"1,keyasint"`
	Program   string        `cbor:"2,keyasint"`           // its main function in the binary
	Args      []string      `cbor:"3,keyasint,omitempty"` // behind the program's name
	Env       []string      `cbor:"4,keyasint,omitempty"` // "key=value"
	Frames    uint64        `cbor:"5,keyasint"`           // budget in pages
	Console   bool          `cbor:"6,keyasint,omitempty"` // gets a console for its standard output
	Spawn     bool          `cbor:"7,keyasint,omitempty"` // may have services started on demand
	Calls     []Call        `cbor:"8,keyasint,omitempty"`
	Restart   Restart       `cbor:"9,keyasint"`
	Ready     time.Duration `cbor:"10,keyasint"`           // how long init waits for its readiness
	Demand    bool          `cbor:"11,keyasint,omitempty"` // is started when asked for, not at boot
	Essential bool          `cbor:"12,keyasint,omitempty"` // when it has ended for good, the system ends with its status
	Devices   []string      `cbor:"13,keyasint,omitempty"` // that it may own; see Device
	Files     []string      `cbor:"14,keyasint,omitempty"` // entries of the archive that it may have
	Spawner   bool          `cbor:"15,keyasint,omitempty"` // may create processes that are no services, of all files, and pass its console on
	Binary    string        `cbor:"16,keyasint,omitempty"` // entry of the archive with the executable; empty: that of init
	QoS       abi.QoS       `cbor:"17,keyasint,omitempty"` // how it shares the harts if policyd agrees; 0: as everybody does
}

// Manifest is the whole system, in start order.
type Manifest struct {
	Version  int       `cbor:"1,keyasint"`
	Services []Service `cbor:"2,keyasint"`
	// Files are the entries of the archive behind those that init itself needs: all
	// that services have, in the order of their names.
	Files []string `cbor:"3,keyasint,omitempty"`
	// Binaries are the entries of the archive in front of those: the executables that
	// services have beside the one that has init, in the order of their names.
	Binaries []string `cbor:"4,keyasint,omitempty"`
}

// Lookup returns the service of that name, or nil.
func (m *Manifest) Lookup(name string) *Service {
	i := slices.IndexFunc(m.Services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &m.Services[i]
}

// MayCall reports whether the manifest lets the service s call the named one.
func (s *Service) MayCall(name string) bool {
	return slices.ContainsFunc(s.Calls, func(c Call) bool { return c.Name == name })
}

// MayOwn reports whether the manifest lets the service s own the named device.
func (s *Service) MayOwn(name string) bool { return slices.Contains(s.Devices, name) }

// Device is a device by what it is, not by where it is: the first of a class is
// named like the class, the others have a number behind it, from 1 on.
type Device struct {
	Class  string
	ID     uint32 // the virtio specification's number for the class
	Number int    // of the class, in the order of the device tree
}

// classes are the classes of devices, with their virtio device ids.
var classes = [...]Device{{Class: "net", ID: 1}, {Class: "blk", ID: 2}, {Class: "rng", ID: 4}}

// maxDevice is the highest number of a device in its class; a board has at most 32.
const maxDevice = 31

// DeviceName returns the name of the device of that number in its class.
func DeviceName(class string, number int) string {
	if number == 0 {
		return class
	}
	return class + strconv.Itoa(number)
}

// DeviceClass returns the class of the devices that the virtio specification gives
// this number, "" if there is none.
func DeviceClass(id uint32) string {
	for _, d := range classes {
		if d.ID == id {
			return d.Class
		}
	}
	return ""
}

// DeviceClasses returns the names of all classes.
func DeviceClasses() (names []string) {
	for _, d := range classes {
		names = append(names, d.Class)
	}
	return names
}

// ParseDevice returns the device of that name, and whether it is one.
func ParseDevice(name string) (Device, bool) {
	for _, d := range classes {
		number, ok := strings.CutPrefix(name, d.Class)
		if !ok {
			continue
		}
		if number == "" {
			return d, true
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxDevice || number[0] == '0' || number[0] == '+' {
			return Device{}, false
		}
		d.Number = n
		return d, true
	}
	return Device{}, false
}

// MayHave reports whether the manifest lets the service s have the named file: a
// spawner may have all that anybody has.
func (s *Service) MayHave(name string) bool { return s.Spawner || slices.Contains(s.Files, name) }

// ServiceID returns the identity that the kernel gives a service of that name:
// its FNV-1a hash of 64 bits.
func ServiceID(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// decoding limits what CBOR may ask for before a byte of it is believed.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   6, // manifest, services, service, calls, call, name
		MaxArrayElements:  MaxServices,
		MaxMapPairs:       32, // a service has fewer
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// Decode reads a manifest from CBOR and validates it.
func Decode(b []byte) (*Manifest, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: %d", ErrTooLong, len(b))
	}
	var m Manifest
	if err := decoding.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return &m, nil
}

// Encode returns m in CBOR: the same bytes for the same manifest. It refuses
// what Decode would refuse.
func Encode(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	b, err := mode.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: %d", ErrTooLong, len(b))
	}
	return b, nil
}

// Validate reports the first thing that is wrong with m.
func (m *Manifest) Validate() error {
	if m.Version != Version {
		return fmt.Errorf("%w: %d", ErrVersion, m.Version)
	}
	if len(m.Services) == 0 || len(m.Services) > MaxServices {
		return fmt.Errorf("%w: %d", ErrServices, len(m.Services))
	}
	place := make(map[string]int, len(m.Services))
	ids := make(map[uint64]string, len(m.Services))
	for i := range m.Services {
		s := &m.Services[i]
		if !validName(s.Name) {
			return fmt.Errorf("%w: %q", ErrName, s.Name)
		}
		if _, ok := place[s.Name]; ok {
			return fmt.Errorf("%w: %q", ErrDuplicate, s.Name)
		}
		id := ServiceID(s.Name)
		if other, ok := ids[id]; ok || id == 0 {
			return fmt.Errorf("%w: %q and %q", ErrCollision, other, s.Name)
		}
		place[s.Name], ids[id] = i, s.Name
	}
	if err := validFiles(m.Files, MaxFiles, ErrFiles); err != nil {
		return err
	}
	if err := validFiles(m.Binaries, MaxBinaries, ErrBinaries); err != nil {
		return err
	}
	for i := range m.Services {
		s := &m.Services[i]
		if err := s.validate(); err != nil {
			return fmt.Errorf("%w: service %q", err, s.Name)
		}
		if s.Binary != "" && !slices.Contains(m.Binaries, s.Binary) {
			return fmt.Errorf("%w: %q is in %q", ErrBinaries, s.Name, s.Binary)
		}
		for _, name := range s.Files {
			if !slices.Contains(m.Files, name) {
				return fmt.Errorf("%w: %q has %q", ErrFiles, s.Name, name)
			}
		}
		for _, c := range s.Calls {
			at, ok := place[c.Name]
			switch {
			case !ok:
				return fmt.Errorf("%w: %q calls %q", ErrUnknown, s.Name, c.Name)
			case at == i:
				return fmt.Errorf("%w: %q calls %q", ErrCalls, s.Name, c.Name)
			case at > i && !c.Lazy:
				return fmt.Errorf("%w: %q calls %q", ErrOrder, s.Name, c.Name)
			}
		}
	}
	return nil
}

// validate checks what concerns one service alone.
func (s *Service) validate() error {
	if !validName(s.Program) {
		return fmt.Errorf("%w %q", ErrProgram, s.Program)
	}
	if s.Frames < MinFrames || s.Frames > MaxFrames {
		return fmt.Errorf("%w: %d pages", ErrBudget, s.Frames)
	}
	if s.QoS != 0 && !s.QoS.Valid() {
		return fmt.Errorf("%w: %#x", ErrQoS, s.QoS)
	}
	if s.Ready <= 0 || s.Ready > MaxReady {
		return fmt.Errorf("%w: %v", ErrReady, s.Ready)
	}
	if len(s.Calls) > MaxCalls {
		return fmt.Errorf("%w: %d", ErrCalls, len(s.Calls))
	}
	for i, c := range s.Calls {
		if slices.ContainsFunc(s.Calls[:i], func(d Call) bool { return c.Name == d.Name }) {
			return fmt.Errorf("%w: %q", ErrCalls, c.Name)
		}
	}
	if len(s.Devices) > MaxDevices {
		return fmt.Errorf("%w: %d", ErrDevices, len(s.Devices))
	}
	for i, name := range s.Devices {
		if _, ok := ParseDevice(name); !ok || slices.Contains(s.Devices[:i], name) {
			return fmt.Errorf("%w: %.40q", ErrDevices, name)
		}
	}
	if err := validFiles(s.Files, MaxFiles, ErrFiles); err != nil {
		return err
	}
	for _, list := range [][]string{s.Args, s.Env} {
		if len(list) > MaxStrings {
			return fmt.Errorf("%w: %d strings", ErrStrings, len(list))
		}
		for _, v := range list {
			if len(v) > MaxString || strings.IndexByte(v, 0) >= 0 {
				return fmt.Errorf("%w: %.40q", ErrStrings, v)
			}
		}
	}
	for _, v := range s.Env {
		if strings.IndexByte(v, '=') < 1 {
			return fmt.Errorf("%w: %.40q is not key=value", ErrStrings, v)
		}
	}
	return s.Restart.validate()
}

// validFiles checks a list of at most limit names of entries, which stand in their order.
func validFiles(names []string, limit int, reason error) error {
	if len(names) > limit {
		return fmt.Errorf("%w: %d", reason, len(names))
	}
	for i, name := range names {
		if !validName(name) || i > 0 && names[i-1] >= name {
			return fmt.Errorf("%w: %q", reason, name)
		}
	}
	return nil
}

func (r *Restart) validate() error {
	if r.Policy >= policies {
		return fmt.Errorf("%w: %v", ErrRestart, r.Policy)
	}
	if r.Policy == Never {
		if *r != (Restart{}) {
			return fmt.Errorf("%w: bounds without restarts", ErrRestart)
		}
		return nil
	}
	if r.Backoff <= 0 || r.MaxBackoff < r.Backoff || r.MaxBackoff > MaxBackoff ||
		r.Limit < 1 || r.Limit > MaxRestarts || r.Window <= 0 || r.Window > MaxWindow {
		return fmt.Errorf("%w: %+v", ErrRestart, *r)
	}
	return nil
}

// validName reports whether name may be the name of a service or program.
func validName(name string) bool {
	if len(name) < 1 || len(name) > abi.MaxName {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
