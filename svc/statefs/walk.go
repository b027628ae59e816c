package statefs

import (
	"errors"
	"fmt"

	"nexus.internal/svc/statefs/format"
)

// log reads the commits of a device in their order.
type log struct {
	dev   Block
	key   *[KeySize]byte // nil: nothing can be authenticated
	g     geometry
	super format.Superblock
	next  point // behind the commits that were read

	superblocks int  // that are whole
	forged      bool // one is, but not authentic
	commits     int
	bridges     int

	// salvage has the log go on behind commits that cannot be read. The gaps are noted.
	salvage bool
	gaps    []gap

	last    *format.Session // of the last salt
	ahead   []byte          // what was read of the ring
	aheadAt uint64          // from where on
}

// gap is where commits were that cannot be read.
type gap struct {
	from point
	to   point // of the next commit that can; with position 0: there is none
}

// point is a place between two commits.
type point struct {
	position uint64
	seq      uint64     // of the next commit
	prev     format.Tag // of the last one
}

// commit is a commit that was read.
type commit struct {
	format.Header
	tag     format.Tag
	session *format.Session
	b       []byte // as long as Meta
}

// readAhead is how much is read at once.
const readAhead = 64 << 10

// errEnd says that there is no commit.
var errEnd = errors.New("statefs: the log ends")

// each calls do with the entries of the commit, and where their values are.
func (c *commit) each(g *geometry, do func(*format.Entry, *place) error) error {
	r := format.ReadEntries(c.b, &c.Header)
	extent := uint32(g.sectors(int(c.Meta)))
	for i := uint16(0); ; i++ {
		e, ok, err := r.Next()
		if err != nil {
			// The tag is right: a holder of the key wrote this.
			return fmt.Errorf("%w: commit %d: %w", ErrCorrupt, c.Sequence, err)
		}
		if !ok {
			return nil
		}
		at := place{commit: c.Position, at: uint32(e.Inline), meta: c.Meta, seq: c.Sequence, session: c.session, entry: i,
			kind: e.Kind, flags: e.Flags, length: e.Length, crc: e.CRC, tag: e.Tag}
		if e.Flags == 0 {
			at.tag = c.tag
		}
		if e.Flags&format.Extent != 0 {
			at.at = extent
			if uint64(e.Length) > g.commit {
				return fmt.Errorf("%w: commit %d: %w", ErrCorrupt, c.Sequence, format.ErrEntry)
			}
			if extent += uint32(g.sectors(int(e.Length))); uint64(extent) > uint64(c.Sectors)*uint64(g.sector) {
				return fmt.Errorf("%w: commit %d: %w", ErrCorrupt, c.Sequence, format.ErrEntry)
			}
		}
		if err := do(&e, &at); err != nil {
			return err
		}
	}
}

// walk calls visit for each commit from l.next on, up to the last one that is whole, and
// fails if that cannot be the end.
func (l *log) walk(visit func(*commit) error) error {
	for {
		if err := l.run(visit); err != errEnd {
			return err
		}
		if more, err := l.end(); !more {
			return err
		}
	}
}

// run calls visit for the commits that follow each other from l.next on, and returns
// errEnd behind them.
func (l *log) run(visit func(*commit) error) error {
	c, err := l.read(l.next)
	for err == nil {
		var next *commit
		after := c.after(&l.g)
		// What was acknowledged is followed by something, or is the last one; only of
		// that can an extent be missing because it was not.
		if next, err = l.read(after); err == errEnd {
			if whole, err := l.whole(c); err != nil {
				return err
			} else if !whole {
				return errEnd
			}
		} else if err != nil {
			return err
		}
		if err := visit(c); err != nil {
			return err
		}
		l.commits++
		if c.bridge() != nil {
			l.bridges++
		}
		l.next = after
		c = next
	}
	return err
}

// after returns the point behind the commit.
func (c *commit) after(g *geometry) point {
	p := point{c.Position + uint64(c.Sectors)*uint64(g.sector), c.Sequence + 1, c.tag}
	if e := c.bridge(); e != nil {
		p.seq, p.prev = e.Version, e.Tag
	}
	return p
}

// bridge returns the entry of a commit that a repair wrote, or nil.
func (c *commit) bridge() *format.Entry {
	if c.Count == 1 {
		r := format.ReadEntries(c.b, &c.Header)
		if e, ok, _ := r.Next(); ok && e.Kind == format.Bridge {
			return &e
		}
	}
	return nil
}

