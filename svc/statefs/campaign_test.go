package statefs_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

var (
	campaignRuns = flag.Int("campaign", 60, "seeds of the campaign of power cuts")
	campaignSeed = flag.Uint64("seed", 1, "its first seed")
)

// campaign is a store that is used until the power goes, again and again, and what it
// must hold.
type campaign struct {
	t     *testing.T
	rng   *rand.Rand
	disk  *disksim.Disk
	store *statefs.Store
	opt   statefs.Options
	model map[string][]byte // what was acknowledged
	after map[string][]byte // with the transaction that was under way, nil if none was
	cuts  int
	full  int
}

// TestCampaign cuts the power at random moments of random workloads on random devices:
// transactions, values with and without extents, sealed ones, a device that is full,
// moving, openings. Of what was not flushed any part survives, in any order, torn. After
// each cut everything acknowledged must be there and nothing else, but for the one
// transaction that was under way, which is there as a whole or not at all; and the check
// must find nothing.
func TestCampaign(t *testing.T) {
	for i := range *campaignRuns {
		seed := *campaignSeed + uint64(i)
		c := begin(t, seed)
		for range 6 {
			c.life(seed, c.rng.IntN(1200))
		}
		if testing.Verbose() && i%100 == 99 {
			t.Logf("seed %d: %d cuts, %d transactions refused because it was full", seed, c.cuts, c.full)
		}
	}
}

// TestEveryCut runs one workload once for each change of the disk that it makes, and cuts
// there, with several outcomes each.
func TestEveryCut(t *testing.T) {
	const outcomes = 3
	for seed := *campaignSeed + 1000; ; seed++ {
		c := begin(t, seed)
		c.disk.CutAfter(-1)
		c.work(300)
		changes := c.disk.Counts().Sectors + c.disk.Counts().Flushes
		if changes < 900 {
			continue // nothing was moved
		}
		step := max(1, changes*outcomes/max(300, *campaignRuns))
		for n := 0; n < changes; n += step {
			for outcome := range uint64(outcomes) {
				c := begin(t, seed)
				c.disk.CutAfter(n)
				c.work(300)
				c.rng = rand.New(rand.NewPCG(seed, outcome))
				c.cut(seed)
			}
		}
		return
	}
}

func begin(t *testing.T, seed uint64) *campaign {
	rng := rand.New(rand.NewPCG(seed, 0))
	sector := []int{512, 512, 4096}[rng.IntN(3)]
	c := &campaign{t: t, rng: rng, opt: options(seed), model: map[string][]byte{},
		disk: disksim.New(sector, int64(136+rng.IntN(400))<<10)}
	c.opt.CacheBytes = []int{1, 2000, 1 << 20}[rng.IntN(3)]
	if err := statefs.Format(c.disk, c.opt); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	c.open(seed)
	return c
}

// life is what happens between two power cuts.
func (c *campaign) life(seed uint64, sectors int) {
	c.disk.CutAfter(sectors)
	c.work(1 << 30)
	c.cut(seed)
	for c.store == nil { // the power went while it was opened
		c.cut(seed)
	}
}

// work commits random transactions until the power goes.
func (c *campaign) work(n int) {
	for ; n > 0 && c.store != nil; n-- {
		if c.rng.IntN(200) == 0 {
			if c.rng.IntN(2) == 0 {
				c.store.Close()
			}
			if c.store = nil; !c.disk.Off() {
				c.open(0)
			}
			continue
		}
		x, after := c.transaction()
		if c.rng.IntN(100) == 0 {
			if c.fail(x, after); c.disk.Off() {
				return
			}
			continue
		}
		_, err := c.store.Commit(x)
		switch {
		case err == nil:
			c.model = after
		case errors.Is(err, disksim.ErrCut):
			c.after = after
			return
		case errors.Is(err, statefs.ErrFull):
			c.full++
		case err == statefs.ErrTooLarge:
		default:
			c.t.Fatalf("commit: %v", err)
		}
	}
}

// fail has the disk fail within a commit, and opens the store again: what was under way is
// there or not, and stays so.
func (c *campaign) fail(x *statefs.Txn, after map[string][]byte) {
	kind := []disksim.Kind{disksim.Write, disksim.Flush}[c.rng.IntN(2)]
	c.disk.Fault(func(o disksim.Op) error {
		if o.Kind == kind {
			return disksim.ErrFault
		}
		return nil
	})
	_, err := c.store.Commit(x)
	c.disk.Fault(nil)
	if errors.Is(err, disksim.ErrFault) {
		c.after = after
	}
	if c.disk.Off() {
		return
	}
	if c.rng.IntN(3) == 0 {
		c.disk.CutAfter(c.rng.IntN(3))
	}
	if c.open(0); c.store == nil {
		return
	}
	got := c.all()
	if !same(got, c.model) && !(c.after != nil && same(got, c.after)) {
		c.t.Fatalf("after a fault the store has %s, acknowledged is %s, and under way was %s", show(got), show(c.model), show(c.after))
	}
	c.model, c.after = got, nil
}

