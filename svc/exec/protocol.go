// Package exec is what execd and those who have programs started by it have in
// common: the protocol, and a client.
//
// A client opens a session, for its process, and starts children in it: each a
// program that the image brings along or that the client hands over as sealed memory.
// It gives them capabilities, waits for them and ends them. Nobody else can. When the
// session ends, because its process ends or closes it, or because execd ends, its
// children end.
package exec

import (
	"slices"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/wire"
)

// Protocol is the language of execd.
var Protocol = ipc.Protocol{Magic: [2]byte{'E', 'X'}, Version: 2}

// Operations.
const (
	OpOpen  = 1 // moves a capability to send, which closes when the session shall end
	OpSpawn = 2 // Request; may move sealed memory → id u32, pid u32: 0 if it is held
	OpGive  = 3 // id u32, rights u32; moves a capability → index u8 among those of the child
	OpStart = 4 // id u32 → pid u32: starts one that was held
	OpWait  = 5 // id u32 or 0 for any, flags u8 → End, when it has ended; then it is forgotten
	OpKill  = 6 // id u32: ends it, or forgets one that was held
	OpClose = 7 // ends the session and its children
	OpQoS   = 8 // id u32, QoS u64 or 0 to ask only → QoS u64: what it was before
)

// OpTether is what execd calls the capability of OpOpen with, and nobody answers: that
// the call ends tells execd that the session has.
const OpTether = 1

// Flags of a Request.
const (
	FlagHold    = 1 << 0 // is not started before OpStart, so that it can be given capabilities
	FlagConsole = 1 << 1 // its standard output goes to the console
	flags       = FlagHold | FlagConsole
)

// FlagNoWait of OpWait: if no child has ended, that is the answer.
const FlagNoWait = 1

// Prefix is in front of the name of every child: its service id is that of Prefix and
// name together, and never that of a service of the manifest.
const Prefix = "exec."

// Limits.
const (
	MaxName     = abi.MaxName - len(Prefix) // bytes of a child's name
	MaxFile     = abi.MaxName               // bytes of the name of a program of the image
	MaxProgram  = 16 << 20                  // bytes of a program that a client hands over
	MaxFrames   = 4096                      // pages of the budget of one child: 16 MiB
	MaxStrings  = 16                        // arguments, and environment strings
	MaxString   = 255                       // bytes of one of them
	MaxCaps     = abi.MaxSpawnCaps - 1      // capabilities of a child beside its console
	MaxSessions = 8                         // at once; each is a call that execd has under way
	MaxChildren = 16                        // of a session, those that ended and were not waited for included
	MaxBudget   = 8192                      // pages of all children of a session: 32 MiB
	MaxWaits    = 4                         // calls of a session that wait
)

// Reason says why a child was not created. The first seven are those of the described
// system, with its numbers.
type Reason uint8

// The reasons.
const (
	Unknown      Reason = iota // what was to be handed over is gone
	NoMemory                   // there is no such budget to be had, or not for this session
	CapTableFull               // no room for a capability, or for one process more
	Quota                      // the session has as many children as it may
	MapFailed                  // its memory may not be as the program wants it: writable and executable
	BadProgram                 // not a program, or not with such a description
	Denied                     // policyd does not allow it
	NameInUse                  // a process or a service has this name
	reasons                    // number of reasons
)

var reasonTokens = [reasons]string{"unknown", "oom", "cap-table-full", "endpoint-quota", "map-failed", "invalid-payload", "denied-by-policy", "name-in-use"}

// String returns the token of the described system. Its "endpoint-quota" is the number
// of children here, which is what a creator has a quota of: no endpoint is made for a
// new process.
func (r Reason) String() string {
	if r >= reasons {
		return "?"
	}
	return reasonTokens[r]
}

// Status returns the status that says so.
func (r Reason) Status() ipc.Status { return ipc.StatusService + ipc.Status(r) }

