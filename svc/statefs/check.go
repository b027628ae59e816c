package statefs

import (
	"context"
	"errors"
	"fmt"

	"nexus.internal/svc/statefs/format"
)

// Report is what a check found.
type Report struct {
	Superblocks int // that are whole; a power cut may leave one of the two
	Generation  uint64
	Sequence    uint64 // of the last commit
	Commits     int    // in the log
	Keys        int
	Live        uint64 // bytes that count
	// Authenticated says that tags were checked, not only checksums.
	Authenticated bool
	Findings      []Finding
	// Repaired are gaps that an earlier repair closed: what they held is lost, and keys
	// that were changed there have an older value, or are there again.
	Repaired int
}

// Finding is something that is not as it should be.
type Finding struct {
	Err      error  // ErrCorrupt, ErrIntegrity, or wraps one of them
	Key      string // whose value it is; or
	From, To uint64 // the sequences of commits that are missing; To is 0 at the end of the log
}

// String says what was found.
func (f Finding) String() string {
	switch {
	case f.Key != "":
		return fmt.Sprintf("value of %q: %v", f.Key, f.Err)
	case f.From == 0:
		return f.Err.Error()
	case f.To == 0:
		return fmt.Sprintf("commits from %d on are missing", f.From)
	}
	return fmt.Sprintf("commits %d to %d are missing", f.From, f.To)
}

// Check reads all of the store on a device, which nobody has open. Without a key it
// finds what was damaged, but not what was changed by somebody who knows the format. It
// writes nothing. An error says that there was no reading it: [ErrNoStore], [ErrDevice],
// [ErrCorrupt] if neither superblock is whole, [ErrIntegrity] if the log is not what was
// written.
func Check(dev Block, key *[KeySize]byte) (Report, error) {
	_, r, err := check(dev, Options{}, key)
	return r, err
}

// Keys returns all keys of the store on a device, which nobody has open, as far as they
// can be read. Without a key they are not authenticated.
func Keys(dev Block, key *[KeySize]byte) ([]Item, error) {
	l, _, err := check(dev, Options{}, key)
	if err != nil {
		return nil, err
	}
	return l.store.List("", "", len(l.store.index))
}

// Repair makes a store on a device, which nobody has open, one that opens, and returns
// what it found before. Where commits cannot be read, the log goes on behind them; what
// they held is lost. Values that cannot be read stay as they are: getting them fails
// until they are put again or deleted.
func Repair(dev Block, opt Options) (Report, error) {
	l, r, err := check(dev, opt.withDefaults(), &opt.Key)
	if err != nil {
		return r, err
	}
	if err := l.store.begin(); err != nil {
		return r, err
	}
	for _, g := range l.gaps {
		if g.to.position == 0 {
			// What may be left behind it has a smaller sequence than all that follows.
			g.to = point{g.from.position + uint64(l.g.sector), l.super.HeadSeq + 1<<32, g.from.prev}
		}
		if err := l.store.bridge(&g); err != nil {
			return r, err
		}
	}
	return r, nil
}

// checked is a log with the store that is in it.
type checked struct {
	*log
	store *Store
}

// check reads everything.
func check(dev Block, opt Options, key *[KeySize]byte) (*checked, Report, error) {
	l := &checked{log: &log{dev: dev, key: key, salvage: true}}
	r := Report{Authenticated: key != nil}
	if err := l.superblock(); err != nil {
		return nil, r, err
	}
	if r.Superblocks = l.superblocks; l.forged {
		r.Findings = append(r.Findings, Finding{Err: fmt.Errorf("%w: a superblock", ErrIntegrity)})
	}
	var err error
	if l.store, err = l.load(opt); err != nil {
		return nil, r, err
	}
	for _, g := range l.gaps {
		f := Finding{Err: ErrCorrupt, From: g.from.seq}
		if g.to.position != 0 {
			f.To = g.to.seq - 1
		}
		r.Findings = append(r.Findings, f)
	}
	s := l.store
	r.Commits, r.Repaired = l.commits, l.bridges
	r.Generation, r.Sequence, r.Keys, r.Live = s.super.Generation, s.seq, len(s.index), uint64(s.all.live)
	var buf commitBuffer
	for _, k := range s.index {
		_, err := s.read(&k.place, k.key, &buf)
		if errors.Is(err, ErrDevice) {
			return nil, r, err
		}
		if err != nil {
			r.Findings = append(r.Findings, Finding{Err: err, Key: k.key})
		}
	}
	return l, r, nil
}

// bridge writes a commit into a gap after which the log goes on behind it.
func (s *Store) bridge(g *gap) error {
	h := format.Header{
		Sectors: uint32((g.to.position - g.from.position) / uint64(s.g.sector)), Sequence: g.from.seq, Generation: s.super.Generation,
		Position: g.from.position, Version: s.version, Prev: g.from.prev, Count: 1,
	}
	b := make([]byte, format.HeaderSize)
	b = format.AppendEntry(b, &format.Entry{Kind: format.Bridge, Version: g.to.seq, Tag: g.to.prev})
	format.Finish(b, &h, s.session)
	if err := s.writeRing(g.from.position, s.pad(b)); err != nil {
		return err
	}
	return deviceError(s.dev.Flush())
}

// Check reads the values of all keys while the store is in use, and reports those that
// are not what was put.
func (s *Store) Check(ctx context.Context) (Report, error) {
	i := s.Info()
	r := Report{Generation: i.Generation, Sequence: i.Sequence, Keys: i.Keys, Live: i.Live, Authenticated: true}
	for after := ""; ; {
		page, err := s.List("", after, 64)
		if err != nil || len(page) == 0 {
			return r, err
		}
		for _, k := range page {
			if err := ctx.Err(); err != nil {
				return r, err
			}
			switch _, _, err := s.get(k.Key, false); {
			case err == ErrNotFound: // deleted since
			case errors.Is(err, ErrDevice), err == ErrClosed:
				return r, err
			case err != nil:
				r.Findings = append(r.Findings, Finding{Err: err, Key: k.Key})
			}
			after = k.Key
		}
	}
}
