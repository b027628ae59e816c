package plic

import (
	"testing"

	"nexus.internal/kernel/core"
)

var _ core.Controller = (*PLIC)(nil)

// Offsets as the specification's memory map lists them, for context 1.
const (
	specPriority    = 0x00_0004 // source 1
	specEnable      = 0x00_2080
	specEnableOther = 0x00_2180 // context 3
	specThreshold   = 0x20_1000
	specClaim       = 0x20_1004
)

// registers is the controller, as far as the driver uses it.
type registers struct {
	t       *testing.T
	words   map[uint32]uint32
	pending []uint32
	done    []uint32
}

func (r *registers) Load(offset uint32) uint32 {
	if offset != specClaim {
		return r.words[offset]
	}
	for i, s := range r.pending {
		if r.words[specEnable+s/32*4]>>(s%32)&1 != 0 && r.words[4*s] > r.words[specThreshold] {
			r.pending = append(r.pending[:i], r.pending[i+1:]...)
			return s
		}
	}
	return 0
}

func (r *registers) Store(offset, value uint32) {
	switch {
	case offset == specClaim:
		r.done = append(r.done, value)
	case offset%4 != 0:
		r.t.Errorf("store at %#x", offset)
	case offset == 0:
		r.t.Error("source 0 has no priority")
	default:
		r.words[offset] = value
	}
}

func TestPLIC(t *testing.T) {
	const sources = 95
	r := &registers{t: t, words: map[uint32]uint32{specEnable: ^uint32(0), specEnable + 8: 7, specEnableOther: 1, specThreshold: 5}, pending: []uint32{33, 1, 95}}
	p, err := New(r, 0x60_0000, sources, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if r.words[specEnable]|r.words[specEnable+4]|r.words[specEnable+8]|r.words[specThreshold]|r.words[specEnableOther] != 0 {
		t.Errorf("registers after the start: %v", r.words)
	}
	if r.words[specPriority] == 0 || r.words[4*sources] == 0 || len(r.words) != 2*3+1+sources {
		t.Errorf("priorities: %d registers written", len(r.words))
	}
	if s := p.Claim(); s != 0 {
		t.Errorf("claimed %d, which is disabled", s)
	}
	p.Enable(1)
	p.Enable(95)
	for _, want := range []uint32{1, 95, 0} {
		if s := p.Claim(); s != want {
			t.Errorf("claimed %d, want %d", s, want)
		}
	}
	p.Complete(1)
	if len(r.done) != 1 || r.done[0] != 1 {
		t.Errorf("completed %v", r.done)
	}
	p.Enable(33)
	p.Disable(33)
	if r.words[specEnable+4] != 0 || r.words[specEnable] != 2 || p.Claim() != 0 {
		t.Errorf("enabled %#x %#x", r.words[specEnable], r.words[specEnable+4])
	}
	for _, s := range []uint32{0, sources + 1, 1 << 31} { // nothing of others
		before := r.words[specEnable]
		p.Enable(s)
		p.Disable(s)
		if r.words[specEnable] != before || len(r.words) != 2*3+1+sources {
			t.Errorf("source %d changed registers", s)
		}
	}
}

func TestRejectPLIC(t *testing.T) {
	for _, c := range []struct {
		size    uint64
		sources uint32
		ctx     int
	}{
		{0x60_0000, 0, 1}, {0x60_0000, 1024, 1}, {0x60_0000, 95, -1}, {0x20_1fff, 95, 1}, {0x20_1000, 95, 1}, {0, 95, 0}, {1 << 40, 95, maxContext + 1},
	} {
		r := &registers{t: t, words: map[uint32]uint32{}}
		if _, err := New(r, c.size, c.sources, c.ctx); err == nil || len(r.words) != 0 {
			t.Errorf("%+v: %v, %d registers written", c, err, len(r.words))
		}
	}
	for contexts, good := range map[[2]int]bool{{1, 0}: true, {0, 1}: true, {1, 2}: false, {1, -1}: false} {
		r := &registers{t: t, words: map[uint32]uint32{}}
		if _, err := New(r, 0x20_2000, 1, contexts[:]...); (err == nil) != good || !good && len(r.words) != 0 {
			t.Errorf("contexts %v: %v", contexts, err)
		}
	}
	if _, err := New(&registers{t: t}, 0x20_2000, 1); err == nil {
		t.Error("no context")
	}
}