// ReasonOf returns the reason that err says, and whether it says one.
func ReasonOf(err error) (Reason, bool) {
	s, ok := err.(ipc.Status)
	if !ok || s < ipc.StatusService || s >= ipc.StatusService+ipc.Status(reasons) {
		return 0, false
	}
	return Reason(s - ipc.StatusService), true
}

// Request is what a child is made from.
type Request struct {
	Name   string
	File   string // program of the image; empty: the memory that moves with the request
	Length uint64 // bytes of the program in that memory
	Frames uint32 // budget in pages
	Flags  uint8
	QoS    abi.QoS  // how it shares the harts; 0: as if nobody had asked
	Args   []string // the whole list: argument 0 is what the child takes for its name
	Env    []string // "key=value"
}

// Append appends the payload of r, which must be within the limits.
func (r *Request) Append(b []byte) []byte {
	b = append(b, r.Flags)
	b = wire.AppendString8(b, r.Name)
	b = wire.AppendString8(b, r.File)
	b = wire.AppendU32(wire.AppendU64(b, r.Length), r.Frames)
	b = wire.AppendU64(b, uint64(r.QoS))
	for _, list := range [][]string{r.Args, r.Env} {
		b = append(b, byte(len(list)))
		for _, s := range list {
			b = wire.AppendString8(b, s)
		}
	}
	return b
}

// Decode reads a payload that nobody has checked yet. The status says what is wrong
// with it.
func (r *Request) Decode(b []byte) ipc.Status {
	d := wire.Read(b)
	*r = Request{Flags: d.U8(), Name: string(d.String8()), File: string(d.String8()), Length: d.U64(), Frames: d.U32(), QoS: abi.QoS(d.U64())}
	var over bool
	for _, list := range []*[]string{&r.Args, &r.Env} {
		n := int(d.U8())
		over = over || n > MaxStrings
		for i := 0; i < n && d.OK(); i++ {
			*list = append(*list, string(d.String8()))
		}
	}
	if !d.Done() {
		return ipc.StatusMalformed
	}
	if over {
		return ipc.StatusOverLimit
	}
	return r.Check()
}

// Check reports what is wrong with r: a limit, or content that is not allowed. The QoS
// is left to execd, whose audit has every decision about one.
func (r *Request) Check() ipc.Status {
	switch {
	case len(r.Name) > MaxName, len(r.File) > MaxFile, r.Length > MaxProgram, r.Frames > MaxFrames,
		len(r.Args) > MaxStrings, len(r.Env) > MaxStrings:
		return ipc.StatusOverLimit
	case r.Flags&^flags != 0, !validName(r.Name), r.File != "" && !validName(r.File), (r.File == "") != (r.Length != 0):
		return ipc.StatusInvalidArgs
	}
	for _, s := range slices.Concat(r.Args, r.Env) {
		if len(s) > MaxString {
			return ipc.StatusOverLimit
		}
		if strings.IndexByte(s, 0) >= 0 {
			return ipc.StatusInvalidArgs
		}
	}
	for _, s := range r.Env {
		if strings.IndexByte(s, '=') < 1 {
			return ipc.StatusInvalidArgs
		}
	}
	return ipc.StatusOK
}

// validName reports whether s has the characters of the names of a manifest.
func validName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// End says how a child ended, as the kernel recorded it.
type End struct {
	ID       uint32
	PID      uint32
	Status   int    // its own, or abi.ExitKilled and the like
	Cause    uint64 // scause, if an exception ended it
	PC, Addr uint64 // of that
}

// Append appends the payload of e.
func (e *End) Append(b []byte) []byte {
	b = wire.AppendU32(wire.AppendU32(b, e.ID), e.PID)
	b = wire.AppendU64(wire.AppendU64(b, uint64(int64(e.Status))), e.Cause)
	return wire.AppendU64(wire.AppendU64(b, e.PC), e.Addr)
}

// Decode reads a payload and reports whether it is an End.
func (e *End) Decode(b []byte) bool {
	d := wire.Read(b)
	*e = End{d.U32(), d.U32(), int(int64(d.U64())), d.U64(), d.U64(), d.U64()}
	return d.Done()
}
