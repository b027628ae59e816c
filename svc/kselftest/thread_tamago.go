//go:build tamago && riscv64

package kselftest

import (
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/raw"
)

// threadBlock is what a thread of thread_riscv64.s knows.
type threadBlock struct {
	result uint64 // of the system call that it made
	count  uint64 // what it has done so far
	stop   uint64 // tells it to end
	word   uint32 // futex
	_      uint32
	gone   uint32 // futex, 0 when the thread has ended
	_      uint32
	turn   uint64 // odd when it is the thread's
	_      [16]byte
}

const threadBlockSize = 64

// Entries of the threads, in the order of threadEntries.
const (
	threadSpin = iota
	threadSleep
	threadEvent
	threadFault
	threadTurns
	threadFutexTurns
)

// turns takes turns with threadTurns until a time, by memory alone, and returns how
// often it came to its turn again.
func (b *threadBlock) turns(n, end uint64) (made uint64) {
	for made < n && raw.Ticks() < end {
		atomic.AddUint64(&b.turn, 1)
		for atomic.LoadUint64(&b.turn)&1 == 1 && raw.Ticks() < end {
		}
		if atomic.LoadUint64(&b.turn)&1 == 0 {
			made++
		}
	}
	return made
}

// futexTurns takes turns with threadFutexTurns: each sleeps while the word is the
// other's. A lost wake-up leaves both asleep.
func (b *threadBlock) futexTurns(n uint64) {
	var r ipc.Regs
	word := raw.AddressOf(&b.word)
	for range n {
		atomic.StoreUint32(&b.word, 1)
		r = ipc.Regs{A: [8]uint64{word, 1}}
		raw.Trap(abi.SysFutexWake, &r)
		for atomic.LoadUint32(&b.word) == 1 {
			r = ipc.Regs{A: [8]uint64{word, 1}}
			raw.Trap(abi.SysFutexWait, &r)
		}
	}
}

// block returns block i of a puppet, here and there. All are in what the two share.
func (p *process) block(i uint64) (here *threadBlock, there uint64) {
	at := raw.AddressOf(&p.page.out) + i*threadBlockSize
	return blockAt(at), at - p.at + p.page.self
}

// thread starts a thread of a puppet on block i.
func (p *process) thread(kind int, i uint64) (b *threadBlock, number uint64) {
	p.orderThread(kind, i)
	number = p.finish().A[0]
	check(int64(number) >= 0, "thread_create: %v", abi.Errno(-int64(number)))
	b, _ = p.block(i)
	return b, number
}

// orderThread orders a puppet to start a thread. The stack of that is never used.
func (p *process) orderThread(kind int, i uint64) {
	var entries [6]uint64
	threadEntries(&entries)
	b, there := p.block(i)
	*b = threadBlock{gone: 1}
	p.order(abi.SysThreadCreate, entries[kind], p.page.self+sharedSize, 0, there)
}

// join waits for the end of a thread of a puppet.
func (p *process) join(b *threadBlock, number uint64) {
	there := caller(p.call)
	there.sys(abi.SysThreadJoin, number, uint64(now()+int64(patience)))
	check(atomic.LoadUint32(&b.gone) == 0, "a thread that has ended did not say so in its word")
	there.sys(abi.SysThreadJoin, number)
}

// wake wakes sleepers of a puppet until n were woken.
func (p *process) wake(word, n uint64) {
	for end := now() + int64(patience); n > 0; {
		n -= caller(p.call).sys(abi.SysFutexWake, word, n)
		check(now() < end, "%d threads do not sleep where they should", n)
	}
}

