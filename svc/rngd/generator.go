package rngd

import (
	"context"
	"sync"
	"time"
)

// When the generator takes new entropy: before the first request that comes so much
// later, or after so many.
const (
	reseedAfter    = time.Minute
	reseedRequests = 256
)

// seedBytes is how much of the source goes into a seed: at four bits in a byte twice
// what the generator has state for.
const seedBytes = 128

// generator makes what is given out of what the source says.
type generator struct {
	mu     sync.Mutex
	source *source
	drbg   *drbg
	now    func() time.Time
	seeded time.Time
	served int // requests since
}

func newGenerator(ctx context.Context, s *source, now func() time.Time) (*generator, error) {
	g := &generator{source: s, now: now, seeded: now()}
	var seed [seedBytes + seedBytes/2]byte
	defer clear(seed[:])
	if err := s.read(ctx, seed[:]); err != nil {
		return nil, err
	}
	g.drbg = newDRBG(seed[:seedBytes], seed[seedBytes:])
	return g, nil
}

// read fills b, of at most rng.MaxBytes. It fails when new entropy is due and there is
// none: what is known to be stale is not given out.
func (g *generator) read(ctx context.Context, b []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); g.served >= reseedRequests || now.Sub(g.seeded) >= reseedAfter {
		var seed [seedBytes]byte
		defer clear(seed[:])
		if err := g.source.read(ctx, seed[:]); err != nil {
			return err
		}
		g.drbg.reseed(seed[:])
		g.seeded, g.served = now, 0
	}
	g.served++
	g.drbg.generate(b)
	return nil
}
