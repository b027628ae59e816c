package logd

import (
	"nexus.internal/ipc"
	"nexus.internal/svc/journal"
)

// Limits of the journal. The memory is taken once, as records come.
const (
	MaxRecords = 1024
	MaxBytes   = 128 << 10 // of records, each with its overhead
	Overhead   = 64        // bytes that a record counts besides its strings
	MaxSenders = 64        // whose rate is known at once
)

// store is the journal: a ring of records that makes room by dropping the oldest.
// It is for one goroutine at a time.
type store struct {
	ring  [MaxRecords]journal.Entry
	first int
	count int
	bytes int

	total    uint64
	dropped  uint64
	rejected uint64
	lastNS   int64

	senders map[uint64]*rate
}

// rate counts the appends of one sender in its window.
type rate struct {
	start int64
	n     int
}

func newStore() *store { return &store{senders: map[uint64]*rate{}} }

func size(e *journal.Entry) int { return Overhead + len(e.Scope) + len(e.Text) + len(e.Fields) }

// admit counts an append of sender at now and reports whether it is within the
// rate. Senders whose window is over are forgotten when the table is full; while it
// is full of others, new ones are refused, for at most one window.
func (s *store) admit(sender uint64, now int64) bool {
	r := s.senders[sender]
	if r == nil {
		if len(s.senders) >= MaxSenders {
			for id, old := range s.senders {
				if now-old.start >= int64(journal.Window) {
					delete(s.senders, id)
				}
			}
			if len(s.senders) >= MaxSenders {
				return false
			}
		}
		r = &rate{start: now}
		s.senders[sender] = r
	}
	if now-r.start >= int64(journal.Window) {
		*r = rate{start: now}
	}
	if r.n >= journal.Rate {
		return false
	}
	r.n++
	return true
}

// append keeps a record of sender and returns its id. Times are made strictly
// increasing, so that they order records too.
func (s *store) append(sender uint64, rec *journal.Record, now int64) uint64 {
	now = max(now, s.lastNS+1)
	s.lastNS = now
	s.total++
	e := journal.Entry{Record: *rec, ID: s.total, TimeNS: now, Service: sender}
	for s.count == MaxRecords || s.bytes+size(&e) > MaxBytes {
		s.bytes -= size(&s.ring[s.first])
		s.ring[s.first] = journal.Entry{}
		s.first = (s.first + 1) % MaxRecords
		s.count--
		s.dropped++
	}
	s.ring[(s.first+s.count)%MaxRecords] = e
	s.count++
	s.bytes += size(&e)
	return e.ID
}

// query returns a page of up to limit records newer than after, of the scope unless
// that is "".
func (s *store) query(after uint64, limit int, scope string) *journal.Page {
	p := &journal.Page{Total: s.total, Dropped: s.dropped, Next: after}
	room := ipc.MaxPayload - journal.PageHead
	for i := range s.count {
		e := &s.ring[(s.first+i)%MaxRecords]
		if e.ID <= after {
			continue
		}
		if scope == "" || scope == e.Scope {
			if len(p.Entries) == limit || e.Size() > room {
				return p
			}
			room -= e.Size()
			p.Entries = append(p.Entries, *e)
		}
		p.Next = e.ID
	}
	return p
}

func (s *store) stats() journal.Stats {
	return journal.Stats{Total: s.total, Dropped: s.dropped, CapRecords: MaxRecords, CapBytes: MaxBytes,
		UsedRecords: uint32(s.count), UsedBytes: uint32(s.bytes), Rejected: s.rejected}
}
