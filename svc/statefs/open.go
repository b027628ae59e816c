package statefs

import (
	"fmt"
	"io"

	"nexus.internal/svc/statefs/format"
)

// Format makes an empty store on a device, whatever was there before. Of the options it
// needs Key and Random.
func Format(dev Block, opt Options) error {
	g, err := divide(dev.SectorSize(), dev.Size(), 0)
	if err != nil {
		return err
	}
	b := format.Superblock{Sector: uint32(g.sector), Ring: g.ring, TailSeq: 1}
	for _, p := range [][]byte{b.Store[:], b.Salt[:]} {
		if _, err := io.ReadFull(opt.Random, p); err != nil {
			return fmt.Errorf("statefs: salt: %w", err)
		}
	}
	// No commit of an earlier store on this device follows on this.
	b.TailPrev = format.Tag(b.Store)
	session := format.NewSession(&opt.Key, b.Salt)
	p := make([]byte, g.sector)
	for range format.Slots {
		b.Encode(p, session)
		if err := dev.Write(p, b.Offset(g.slot)); err != nil {
			return deviceError(err)
		}
		if err := dev.Flush(); err != nil {
			return deviceError(err)
		}
		b.Count++
	}
	return nil
}

// Open opens the store on a device, and makes a new generation of it. It writes nothing
// before it has read all that was acknowledged.
//
// [ErrNoStore]: the device is blank; only then is it right to [Format] it.
// [ErrCorrupt]: something that was acknowledged cannot be read; see [Repair].
// [ErrIntegrity]: it is another key's, or was changed without the key. [ErrRolledBack]:
// it is an old copy.
func Open(dev Block, opt Options) (*Store, error) {
	opt = opt.withDefaults()
	l := &log{dev: dev, key: &opt.Key}
	if err := l.superblock(); err != nil {
		if err == ErrNoStore && opt.MinGeneration > 0 {
			err = fmt.Errorf("%w: blank", ErrRolledBack)
		}
		return nil, err
	}
	if l.super.Generation < opt.MinGeneration {
		return nil, fmt.Errorf("%w: generation %d, it has been %d", ErrRolledBack, l.super.Generation, opt.MinGeneration)
	}
	s, err := l.load(opt)
	if err == nil && len(s.index) > opt.MaxKeys {
		err = ErrTooManyKeys
	}
	if err == nil && !opt.ReadOnly {
		err = s.begin()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// load returns the store that is in the log.
func (l *log) load(opt Options) (*Store, error) {
	s := &Store{dev: l.dev, opt: opt, g: l.g, super: l.super, segments: make([]segment, l.g.segments), groups: map[string]*usage{}}
	s.idle.L = &s.mu
	for i := range s.segments {
		s.segments[i].number = ^uint64(0)
	}
	s.tail, s.tailSeq, s.tailPrev, s.version = l.super.Tail, l.super.TailSeq, l.super.TailPrev, l.super.Version
	if err := l.walk(s.replay); err != nil {
		return nil, err
	}
	s.head, s.seq, s.prev = l.next.position, l.next.seq-1, l.next.prev
	s.watch.before = s.version
	return s, nil
}

// begin makes a new generation.
func (s *Store) begin() error {
	s.super.Generation++
	if _, err := io.ReadFull(s.opt.Random, s.super.Salt[:]); err != nil {
		return fmt.Errorf("statefs: salt: %w", err)
	}
	s.session = format.NewSession(&s.opt.Key, s.super.Salt)
	s.mu.Lock()
	defer s.mu.Unlock()
	// The last commit may have been read from the device's cache: it is durable before
	// a superblock says so.
	if err := s.flush(); err != nil {
		return err
	}
	return s.writeSuper()
}

// replay takes over a commit of the log.
func (s *Store) replay(c *commit) error {
	s.version = max(s.version, c.Version)
	n := c.Position / s.g.segment
	if sg := s.segmentOf(c.Position); sg.number != n {
		*sg = segment{number: n, first: c.Position, seq: c.Sequence, prev: c.Prev}
	}
	return c.each(&s.g, func(e *format.Entry, at *place) error {
		if e.Kind != format.Bridge {
			s.note(e, at)
		}
		return nil
	})
}

// superblock finds the superblock in force, and with it the geometry.
func (l *log) superblock() error {
	g, err := divide(l.dev.SectorSize(), l.dev.Size(), 0)
	if err != nil {
		return err
	}
	var found, blank bool
	var worst error
	for i := range int64(format.Slots) {
		p := make([]byte, g.sector)
		if err := l.dev.Read(p, i*g.slot); err != nil {
			return deviceError(err)
		}
		b, g, err := l.checkSuper(p)
		if err == nil {
			l.superblocks++
		}
		l.forged = l.forged || err == ErrIntegrity
		switch {
		case err == nil && (!found || b.Count > l.super.Count):
			found, l.super, l.g = true, b, g
		case err != nil && (worst == nil || worst == ErrCorrupt):
			worst = err
		}
		blank = zero(p)
	}
	switch {
	case found:
		l.next = point{l.super.Tail, l.super.TailSeq, l.super.TailPrev}
		return nil
	case blank:
		// Format writes the second superblock when the first is durable: there has been
		// no store yet, whatever a power cut left of the first.
		return ErrNoStore
	}
	return fmt.Errorf("%w: superblock", worst)
}

// checkSuper decodes a superblock and holds it against the device.
func (l *log) checkSuper(p []byte) (b format.Superblock, g geometry, err error) {
	b, err = format.DecodeSuperblock(p)
	switch {
	case err == format.ErrVersion:
		return b, g, ErrVersion
	case err != nil:
		return b, g, ErrCorrupt
	}
	if session := l.session(b.Salt); session != nil && b.Check(p, session) != nil {
		return b, g, ErrIntegrity
	}
	g, err = divide(l.dev.SectorSize(), l.dev.Size(), b.Ring)
	if err == nil && (b.Ring != g.ring || b.Sector != uint32(g.sector) || b.Tail%uint64(g.sector) != 0 || b.TailSeq == 0) {
		err = ErrSmall
	}
	return b, g, err
}

func zero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}