// read returns the commit at a point, or errEnd. [ErrIntegrity]: there is one, whole,
// but it is not what was written there.
func (l *log) read(at point) (*commit, error) {
	c, err := l.decode(at.position)
	if err != nil {
		return nil, err
	}
	if c.Sequence != at.seq {
		return nil, errEnd
	}
	if format.CheckSum(c.b) != nil {
		return nil, errEnd
	}
	if !l.authentic(c) {
		return nil, fmt.Errorf("%w: commit %d", ErrIntegrity, c.Sequence)
	}
	if c.Prev != at.prev || c.Generation > l.super.Generation {
		return nil, fmt.Errorf("%w: commit %d does not follow", ErrIntegrity, c.Sequence)
	}
	return c, nil
}

// decode returns what looks like a commit at a position, with nothing of it checked but
// its bounds, or errEnd.
func (l *log) decode(position uint64) (*commit, error) {
	if position-l.super.Tail >= l.g.ring {
		return nil, errEnd
	}
	b, err := l.ring(position, l.g.sector)
	if err != nil {
		return nil, err
	}
	h, err := format.DecodeHeader(b)
	if err != nil || h.Position != position || h.Meta > uint32(l.g.meta) ||
		position-l.super.Tail+uint64(h.Sectors)*uint64(l.g.sector) > l.g.ring ||
		uint64(h.Sectors)*uint64(l.g.sector) < uint64(h.Meta) {
		return nil, errEnd
	}
	if b, err = l.ring(position, l.g.sectors(int(h.Meta))); err != nil {
		return nil, err
	}
	c := &commit{Header: h, b: append([]byte(nil), b[:h.Meta]...)}
	c.tag = format.CommitTag(c.b)
	return c, nil
}

// whole reports whether all extents of a commit were written.
func (l *log) whole(c *commit) (bool, error) {
	whole := true
	err := c.each(&l.g, func(e *format.Entry, at *place) error {
		if e.Flags&format.Extent == 0 || !whole {
			return nil
		}
		b, err := l.ring(at.commit+uint64(at.at), l.g.sectors(int(at.length)))
		if err == nil {
			whole = format.Sum(b[:at.length]) == at.crc
		}
		return err
	})
	return whole, err
}

// end fails if the log goes on behind l.next, or should: then commits were
// acknowledged that cannot be read. When it salvages, it may find where to go on.
func (l *log) end() (more bool, err error) {
	limit := l.g.commit
	if l.salvage {
		limit = l.g.ring
	}
	c, err := l.beyond(limit)
	if err != nil {
		return false, err
	}
	switch {
	case c == nil && l.next.seq > l.super.HeadSeq:
		return false, nil
	case !l.salvage && c == nil:
		return false, fmt.Errorf("%w: commit %d, and all up to %d", ErrCorrupt, l.next.seq, l.super.HeadSeq)
	case !l.salvage:
		return false, fmt.Errorf("%w: commit %d, followed by %d", ErrCorrupt, l.next.seq, c.Sequence)
	case c == nil:
		l.gaps = append(l.gaps, gap{from: l.next})
		return false, nil
	}
	to := point{c.Position, c.Sequence, c.Prev}
	l.gaps = append(l.gaps, gap{l.next, to})
	l.next = to
	return true, nil
}

// beyond looks for a commit that was written after the one that should be at l.next. A
// commit is written when the one before it is durable, so there is none unless that has
// become unreadable.
func (l *log) beyond(limit uint64) (*commit, error) {
	for at := l.next.position + uint64(l.g.sector); at <= l.next.position+limit; at += uint64(l.g.sector) {
		c, err := l.decode(at)
		if err == errEnd {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.Sequence > l.next.seq && c.Generation <= l.super.Generation && format.CheckSum(c.b) == nil && l.authentic(c) {
			return c, nil
		}
	}
	return nil, nil
}

// authentic reports whether a holder of the key wrote a commit, as far as that can be
// told.
func (l *log) authentic(c *commit) bool {
	c.session = l.session(c.Salt)
	return c.session == nil || format.Check(c.b, c.Sequence, &c.tag, c.session) == nil
}

// ring returns n bytes, whole sectors, from a position on. They are valid until the next
// call.
func (l *log) ring(position uint64, n int) ([]byte, error) {
	if position < l.aheadAt || position+uint64(n) > l.aheadAt+uint64(len(l.ahead)) {
		size := max(n, readAhead)
		if cap(l.ahead) < size {
			l.ahead = make([]byte, size)
		}
		b := l.ahead[:size]
		l.ahead = l.ahead[:0]
		if err := l.g.pieces(position, b, l.dev.Read); err != nil {
			return nil, err
		}
		l.ahead, l.aheadAt = b, position
	}
	in := position - l.aheadAt
	return l.ahead[in : in+uint64(n)], nil
}

// session returns the session of a salt; nil without a key.
func (l *log) session(salt format.Salt) *format.Session {
	if l.key != nil && (l.last == nil || l.last.Salt() != salt) {
		l.last = format.NewSession(l.key, salt)
	}
	return l.last
}
