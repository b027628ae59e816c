package statefsd

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/wire"
)

// Limits of watches: each has a goroutine.
const (
	maxWatches  = 32
	maxWatchesA = 4           // of one service
	maxWatch    = time.Minute // the longest; a client that is gone is not noticed before
)

// watches counts those that wait.
type watches struct {
	mu    sync.Mutex
	count int
	of    map[uint64]int // by service id
}

func (w *watches) enter(service uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == maxWatches || w.of[service] == maxWatchesA {
		return false
	}
	if w.of == nil {
		w.of = map[uint64]int{}
	}
	w.count++
	w.of[service]++
	return true
}

func (w *watches) leave(service uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if w.of[service]--; w.of[service] == 0 {
		delete(w.of, service)
	}
}

// startWatch answers with changes, at once or later.
func (s *server) startWatch(r *request) {
	d := wire.Read(r.payload)
	prefix, after := string(d.String8()), d.U64()
	namespace, _, whole, ok := state.CutPrefix(prefix)
	status := ipc.StatusOK
	switch {
	case !d.Done():
		status = ipc.StatusMalformed
	case !ok || !whole:
		status = state.StatusInvalidKey
	default:
		status = s.allowed(r, namespace, false)
	}
	store := s.reach(r, status)
	if store == nil {
		return
	}
	if !s.watch.enter(r.service) {
		r.reply(ipc.StatusOverLimit, nil)
		return
	}
	length := maxWatch
	if r.deadline != 0 {
		// It ends without a change before the deadline of its client, so that the answer
		// arrives.
		length = min(length, time.Duration(r.deadline-s.env.Process.Now())*3/4)
	}
	go func() {
		defer s.watch.leave(r.service)
		ctx, cancel := context.WithTimeout(s.ctx, length)
		defer cancel()
		changes, next, err := store.Watch(ctx, strings.TrimPrefix(prefix, state.Root), after)
		r.reply(watched(changes, after, next, err))
	}()
}

// watched makes the reply of a watch: of the changes those that fit, of a transaction all
// or none.
func watched(changes []statefs.Change, after, next uint64, err error) (ipc.Status, []byte) {
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && err != statefs.ErrMissed {
		return statusOf(err), nil
	}
	b := wire.AppendU64(nil, next)
	if err == statefs.ErrMissed {
		return state.StatusMissed, b
	}
	end := len(b) // of whole transactions
	for i, c := range changes {
		if i > 0 && changes[i-1].Version != c.Version {
			end = len(b)
			after = changes[i-1].Version
		}
		h := state.Change{Key: state.Root + c.Key, Version: c.Version, Deleted: c.Deleted}
		if b = h.Append(b); len(b) > ipc.MaxPayload {
			wire.AppendU64(b[:0], after)
			if end == 8 {
				// One transaction is longer than a message.
				return state.StatusMissed, wire.AppendU64(nil, c.Version)
			}
			return ipc.StatusOK, b[:end]
		}
	}
	return ipc.StatusOK, b
}
