// Package example is a whole service, small enough to read in a minute: it keeps
// counters, each under a name, for each of its clients apart. Whose counter is
// meant follows from the kernel's identity of the sender, so no client can reach
// the counters of another. docs/writing-a-service.md explains it step by step.
//
// protocol.go is what client and server share, client.go what a client uses,
// example.go the service. It calls nobody.
package example

import (
	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of the service.
var Protocol = ipc.Protocol{Magic: [2]byte{'E', 'G'}, Version: 1}

// Operations, with what a request carries → what its reply carries.
const (
	OpAdd = 1 // n u64, name str8 → total u64
	OpGet = 2 // name str8 → total u64
)

// Limits.
const (
	MaxName     = 32  // bytes of a counter's name
	MaxCounters = 128 // of all clients together: the table fits into a page
)

// request is what a payload asks for.
type request struct {
	op   uint16
	n    uint64
	name string
}

// append appends the payload of r, whose name must be within its limit.
func (r *request) append(b []byte) []byte {
	if r.op == OpAdd {
		b = wire.AppendU64(b, r.n)
	}
	return wire.AppendString8(b, r.name)
}

// decode reads a payload that nobody has checked yet. The status says what is
// wrong with it.
func (r *request) decode(op uint16, payload []byte) ipc.Status {
	if op != OpAdd && op != OpGet {
		return ipc.StatusUnsupported
	}
	d := wire.Read(payload)
	*r = request{op: op}
	if op == OpAdd {
		r.n = d.U64()
	}
	name := d.String8()
	switch {
	case !d.Done():
		return ipc.StatusMalformed
	case len(name) > MaxName:
		return ipc.StatusOverLimit
	case len(name) == 0:
		return ipc.StatusInvalidArgs
	}
	r.name = string(name)
	return ipc.StatusOK
}
