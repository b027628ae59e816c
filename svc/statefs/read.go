package statefs

import (
	"fmt"

	"nexus.internal/svc/statefs/format"
)

// commitBuffer has the entries of the commit that was read last, so that values that
// stand in one commit are read with one request. The zero value has none.
type commitBuffer struct {
	session *format.Session
	seq     uint64
	b       []byte
}

// read returns the value at a place, if it is the one that was put. What it returns is
// the caller's.
func (s *Store) read(at *place, key string, buf *commitBuffer) ([]byte, error) {
	if at.kind == format.Damaged {
		return nil, fmt.Errorf("%w: %q was lost before", ErrCorrupt, key)
	}
	if at.flags&format.Extent != 0 {
		b := make([]byte, s.g.sectors(int(at.length)))
		if err := s.readRing(at.commit+uint64(at.at), b); err != nil {
			return nil, err
		}
		b = b[:at.length]
		if format.Sum(b) != at.crc {
			return nil, fmt.Errorf("%w: the extent of %q", ErrCorrupt, key)
		}
		if at.session == nil {
			return b, nil
		}
		if at.flags&format.Sealed != 0 {
			return s.open(at, key, b)
		}
		if at.session.CheckValue(at.seq, int(at.entry), b, &at.tag) != nil {
			return nil, fmt.Errorf("%w: the extent of %q", ErrIntegrity, key)
		}
		return b, nil
	}
	if buf.b == nil || buf.session != at.session || buf.seq != at.seq {
		*buf = commitBuffer{}
		b := make([]byte, s.g.sectors(int(at.meta)))
		if err := s.readRing(at.commit, b); err != nil {
			return nil, err
		}
		b = b[:at.meta]
		if format.CheckSum(b) != nil {
			return nil, fmt.Errorf("%w: the commit of %q", ErrCorrupt, key)
		}
		tag := at.tag
		if at.flags&format.Sealed != 0 {
			tag = format.CommitTag(b) // the value's own says whether it is the right one
		}
		if at.session != nil && format.Check(b, at.seq, &tag, at.session) != nil {
			return nil, fmt.Errorf("%w: the commit of %q", ErrIntegrity, key)
		}
		*buf = commitBuffer{at.session, at.seq, b}
	}
	value := buf.b[at.at : at.at+at.length]
	if at.flags&format.Sealed != 0 && at.session != nil {
		return s.open(at, key, value)
	}
	return append([]byte(nil), value...), nil
}

// open decrypts a value.
func (s *Store) open(at *place, key string, sealed []byte) ([]byte, error) {
	value, err := at.session.OpenValue(make([]byte, 0, len(sealed)), at.seq, int(at.entry), key, sealed, &at.tag)
	if err != nil {
		return nil, fmt.Errorf("%w: the sealed value of %q", ErrIntegrity, key)
	}
	return value, nil
}

// readRing reads whole sectors from a position on.
func (s *Store) readRing(position uint64, p []byte) error {
	return s.g.pieces(position, p, s.dev.Read)
}