// transaction returns a random transaction, and what there is after it.
func (c *campaign) transaction() (*statefs.Txn, map[string][]byte) {
	x, after := &statefs.Txn{}, maps.Clone(c.model)
	for range 1 + c.rng.IntN(1+c.rng.IntN(6)) {
		key := fmt.Sprintf("%c/%d", 'a'+c.rng.IntN(3), c.rng.IntN(20))
		if c.rng.IntN(5) == 0 {
			x.Delete(key)
			delete(after, key)
			continue
		}
		value := make([]byte, c.length())
		for i := range value {
			value[i] = byte(c.rng.Uint32())
		}
		if c.rng.IntN(4) == 0 {
			x.PutSealed(key, value)
		} else {
			x.Put(key, value)
		}
		after[key] = value
	}
	return x, after
}

func (c *campaign) length() int {
	switch c.rng.IntN(10) {
	case 0:
		return c.rng.IntN(c.store.MaxValue())
	case 1, 2:
		return c.rng.IntN(2000)
	}
	return c.rng.IntN(300)
}

// cut has the power go, and sees what is there when it comes back.
func (c *campaign) cut(seed uint64) {
	c.cuts++
	c.disk = disksim.Of(c.disk.SectorSize(), c.disk.After(c.rng))
	if report, err := statefs.Check(c.disk, &c.opt.Key); err != nil || len(report.Findings) > 0 {
		c.t.Fatalf("seed %d, cut %d: check: %v %v", seed, c.cuts, err, report.Findings)
	}
	if c.rng.IntN(4) == 0 {
		c.disk.CutAfter(c.rng.IntN(3))
	}
	if c.open(seed); c.store == nil {
		return
	}
	got := c.all()
	if !same(got, c.model) && !(c.after != nil && same(got, c.after)) {
		c.t.Fatalf("seed %d, cut %d: the store has %s, acknowledged is %s, and under way was %s", seed, c.cuts, show(got), show(c.model), show(c.after))
	}
	c.model, c.after = got, nil
}

// open opens the store. It leaves none if the power went.
func (c *campaign) open(seed uint64) {
	s, err := statefs.Open(c.disk, c.opt)
	if c.disk.Off() {
		c.store = nil
		return
	}
	if err != nil {
		c.t.Fatalf("seed %d, cut %d: open: %v", seed, c.cuts, err)
	}
	c.store = s
	if err := s.Audit(); err != nil {
		c.t.Fatalf("seed %d, cut %d: %v", seed, c.cuts, err)
	}
}

// all returns what the store says that it holds.
func (c *campaign) all() map[string][]byte {
	got := map[string][]byte{}
	for after := ""; ; {
		page, err := c.store.List("", after, 7)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(page) == 0 {
			return got
		}
		for _, k := range page {
			v, version, err := c.store.Get(nil, k.Key)
			if err != nil || len(v) != k.Length || version != k.Version {
				c.t.Fatalf("cut %d: %v: %d bytes, %v", c.cuts, k, len(v), err)
			}
			got[k.Key] = v
			after = k.Key
		}
	}
}

func same(a, b map[string][]byte) bool {
	return maps.EqualFunc(a, b, func(x, y []byte) bool { return bytes.Equal(x, y) })
}

func show(m map[string][]byte) string {
	s := fmt.Sprintf("%d keys:", len(m))
	for k, v := range m {
		s += fmt.Sprintf(" %s(%d:%.4x)", k, len(v), v)
	}
	return s
}

// TestCutUnderLoad has several goroutines commit at once, so that commits hold several
// transactions, until the power goes. Each puts pairs under keys of its own: afterwards
// both are there, and they are the last that was acknowledged or the one that was under
// way.
func TestCutUnderLoad(t *testing.T) {
	const writers = 8
	for i := range max(20, *campaignRuns/20) {
		seed := *campaignSeed + uint64(i)
		rng := rand.New(rand.NewPCG(seed, 2))
		d := disksim.New(512, 400<<10)
		opt := options(seed)
		if err := statefs.Format(d, opt); err != nil {
			t.Fatal(err)
		}
		acked, asked := [writers]int{}, [writers]int{}
		for life := range 4 {
			s, err := statefs.Open(d, opt)
			if err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			for w := range writers {
				n := 0
				for j := range 2 {
					v, _, err := s.Get(nil, fmt.Sprintf("%d/%d", w, j))
					m := 0
					if err == nil {
						fmt.Sscan(string(v[:10]), &m)
					}
					if j == 0 {
						n = m
					}
					if m != n || m < acked[w] || m > asked[w] {
						t.Fatalf("seed %d, life %d: writer %d has %d and %d; %d was acknowledged, %d asked for", seed, life, w, n, m, acked[w], asked[w])
					}
				}
				acked[w], asked[w] = n, n
			}
			d.CutAfter(rng.IntN(3000))
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for {
						asked[w]++
						v := []byte(fmt.Sprintf("%-10d", asked[w]))
						v = append(v, make([]byte, asked[w]*37%900)...)
						var x statefs.Txn
						x.Put(fmt.Sprintf("%d/0", w), v)
						x.Put(fmt.Sprintf("%d/1", w), v)
						if _, err := s.Commit(&x); err != nil {
							if !errors.Is(err, disksim.ErrCut) {
								t.Errorf("seed %d: %v", seed, err)
							}
							return
						}
						acked[w] = asked[w]
					}
				})
			}
			all.Wait()
			if err := s.Audit(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			d = disksim.Of(512, d.After(rng))
		}
	}
}
