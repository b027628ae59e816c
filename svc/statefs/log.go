package statefs

import "nexus.internal/svc/statefs/format"

// append writes changes as one commit, makes it durable, and makes them visible. The
// lock is held, and released while the device works.
func (s *Store) append(changes []change, z size) error {
	total := z.total(&s.g)
	// What has been moved is durable; its space is free when a superblock says so.
	if s.seq == format.MaxSequence || s.room(s.super.Tail) < total {
		return ErrFull
	}
	h := format.Header{
		Sectors: uint32(total / uint64(s.g.sector)), Sequence: s.seq + 1, Generation: s.super.Generation,
		Position: s.head, Version: s.version, Prev: s.prev, Count: uint16(len(changes)),
	}
	s.mu.Unlock()
	tag, err := s.write(&h, changes)
	s.mu.Lock()
	if err != nil {
		return s.fail(err)
	}
	if s.super.Tail != s.tail {
		// It says nothing of this commit, so that it does not matter which of the two a
		// power cut leaves.
		err = s.writeSuper()
	} else {
		err = s.flush()
	}
	if err != nil {
		return err
	}
	if sg := s.segmentOf(s.head); sg.number != s.head/s.g.segment {
		*sg = segment{number: s.head / s.g.segment, first: s.head, seq: h.Sequence, prev: h.Prev}
	}
	s.head, s.seq, s.prev = s.head+total, h.Sequence, tag
	for i := range changes {
		c := &changes[i]
		r := s.note(&c.entry, &c.place)
		switch {
		case c.moved:
		case r == nil:
			s.watch.add(Change{Key: c.entry.Key, Version: c.entry.Version, Deleted: true})
		default:
			s.cache(r, c.value)
			s.watch.add(Change{Key: r.key, Version: r.version})
		}
	}
	s.watch.tell()
	return nil
}

// note makes an entry of the log count, and returns the record of its key, if there is
// one now. The lock is held.
func (s *Store) note(e *format.Entry, at *place) *record {
	if e.Kind == format.Deleted {
		if r := s.index.find(e.Key); r != nil {
			s.count(r, -1)
			s.uncache(r)
			s.index.remove(e.Key)
			if r.group.keys == 0 {
				delete(s.groups, groupOf(r.key))
			}
		}
		return nil
	}
	r, fresh := s.index.put(e.Key)
	if !fresh {
		s.count(r, -1)
		if r.version != e.Version {
			s.uncache(r)
		}
	}
	r.version, r.place = e.Version, *at
	s.count(r, 1)
	return r
}

// write writes a commit to the ring, without flushing, and fills in the places of its
// changes.
func (s *Store) write(h *format.Header, changes []change) (format.Tag, error) {
	b := append(s.buf[:0], make([]byte, format.HeaderSize)...)
	extent := uint32(0)
	for i := range changes {
		c := &changes[i]
		e := &c.entry
		c.place = place{commit: h.Position, seq: h.Sequence, session: s.session, entry: uint16(i), kind: e.Kind, flags: e.Flags, length: e.Length}
		stored := c.value
		switch {
		case e.Flags&format.Sealed != 0:
			stored, e.Tag = s.session.SealValue(nil, h.Sequence, i, e.Key, c.value)
		case e.Flags&format.Extent != 0:
			e.Tag = s.session.ValueTag(h.Sequence, i, c.value)
		}
		if e.Flags&format.Extent != 0 {
			e.CRC = format.Sum(stored)
			b = format.AppendEntry(b, e)
			c.place.at = extent
			extent += uint32(s.g.sectors(len(stored)))
		} else {
			b = format.AppendEntry(b, e)
			c.place.at = uint32(len(b))
			b = append(b, stored...)
		}
		c.stored = stored
	}
	tag := format.Finish(b, h, s.session)
	for i := range changes {
		c := &changes[i]
		c.place.meta, c.place.tag, c.place.crc = h.Meta, c.entry.Tag, c.entry.CRC
		if c.entry.Flags == 0 {
			c.place.tag = tag
		}
		if c.entry.Flags&format.Extent != 0 {
			c.place.at += uint32(s.g.sectors(int(h.Meta)))
		}
	}
	b = s.pad(b)
	at := h.Position
	for i := range changes {
		c := &changes[i]
		if c.entry.Flags&format.Extent == 0 {
			continue
		}
		if len(b)+s.g.sectors(len(c.stored)) > joinedBytes {
			if err := s.writeRing(at, b); err != nil {
				return tag, err
			}
			at, b = at+uint64(len(b)), b[:0]
			whole := len(c.stored) &^ (s.g.sector - 1)
			if err := s.writeRing(at, c.stored[:whole]); err != nil {
				return tag, err
			}
			at, c.stored = at+uint64(whole), c.stored[whole:]
		}
		b = s.pad(append(b, c.stored...))
	}
	s.buf = b
	return tag, s.writeRing(at, b)
}

// pad fills the last sector with zeroes.
func (s *Store) pad(b []byte) []byte {
	n := len(b)
	return append(b, make([]byte, s.g.sectors(n)-n)...)
}

// writeRing writes whole sectors from a position on, past the end of the ring at its
// beginning.
func (s *Store) writeRing(position uint64, p []byte) error {
	return s.g.pieces(position, p, s.dev.Write)
}

// pieces calls do for the one or two pieces of the device that hold len(p) bytes of the
// ring.
func (g *geometry) pieces(position uint64, p []byte, do func([]byte, int64) error) error {
	for len(p) > 0 {
		in := position % g.ring
		n := min(uint64(len(p)), g.ring-in)
		if err := do(p[:n], g.base+int64(in)); err != nil {
			return deviceError(err)
		}
		p, position = p[n:], position+n
	}
	return nil
}

// writeSuper writes a superblock that has the ring begin at the tail, and flushes. All
// that it says was durable before. The lock is held, and released while the device works.
func (s *Store) writeSuper() error {
	b := s.super
	b.Count++
	b.Tail, b.TailSeq, b.TailPrev = s.tail, s.tailSeq, s.tailPrev
	b.HeadSeq, b.Version = s.seq, s.version
	p := make([]byte, s.g.sector)
	b.Encode(p, s.session)
	s.mu.Unlock()
	err := s.dev.Write(p, b.Offset(s.g.slot))
	s.mu.Lock()
	if err != nil {
		return s.fail(err)
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.super = b
	return nil
}

// flush makes durable what was written. The lock is held, and released while the device
// works.
func (s *Store) flush() error {
	s.flushes++
	s.mu.Unlock()
	err := s.dev.Flush()
	s.mu.Lock()
	if err != nil {
		return s.fail(err)
	}
	return nil
}