// threads: a process has up to 16 threads, which share its memory and its event
// queue; it ends with the last of them, and they all end with it.
func threads(t *tester) {
	p := t.puppet()
	there := caller(p.call)
	b, n := p.thread(threadSpin, 0)
	for end, from := now()+int64(patience), atomic.LoadUint64(&b.count); atomic.LoadUint64(&b.count) == from; {
		check(now() < end, "a thread does not run while the first one waits")
	}
	check(n != 0 && there.sys(abi.SysThreadSelf) == 0, "two threads have the same number")
	atomic.StoreUint64(&b.stop, 1)
	p.join(b, n)
	there.refuse(abi.ENOENT, abi.SysThreadJoin, n+1<<32)

	// As many as there may be, then none, and again.
	for range 2 {
		var bs [abi.MaxThreads - 1]*threadBlock
		var ns [abi.MaxThreads - 1]uint64
		for i := range bs {
			bs[i], ns[i] = p.thread(threadSleep, uint64(i))
			check(ns[i] != n, "number %#x is given twice", n)
		}
		there.refuse(abi.ENOSPC, abi.SysThreadCreate, abi.ImageBase, p.page.self+sharedSize)
		for i := range bs {
			_, at := p.block(uint64(i))
			p.wake(at+24, 1)
			p.join(bs[i], ns[i])
			check(bs[i].result == 0, "a thread that was woken got %#x", bs[i].result)
		}
	}

	// The first thread waits for orders, so this one may not wait for events.
	b, n = p.thread(threadEvent, 1)
	atomic.StoreUint64(&b.stop, 1)
	for end := now() + int64(patience); atomic.LoadUint32(&b.gone) != 0; {
		check(now() < end, "a second thread that waits for events is not refused")
		caller(self).sys(abi.SysYield)
	}
	p.join(b, n)
	check(abi.Errno(-int64(b.result)) == abi.EBUSY, "a second thread that waits for events got %#x", b.result)

	there.refuse(abi.EINVAL, abi.SysThreadCreate, uint64(abi.UserBase)-4096, p.page.self+sharedSize)
	there.refuse(abi.EINVAL, abi.SysThreadCreate, abi.ImageBase, 0)
	there.refuse(abi.EFAULT, abi.SysThreadExit, 0x8020_0000)
	there.refuse(abi.EINVAL, abi.SysThreadJoin, 0)
	there.refuse(abi.EFAULT, abi.SysFutexWait, 0x8020_0000, 0)
	there.refuse(abi.EINVAL, abi.SysFutexWait, p.page.self+1, 0)

	// A fault of one ends all, whatever they do.
	f := t.puppetOf(t.puppetSpec("fault-thread"))
	f.thread(threadSpin, 0)
	f.thread(threadSleep, 1)
	f.orderThread(threadFault, 2) // it may be over before the order is carried out
	status := f.awaitEnd()
	s := f.state()
	check(status == abi.ExitFault && s[7] == 8, "after the fault of a thread its process ended with %d at address %#x", status, s[7])
	f.drop()
	p.drop()

	q := t.puppet()
	q.thread(threadSpin, 0)
	q.thread(threadSleep, 1)
	caller(self).sys(abi.SysProcessKill, q.handle)
	check(q.state()[0] == 0, "a process with threads outlives being killed")
	q.drop()
}

// futexes: a thread sleeps on a word until another one wakes it, its deadline passes,
// or not at all if the word has changed.
func futexes(t *tester) {
	p := t.puppet()
	there := caller(p.call)
	b, at := p.block(0)
	word := at + 24
	b.word = 7
	there.refuse(abi.EAGAIN, abi.SysFutexWait, word, 6)
	due := now() + 3*ms
	there.refuse(abi.ETIMEDOUT, abi.SysFutexWait, word, 7, uint64(due))
	check(now() >= due, "woken %d ns before the deadline", due-now())
	check(there.sys(abi.SysFutexWake, word, 9) == 0, "somebody sleeps on a word that gave up")

	const turns = 1000
	b, n := p.thread(threadFutexTurns, 0)
	p.do(opFutexTurns, at, turns)
	check(b.count == turns, "%d of %d turns", b.count, turns)
	atomic.StoreUint64(&b.stop, 1)
	atomic.StoreUint32(&b.word, 1) // it may not sleep yet
	there.sys(abi.SysFutexWake, word, 1)
	p.join(b, n)
	p.drop()
}

// parallelThreads: two threads of one process run on two harts at the same time, and
// see each other's memory.
func parallelThreads(t *tester) {
	const window, turns = ms / 4, 10 // a slice, in which one hart could make one turn, is longer than the window
	p := t.puppet()
	b, n := p.thread(threadTurns, 0)
	at := raw.AddressOf(b) - p.at + p.page.self
	for end := now() + int64(patience); p.do(opTurns, at, turns, uint64(window))[0] < turns; {
		check(now() < end, "two threads of a process do not run at the same time")
	}
	atomic.StoreUint64(&b.stop, 1)
	p.join(b, n)
	p.drop()
}
