package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/hart"
)

// With several harts, a hand-off between two processes that both ran on this hart last
// concerns no other hart. A process with one thread is at home where that ran last;
// only a hart that has the kernel to itself moves a thread from one hart to another, or
// gives a process a second one.
//
// So a hart that keeps all others from having the kernel to themselves may do what the
// direct path does with two processes that are at home on it. What it reads to find out
// may belong to a process that another hart changes at the same time in the same way:
// these are words which are right if the process is at home here, and else it is not.

// DirectAtHome makes the system call that ended the last run of t on hart h, if it is a
// call or reply of the direct path between processes at home on h, and returns the
// thread that runs next, with all its registers. Otherwise nothing has changed and the
// result is nil.
//
// It is the one method that harts may run at the same time; each holds a lock that
// whoever runs any other method needs too.
//
//go:nosplit
func (k *Kernel) DirectAtHome(h *Hart, t *Thread) (next *Thread) {
	if k.ended || !t.atHome(h) || t.proc.doomed {
		return nil
	}
	if o := h.fpOwner; o != 0 && k.threads[o%uint32(len(k.threads))].Frame.FPDirty() {
		return nil // another hart may run that thread next
	}
	x := &t.Frame.X
	if !t.Plain() {
		return nil
	}
	switch x[hart.A7] {
	case abi.SysCall:
		entry := &t.proc.handle[uint8(x[hart.A0])]
		if entry.word != x[hart.A0] || entry.node.send == nil || x[hart.A3]|x[hart.S10] != 0 {
			return nil
		}
		if s := entry.node.send.taker; s == nil || !s.atHome(h) {
			return nil
		}
		next, _ = k.CallDirect(h, t, x[hart.A1])
	case abi.SysReply:
		if s := k.byRight[x[hart.A0]<<rightGen>>rightGen].caller; s == nil || !s.atHome(h) || x[hart.A3] != 0 {
			return nil
		}
		next, _ = k.ReplyDirect(h, t, x[hart.A1])
	}
	if next != nil {
		next.Frame.TakePayload(&t.Frame)
	}
	return next
}

// atHome reports whether the process of t is at home on h, where t ran last.
func (t *Thread) atHome(h *Hart) bool { return t.hart == h.index && t.proc.numThreads == 1 }
