package initd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nexus.internal/ipc"
)

// seedTimeout bounds how long a process waits for its entropy at its start: as long as
// rngd may wait for its device, which it asks again now and then.
const seedTimeout = 5 * time.Second

// errNoRNG refuses a system in which nobody gives out entropy.
var errNoRNG = errors.New("no service " + rngdName + " in the manifest")

// markEarly finds the services that must run before there is entropy: rngd, those that
// it calls, and those that they call. They start from the kernel's seed alone. The
// services binary, and rngd, hold no code that makes secrets of it.
func (s *supervisor) markEarly() error {
	var mark func(c *child)
	mark = func(c *child) {
		if c.early {
			return
		}
		c.early = true
		for _, call := range c.service.Calls {
			mark(s.byName(call.Name))
		}
	}
	rngd := s.byName(rngdName)
	if rngd == nil {
		return errNoRNG
	}
	mark(rngd)
	return nil
}

// seed is entropy for a process that is to be started. Who asked for it wipes it.
type seed [32]byte

// fetch fills b with entropy of rngd for a process of c: without it none is started,
// unless it must run before there is any. The lock must not be held.
func (s *supervisor) fetch(c *child, b *seed) error {
	if c.early {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	rngd := s.byName(rngdName)
	s.await(ctx, func() bool { return rngd.ready })
	if err := s.entropy.Read(ctx, b[:]); err != nil {
		return fmt.Errorf("no entropy: %w", err)
	}
	return nil
}

// dialRngd returns a capability to send to rngd.
func (s *supervisor) dialRngd(context.Context) (ipc.Endpoint[ipc.Send], error) {
	return s.dial(rngdName)
}
