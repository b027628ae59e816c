package statefs

import (
	"errors"
	"fmt"
	"sync"

	"nexus.internal/svc/statefs/format"
)

// Store is an open store. Its methods may be used by several goroutines at once.
type Store struct {
	dev     Block
	opt     Options
	g       geometry
	session *format.Session // of this generation

	mu      sync.Mutex
	index   index
	all     usage // of the whole store
	groups  map[string]*usage
	version uint64 // given last
	cached  int    // bytes
	hand    int    // of the cache, in the index
	closed  bool
	failed  error // why nothing more is written
	watch   history

	// The log. Only the committer changes it, one goroutine at a time: the one for
	// which busy was set. It holds the lock while it does, but not while it waits for
	// the device.
	busy     bool
	idle     sync.Cond // of the lock: busy is false
	queue    []*pending
	super    format.Superblock // as written last
	segments []segment
	head     uint64 // where the next commit goes
	seq      uint64 // of the last commit
	prev     format.Tag
	tail     uint64 // what is older has been moved
	tailSeq  uint64
	tailPrev format.Tag
	buf      []byte // of the commit that is being made
	flushes  uint64
}

// segment is what is known about a segment of the ring: who begins in it.
type segment struct {
	number uint64 // counted on over all rounds; another than expected: nobody
	live   int    // keys whose value is in commits that begin here
	first  uint64 // position of the first commit
	seq    uint64
	prev   format.Tag
}

// segmentOf returns the segment with a position.
func (s *Store) segmentOf(position uint64) *segment {
	return &s.segments[position/s.g.segment%s.g.segments]
}

// Generation returns which opening of the store this is.
func (s *Store) Generation() uint64 { return s.super.Generation }

// MaxValue returns the longest value that fits: [MaxValue] on a device of 16 MiB and
// more, a 16th of a smaller one.
func (s *Store) MaxValue() int { return s.g.value }

// Info is what a store says about itself.
type Info struct {
	Keys       int
	Live       uint64 // bytes that count, of
	Capacity   uint64
	Ring       uint64 // bytes that commits go to
	Used       uint64 // of them, waiting to be moved or forgotten
	Generation uint64
	Version    uint64 // given last
	Sequence   uint64 // of the last commit
	Flushes    uint64 // since it was opened
	Stopped    error  // why nothing is written any more, or nil
}

// Info returns what the store is like at this moment.
func (s *Store) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Info{len(s.index), uint64(s.all.live), s.g.capacity, s.g.ring, s.head - s.super.Tail, s.super.Generation, s.version, s.seq, s.flushes, s.failed}
}

// Get appends the value of a key to dst, which may be nil. The version is another after each change of
// the key, and greater; 0 is none.
//
// [ErrNotFound]: there is no such key. [ErrCorrupt], [ErrIntegrity]: its value is not
// what was put; other keys are not concerned.
func (s *Store) Get(dst []byte, key string) (value []byte, version uint64, err error) {
	value, version, err = s.get(key, true)
	if err != nil {
		return dst, 0, err
	}
	if dst == nil && len(value) > MaxCached {
		return value, version, nil // nobody else has it
	}
	return append(dst, value...), version, nil
}

// Cached is Get for a value that is in memory. Otherwise ok is false, and nothing was done.
func (s *Store) Cached(dst []byte, key string) (value []byte, version uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.index.find(key); r != nil && r.cached != nil && !s.closed {
		r.used = true
		return append(dst, r.cached...), r.version, true
	}
	return dst, 0, false
}

// get returns the value of a key, from the cache or for it if there is to be one. What it
// returns is the caller's to read.
func (s *Store) get(key string, cache bool) (value []byte, version uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, 0, ErrClosed
		}
		r := s.index.find(key)
		if r == nil {
			return nil, 0, ErrNotFound
		}
		if cache && (r.cached != nil || r.place.length == 0 && r.place.kind == format.Value) {
			r.used = true
			return r.cached, r.version, nil
		}
		version, at := r.version, r.place
		s.mu.Unlock()
		value, err = s.read(&at, key, &commitBuffer{})
		s.mu.Lock()
		// If the value has been moved, its old place may have been used again while it
		// was read. It is moved once in a round of the ring.
		now := s.index.find(key)
		if now == nil || now.place.commit != at.commit || now.place.entry != at.entry {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if cache {
			s.cache(now, value)
		}
		return value, version, nil
	}
}

// Length returns how long the value of a key is.
func (s *Store) Length(key string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	r := s.index.find(key)
	if r == nil {
		return 0, ErrNotFound
	}
	return int(r.place.length), nil
}

// Put is a transaction that gives a key a value.
func (s *Store) Put(key string, value []byte) error {
	var t Txn
	t.Put(key, value)
	_, err := s.Commit(&t)
	return err
}

// Delete is a transaction that removes a key.
func (s *Store) Delete(key string) error {
	var t Txn
	t.Delete(key)
	_, err := s.Commit(&t)
	return err
}

// Close makes the store unusable. Commits that were acknowledged are durable without
// it; what it adds is a superblock, from which the next opening knows how far the log
// must go. No other method may be running.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	s.watch.end()
	if s.failed != nil || s.opt.ReadOnly {
		return nil
	}
	return s.writeSuper()
}

// Stop has the store commit nothing any more, for a reason, and returns when nothing is
// under way: the device can be given to another one.
func (s *Store) Stop(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrStopped, reason)
	}
	for s.busy {
		s.idle.Wait()
	}
}

// usable says why nothing can be committed, if so. The lock is held.
func (s *Store) usable() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.opt.ReadOnly:
		return ErrReadOnly
	case s.failed != nil:
		return s.failed
	}
	return nil
}

// fail stops the store: what the device has of a write that failed is not known, and
// only an opening finds out. The lock is held.
func (s *Store) fail(err error) error {
	s.failed = fmt.Errorf("%w: %w", ErrStopped, err)
	return deviceError(err)
}

// deviceError wraps an error of the device.
func deviceError(err error) error {
	if err == nil || errors.Is(err, ErrDevice) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDevice, err)
}
