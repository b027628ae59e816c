package statefsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/statefs"
)

// retry is how long after a failure the store is not opened again: opening reads the disk.
const retry = time.Second

// errLater says that the last attempt to open the store has only just failed.
var errLater = errors.New("the store could not be opened a moment ago")

// gone reports whether an error of a partition says that it must be opened again.
func gone(err error) bool {
	return errors.Is(err, ipc.ErrClosed) || errors.Is(err, blk.StatusStale) || errors.Is(err, blk.StatusBroken)
}

// keeper keeps the store open: after an error of the disk the next request has it opened
// again.
type keeper struct {
	open func(context.Context) (*statefs.Store, error)
	now  func() int64
	log  *slog.Logger

	mu    sync.RWMutex
	store *statefs.Store
	next  int64 // not opened before
}

// opened returns the store if it is open, else nil.
func (k *keeper) opened() *statefs.Store {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.store
}

// get returns the store, and opens it if need be.
func (k *keeper) get(ctx context.Context) (*statefs.Store, error) {
	if s := k.opened(); s != nil {
		return s, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store != nil {
		return k.store, nil
	}
	now := k.now()
	if now < k.next {
		return nil, errLater
	}
	s, err := k.open(ctx)
	if err != nil {
		k.next = k.now() + int64(retry)
		k.log.Error("no store", "err", err)
		return nil, err
	}
	i := s.Info()
	k.log.Info("store", "generation", i.Generation, "keys", i.Keys, "live", i.Live, "capacity", i.Capacity)
	k.store = s
	return s, nil
}

// drop gives a store up that has failed.
func (k *keeper) drop(s *statefs.Store, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store != s {
		return
	}
	s.Stop(fmt.Errorf("given up: %w", err)) // before another one is opened on the same disk
	k.store = nil
	k.log.Error("store given up", "err", err)
}
