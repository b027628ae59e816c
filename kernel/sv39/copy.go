package sv39

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
)

// What a leaf must have for the kernel to read or write it for a process.
// Writable leaves are readable too.
const (
	needRead  = V | U | R
	needWrite = V | U | W
)

// CopyIn fills dst from the memory of s at va. It reports false, with dst in any
// state, unless the whole range is readable user memory. An empty copy always
// succeeds.
func (s *Space) CopyIn(dst []byte, va uint64) bool {
	if !UserRange(va, uint64(len(dst))) {
		return false
	}
	for len(dst) > 0 {
		pa, ok := s.translate(va, needRead)
		if !ok {
			return false
		}
		n := min(len(dst), toPageEnd(va))
		copy(dst, mem.Bytes(pa, n))
		dst = dst[n:]
		va += uint64(n)
	}
	return true
}

// CopyOut writes src to the memory of s at va. It reports false unless the whole
// range is writable user memory; then the pages before the first bad one may
// have been written. An empty copy always succeeds.
func (s *Space) CopyOut(va uint64, src []byte) bool {
	if !UserRange(va, uint64(len(src))) {
		return false
	}
	for len(src) > 0 {
		pa, ok := s.translate(va, needWrite)
		if !ok {
			return false
		}
		n := min(len(src), toPageEnd(va))
		copy(mem.Bytes(pa, n), src)
		src = src[n:]
		va += uint64(n)
	}
	return true
}

// CopyAcross copies n bytes from srcVA in src to dstVA in dst, once. It reports
// false, possibly after it wrote a prefix, unless all of the source is readable
// and all of the destination writable user memory. If the two share memory and
// overlap, what is in the overlap afterwards is not defined. An empty copy
// always succeeds; a negative n never does.
func CopyAcross(dst *Space, dstVA uint64, src *Space, srcVA uint64, n int) bool {
	const span = abi.UserEnd - abi.UserBase
	if n <= 0 {
		return n == 0
	}
	if uint64(n) > span || max(dstVA-abi.UserBase, srcVA-abi.UserBase) > span-uint64(n) {
		return false
	}
	for {
		from, to := src.leaf(srcVA), dst.leaf(dstVA)
		if from&(needRead|Device) != needRead {
			if from = src.resolved(srcVA, from, needRead); from == 0 {
				return false
			}
		}
		if to&(needWrite|Device) != needWrite {
			if to = dst.resolved(dstVA, to, needWrite); to == 0 {
				return false
			}
		}
		k := min(n, int(pageSize-max(srcVA%pageSize, dstVA%pageSize)))
		mem.Copy(to.Addr()+mem.PA(dstVA%pageSize), from.Addr()+mem.PA(srcVA%pageSize), k)
		if n -= k; n == 0 {
			return true
		}
		srcVA += uint64(k)
		dstVA += uint64(k)
	}
}

// UserRange reports whether n bytes from va on are user addresses, mapped or not.
// No bytes are in range anywhere. It cannot overflow: the difference is only
// taken with va in range.
func UserRange(va, n uint64) bool {
	return n == 0 || va >= abi.UserBase && va < abi.UserEnd && n <= abi.UserEnd-va
}

func toPageEnd(va uint64) int { return int(pageSize - va%pageSize) }

// translate returns where the user address va is in physical memory if its leaf
// has the bits in need and is memory. A page that is not present is resolved first.
func (s *Space) translate(va uint64, need PTE) (mem.PA, bool) {
	e := s.leaf(va)
	if e&(need|Device) != need {
		if e = s.resolved(va, e, need); e == 0 {
			return 0, false
		}
	}
	return e.Addr() + mem.PA(va%pageSize), true
}

// resolved returns the leaf for the user address va, where e was found, which is not
// good for what is needed, once the page has been resolved, or 0.
func (s *Space) resolved(va uint64, e, need PTE) PTE {
	if e != 0 || s.Resolve == nil || !s.Resolve(s, va, need&W != 0) {
		return 0
	}
	if e = s.leaf(va); e&(need|Device) != need {
		return 0
	}
	return e
}
