package statefs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
	"nexus.internal/svc/statefs/format"
)

// Offsets on a disk of 512-byte sectors.
const (
	ringAt = 2 * 4096
	sector = 512
)

// filled returns a disk with n keys, each put with a commit of one sector, and its store
// closed.
func filled(t *testing.T, n int) *disksim.Disk {
	t.Helper()
	s, d := fresh(t, 1<<20)
	for i := range n {
		if err := s.Put(fmt.Sprintf("key/%03d", i), bytes.Repeat([]byte{byte(i)}, 200)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// A commit that cannot be read any more and has others behind it is no end of the log:
// the store does not open with less than was acknowledged. Repair makes it open with
// everything else, and says what is missing.
func TestRejectCorruptCommit(t *testing.T) {
	for _, at := range []int{0, 1, 50, 98, 99} {
		d := filled(t, 100)
		d.Corrupt(int64(ringAt + at*sector + 150))
		if _, err := statefs.Open(d, options(5)); !errors.Is(err, statefs.ErrCorrupt) {
			t.Fatalf("commit %d: open says %v", at, err)
		}
		r, err := statefs.Repair(d, options(6))
		if err != nil || len(r.Findings) != 1 || r.Findings[0].From != uint64(at+1) {
			t.Fatalf("commit %d: %+v, %v", at, r, err)
		}
		if to := r.Findings[0].To; at < 99 && to != uint64(at+1) || at == 99 && to != 0 {
			t.Errorf("commit %d: %v", at, r.Findings[0])
		}
		for round := range 3 {
			s := open(t, d)
			for i := range 100 {
				key := fmt.Sprintf("key/%03d", i)
				if v, _, err := s.Get(nil, key); i == at && err != statefs.ErrNotFound || i != at && !bytes.Equal(v, bytes.Repeat([]byte{byte(i)}, 200)) {
					t.Fatalf("commit %d, round %d: %s: %d bytes, %v", at, round, key, len(v), err)
				}
			}
			if err := s.Put("more", []byte{byte(round)}); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := statefs.Check(d, nil); err != nil || len(r.Findings) != 0 || r.Repaired != 1 || r.Authenticated {
			t.Errorf("commit %d, afterwards: %+v, %v", at, r, err)
		}
	}
}

// An extent that cannot be read concerns its key alone, for ever: moving keeps the key
// as one that is damaged.
func TestRejectCorruptExtent(t *testing.T) {
	s, d := fresh(t, 256<<10)
	big := bytes.Repeat([]byte("unmistakable"), 200)
	if err := s.Put("big", big); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("small", []byte("x")); err != nil {
		t.Fatal(err)
	}
	d.Corrupt(int64(bytes.Index(d.Image(), []byte("unmistakable"))))
	s = open(t, d)
	for i := range 3000 {
		if i%100 == 0 {
			if _, _, err := s.Get(nil, "big"); !errors.Is(err, statefs.ErrCorrupt) {
				t.Fatalf("after %d: %v", i, err)
			}
			want(t, s, "small", []byte("x"))
		}
		if err := s.Put("turn", make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Check(context.Background())
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Key != "big" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.Put("big", big); err != nil {
		t.Fatal(err)
	}
	want(t, open(t, d), "big", big)
}

func TestRejectBlank(t *testing.T) {
	if _, err := statefs.Open(disksim.New(sector, 1<<20), options(1)); err != statefs.ErrNoStore {
		t.Errorf("a blank device: %v", err)
	}
	for _, slots := range [][]int64{{0}, {4096}, {0, 4096}} {
		d := filled(t, 3)
		for _, at := range slots {
			d.Corrupt(at + 40)
		}
		_, err := statefs.Open(d, options(2))
		if len(slots) == 2 != errors.Is(err, statefs.ErrCorrupt) || len(slots) < 2 && err != nil {
			t.Errorf("superblocks at %v damaged: %v", slots, err)
		}
	}
	for _, size := range []int64{0, 8192, 64 << 10} {
		if err := statefs.Format(disksim.New(sector, size), options(1)); err != statefs.ErrSmall {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A device that fails stops the store until it is opened again; what was acknowledged is
// there, and can be read meanwhile.
func TestRejectDeviceError(t *testing.T) {
	for _, kind := range []disksim.Kind{disksim.Write, disksim.Flush} {
		s, d := fresh(t, 1<<20)
		if err := s.Put("a", []byte("1")); err != nil {
			t.Fatal(err)
		}
		d.Fault(func(o disksim.Op) error {
			if o.Kind == kind {
				return disksim.ErrFault
			}
			return nil
		})
		if err := s.Put("a", []byte("2")); !errors.Is(err, statefs.ErrDevice) || !errors.Is(err, disksim.ErrFault) {
			t.Errorf("put: %v", err)
		}
		d.Fault(nil)
		if err := s.Put("a", []byte("3")); !errors.Is(err, statefs.ErrStopped) {
			t.Errorf("put afterwards: %v", err)
		}
		want(t, s, "a", []byte("1"))
		s = open(t, d)
		if v, _, err := s.Get(nil, "a"); err != nil || string(v) != "1" && string(v) != "2" {
			t.Errorf("after opening: %q, %v", v, err)
		}
		if err := s.Put("a", []byte("4")); err != nil {
			t.Error(err)
		}
	}
}

// Sectors that cannot be read are an error for the key whose value they have. They are not
// given up: when everything else has been moved, nothing more can be put, until the key
// is deleted or the device reads them.
func TestRejectBadSector(t *testing.T) {
	for _, deletes := range []bool{true, false} {
		s, d := fresh(t, 256<<10)
		big := bytes.Repeat([]byte("unmistakable"), 200)
		if err := errors.Join(s.Put("big", big), s.Put("small", []byte("x"))); err != nil {
			t.Fatal(err)
		}
		bad := int64(bytes.Index(d.Image(), []byte("unmistakable")))
		d.Fault(func(o disksim.Op) error {
			if o.Kind == disksim.Read && o.Offset <= bad && bad < o.Offset+int64(o.Length) && o.Length < 64<<10 {
				return disksim.ErrFault
			}
			return nil
		})
		s = open(t, d)
		if _, _, err := s.Get(nil, "big"); !errors.Is(err, statefs.ErrDevice) {
			t.Error(err)
		}
		n, err := 0, error(nil)
		for ; err == nil && n < 3000; n++ {
			err = s.Put("turn", make([]byte, 300))
		}
		if !errors.Is(err, statefs.ErrDevice) || n < 200 {
			t.Fatalf("put %d: %v", n, err)
		}
		want(t, s, "small", []byte("x"))
		if deletes {
			if err := s.Delete("big"); err != nil {
				t.Fatal(err)
			}
		} else {
			d.Fault(nil)
		}
		for range 2000 {
			if err := s.Put("turn", make([]byte, 300)); err != nil {
				t.Fatal(err)
			}
		}
		if !deletes {
			want(t, open(t, d), "big", big)
		}
	}
}

// While nothing can be moved, what frees may use a part of what is kept free, and never
// so much that moving is not possible when the device reads again.
func TestStuck(t *testing.T) {
	s, d := fresh(t, 256<<10)
	if err := s.Put("big", bytes.Repeat([]byte("unmistakable"), 200)); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := s.Put(fmt.Sprint("small/", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	bad := int64(bytes.Index(d.Image(), []byte("unmistakable")))
	d.Fault(func(o disksim.Op) error {
		if o.Kind == disksim.Read && o.Offset <= bad && bad < o.Offset+int64(o.Length) && o.Length < 64<<10 {
			return disksim.ErrFault
		}
		return nil
	})
	s = open(t, d)
	for err := error(nil); err == nil; {
		err = s.Put("turn", make([]byte, 300))
	}
	freed, err := 0, error(nil)
	for ; freed < 300 && err == nil; freed++ {
		err = s.Delete(fmt.Sprint("small/", freed))
	}
	if freed < 10 || freed == 300 || !errors.Is(err, statefs.ErrDevice) {
		t.Errorf("%d deleted: %v", freed, err)
	}
	for range 1000 { // of what is not there
		if err := s.Delete("none"); err != nil {
			t.Fatal(err)
		}
	}
	d.Fault(nil)
	for range 1000 {
		if err := s.Put("turn", make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRejectLimits(t *testing.T) {
	s, d := fresh(t, 1<<20)
	long := string(bytes.Repeat([]byte{'k'}, statefs.MaxKey+1))
	for _, c := range []struct {
		key  string
		n    int
		want error
	}{{"", 1, statefs.ErrInvalidKey}, {long, 1, statefs.ErrInvalidKey}, {long[1:], 1, nil},
		{"v", s.MaxValue(), nil}, {"v", s.MaxValue() + 1, statefs.ErrTooLarge}} {
		if err := s.Put(c.key, make([]byte, c.n)); err != c.want {
			t.Errorf("key of %d, value of %d: %v, want %v", len(c.key), c.n, err, c.want)
		}
	}
	var x statefs.Txn
	for i := range statefs.MaxOps {
		x.Put(fmt.Sprint(i), nil)
	}
	if _, err := s.Commit(&x); err != nil {
		t.Error(err)
	}
	x.Put("more", nil)
	if _, err := s.Commit(&x); err != statefs.ErrTooLarge {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("a", nil); err != statefs.ErrClosed {
		t.Error(err)
	}
	opt := options(2)
	opt.ReadOnly = true
	s, err := statefs.Open(d, opt)
	if err != nil {
		t.Fatal(err)
	}
	before := d.Counts()
	if err := s.Put("a", nil); err != statefs.ErrReadOnly {
		t.Error(err)
	}
	if d.Counts().Writes != before.Writes {
		t.Error("it writes")
	}
	opt = options(3)
	opt.MaxKeys = 66
	if s, err = statefs.Open(d, opt); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("new", nil); err != statefs.ErrTooManyKeys {
		t.Error(err)
	}
	if err := s.Put("0", []byte("old")); err != nil {
		t.Error(err)
	}
	opt.MaxKeys = 65
	if _, err = statefs.Open(d, opt); err != statefs.ErrTooManyKeys {
		t.Error(err)
	}
	opt.Random = io.LimitReader(opt.Random, 0)
	opt.MaxKeys = 100
	if _, err = statefs.Open(d, opt); err == nil {
		t.Error("opened without a salt")
	}
}

// The same in a store that was not closed: no superblock says how far the log must go,
// but what stands behind the commit does.
func TestRejectCorruptMiddle(t *testing.T) {
	for at := range 9 {
		s, d := fresh(t, 1<<20)
		for i := range 10 {
			if err := s.Put(fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 600*(i%3))); err != nil {
				t.Fatal(err)
			}
		}
		image := d.Image()
		position := ringAt
		for range at {
			h, err := format.DecodeHeader(image[position:])
			if err != nil {
				t.Fatal(err)
			}
			position += int(h.Sectors) * sector
		}
		d.Corrupt(int64(position + 110))
		if _, err := statefs.Open(d, options(5)); !errors.Is(err, statefs.ErrCorrupt) {
			t.Errorf("commit %d: %v", at, err)
		}
	}
}

// What a transaction was refused for may have been lost with the commit that it would have
// shared: then it was not refused.
func TestRefusedByLostCommit(t *testing.T) {
	s, d := fresh(t, 1<<20)
	gate, first := make(chan struct{}), make(chan struct{})
	flushes := 0
	d.Fault(func(o disksim.Op) error {
		if o.Kind != disksim.Flush {
			return nil
		}
		if flushes++; flushes > 1 {
			return disksim.ErrFault
		}
		close(first)
		<-gate
		return nil
	})
	results := make(chan error, 3)
	commit := func(waiting int, put string, expect ...string) {
		var x statefs.Txn
		for _, key := range expect {
			x.Expect(key, 0)
		}
		x.Put(put, nil)
		go func() {
			_, err := s.Commit(&x)
			results <- err
		}()
		for s.Waiting() < waiting {
			runtime.Gosched()
		}
	}
	commit(0, "first")
	<-first
	commit(1, "a", "a")
	commit(2, "b", "a") // refused, if a is put
	close(gate)
	for i := range 3 {
		if err := <-results; i == 0 && err != nil || i > 0 && !errors.Is(err, statefs.ErrDevice) {
			t.Errorf("result %d: %v", i, err)
		}
	}
}
