package example

import (
	"context"
	"math"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/wire"
)

// depth bounds the requests that wait for the server.
const depth = 32

// key names a counter: who it belongs to, as the kernel says, and its name.
type key struct {
	owner uint64
	name  string
}

// server is the state of the service. One worker handles all requests, so it
// needs no lock.
type server struct {
	counters map[key]uint64
}

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	ep, err := env.Process.NewEndpoint(depth, ipc.HeaderSize+8+1+255)
	if err != nil {
		return err
	}
	s := &server{counters: map[key]uint64{}}
	return env.Serve(ctx, ipc.NewServer(ep, Protocol, 1, s.handle), ep)
}

// handle answers one request.
func (s *server) handle(q *ipc.Request) {
	var r request
	if status := r.decode(q.Op, q.Payload()); status != ipc.StatusOK {
		q.Reply(status, nil)
		return
	}
	at := key{q.SenderService, r.name}
	total, known := s.counters[at]
	switch {
	case r.op == OpGet && !known:
		q.Reply(ipc.StatusNotFound, nil)
		return
	case r.op == OpAdd && (!known && len(s.counters) == MaxCounters || r.n > math.MaxUint64-total):
		q.Reply(ipc.StatusOverLimit, nil)
		return
	case r.op == OpAdd:
		total += r.n
		s.counters[at] = total
	}
	q.Reply(ipc.StatusOK, wire.AppendU64(q.Inline(), total))
}
