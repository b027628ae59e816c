// Package control is what init and its children have in common: the protocol of
// the control endpoint, the only thing that every service starts with, and a
// client.
//
// A service makes its own endpoint, hands it to init with [Client.Ready], and
// reaches others with [Client.Connect], which gives it a capability only if the
// manifest and policyd both say so. Who calls is known from the badge of the
// control endpoint and from the kernel's identity of the sender; both must agree.
package control

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of the control endpoint.
var Protocol = ipc.Protocol{Magic: [2]byte{'I', 'C'}, Version: 1}

// Operations.
const (
	OpReady     = 1    // moves the service's endpoint → flags u8, when all of the system is up
	OpAnnounced = 2    // the service has printed that it is ready
	OpConnect   = 3    // name str8 → moves a capability to send
	OpWhoAmI    = 4    // → service id u64, badge u64, pid u32: what the kernel says about the sender
	OpStart     = 5    // name str8, argument str8 → pid u32: starts a service that is started on demand
	OpEnd       = 6    // name str8, kill u8 → Exit, when the service has ended and is not started again
	OpUsage     = 7    // → Usage
	OpWindow    = 8    // name str8 → moves the window on the device of that name
	OpInterrupt = 9    // name str8 → moves its interrupt, to the owner of the window
	OpSpawner   = 10   // → service ids u64…; moves the right to create processes
	OpFile      = 11   // name str8 → moves the entry of the archive
	OpLogProbe  = 0x7f // → init has logged a line
)

// FlagAnnounce in the reply of OpReady: this is the first start, so the service
// says on the console that it is ready, then tells init with OpAnnounced.
const FlagAnnounce = 1

// AnnounceTimeout bounds how long init waits for one service to announce itself
// before the next one may.
const AnnounceTimeout = 2_000_000_000 // nanoseconds

// Exit says how a service ended.
type Exit struct {
	Status   int
	Cause    uint64 // scause, if an exception ended it
	PC, Addr uint64
	Restarts uint32 // since it was started with OpStart, or at boot
}

// Append appends the payload of e.
func (e *Exit) Append(b []byte) []byte {
	b = wire.AppendU64(wire.AppendU64(b, uint64(int64(e.Status))), e.Cause)
	return wire.AppendU32(wire.AppendU64(wire.AppendU64(b, e.PC), e.Addr), e.Restarts)
}

// Decode reads a payload and reports whether it is an Exit.
func (e *Exit) Decode(b []byte) bool {
	d := wire.Read(b)
	*e = Exit{int(int64(d.U64())), d.U64(), d.U64(), d.U64(), d.U32()}
	return d.Done()
}

// Usage is what the system uses. Frames are pages of 4 KiB.
type Usage struct {
	Free       uint64 // frames that nobody has taken
	Unreserved uint64 // frames that no budget promises
	Processes  uint64
	Caps       uint64
	Calls      uint64
	Services   []ServiceUsage // those that are alive, init included, in the order of the manifest
}

// ServiceUsage is what one service uses.
type ServiceUsage struct {
	Name         string
	PID          uint32
	Used, Budget uint64
	Restarts     uint32
}

// MaxServices bounds the services in a Usage: as many as a manifest has, and init.
const MaxServices = 65

// Append appends the payload of u.
func (u *Usage) Append(b []byte) []byte {
	for _, v := range []uint64{u.Free, u.Unreserved, u.Processes, u.Caps, u.Calls} {
		b = wire.AppendU64(b, v)
	}
	b = append(b, byte(len(u.Services)))
	for _, s := range u.Services {
		b = wire.AppendString8(b, s.Name)
		b = wire.AppendU32(b, s.PID)
		b = wire.AppendU64(wire.AppendU64(b, s.Used), s.Budget)
		b = wire.AppendU32(b, s.Restarts)
	}
	return b
}

// Decode reads a payload and reports whether it is a Usage.
func (u *Usage) Decode(b []byte) bool {
	d := wire.Read(b)
	*u = Usage{Free: d.U64(), Unreserved: d.U64(), Processes: d.U64(), Caps: d.U64(), Calls: d.U64()}
	n := int(d.U8())
	if n > MaxServices {
		return false
	}
	for range n {
		u.Services = append(u.Services, ServiceUsage{string(d.String8()), d.U32(), d.U64(), d.U64(), d.U32()})
	}
	return d.Done()
}

// Client talks to init. It may be used by several goroutines.
type Client struct{ *ipc.Client }

// Connect asks for a capability to send to the named service. [ipc.StatusDenied]:
// the manifest or policyd does not allow it. [ipc.StatusUnavailable]: the service
// is not ready now.
func (c Client) Connect(ctx context.Context, name string) (ipc.Endpoint[ipc.Send], error) {
	got, err := c.take(ctx, OpConnect, name)
	if err != nil {
		return ipc.Endpoint[ipc.Send]{}, err
	}
	return got.Send()
}

// take asks for the capability that op gives for a name.
func (c Client) take(ctx context.Context, op uint16, name string) (ipc.Any, error) {
	if len(name) > 255 {
		return ipc.Any{}, ipc.StatusOverLimit
	}
	call, err := c.Get()
	if err != nil {
		return ipc.Any{}, err
	}
	defer c.Put(call)
	if _, err := call.DoSmall(ctx, op, wire.AppendString8(make([]byte, 0, 64), name)); err != nil {
		return ipc.Any{}, err
	}
	return call.Take(), nil
}

