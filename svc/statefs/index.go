package statefs

import (
	"slices"
	"strings"

	"nexus.internal/svc/statefs/format"
)

// place is where the value of a key is, and what it needs to be believed.
type place struct {
	commit  uint64          // position of the commit
	at      uint32          // of the value, from there on
	meta    uint32          // length of the commit's entries
	seq     uint64          // of the commit
	session *format.Session // of its generation
	entry   uint16          // which of its entries
	kind    format.Kind     // Value or Damaged
	flags   uint8
	length  uint32
	crc     uint32
	tag     format.Tag // of the value; of the commit, if the value has none
}

// record is a key.
type record struct {
	key     string
	version uint64
	place   place
	group   *usage
	cached  []byte // the value, or nil
	used    bool   // since the cache looked for something to drop
}

// index has all keys, in order.
type index []*record

func (x index) search(key string) (int, bool) {
	return slices.BinarySearchFunc(x, key, func(r *record, key string) int { return strings.Compare(r.key, key) })
}

func (x index) find(key string) *record {
	if i, ok := x.search(key); ok {
		return x[i]
	}
	return nil
}

// put returns the record of a key, a new one if there is none.
func (x *index) put(key string) (r *record, fresh bool) {
	i, ok := x.search(key)
	if ok {
		return (*x)[i], false
	}
	r = &record{key: strings.Clone(key)}
	*x = slices.Insert(*x, i, r)
	return r, true
}

func (x *index) remove(key string) {
	if i, ok := x.search(key); ok {
		*x = slices.Delete(*x, i, i+1)
	}
}

// Item is what a list says about a key.
type Item struct {
	Key     string
	Version uint64 // see [Store.Get]
	Length  int    // of the value
}

// List returns up to limit keys that begin with prefix, in order, those behind after
// only. The key of the last one is where the next page begins. Pages are not of one
// moment: what is committed between them may show.
func (s *Store) List(prefix, after string, limit int) ([]Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	i, _ := s.index.search(prefix)
	if after >= prefix {
		j, ok := s.index.search(after)
		if i = j; ok {
			i++
		}
	}
	var items []Item
	for ; i < len(s.index) && len(items) < limit && strings.HasPrefix(s.index[i].key, prefix); i++ {
		r := s.index[i]
		items = append(items, Item{r.key, r.version, int(r.place.length)})
	}
	return items, nil
}

// cache keeps a copy of the value of r, and drops others for it. The lock is held.
func (s *Store) cache(r *record, value []byte) {
	s.uncache(r)
	if len(value) == 0 || len(value) > MaxCached || len(value) > s.opt.CacheBytes {
		return
	}
	r.cached, r.used = slices.Clone(value), true
	s.cached += len(value)
	// One that was used since the hand was there last is spared once.
	for s.cached > s.opt.CacheBytes {
		s.hand = (s.hand + 1) % len(s.index)
		if v := s.index[s.hand]; v != r && v.used {
			v.used = false
		} else if v != r {
			s.uncache(v)
		}
	}
}

func (s *Store) uncache(r *record) {
	s.cached -= len(r.cached)
	r.cached = nil
}
