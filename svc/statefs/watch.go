package statefs

import (
	"context"
	"strings"
)

// Change is what a watcher learns: a key has another version, or is gone.
type Change struct {
	Key     string
	Version uint64
	Deleted bool
}

// history has the last changes, for whoever watches.
type history struct {
	ring    [maxChanges]Change
	count   uint64        // ever added
	before  uint64        // version of the newest change that is not in the ring
	waiting chan struct{} // closed at the next change; nil if nobody waits
}

func (h *history) add(c Change) {
	at := &h.ring[h.count%maxChanges]
	if h.count >= maxChanges {
		h.before = at.Version
	}
	*at = c
	h.count++
}

// tell wakes those who wait.
func (h *history) tell() {
	if h.waiting != nil {
		close(h.waiting)
		h.waiting = nil
	}
}

// end wakes them for the last time.
func (h *history) end() { h.tell() }

// Watch returns the changes after a version of keys that begin with prefix, oldest
// first, and the version after which to look next. If there are none yet, it waits.
//
// [ErrMissed]: there were more than are kept, or the store was opened since; list the
// keys, and go on from the version that is returned with it.
func (s *Store) Watch(ctx context.Context, prefix string, after uint64) (changes []Change, next uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		h := &s.watch
		if s.closed {
			return nil, after, ErrClosed
		}
		if after < h.before {
			return nil, s.visible(), ErrMissed
		}
		next = after
		for i := h.count - min(h.count, maxChanges); i < h.count; i++ {
			c := h.ring[i%maxChanges]
			if c.Version <= after {
				continue
			}
			next = c.Version
			if strings.HasPrefix(c.Key, prefix) {
				changes = append(changes, c)
			}
		}
		if len(changes) > 0 {
			return changes, next, nil
		}
		after = next // nothing of what was seen is looked at again
		if h.waiting == nil {
			h.waiting = make(chan struct{})
		}
		wait := h.waiting
		s.mu.Unlock()
		select {
		case <-wait:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, after, ctx.Err()
		}
	}
}

// visible returns the version of the newest change that can be seen. The lock is held.
func (s *Store) visible() uint64 {
	if h := &s.watch; h.count > 0 {
		return h.ring[(h.count-1)%maxChanges].Version
	}
	return s.watch.before
}
