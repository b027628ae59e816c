package statefs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
	"nexus.internal/svc/statefs/format"
)

// Who can write to the device, and knows the format, but has no key, cannot make a value
// or a commit that counts: with all checksums right, the tags are not.
func TestRejectForged(t *testing.T) {
	resum := func(d *disksim.Disk, at int64) {
		b := make([]byte, sector)
		if err := d.Read(b, at); err != nil {
			t.Fatal(err)
		}
		meta := binary.LittleEndian.Uint32(b[24:])
		binary.LittleEndian.PutUint32(b[4:], format.Sum(b[8:meta]))
		if err := d.Write(b, at); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	d := filled(t, 10)
	d.Corrupt(ringAt + 3*sector + 180)
	resum(d, ringAt+3*sector)
	if _, err := statefs.Open(d, options(5)); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("a changed value: %v", err)
	}
	if _, err := statefs.Check(d, &[32]byte{1, 2, 3}); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("a changed value: check says %v", err)
	}
	if r, err := statefs.Check(d, nil); err != nil || len(r.Findings) != 0 {
		t.Errorf("a changed value: check without a key says %+v, %v", r, err)
	}

	// While the store is open, reading the changed commit finds it too.
	d = filled(t, 10)
	opt := options(5)
	opt.CacheBytes = 1
	s, err := statefs.Open(d, opt)
	if err != nil {
		t.Fatal(err)
	}
	d.Corrupt(ringAt + 3*sector + 180)
	if _, _, err := s.Get(nil, "key/003"); !errors.Is(err, statefs.ErrCorrupt) {
		t.Errorf("a value that was damaged: %v", err)
	}
	resum(d, ringAt+3*sector)
	if _, _, err := s.Get(nil, "key/003"); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("a value that was changed: %v", err)
	}

	d = filled(t, 10)
	other := options(5)
	other.Key[0]++
	if _, err := statefs.Open(d, other); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("another key: %v", err)
	}
}

// An extent that was changed, checksum and all.
func TestRejectForgedExtent(t *testing.T) {
	for _, seal := range []bool{false, true} {
		s, d := fresh(t, 1<<20)
		var x statefs.Txn
		if seal {
			x.PutSealed("big", make([]byte, 2000))
		} else {
			x.Put("big", make([]byte, 2000))
		}
		if _, err := s.Commit(&x); err != nil {
			t.Fatal(err)
		}
		s = open(t, d)
		// Its checksum is in the commit, which has a tag: only whoever finds other bytes
		// with the same CRC-32C gets this far.
		b := make([]byte, 4*sector)
		if err := d.Read(b, ringAt+sector); err != nil {
			t.Fatal(err)
		}
		collide(b[:2000])
		if err := d.Write(b, ringAt+sector); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(nil, "big"); !errors.Is(err, statefs.ErrIntegrity) {
			t.Errorf("sealed %v: %v", seal, err)
		}
	}
}

// collide changes b without changing its CRC-32C: it flips a byte and solves for four
// others. The checksum is linear.
func collide(b []byte) {
	want := format.Sum(b)
	b[100] ^= 1
	for bit := range 32 {
		b[1000+bit/8] &^= 1 << (bit % 8)
	}
	base := format.Sum(b)
	var rows [32]struct{ sum, bits uint32 }
	for bit := range 32 {
		b[1000+bit/8] ^= 1 << (bit % 8)
		rows[bit].sum, rows[bit].bits = format.Sum(b)^base, 1<<bit
		b[1000+bit/8] ^= 1 << (bit % 8)
	}
	need, flip := want^base, uint32(0)
	for col := range 32 {
		for i := col; i < 32; i++ {
			if rows[i].sum>>col&1 == 1 {
				rows[col], rows[i] = rows[i], rows[col]
				break
			}
		}
		for i := range 32 {
			if i != col && rows[i].sum>>col&1 == 1 {
				rows[i].sum ^= rows[col].sum
				rows[i].bits ^= rows[col].bits
			}
		}
	}
	for col := range 32 {
		if need>>col&1 == 1 {
			flip ^= rows[col].bits
		}
	}
	for bit := range 32 {
		if flip>>bit&1 == 1 {
			b[1000+bit/8] ^= 1 << (bit % 8)
		}
	}
	if format.Sum(b) != want {
		panic("the checksum is another")
	}
}

// An old copy of the device is known by its generation, and an old copy of a part of it
// by what does not follow.
func TestRejectRolledBack(t *testing.T) {
	d := filled(t, 10)
	old := d.Image()
	s := open(t, d)
	opt := options(7)
	opt.MinGeneration = s.Generation()
	if err := s.Put("key/003", []byte("new")); err != nil {
		t.Fatal(err)
	}
	late := d.Image()
	if _, err := statefs.Open(disksim.Of(sector, bytes.Clone(late)), opt); err != nil {
		t.Fatal(err)
	}
	if _, err := statefs.Open(disksim.Of(sector, bytes.Clone(old)), opt); !errors.Is(err, statefs.ErrRolledBack) {
		t.Errorf("an old copy: %v", err)
	}
	if _, err := statefs.Open(disksim.New(sector, 1<<20), opt); !errors.Is(err, statefs.ErrRolledBack) {
		t.Errorf("a blank device: %v", err)
	}
	// The superblocks alone: commits of a generation that has not been.
	mixed := bytes.Clone(late)
	copy(mixed[:ringAt], old[:ringAt])
	if _, err := statefs.Open(disksim.Of(sector, mixed), options(8)); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("old superblocks: %v", err)
	}
	// A commit of another history, whole and with the right sequence and place.
	fork := disksim.Of(sector, bytes.Clone(old))
	s = open(t, fork)
	for i := range 3 {
		if err := s.Put("fork", []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, d)
	for i := range 3 {
		if err := s.Put("trunk", []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, sector)
	if err := fork.Read(b, ringAt+11*sector); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(b, ringAt+11*sector); err != nil {
		t.Fatal(err)
	}
	if _, err := statefs.Open(d, options(9)); !errors.Is(err, statefs.ErrIntegrity) && !errors.Is(err, statefs.ErrCorrupt) {
		t.Errorf("a commit of another history: %v", err)
	}
}

// No two openings use a nonce twice: what the same device, opened twice, writes first has
// the same sequence and place, and yet another salt, other tags and other ciphertext.
func TestNonces(t *testing.T) {
	d := filled(t, 3)
	var commits [][]byte
	for range 2 {
		copied := disksim.Of(sector, bytes.Clone(d.Image()))
		s := open(t, copied)
		var x statefs.Txn
		x.PutSealed("sealed", make([]byte, 64))
		if _, err := s.Commit(&x); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, sector)
		if err := copied.Read(b, ringAt+3*sector); err != nil {
			t.Fatal(err)
		}
		commits = append(commits, b)
	}
	a, b := commits[0], commits[1]
	ha, err := format.DecodeHeader(a)
	if err != nil {
		t.Fatal(err)
	}
	hb, err := format.DecodeHeader(b)
	if err != nil || ha.Sequence != 4 || hb.Sequence != 4 {
		t.Fatalf("sequences %d and %d, %v", ha.Sequence, hb.Sequence, err)
	}
	end := int(ha.Meta)
	if ha.Salt == hb.Salt || bytes.Equal(a[8:24], b[8:24]) || bytes.Equal(a[end-64:end], b[end-64:end]) {
		t.Error("two openings have written the same")
	}
}
