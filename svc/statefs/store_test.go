package statefs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

// noise is a source of salts that repeats with its seed.
type noise struct{ *rand.Rand }

func (n noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(n.Uint32())
	}
	return len(p), nil
}

func options(seed uint64) statefs.Options {
	return statefs.Options{Key: [32]byte{1, 2, 3}, Random: noise{rand.New(rand.NewPCG(seed, 1))}}
}

// fresh returns an empty store on a disk of its own.
func fresh(t testing.TB, size int64) (*statefs.Store, *disksim.Disk) {
	t.Helper()
	d := disksim.New(512, size)
	if err := statefs.Format(d, options(1)); err != nil {
		t.Fatal(err)
	}
	return open(t, d), d
}

func open(t testing.TB, d *disksim.Disk) *statefs.Store {
	t.Helper()
	s, err := statefs.Open(d, options(uint64(time.Now().UnixNano())))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func want(t testing.TB, s *statefs.Store, key string, value []byte) {
	t.Helper()
	if got, _, err := s.Get(nil, key); err != nil || !bytes.Equal(got, value) {
		t.Fatalf("%s: %d bytes, %v; want %d", key, len(got), err, len(value))
	}
}

// What was put is there, also after the store is opened again; sizes around every
// border of the format.
func TestPutGet(t *testing.T) {
	s, d := fresh(t, 16<<20+8192)
	sizes := []int{0, 1, 255, 256, 511, 512, 513, 1024, 4095, 4096, 4097, 65536, 1<<20 - 1, 1 << 20}
	value := func(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8), 7}, n/3+1)[:n] }
	for _, sealed := range []string{"plain", "sealed"} {
		for _, n := range sizes {
			var x statefs.Txn
			key := fmt.Sprintf("%s/%d", sealed, n)
			if sealed == "sealed" {
				x.PutSealed(key, value(n))
			} else {
				x.Put(key, value(n))
			}
			if _, err := s.Commit(&x); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
		}
	}
	for round := range 3 {
		for _, sealed := range []string{"plain", "sealed"} {
			for _, n := range sizes {
				want(t, s, fmt.Sprintf("%s/%d", sealed, n), value(n))
			}
		}
		if round == 1 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, d)
	}
	if bytes.Contains(d.Image(), bytes.Repeat([]byte{0, 16, 7}, 100)) == false {
		t.Error("a plain value is not on the disk: the test looks for the wrong thing")
	}
}