// Window asks for the window on a device, by its name in the manifest. The device
// has been reset, and is the caller's until the window is closed or the process
// ends. [ipc.StatusDenied]: manifest or policyd do not allow it.
// [ipc.StatusNotFound]: the machine has no such device. [ipc.StatusUnavailable]:
// another service has it.
func (c Client) Window(ctx context.Context, name string) (ipc.MMIO[ipc.Drive], error) {
	got, err := c.take(ctx, OpWindow, name)
	if err != nil {
		return ipc.MMIO[ipc.Drive]{}, err
	}
	return got.MMIO()
}

// Interrupt asks for the interrupt of a device whose window the caller has.
// [ipc.StatusNotFound]: it has none of its own.
func (c Client) Interrupt(ctx context.Context, name string) (ipc.IRQ[ipc.Drive], error) {
	got, err := c.take(ctx, OpInterrupt, name)
	if err != nil {
		return ipc.IRQ[ipc.Drive]{}, err
	}
	return got.IRQ()
}

// File asks for an entry of the archive, by its name: for memory that can be read
// and, for a spawner and if it is a program, executed. [ipc.StatusDenied]: the
// manifest does not give it to the caller.
func (c Client) File(ctx context.Context, name string) (ipc.Any, error) {
	return c.take(ctx, OpFile, name)
}

// Spawner asks for the right to create processes, and for the identities that these
// must not have: those of the services of the manifest, init included, whether they
// live or not. [ipc.StatusDenied]: manifest or policyd do not allow it.
func (c Client) Spawner(ctx context.Context) (s ipc.Spawner, reserved []uint64, err error) {
	call, err := c.Get()
	if err != nil {
		return s, nil, err
	}
	defer c.Put(call)
	resp, err := call.Do(ctx, OpSpawner, nil)
	if err != nil {
		return s, nil, err
	}
	if len(resp)%8 != 0 || len(resp) > 8*MaxServices {
		return s, nil, ipc.ErrProtocol
	}
	for d := wire.Read(resp); !d.Done(); {
		reserved = append(reserved, d.U64())
	}
	s, err = call.Take().Spawner()
	return s, reserved, err
}

// Ready tells init that the service answers requests, and hands over a capability
// to its endpoint, unless ep is the zero value: then nobody can call it. It
// returns when the whole system is up, and whether the service is to announce
// itself, which is the first time only; see [Client.Announced].
func (c Client) Ready(ctx context.Context, ep ipc.Endpoint[ipc.Serve]) (announce bool, err error) {
	call, err := c.Get()
	if err != nil {
		return false, err
	}
	defer c.Put(call)
	if ep.Valid() {
		give, err := ipc.DeriveSendGrant(ep, 0)
		if err != nil {
			return false, err
		}
		call.Move(ipc.MoveSend(give).WithGrant()) // init derives from it for others
	}
	resp, err := call.DoSmall(ctx, OpReady, nil)
	if err != nil {
		return false, err
	}
	if len(resp) != 1 {
		return false, ipc.ErrProtocol
	}
	return resp[0]&FlagAnnounce != 0, nil
}

// Announced tells init that the service has said that it is ready.
func (c Client) Announced(ctx context.Context) error {
	_, err := c.Call(ctx, OpAnnounced, nil, nil)
	return err
}

// WhoAmI returns what the kernel told init about this process.
func (c Client) WhoAmI(ctx context.Context) (service, badge uint64, pid uint32, err error) {
	var resp [20]byte
	n, err := c.Call(ctx, OpWhoAmI, nil, resp[:])
	d := wire.Read(resp[:n])
	service, badge, pid = d.U64(), d.U64(), d.U32()
	if err == nil && !d.Done() {
		err = ipc.ErrProtocol
	}
	return service, badge, pid, err
}

// MaxArgument is the longest argument of Start in bytes.
const MaxArgument = 64

// Start starts a service that the manifest starts on demand, with one more
// argument than the manifest gives it. It takes the capability proc.spawn, and the
// manifest must let the caller have processes started.
func (c Client) Start(ctx context.Context, name, argument string) (pid uint32, err error) {
	if len(name) > 255 || len(argument) > MaxArgument {
		return 0, ipc.StatusOverLimit
	}
	var resp [4]byte
	n, err := c.Call(ctx, OpStart, wire.AppendString8(wire.AppendString8(nil, name), argument), resp[:])
	d := wire.Read(resp[:n])
	pid = d.U32()
	if err == nil && !d.Done() {
		err = ipc.ErrProtocol
	}
	return pid, err
}

// End returns how a service started with Start ended for good, waiting for that, its
// restarts included, or killing it; then it is not started again. It takes the
// capability proc.spawn.
func (c Client) End(ctx context.Context, name string, kill bool) (Exit, error) {
	req := wire.AppendString8(nil, name)
	if kill {
		req = append(req, 1)
	} else {
		req = append(req, 0)
	}
	var resp [36]byte
	n, err := c.Call(ctx, OpEnd, req, resp[:])
	var e Exit
	if err == nil && !e.Decode(resp[:n]) {
		err = ipc.ErrProtocol
	}
	return e, err
}

// Usage returns what the system uses. It takes the capability proc.spawn.
func (c Client) Usage(ctx context.Context) (*Usage, error) {
	resp := make([]byte, ipc.MaxPayload)
	n, err := c.Call(ctx, OpUsage, nil, resp)
	if err != nil {
		return nil, err
	}
	u := new(Usage)
	if !u.Decode(resp[:n]) {
		return nil, ipc.ErrProtocol
	}
	return u, nil
}
