package statefs_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

// registers is what the store is to who uses it: some keys, each with a value that was
// never put before, or 0.
type registers [4]uint64

// action is a transaction, or the reading of a key.
type action struct {
	read   int       // which key, or -1
	expect registers // of those that are marked
	checks [4]bool
	set    registers
	sets   [4]bool
}

// outcome is what came of it. What is not known counts as done, at any later time: if it
// was never done, that is after everything else.
type outcome struct {
	value    uint64 // read
	conflict bool
	unknown  bool
}

var linear = porcupine.Model{
	Init: func() any { return registers{} },
	Step: func(state, in, out any) (bool, any) {
		s, a, o := state.(registers), in.(action), out.(outcome)
		if a.read >= 0 {
			return o.unknown || o.value == s[a.read], s
		}
		met := true
		for k := range s {
			met = met && (!a.checks[k] || s[k] == a.expect[k])
		}
		if !o.unknown && o.conflict == met {
			return false, s
		}
		for k := range s {
			if met && a.sets[k] {
				s[k] = a.set[k]
			}
		}
		return true, s
	},
	Equal: func(a, b any) bool { return a.(registers) == b.(registers) },
}

// TestLinearizable has clients read, and commit transactions over several keys with and
// without expectations, at once and over power cuts, while the store moves what it has.
// What each of them saw must be explained by an order in which everything was done, one
// after the other.
func TestLinearizable(t *testing.T) {
	const clients = 5
	for i := range max(4, *campaignRuns/50) {
		seed := *campaignSeed + uint64(i)
		rng := rand.New(rand.NewPCG(seed, 3))
		d := disksim.New(sector, 144<<10)
		opt := options(seed)
		opt.CacheBytes = 1 + int(seed%2)*10000
		if err := statefs.Format(d, opt); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var history []porcupine.Operation
		var unique atomic.Uint64
		start := time.Now()
		for range 3 {
			s, err := statefs.Open(d, opt)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			d.CutAfter(400 + rng.IntN(600))
			d.Fault(func(o disksim.Op) error {
				if o.Kind == disksim.Flush { // as long as a device takes: others come meanwhile
					time.Sleep(50 * time.Microsecond)
				}
				return nil
			})
			var all sync.WaitGroup
			for c := range clients {
				rng := rand.New(rand.NewPCG(rng.Uint64(), 4))
				all.Go(func() {
					client := &client{store: s, rng: rng, unique: &unique}
					for n := 0; n < 120; n++ {
						a := client.choose()
						call := time.Since(start).Nanoseconds()
						o := client.do(a)
						end := time.Since(start).Nanoseconds()
						if o.unknown {
							end = math.MaxInt64
						}
						mu.Lock()
						history = append(history, porcupine.Operation{ClientId: c, Input: a, Call: call, Output: o, Return: end})
						mu.Unlock()
						if o.unknown {
							return
						}
					}
				})
			}
			all.Wait()
			d = disksim.Of(sector, d.After(rng))
		}
		// A client whose outcome is not known is another one afterwards.
		for i := range history {
			if history[i].Return == math.MaxInt64 {
				history[i].ClientId = clients + i
			}
		}
		if got := porcupine.CheckOperationsTimeout(linear, history, time.Minute); got != porcupine.Ok {
			t.Fatalf("seed %d: %d operations: %v", seed, len(history), got)
		}
	}
}

// client remembers the versions of what it saw.
type client struct {
	store  *statefs.Store
	rng    *rand.Rand
	unique *atomic.Uint64
	seen   registers
	at     [4]uint64 // versions
}

func key(k int) string { return fmt.Sprintf("key/%d", k) }

func (c *client) choose() action {
	a := action{read: -1}
	if c.rng.IntN(3) == 0 {
		a.read = c.rng.IntN(4)
		return a
	}
	for range 1 + c.rng.IntN(3) {
		k := c.rng.IntN(4)
		a.sets[k] = true
		if c.rng.IntN(4) > 0 {
			a.set[k] = c.unique.Add(1)
		}
		if k := c.rng.IntN(4); c.rng.IntN(2) == 0 {
			a.checks[k], a.expect[k] = true, c.seen[k]
		}
	}
	return a
}

func (c *client) do(a action) outcome {
	if a.read >= 0 {
		v, version, err := c.store.Get(nil, key(a.read))
		switch err {
		case nil:
			c.seen[a.read], c.at[a.read] = binary.LittleEndian.Uint64(v), version
		case statefs.ErrNotFound:
			c.seen[a.read], c.at[a.read] = 0, 0
		default:
			return outcome{unknown: true}
		}
		return outcome{value: c.seen[a.read]}
	}
	var x statefs.Txn
	for k := range a.sets {
		if a.checks[k] {
			x.Expect(key(k), c.at[k])
		}
	}
	for k := range a.sets {
		switch {
		case a.sets[k] && a.set[k] != 0:
			v := binary.LittleEndian.AppendUint64(nil, a.set[k])
			x.Put(key(k), append(v, make([]byte, 8*(a.set[k]%100))...))
		case a.sets[k]:
			x.Delete(key(k))
		}
	}
	version, err := c.store.Commit(&x)
	switch err {
	case nil:
		for k := range a.sets {
			if a.sets[k] {
				c.seen[k], c.at[k] = a.set[k], version
				if a.set[k] == 0 {
					c.at[k] = 0
				}
			}
		}
		return outcome{}
	case statefs.ErrConflict:
		return outcome{conflict: true}
	}
	return outcome{unknown: true}
}
