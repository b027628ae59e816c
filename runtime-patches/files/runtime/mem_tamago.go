//go:build tamago && riscv64

// Memory comes from one region [lo, hi) whose size is known at the start: the RAM
// of a board, or the demand-zero heap of a process. Heap arenas grow upward from
// the first arena boundary. Everything else (metadata, reservations) fills the
// gap below that boundary first and then grows down from the top, so that arenas
// stay contiguous and no alignment is lost. Nothing is given back.

package runtime

import "unsafe"

const isSbrkPlatform = true

var mem struct {
	lock      mutex
	gap       uintptr // next free byte below the first arena
	gapEnd    uintptr
	arena     uintptr // end of the arenas
	top       uintptr // lowest byte taken from the top
	start     uintptr
	end       uintptr
	exhausted uintptr // size of the first request that was refused, for a debugger
}

// meminit sets the region. It must run before mallocinit.
func meminit(lo, hi uintptr) {
	lo = alignUp(lo, physPageSize)
	hi = alignDown(hi, physPageSize)
	mem.start, mem.end = lo, hi
	mem.gap = lo
	mem.gapEnd = min(alignUp(lo, heapArenaBytes), hi)
	mem.arena = mem.gapEnd
	mem.top = hi
}

// memTake returns n bytes of zeroed memory for anything but arenas, or 0.
func memTake(n uintptr) uintptr {
	n = alignUp(n, physPageSize)
	lock(&mem.lock)
	var p uintptr
	switch {
	case n <= mem.gapEnd-mem.gap:
		p = mem.gap
		mem.gap += n
	case n <= mem.top-mem.arena:
		mem.top -= n
		p = mem.top
	case mem.exhausted == 0:
		mem.exhausted = n
	}
	unlock(&mem.lock)
	if p != 0 && !memFresh {
		memclrNoHeapPointers(unsafe.Pointer(p), n)
	}
	return p
}

func sysAllocOS(n uintptr, _ string) unsafe.Pointer {
	var p uintptr
	systemstack(func() { p = memTake(n) })
	return unsafe.Pointer(p)
}

func sysReserveOS(v unsafe.Pointer, n uintptr, _ string) unsafe.Pointer {
	if v != nil {
		return nil
	}
	return sysAllocOS(n, "")
}

// sysReserveAlignedSbrk reserves heap arenas. They are the only user of it with
// this alignment; anything else is refused by running out.
func sysReserveAlignedSbrk(size, align uintptr) (unsafe.Pointer, uintptr) {
	var p uintptr
	systemstack(func() {
		lock(&mem.lock)
		base := alignUp(mem.arena, align)
		if base >= mem.arena && base <= mem.top && size <= mem.top-base {
			p = base
			mem.arena = base + size
		} else if mem.exhausted == 0 {
			mem.exhausted = size
		}
		unlock(&mem.lock)
	})
	if p == 0 {
		return nil, 0
	}
	if !memFresh {
		memclrNoHeapPointers(unsafe.Pointer(p), size)
	}
	return unsafe.Pointer(p), size
}

// sysFreeOS takes memory back only if it was the last taken from the top, and
// clears it. The runtime frees little: tables that it has outgrown.
func sysFreeOS(v unsafe.Pointer, n uintptr) {
	n = alignUp(n, physPageSize)
	systemstack(func() {
		lock(&mem.lock)
		if uintptr(v) == mem.top {
			memclrNoHeapPointers(v, n)
			mem.top += n
		}
		unlock(&mem.lock)
	})
}

func sysMapOS(v unsafe.Pointer, n uintptr, _ string) {}

func sysUnusedOS(v unsafe.Pointer, n uintptr) {}

func sysUsedOS(v unsafe.Pointer, n uintptr) {}

func sysHugePageOS(v unsafe.Pointer, n uintptr) {}

func sysNoHugePageOS(v unsafe.Pointer, n uintptr) {}

func sysHugePageCollapseOS(v unsafe.Pointer, n uintptr) {}

func sysFaultOS(v unsafe.Pointer, n uintptr) {}

// needZeroAfterSysUnusedOS: sysUnused keeps the contents.
func needZeroAfterSysUnusedOS() bool { return true }
