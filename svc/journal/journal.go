// Package journal is what logd and those who log have in common: the protocol, a
// client, and a handler for log/slog ([NewHandler]). The journal itself is in
// package logd.
//
// Who wrote a record is what the kernel says, never a field of the record.
package journal

import (
	"bytes"
	"context"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of logd.
var Protocol = ipc.Protocol{Magic: [2]byte{'L', 'O'}, Version: 3}

// Operations.
const (
	OpAppend   = 1    // record → id u64, dropped u64
	OpQuery    = 2    // after u64, max u16, scope str8 → Page
	OpStats    = 3    // → Stats
	OpAwait    = 4    // after u64 → id u64 of the newest record, once that is beyond after
	OpLogProbe = 0x7f // → logd has logged a line
)

// Limits of a record, in bytes.
const (
	MaxScope  = 64
	MaxText   = 256
	MaxFields = 512
)

// Level of a record. The numbers are those of the wire.
type Level uint8

// The levels.
const (
	Error Level = iota
	Warn
	Info
	Debug
	Trace
	levels // number of levels
)

// Valid reports whether l is a level.
func (l Level) Valid() bool { return l < levels }

// Record is one entry of the journal.
type Record struct {
	Level  Level
	Scope  string // part of the sender that speaks, "policyd.audit"
	Text   string
	Fields string // lines "key=value\n"
}

// Entry is a record as the journal keeps it.
type Entry struct {
	Record
	ID      uint64 // counts up from 1
	TimeNS  int64  // nanoseconds since power-on, strictly increasing
	Service uint64 // who wrote it, from the kernel
}

// Append appends the payload of the record. Its parts must be within the limits.
func (r *Record) Append(b []byte) []byte {
	b = append(b, byte(r.Level), byte(len(r.Scope)))
	b = wire.AppendU16(b, uint16(len(r.Text)))
	b = wire.AppendU16(b, uint16(len(r.Fields)))
	return append(append(append(b, r.Scope...), r.Text...), r.Fields...)
}

// Decode reads a record from a payload, which must hold nothing else. The status
// says what is wrong: malformed, over a limit, or not allowed.
func (r *Record) Decode(b []byte) ipc.Status {
	d := wire.Read(b)
	level := Level(d.U8())
	ns, nt, nf := int(d.U8()), int(d.U16()), int(d.U16())
	scope, text, fields := d.Bytes(ns), d.Bytes(nt), d.Bytes(nf)
	switch {
	case !d.Done():
		return ipc.StatusMalformed
	case ns > MaxScope || nt > MaxText || nf > MaxFields:
		return ipc.StatusOverLimit
	case !level.Valid() || !validFields(fields):
		return ipc.StatusInvalidArgs
	}
	*r = Record{level, string(scope), string(text), string(fields)}
	return ipc.StatusOK
}

// Reserved are the keys that would say who wrote a record.
var Reserved = []string{"sender_service_id", "service_id", "requester_id", "service"}

// validFields reports whether b is lines "key=value\n" without a reserved key.
func validFields(b []byte) bool {
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte{'\n'})
		key, _, is := bytes.Cut(line, []byte{'='})
		if !ok || !is || len(key) == 0 {
			return false
		}
		for _, r := range Reserved {
			if string(bytes.ToLower(bytes.TrimSpace(key))) == r {
				return false
			}
		}
		b = rest
	}
	return true
}

// Append appends the entry as a page has it.
func (e *Entry) Append(b []byte) []byte {
	b = wire.AppendU64(b, e.ID)
	b = wire.AppendU64(b, uint64(e.TimeNS))
	b = wire.AppendU64(b, e.Service)
	return e.Record.Append(b)
}

// Size returns how many bytes Append appends.
func (e *Entry) Size() int { return 24 + 6 + len(e.Scope) + len(e.Text) + len(e.Fields) }

// Page is a part of the journal.
type Page struct {
	Total   uint64 // records that were ever taken
	Dropped uint64 // of these, records that made way for newer ones
	Next    uint64 // where the next page begins: query after this id
	Entries []Entry
}

// Append appends the head of the page; the entries follow one after another.
func (p *Page) Append(b []byte) []byte {
	b = wire.AppendU64(b, p.Total)
	b = wire.AppendU64(b, p.Dropped)
	b = wire.AppendU64(b, p.Next)
	b = wire.AppendU16(b, uint16(len(p.Entries)))
	for i := range p.Entries {
		b = p.Entries[i].Append(b)
	}
	return b
}

// PageHead is the size of a page without entries.
const PageHead = 26

