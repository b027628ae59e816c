//go:build tamago && riscv64 && nexusproc

// Locks of the runtime in a process. There is one M and nothing interrupts it, so
// a lock can never be found taken: it only counts (locks disable preemption) and
// catches mistakes. That is a fifth of the cost of a channel operation. More
// than one M needs lock_spinbit.go instead, which programs on a board have.

package runtime

const (
	active_spin     = 4
	active_spin_cnt = 30
)

type mWaitList struct{}

func lockVerifyMSize() {}

func mutexContended(l *mutex) bool { return false }

func lock(l *mutex) { lockWithRank(l, getLockRank(l)) }

func lock2(l *mutex) {
	if l.key != 0 {
		throw("runtime lock: taken twice")
	}
	l.key = 1
	getg().m.locks++
}

func unlock(l *mutex) { unlockWithRank(l) }

func unlock2(l *mutex) {
	if l.key == 0 {
		throw("runtime unlock: not locked")
	}
	l.key = 0
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