// Many rounds of the ring, with keys that stay.
func TestMove(t *testing.T) {
	s, d := fresh(t, 256<<10)
	keep := map[string][]byte{}
	for i := range 40 {
		key, v := fmt.Sprintf("keep/%d", i), bytes.Repeat([]byte{byte(i)}, i*40)
		keep[key] = v
		if err := s.Put(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5000 {
		if err := s.Put(fmt.Sprintf("turn/%d", i%7), bytes.Repeat([]byte{byte(i)}, 300)); err != nil {
			t.Fatal(i, err)
		}
		if i%500 == 0 {
			s = open(t, d)
			for k, v := range keep {
				want(t, s, k, v)
			}
		}
	}
	if info := s.Info(); info.Sequence < 5000 || info.Keys != 47 {
		t.Errorf("%+v", info)
	}
}

func TestRejectFull(t *testing.T) {
	s, d := fresh(t, 1<<20)
	n := 0
	for ; ; n++ {
		err := s.Put(fmt.Sprintf("k%04d", n), make([]byte, 1000))
		if errors.Is(err, statefs.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 300 {
		t.Errorf("full after %d values", n)
	}
	for i := range 2000 { // what is there can be changed for ever
		if err := s.Put(fmt.Sprintf("k%04d", i%n), bytes.Repeat([]byte{1}, 1000)); err != nil {
			t.Fatal(i, err)
		}
	}
	s = open(t, d)
	for i := range n {
		if err := s.Delete(fmt.Sprintf("k%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put("again", make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if info := s.Info(); info.Keys != 1 {
		t.Errorf("%+v", info)
	}
}

func TestTransaction(t *testing.T) {
	s, _ := fresh(t, 1<<20)
	var x statefs.Txn
	x.Expect("a", 0)
	x.Put("a", []byte("1"))
	x.Put("b", []byte("2"))
	v, err := s.Commit(&x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(&x); err != statefs.ErrConflict {
		t.Error(err)
	}
	x = statefs.Txn{}
	x.Expect("a", v)
	x.Delete("b")
	x.Put("a", []byte("3"))
	x.Put("a", []byte("4"))
	if _, err := s.Commit(&x); err != nil {
		t.Fatal(err)
	}
	want(t, s, "a", []byte("4"))
	if _, _, err := s.Get(nil, "b"); err != statefs.ErrNotFound {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	s, _ := fresh(t, 1<<20)
	for i := range 10 {
		for _, p := range []string{"a/", "b/", "c/"} {
			if err := s.Put(fmt.Sprintf("%s%d", p, i), make([]byte, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	for after := ""; ; {
		items, err := s.List("b/", after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			got = append(got, it.Key)
			if it.Length != len(got)-1 || it.Version == 0 {
				t.Error(it)
			}
		}
		after = items[len(items)-1].Key
	}
	if len(got) != 10 || got[0] != "b/0" || got[9] != "b/9" {
		t.Error(got)
	}
}

func TestWatch(t *testing.T) {
	s, _ := fresh(t, 1<<20)
	ctx := context.Background()
	s.Put("x/1", nil)
	changes, next, err := s.Watch(ctx, "x/", 0)
	if err != nil || len(changes) != 1 || changes[0].Key != "x/1" {
		t.Fatal(changes, err)
	}
	done := make(chan []statefs.Change)
	go func() {
		c, _, _ := s.Watch(ctx, "x/", next)
		done <- c
	}()
	s.Put("y", nil)
	s.Delete("x/1")
	if c := <-done; len(c) != 1 || !c[0].Deleted {
		t.Error(c)
	}
	for i := range 300 {
		s.Put(fmt.Sprintf("y/%d", i), nil)
	}
	if _, now, err := s.Watch(ctx, "x/", next); err != statefs.ErrMissed || now != s.Info().Version {
		t.Error(now, err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, _, err := s.Watch(short, "z", s.Info().Version); err != context.DeadlineExceeded {
		t.Error(err)
	}
}

// A group has no more than its part, its keys are counted exactly, also when the store is
// opened again, and another group is not concerned.
func TestRejectQuota(t *testing.T) {
	_, d := fresh(t, 1<<20)
	opt := options(3)
	opt.GroupBytes, opt.GroupKeys = 5000, 10
	for round := range 3 {
		s, err := statefs.Open(d, opt)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; err == nil; n++ {
			err = s.Put(fmt.Sprintf("a/%d", n), make([]byte, 100))
		}
		if err != statefs.ErrQuota || n != 11 {
			t.Fatalf("round %d: key %d: %v", round, n, err)
		}
		if err := s.Put("b/1", make([]byte, 6000)); err != statefs.ErrQuota {
			t.Errorf("a value that is too much: %v", err)
		}
		if err := s.Put("b/1", make([]byte, 4096)); err != nil {
			t.Error(err)
		}
		var x statefs.Txn
		x.Delete("a/1")
		x.Put("a/new", nil)
		x.Put("b/1", make([]byte, 4096))
		if _, err := s.Commit(&x); err != nil {
			t.Error(err)
		}
		if err := s.Delete("a/new"); err != nil {
			t.Error(err)
		}
		if err := s.Put("a/1", nil); err != nil {
			t.Error(err)
		}
		if g := s.Groups(""); len(g) != 2 || g[0].Name != "a" || g[0].Keys != 10 || g[1].Keys != 1 || g[1].Live < 4096 || g[1].Live > 5000 {
			t.Errorf("groups: %+v", g)
		}
		if err := s.Audit(); err != nil {
			t.Error(err)
		}
	}
}

// Writers that commit at once share flushes: with 32 of them, and a device that is slower
// than they are, there are no more than two commits for what all of them put.
func TestSharedFlush(t *testing.T) {
	s, d := fresh(t, 1<<20)
	const writers = 32
	gate, first := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.Fault(func(o disksim.Op) error {
		if o.Kind == disksim.Flush {
			once.Do(func() { close(first) })
			<-gate
		}
		return nil
	})
	before := d.Counts().Flushes
	var all sync.WaitGroup
	put := func(i int) {
		if err := s.Put(fmt.Sprintf("key/%d", i), make([]byte, 256)); err != nil {
			t.Error(err)
		}
	}
	all.Go(func() { put(0) })
	<-first // it is at the device; whoever comes now waits for the next commit
	for i := 1; i < writers; i++ {
		all.Go(func() { put(i) })
	}
	for s.Waiting() < writers-1 {
		runtime.Gosched()
	}
	close(gate)
	all.Wait()
	if n := d.Counts().Flushes - before; n != 2 {
		t.Errorf("%d flushes for %d writers", n, writers)
	}
	d.Fault(nil)
	s = open(t, d)
	for i := range writers {
		want(t, s, fmt.Sprintf("key/%d", i), make([]byte, 256))
	}
}
