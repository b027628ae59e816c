package core

import (
	"encoding/binary"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
	"nexus.internal/kernel/sv39"
)

// This file holds the system calls by which the threads of one process begin, end and
// wait for each other. A futex is a word of the process's memory that somebody waits
// on; the kernel keeps nothing for it but the waiting threads themselves. There are
// few threads in a process, so it looks at all of them.

// number returns by what t is known in its process: where it is in the table, and
// how many were there before.
func (k *Kernel) number(t *Thread) uint64 {
	return uint64(t.gen)<<32 | uint64((t.id-1)%threadsPerProcess)
}

// passed reports whether a deadline that a thread gave has passed already.
func (k *Kernel) passed(due uint64) bool { return due != 0 && int64(due) <= k.now() }

func (k *Kernel) sysThreadCreate(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if !sv39.UserRange(x[hart.A0], 4) || !sv39.UserRange(x[hart.A1]-1, 1) {
		return abi.EINVAL
	}
	n := k.newThread(p)
	if n == nil {
		return abi.ENOSPC
	}
	y := &n.Frame.X
	y[0], y[hart.SP], y[hart.A0], y[hart.S11] = x[hart.A0], x[hart.A1], x[hart.A2], x[hart.A3]
	x[hart.A0] = k.number(n)
	k.makeReady(n)
	return abi.OK
}

func (k *Kernel) sysThreadSelf(t *Thread) abi.Errno {
	t.Frame.X[hart.A0] = k.number(t)
	return abi.OK
}

// sysThreadExit ends the calling thread, and with the last one the process.
func (k *Kernel) sysThreadExit(t *Thread) abi.Errno {
	p, at := t.proc, t.Frame.X[hart.A0]
	if at%4 != 0 {
		return abi.EINVAL
	}
	if at != 0 {
		word := k.scratch[:4]
		clear(word)
		if !p.space.CopyOut(at, word) {
			return abi.EFAULT
		}
	}
	if p.numThreads == 1 {
		k.end(p, 0)
		return abi.OK
	}
	if at != 0 {
		k.wakeFutex(p, at, threadsPerProcess)
	}
	n := k.number(t)
	k.stop(t)
	threads := k.threadsOf(p)
	for i := range threads {
		if j := &threads[i]; j.state == threadJoining && j.object == n {
			k.wake(j, 0)
		}
	}
	k.pick()
	return abi.OK
}

func (k *Kernel) sysThreadJoin(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	n := x[hart.A0]
	threads, slot := k.threadsOf(p), uint32(n)
	if int(slot) >= len(threads) {
		return abi.ENOENT
	}
	target := &threads[slot]
	switch {
	case n == k.number(t):
		return abi.EINVAL
	case n>>32 > uint64(target.gen) || n>>32 == uint64(target.gen) && target.state == threadGone:
		return abi.ENOENT
	}
	if n == k.number(target) {
		if k.passed(x[hart.A1]) {
			return abi.ETIMEDOUT
		}
		t.state, t.object, t.waitDue = threadJoining, n, int64(x[hart.A1])
		p.asleep++
		k.block(t)
		k.pick()
	}
	x[hart.A0] = 0
	return abi.OK
}

func (k *Kernel) sysFutexWait(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	at := x[hart.A0]
	if at%4 != 0 || x[hart.A1]>>32 != 0 {
		return abi.EINVAL
	}
	word := k.scratch[:4]
	if !p.space.CopyIn(word, at) {
		return abi.EFAULT
	}
	// Whoever changes the word wakes its waiters afterwards, and that takes the kernel.
	if binary.LittleEndian.Uint32(word) != uint32(x[hart.A1]) {
		return abi.EAGAIN
	}
	if k.passed(x[hart.A2]) {
		return abi.ETIMEDOUT
	}
	p.futexOrder++
	t.state, t.object, t.order, t.waitDue = threadFutex, at, p.futexOrder, int64(x[hart.A2])
	x[hart.A0] = 0
	p.asleep++
	k.block(t)
	k.pick()
	return abi.OK
}

func (k *Kernel) sysFutexWake(t *Thread) abi.Errno {
	p, x := t.proc, &t.Frame.X
	if x[hart.A0]%4 != 0 {
		return abi.EINVAL
	}
	x[hart.A0] = k.wakeFutex(p, x[hart.A0], x[hart.A1])
	return abi.OK
}

// wakeFutex wakes those that wait on the word at an address, at most n of them, in
// the order in which they came.
func (k *Kernel) wakeFutex(p *Process, at, n uint64) (woken uint64) {
	threads := k.threadsOf(p)
	for ; woken < n; woken++ {
		var first *Thread
		for i := range threads {
			if t := &threads[i]; t.state == threadFutex && t.object == at && (first == nil || t.order < first.order) {
				first = t
			}
		}
		if first == nil {
			break
		}
		k.wake(first, 0)
	}
	return woken
}
