package logd

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nexus.internal/ipc"
	"nexus.internal/svc/journal"
)

func TestStoreIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore()
		n := rapid.IntRange(1, 3*MaxRecords/2).Draw(t, "n")
		max := rapid.IntRange(0, journal.MaxFields).Draw(t, "max")
		now := int64(0)
		for range n {
			now += rapid.Int64Range(-5, 5).Draw(t, "step")
			s.append(1, &journal.Record{Fields: strings.Repeat("f", max)}, now)
			if s.count > MaxRecords || s.bytes > MaxBytes {
				t.Fatalf("%d records, %d bytes", s.count, s.bytes)
			}
		}
		if s.total != uint64(n) || s.dropped != uint64(n-s.count) {
			t.Fatalf("%d taken, %d dropped, %d there", s.total, s.dropped, s.count)
		}
		// Pages give each record that is there once, in order, with times that grow.
		id, last, seen := uint64(0), int64(0), 0
		for {
			p := s.query(id, 1000, "")
			if len(p.Append(nil)) > ipc.MaxPayload {
				t.Fatal("page over the limit of a message")
			}
			if len(p.Entries) == 0 {
				break
			}
			for _, e := range p.Entries {
				if e.TimeNS <= last || seen > 0 && e.ID != id+1 {
					t.Fatalf("record %d at %d after %d at %d", e.ID, e.TimeNS, id, last)
				}
				id, last = e.ID, e.TimeNS
				seen++
			}
		}
		if seen != s.count {
			t.Fatalf("pages had %d of %d records", seen, s.count)
		}
	})
}

func TestQueryByScope(t *testing.T) {
	s := newStore()
	for i := range 10 {
		s.append(1, &journal.Record{Scope: []string{"a", "b"}[i%2]}, int64(i))
	}
	p := s.query(2, 2, "a")
	if len(p.Entries) != 2 || p.Entries[0].ID != 3 || p.Entries[1].ID != 5 || p.Total != 10 {
		t.Errorf("%+v", p)
	}
	if p = s.query(p.Next, 9, "a"); len(p.Entries) != 2 || p.Next != 10 {
		t.Errorf("%+v", p)
	}
}

func TestRejectOverRate(t *testing.T) {
	s := newStore()
	const w = int64(journal.Window)
	for i := range journal.Rate {
		if !s.admit(1, int64(i)) {
			t.Fatalf("record %d refused", i)
		}
	}
	if s.admit(1, w-1) {
		t.Error("one more in the window")
	}
	if !s.admit(2, w-1) {
		t.Error("another sender pays for it")
	}
	if !s.admit(1, w) {
		t.Error("the next window is closed")
	}
}

func TestRejectTooManySenders(t *testing.T) {
	s := newStore()
	for i := range uint64(MaxSenders) {
		if !s.admit(i, 0) {
			t.Fatalf("sender %d refused", i)
		}
	}
	if s.admit(999, 1) {
		t.Error("one sender more")
	}
	if !s.admit(999, int64(journal.Window)) {
		t.Error("refused although every window is over")
	}
	if len(s.senders) > MaxSenders {
		t.Errorf("%d senders", len(s.senders))
	}
}
