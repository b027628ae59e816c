package statefs

import "nexus.internal/svc/statefs/format"

// pending is a transaction that waits to be committed.
type pending struct {
	txn     *Txn
	size    size
	version uint64
	err     error
	done    bool
	wake    chan struct{} // when it is done, or is the one who commits
}

// change is an entry of a commit that is being made.
type change struct {
	entry  format.Entry
	value  []byte
	live   int64 // what it adds to what counts
	keys   int64
	moved  bool   // is not new, only its place is
	stored []byte // the value as it goes to the device
	place  place
}

// Commit makes the changes of a transaction, durably, and returns their version. When
// it returns nil, they are there after any power cut. Transactions that are committed
// by several goroutines at once share a write and a flush.
//
// [ErrDevice]: the device failed while they were written, and whether they will be there
// when the store is opened again is not known; until then it commits nothing
// ([ErrStopped]). With every other error nothing was changed.
func (s *Store) Commit(t *Txn) (version uint64, err error) {
	p := &pending{txn: t}
	if p.size, err = t.measure(&s.g); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	s.queue = append(s.queue, p)
	if s.busy {
		p.wake = make(chan struct{}, 1)
		s.mu.Unlock()
		<-p.wake
		s.mu.Lock()
	}
	if !p.done {
		s.busy = true
		s.lead()
	}
	return p.version, p.err
}

// lead commits what waits, as far as it fits into one commit, and hands on to the next.
// Its own transaction is the first that waits. The lock is held, and released while the
// device works.
func (s *Store) lead() {
	taken, changes, size := s.take()
	if len(changes) > 0 {
		err := s.usable()
		if err == nil {
			err = s.makeRoom(size.total(&s.g), changes)
		}
		if err == nil {
			err = s.append(changes, size)
		}
		if err != nil {
			// Also those that were refused: what they were held against may be the changes
			// that are not there now.
			for _, p := range taken {
				p.version, p.err = 0, err
			}
		}
	}
	for _, p := range taken {
		p.done = true
		if p.wake != nil {
			p.wake <- struct{}{}
		}
	}
	if s.busy = len(s.queue) > 0; s.busy {
		s.queue[0].wake <- struct{}{}
	} else {
		s.idle.Broadcast()
	}
}

// take takes transactions from the queue that fit into one commit, and decides of each
// whether it can be made. The lock is held.
func (s *Store) take() (taken []*pending, changes []change, total size) {
	n := 0
	t := tallies{s: s}
	for _, p := range s.queue {
		if n > 0 && !total.plus(p.size).fits(&s.g) {
			break
		}
		n++
		if p.err = s.expected(p.txn, changes); p.err != nil {
			continue
		}
		mark := len(changes)
		for _, o := range p.txn.ops {
			if o.kind == 0 {
				continue
			}
			c := change{value: o.value, entry: format.Entry{Kind: o.kind, Flags: o.flags, Key: o.key, Length: uint32(len(o.value))}}
			if old, had := s.before(o.key, changes); had {
				c.live, c.keys = -int64(old), -1
			} else if o.kind == format.Deleted {
				continue // nothing has to be written for that
			}
			if o.kind == format.Value {
				c.live += int64(s.g.footprint(len(o.key), len(o.value), o.flags))
				c.keys++
			}
			changes = append(changes, c)
		}
		if p.err = t.add(changes[mark:]); p.err != nil {
			changes = changes[:mark]
			continue
		}
		s.version++
		p.version = s.version
		for i := mark; i < len(changes); i++ {
			changes[i].entry.Version = p.version
		}
		total = total.plus(p.size)
	}
	taken = s.queue[:n:n]
	s.queue = s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return taken, changes, total
}

// before returns what a key counts after the changes so far, if it is there.
func (s *Store) before(key string, changes []change) (footprint uint64, there bool) {
	for i := len(changes) - 1; i >= 0; i-- {
		if e := &changes[i].entry; e.Key == key {
			return s.g.footprint(len(key), int(e.Length), e.Flags), e.Kind == format.Value
		}
	}
	if r := s.index.find(key); r != nil {
		return s.g.footprint(len(key), int(r.place.length), r.place.flags), true
	}
	return 0, false
}

// expected checks what a transaction expects against the changes so far.
func (s *Store) expected(t *Txn, changes []change) error {
next:
	for _, o := range t.ops {
		if o.kind != 0 {
			continue
		}
		for i := len(changes) - 1; i >= 0; i-- {
			if e := &changes[i].entry; e.Key == o.key {
				if e.Kind == format.Deleted && o.version != 0 || e.Kind == format.Value && e.Version != o.version {
					return ErrConflict
				}
				continue next
			}
		}
		if r := s.index.find(o.key); r == nil && o.version != 0 || r != nil && r.version != o.version {
			return ErrConflict
		}
	}
	return nil
}
