package statefsd

import (
	"bytes"
	"errors"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/wire"
)

// request is a request that is answered by a worker.
type request struct {
	op       uint16
	service  uint64 // that sent it
	deadline int64
	payload  []byte
	memory   ipc.Any // that came with it
	pending  ipc.Pending
}

// receive answers a request, or gives it to a worker.
func (s *server) receive(q *ipc.Request) {
	if q.Op == state.OpGet && s.answered(q) {
		return
	}
	s.work <- &request{q.Op, q.SenderService, q.Deadline, bytes.Clone(q.Payload()), q.Take(), q.Detach()}
}

// answered answers a get of a value in the sender's own namespace that is in memory. Of
// what it cannot answer at once it changes nothing.
func (s *server) answered(q *ipc.Request) bool {
	d := wire.Read(q.Payload())
	key := string(d.String8())
	namespace, _, ok := state.CutKey(key)
	store := s.store.opened()
	if !ok || !d.Done() || !own(q.SenderService, namespace) || store == nil {
		return false
	}
	b, version, ok := store.Cached(wire.AppendU64(q.Large(), 0), key[len(state.Root):])
	if !ok || len(b) > ipc.MaxPayload {
		return false
	}
	wire.AppendU64(b[:0], version)
	q.Reply(ipc.StatusOK, b)
	return true
}

// handle answers a request. It may wait for the disk and for policyd.
func (s *server) handle(r *request) {
	switch r.op {
	case state.OpPut:
		s.put(r)
	case state.OpGet, state.OpFetch:
		s.get(r)
	case state.OpDelete:
		s.delete(r)
	case state.OpCommit:
		s.commit(r)
	case state.OpList:
		s.list(r)
	case state.OpWatch:
		s.startWatch(r)
	case state.OpUsage:
		s.usage(r)
	case state.OpCheck:
		s.check(r)
	default:
		r.reply(ipc.StatusUnsupported, nil)
	}
	if r.memory.Valid() {
		r.memory.Close()
	}
}

// take returns the capability that came with the request, once.
func (r *request) take() ipc.Any {
	c := r.memory
	r.memory = ipc.Any{}
	return c
}

// reply answers. Who is gone hears nothing.
func (r *request) reply(status ipc.Status, payload []byte) {
	if err := r.pending.Reply(status, payload); errors.Is(err, ipc.ErrTooLarge) {
		r.pending.Reply(ipc.StatusTooLarge, nil)
	}
}
