package statefs

import (
	"cmp"
	"errors"
	"slices"

	"nexus.internal/svc/statefs/format"
)

// room returns how many bytes the next commit may have if the ring begins at from. The
// segment of from is never entered again: its entry in the table is still in use.
func (s *Store) room(from uint64) uint64 {
	return s.g.ring - s.g.segment - (s.head - from/s.g.segment*s.g.segment)
}

// makeRoom moves what counts out of the way of a commit of n bytes. It begins to when
// there is still room for more than that, and then moves one segment for each commit;
// it moves more only if it must. The lock is held, and released while the device works.
func (s *Store) makeRoom(n uint64, changes []change) error {
	need := n + s.g.reserve
	if !slices.ContainsFunc(changes, func(c change) bool { return c.entry.Kind != format.Deleted }) {
		// What only frees may use some of what is kept free, for when moving fails. The rest
		// is what moving takes: a segment, with a commit that begins in it.
		need = n + s.g.commit + 2*s.g.segment
	}
	for round := uint64(0); round <= 2*s.g.segments; round++ {
		s.forget()
		enough := s.room(s.tail) >= need
		if enough && (round > 0 || s.room(s.tail) >= need+s.g.early) {
			return nil
		}
		if s.tail/s.g.segment == s.head/s.g.segment {
			break
		}
		if err := s.move(); err != nil {
			if enough && s.failed == nil {
				return nil // it can wait
			}
			return err
		}
	}
	return ErrFull
}

// forget moves the tail over segments in which nothing counts.
func (s *Store) forget() {
	last := s.head / s.g.segment
	for n := s.tail / s.g.segment; n < last; {
		if sg := s.segmentOf(s.tail); sg.number == n && sg.live > 0 {
			return
		}
		// To where the next commit begins; commits that are longer than a segment leave
		// some in which none does.
		n++
		for n < last && s.segmentOf(n*s.g.segment).number != n {
			n++
		}
		if sg := s.segmentOf(n * s.g.segment); sg.number == n {
			s.tail, s.tailSeq, s.tailPrev = sg.first, sg.seq, sg.prev
		} else {
			s.tail, s.tailSeq, s.tailPrev = s.head, s.seq+1, s.prev
		}
	}
}

// move commits once more what counts in the segment of the tail. A value that cannot be
// believed any more is not forgotten: its key is marked. The lock is held, and released
// while the device works.
func (s *Store) move() error {
	n := s.tail / s.g.segment
	var records []*record
	for _, r := range s.index {
		if r.place.commit/s.g.segment == n {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.place.commit, b.place.commit), cmp.Compare(a.place.entry, b.place.entry))
	})
	var buf commitBuffer
	var changes []change
	var z size
	held := 0 // bytes of values
	for _, r := range records {
		c := change{moved: true, value: r.cached, entry: format.Entry{
			Kind: r.place.kind, Flags: r.place.flags, Key: r.key, Length: r.place.length, Version: r.version}}
		one := size{}
		if one.add(&s.g, len(r.key), int(r.place.length), r.place.flags); held >= movedBytes || !z.plus(one).fits(&s.g) {
			if err := s.append(changes, z); err != nil {
				return err
			}
			changes, z, held = nil, size{}, 0
		}
		if c.value == nil && c.entry.Kind == format.Value && c.entry.Length > 0 {
			at := r.place
			s.mu.Unlock()
			value, err := s.read(&at, r.key, &buf)
			s.mu.Lock()
			switch {
			case errors.Is(err, ErrDevice):
				return err
			case err != nil:
				c.entry.Kind, c.entry.Flags, c.entry.Length = format.Damaged, 0, 0
				one = size{}
				one.add(&s.g, len(r.key), 0, 0)
			}
			c.value = value
			held += len(value)
		}
		changes, z = append(changes, c), z.plus(one)
	}
	return s.append(changes, z)
}
