package hart

import "sync/atomic"

// Lock is a spin lock between harts. It is not fair, and need not be: a hart holds
// it for the length of one kernel entry. It must not be taken twice by one hart.
type Lock struct{ held uint32 }

// Lock waits until the lock is free and takes it.
func (l *Lock) Lock() {
	for !atomic.CompareAndSwapUint32(&l.held, 0, 1) {
		for atomic.LoadUint32(&l.held) != 0 {
		}
	}
}

// Unlock frees the lock.
func (l *Lock) Unlock() { atomic.StoreUint32(&l.held, 0) }
