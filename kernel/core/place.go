package core

import (
	"math/bits"

	"nexus.internal/ipc/abi"
)

// This file decides which hart a thread is queued on. A thread that becomes ready goes
// where it can run at once, if there is such a hart; what is queued elsewhere comes over
// when a hart has nothing else.
//
// A server that is called directly runs on the hart of its caller whatever its own set
// of harts: the call is its caller's work. Once it is queued, its own set counts.

// may reports whether threads of p may be queued on h.
func (h *Hart) may(p *Process) bool { return p.qos.Harts()>>h.index&1 != 0 }

// place returns the hart for a thread that becomes ready in a class: the one where it
// ran last if that is idle, else another idle one, else the one where it ran last if a
// lower class runs there, else the one that runs the lowest class if that is lower, else
// where it ran last. Only harts of its process's set are considered, of which at least
// one is online.
func (k *Kernel) place(t *Thread, class abi.Class) *Hart {
	set, last := t.proc.qos.Harts()&k.online, t.hart
	if idle := k.idle & set; idle != 0 {
		if idle>>last&1 == 0 {
			last = uint32(bits.TrailingZeros32(idle))
		}
		k.idle &^= 1 << last // the next one goes elsewhere
		return &k.harts[last]
	}
	if set>>last&1 == 0 {
		last = uint32(bits.TrailingZeros32(set))
	}
	best, lowest := last, k.harts[last].level()
	if lowest >= class {
		for i := range k.harts {
			if l := k.harts[i].level(); set>>i&1 != 0 && l < class && l < lowest {
				best, lowest = uint32(i), l
			}
		}
	}
	return &k.harts[best]
}

// level returns the highest class that h runs or is about to.
func (h *Hart) level() abi.Class {
	if h.cur == nil {
		return highest[h.waiting]
	}
	return max(h.class, highest[h.waiting])
}

// steal queues on this hart, which has no ready thread, one thread that another has
// queued, of at most a class, the highest first, and reports whether there was one. A
// hart that runs a thread itself asks for no higher class than that one's, and only where
// another thread of the class stays.
//
// It is one thread each time, so that what is queued elsewhere stays there as long as it
// can, and so that nobody waits while many move.
func (k *Kernel) steal(most abi.Class, spare bool) bool {
	h := k.h
	h.pullAt = k.now() + sliceNS
	for class := int(most); class >= 0; class-- {
		for n := 1; n < MaxHarts; n++ {
			v := &k.harts[(int(h.index)+n)%MaxHarts]
			l := &v.ready[class]
			if spare && l.head == l.tail {
				continue
			}
			i := l.head
			for range stealScan {
				if i == 0 {
					break
				}
				t := &k.threads[i]
				if i = t.next; !h.may(t.proc) {
					continue
				}
				k.dequeue(t)
				k.enqueue(h, t, abi.Class(class))
				if h.cur != nil {
					h.sliceEnd = k.turn(h, h.cur.proc) + k.now()
				}
				k.stolen++
				return true
			}
		}
	}
	return false
}
