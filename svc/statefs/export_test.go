package statefs

import "fmt"

// Audit computes once more, from the index, what the store keeps count of.
func (s *Store) Audit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live int64
	groups := map[string]usage{}
	cached, segments := 0, map[uint64]int{}
	for i, r := range s.index {
		n := int64(s.g.footprint(len(r.key), int(r.place.length), r.place.flags))
		live += n
		u := groups[groupOf(r.key)]
		groups[groupOf(r.key)] = usage{u.live + n, u.keys + 1}
		cached += len(r.cached)
		segments[r.place.commit/s.g.segment]++
		if r.place.commit < s.tail || r.place.commit >= s.head {
			return fmt.Errorf("%q is at %d, the log from %d to %d", r.key, r.place.commit, s.tail, s.head)
		}
		if i > 0 && s.index[i-1].key >= r.key {
			return fmt.Errorf("%q is not in order", r.key)
		}
	}
	if live != s.all.live || int64(len(s.index)) != s.all.keys || cached != s.cached {
		return fmt.Errorf("live %d, cached %d; counted %d, %d", live, cached, s.all.live, s.cached)
	}
	if len(groups) != len(s.groups) {
		return fmt.Errorf("groups %v, counted %v", groups, s.groups)
	}
	for name, u := range groups {
		if *s.groups[name] != u {
			return fmt.Errorf("group %s: %v, counted %v", name, u, s.groups[name])
		}
	}
	if cached > s.opt.CacheBytes {
		return fmt.Errorf("the cache has %d bytes", cached)
	}
	for n := s.tail / s.g.segment; n <= s.head/s.g.segment; n++ {
		if sg := s.segments[n%s.g.segments]; segments[n] != 0 && (sg.number != n || sg.live != segments[n]) {
			return fmt.Errorf("segment %d: %+v, has %d", n, sg, segments[n])
		}
	}
	if used := s.head - s.super.Tail; used > s.g.ring {
		return fmt.Errorf("the log is longer than the ring: %d", used)
	}
	return nil
}

// Waiting returns how many transactions wait for the commit that is under way.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}
