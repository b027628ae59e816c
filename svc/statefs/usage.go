package statefs

import (
	"slices"
	"strings"
)

// usage is what keys count.
type usage struct {
	live int64 // bytes, see geometry.footprint
	keys int64
}

// groupOf returns the group of a key.
func groupOf(key string) string {
	group, _, _ := strings.Cut(key, "/")
	return group
}

// count adds or, with sign -1, takes away what the record of a key counts.
func (s *Store) count(r *record, sign int64) {
	n := sign * int64(s.g.footprint(len(r.key), int(r.place.length), r.place.flags))
	if r.group == nil {
		r.group = s.group(groupOf(r.key))
	}
	s.all = usage{s.all.live + n, s.all.keys + sign}
	*r.group = usage{r.group.live + n, r.group.keys + sign}
	s.segmentOf(r.place.commit).live += int(sign)
}

// group returns what a group counts.
func (s *Store) group(name string) *usage {
	g := s.groups[name]
	if g == nil {
		g = &usage{}
		s.groups[strings.Clone(name)] = g
	}
	return g
}

// tallies is what there will be after the changes of a commit that is being made.
type tallies struct {
	s      *Store
	all    usage // added to what there is
	groups []tally
}

type tally struct {
	name  string
	now   usage
	added usage
}

// add adds the changes of a transaction, or says why it cannot be made.
func (t *tallies) add(changes []change) error {
	t.sum(changes, 1)
	if err := t.check(); err != nil {
		t.sum(changes, -1)
		return err
	}
	return nil
}

func (t *tallies) sum(changes []change, sign int64) {
	for i := range changes {
		c := &changes[i]
		t.all = usage{t.all.live + sign*c.live, t.all.keys + sign*c.keys}
		g := t.group(groupOf(c.entry.Key))
		g.added = usage{g.added.live + sign*c.live, g.added.keys + sign*c.keys}
	}
}

func (t *tallies) group(name string) *tally {
	for i := range t.groups {
		if t.groups[i].name == name {
			return &t.groups[i]
		}
	}
	g := tally{name: name}
	if now := t.s.groups[name]; now != nil {
		g.now = *now
	}
	t.groups = append(t.groups, g)
	return &t.groups[len(t.groups)-1]
}

// check holds what there will be against the limits. What takes away is never refused.
func (t *tallies) check() error {
	s := t.s
	if t.all.live > 0 && s.all.live+t.all.live > int64(s.g.capacity) {
		return ErrFull
	}
	if t.all.keys > 0 && s.all.keys+t.all.keys > int64(s.opt.MaxKeys) {
		return ErrTooManyKeys
	}
	for i := range t.groups {
		g := &t.groups[i]
		if s.opt.GroupBytes > 0 && g.added.live > 0 && g.now.live+g.added.live > int64(s.opt.GroupBytes) ||
			s.opt.GroupKeys > 0 && g.added.keys > 0 && g.now.keys+g.added.keys > int64(s.opt.GroupKeys) {
			return ErrQuota
		}
	}
	return nil
}

// Group is what a store says about a group of keys.
type Group struct {
	Name string
	Keys int
	Live uint64 // bytes that count
}

// Quota returns the bounds of each group, as its options say.
func (s *Store) Quota() (bytes uint64, keys int) { return s.opt.GroupBytes, s.opt.GroupKeys }

// Groups returns those whose name begins with prefix, in the order of their keys.
func (s *Store) Groups(prefix string) []Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Group
	for name, u := range s.groups {
		if strings.HasPrefix(name, prefix) {
			found = append(found, Group{name, int(u.keys), uint64(u.live)})
		}
	}
	slices.SortFunc(found, func(a, b Group) int { return strings.Compare(a.Name+"/", b.Name+"/") })
	return found
}
