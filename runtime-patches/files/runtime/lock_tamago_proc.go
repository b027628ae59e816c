//go:build tamago && riscv64 && nexusproc

// Locks of the runtime in a process, on a word that the kernel lets threads wait for.
// What matters is the lock that is free: one exchange to take it and one to give it
// back, where lock_spinbit.go, which programs on a board have, needs a loop for each.
// With one M no lock can ever be found taken, since nothing interrupts it.

package runtime

import "internal/runtime/atomic"

// Values of a lock's word.
const (
	mutexFree    = 0
	mutexTaken   = 1
	mutexAwaited = 2 // and somebody may wait for it
)

// For sync.Mutex.
const (
	active_spin     = 4
	active_spin_cnt = 30
)

// lockSpins is how often a taken lock is looked at before the thread waits in the
// kernel: about as long as it takes to get there.
const lockSpins = 100

type mWaitList struct{}

func lockVerifyMSize() {}

func mutexContended(l *mutex) bool { return atomic.Loaduintptr(&l.key) == mutexAwaited }

// lock and unlock do not go through lockWithRank: ranks are checked elsewhere.

func lock(l *mutex) {
	getg().m.locks++
	if atomic.Xchguintptr(&l.key, mutexTaken) != mutexFree {
		lockSlow(&l.key)
	}
}

func lock2(l *mutex) { lock(l) }

// lockSlow takes a lock that was taken. lock2 may just have overwritten that others
// wait, so from here on the word says so, also when it is ours: at worst that is one
// wake-up for nobody.
func lockSlow(key *uintptr) {
	if singleM {
		throw("runtime lock: taken twice")
	}
	for range lockSpins {
		if atomic.Loaduintptr(key) == mutexFree && atomic.Casuintptr(key, mutexFree, mutexAwaited) {
			return
		}
	}
	for atomic.Xchguintptr(key, mutexAwaited) != mutexFree {
		futexsleep(key32(key), mutexAwaited, -1)
	}
}

func unlock(l *mutex) {
	if v := atomic.Xchguintptr(&l.key, mutexFree); v != mutexTaken {
		unlockSlow(&l.key, v)
	}
	gp := getg()
	mp := gp.m
	mp.locks--
	if mp.locks < 0 {
		throw("runtime unlock: lock count")
	}
	if mp.locks == 0 && gp.preempt {
		gp.stackguard0 = stackPreempt // newstack may have cleared it while locked
	}
}

func unlock2(l *mutex) { unlock(l) }

// unlockSlow wakes one of those that wait for a lock that had the value v.
func unlockSlow(key *uintptr, v uintptr) {
	if v == mutexFree {
		throw("runtime unlock: not locked")
	}
	futexwakeup(key32(key), 1)
}
