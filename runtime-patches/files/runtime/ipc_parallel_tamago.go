//go:build tamago && riscv64 && nexusproc

// Waiting for the kernel with several Ms. The events of the process go to whoever
// asks, but only one thread may block for them: the *poller*, which has set
// sched.lastpoll to 0, as for netpoll of other systems. It is either an idle M
// without a P in netpoll, or the M of a goroutine on the direct path, which keeps its
// P: then no other M has one. Whatever makes that untrue, or needs that P, or wants to
// be woken before sched.pollUntil, breaks the wait by a notification. All others poll.
//
// There is no sysmon. What it does elsewhere happens at the end of a time slice: the
// goroutine that used it up gives way, and on its way through the scheduler its M
// polls, and wakes another M if a P is idle, which fires timers and becomes the poller.

package runtime

import (
	"internal/runtime/atomic"
	"runtime/goos"
	"unsafe"
)

// breakKey is the key of the notification that ends a wait. No slot has it: their
// generations are never 0.
const breakKey = 1

var parallel struct {
	breaker  uint64         // the notification
	breaking atomic.Uint32  // 1 while it is on its way
	direct   atomic.Uintptr // the M that waits with its P, 0 if none does
}

func netpollinit() {
	if singleM {
		return
	}
	r := goos.Syscall3(goos.SysNotificationCreate, breakKey, 0, 0)
	if r < 0 {
		throw("netpollinit: no notification")
	}
	parallel.breaker = uint64(r)
}

// netpollBreak ends the wait of the poller, or the next one if it does not wait yet.
func netpollBreak() {
	if !singleM && parallel.breaking.Swap(1) == 0 {
		goos.Syscall3(goos.SysNotify, parallel.breaker, 1, 0)
	}
}

const preemptMSupported = true

// preemptM makes mp give up a direct wait. Everything else that it may do ends with
// its time slice.
func preemptM(mp *m) {
	if parallel.direct.Load() == uintptr(unsafe.Pointer(mp)) {
		netpollBreak()
	}
}

// netpoll collects events, without waiting if delay is 0, until there is one if it
// is negative, else for delay nanoseconds. It returns the goroutines that can run.
func netpoll(delay int64) (list gList, delta int32) {
	if singleM {
		return // beforeIdle and pollEvents do it
	}
	flags, until := int64(0), int64(0)
	if delay == 0 {
		flags = goos.FlagNoWait
	} else if delay > 0 {
		until = nanotime() + delay
	}
	var r goos.Regs
	for range pollBatch {
		if gp := waitEvent(&r, flags, until); gp != nil {
			list.push(gp)
		} else if int64(r.A[0]) <= goos.EventNone {
			break
		}
		flags = goos.FlagNoWait
	}
	return
}

// dispatchParallel is dispatch for one of several Ms.
//
//go:nowritebarrier
func dispatchParallel(r *goos.Regs, flags int64) *g {
	if r.A[1] == breakKey {
		if flags != 0 && sched.lastpoll.Load() == 0 {
			// Not for us: the poller has not begun to wait.
			goos.Syscall3(goos.SysNotify, parallel.breaker, 1, 0)
			r.A[0] = goos.EventNone
		} else {
			parallel.breaking.Store(0)
		}
		return nil
	}
	lock(&ipc.lock)
	gp := dispatch(r)
	unlock(&ipc.lock)
	return gp
}

// pollParallel is pollEvents for one of several Ms.
func pollParallel(pp *p) {
	if parallel.direct.Load() != 0 {
		netpollBreak() // it is not alone any more
	}
	if !netpollAnyWaiters() || !ipc.poll && pp.schedtick%pollPeriod != 0 {
		return
	}
	ipc.poll = false
	list, _ := netpoll(0)
	injectglist(&list)
}

// ipcParallel is nexus_ipc for a goroutine of one of several Ms.
func ipcParallel(s *slot, key, num uint64, r *goos.Regs) {
	mp := acquirem() // the poller must not be preempted
	until, direct := beginDirect(mp)
	if num == goos.SysWait && takeEvent(s, r) {
		// Collected by another M, none of which has a P now if this one is direct.
		if direct {
			endDirect()
		}
		releasem(mp)
		return
	}
	if !direct {
		r.A[1] |= goos.FlagNoWait
	} else if num == goos.SysCall {
		r.S10 = uint64(until)
	} else {
		r.A[3] = uint64(until)
	}
	right := s.right
	if num != goos.SysCall {
		s.right = 0 // another M may get the next request before this one is back
	}
	goos.Syscall(num, r)
	if direct {
		endDirect()
	}
	event := r.A[0]
	if int64(event) < 0 {
		if num != goos.SysCall {
			s.right = right
		}
		releasem(mp)
		return
	}
	var rearmed, wake *g
	mine := false
	lock(&ipc.lock)
	if num != goos.SysCall {
		rearmed = unpark(&s.cancelGp)
	}
	switch {
	case event == goos.EventNone:
	case r.A[1] == breakKey:
		parallel.breaking.Store(0)
	case r.A[1] == key && event <= goos.EventNotify:
		mine = true
		if event == goos.EventRequest {
			s.right = r.A[4]
		}
	default:
		wake = dispatch(r)
	}
	unlock(&ipc.lock)
	if rearmed != nil {
		goready(rearmed, 1)
	}
	if wake != nil {
		goready(wake, 1)
	}
	crowded := !direct && !(runqempty(mp.p.ptr()) && sched.runq.empty())
	releasem(mp)
	if !mine {
		waitSlot(s, r)
	} else if crowded {
		Gosched() // a goroutine that only calls must not starve the others
	}
}

// beginDirect makes mp the poller, with its P and the goroutine that it runs, if
// nothing else in the process can run and nobody polls. It returns when the next
// timer is due (0: none).
func beginDirect(mp *m) (until int64, ok bool) {
	pp := mp.p.ptr()
	if debug.asyncpreemptoff != 0 || sched.npidle.Load() != gomaxprocs-1 || sched.nmspinning.Load() != 0 || !runqempty(pp) || !sched.runq.empty() || gcBlackenEnabled != 0 ||
		fingStatus.Load()&(fingWait|fingWake) == fingWait|fingWake || gcCleanups.needsWake() || traceEnabled() {
		return 0, false
	}
	if sched.lastpoll.Load() == 0 || sched.lastpoll.Swap(0) == 0 {
		return 0, false
	}
	// From here on an M that makes a timer breaks the wait.
	until = checkTimersNoP(allp, timerpMask, 0)
	sched.pollUntil.Store(until)
	parallel.direct.Swap(uintptr(unsafe.Pointer(mp)))
	// From here on an M that wants the P breaks the wait.
	if mp.curg.preempt || sched.gcwaiting.Load() || pp.runSafePointFn != 0 || until != 0 && until <= nanotime1() {
		endDirect()
		return 0, false
	}
	flushErr()
	return until, true
}

func endDirect() {
	parallel.direct.Store(0)
	sched.pollUntil.Store(0)
	sched.lastpoll.Store(1) // any time but 0
}