// Decode reads a page and reports whether it is one.
func (p *Page) Decode(b []byte) bool {
	d := wire.Read(b)
	p.Total, p.Dropped, p.Next = d.U64(), d.U64(), d.U64()
	n := int(d.U16())
	p.Entries = p.Entries[:0]
	for range n {
		var e Entry
		e.ID, e.TimeNS, e.Service = d.U64(), int64(d.U64()), d.U64()
		e.Level = Level(d.U8())
		ns, nt, nf := int(d.U8()), int(d.U16()), int(d.U16())
		e.Scope, e.Text, e.Fields = string(d.Bytes(ns)), string(d.Bytes(nt)), string(d.Bytes(nf))
		if !d.OK() {
			return false
		}
		p.Entries = append(p.Entries, e)
	}
	return d.Done()
}

// Stats counts what the journal holds.
type Stats struct {
	Total, Dropped         uint64
	CapRecords, CapBytes   uint32
	UsedRecords, UsedBytes uint32
	Rejected               uint64 // appends refused since start
}

// Append appends the payload of the stats.
func (s *Stats) Append(b []byte) []byte {
	b = wire.AppendU64(wire.AppendU64(b, s.Total), s.Dropped)
	b = wire.AppendU32(wire.AppendU32(b, s.CapRecords), s.CapBytes)
	b = wire.AppendU32(wire.AppendU32(b, s.UsedRecords), s.UsedBytes)
	return wire.AppendU64(b, s.Rejected)
}

// Decode reads stats and reports whether they are that.
func (s *Stats) Decode(b []byte) bool {
	d := wire.Read(b)
	*s = Stats{d.U64(), d.U64(), d.U32(), d.U32(), d.U32(), d.U32(), d.U64()}
	return d.Done()
}

// Caller is what a client calls through: an ipc.Client, or one that reconnects.
type Caller interface {
	Call(ctx context.Context, op uint16, payload, resp []byte) (int, error)
}

// Client writes and reads the journal. It may be used by several goroutines.
type Client struct{ To Caller }

// Append writes a record and returns its id.
func (c Client) Append(ctx context.Context, r *Record) (uint64, error) {
	var resp [16]byte
	n, err := c.To.Call(ctx, OpAppend, r.Append(make([]byte, 0, 128)), resp[:])
	if err != nil {
		return 0, err
	}
	d := wire.Read(resp[:n])
	id := d.U64()
	if !d.OK() {
		return 0, ipc.ErrProtocol
	}
	return id, nil
}

// Query returns up to limit records newer than the id after, oldest first. A scope
// other than "" selects. A page has what fits; go on after Page.Next until a page
// is empty.
func (c Client) Query(ctx context.Context, after uint64, limit int, scope string) (*Page, error) {
	req := wire.AppendU64(make([]byte, 0, 32), after)
	req = wire.AppendString8(wire.AppendU16(req, uint16(min(limit, 1<<16-1))), scope)
	resp := make([]byte, ipc.MaxPayload)
	n, err := c.To.Call(ctx, OpQuery, req, resp)
	if err != nil {
		return nil, err
	}
	p := new(Page)
	if !p.Decode(resp[:n]) {
		return nil, ipc.ErrProtocol
	}
	return p, nil
}

// Find returns the first record newer than after for which match is true, waiting
// for it until ctx ends.
func (c Client) Find(ctx context.Context, after uint64, match func(*Entry) bool) (*Entry, error) {
	for {
		p, err := c.Query(ctx, after, 1<<16-1, "")
		if err != nil {
			return nil, err
		}
		for i := range p.Entries {
			if match(&p.Entries[i]) {
				return &p.Entries[i], nil
			}
		}
		more := p.Next > after
		after = p.Next
		if !more {
			if err := c.Await(ctx, after); err != nil {
				return nil, err
			}
		}
	}
}

// Await returns when the journal has a record newer than the id after.
func (c Client) Await(ctx context.Context, after uint64) error {
	var resp [8]byte
	_, err := c.To.Call(ctx, OpAwait, wire.AppendU64(nil, after), resp[:])
	return err
}

// Stats returns the journal's counts.
func (c Client) Stats(ctx context.Context) (Stats, error) {
	var resp [48]byte
	n, err := c.To.Call(ctx, OpStats, nil, resp[:])
	var s Stats
	if err == nil && !s.Decode(resp[:n]) {
		err = ipc.ErrProtocol
	}
	return s, err
}

// Limits of appends of one sender.
const (
	Rate   = 24
	Window = time.Second
)
