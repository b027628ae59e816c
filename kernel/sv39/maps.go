package sv39

import "nexus.internal/kernel/mem"

// Maps reports whether a leaf of any size under root maps va.
func Maps(root mem.PA, va uint64) bool {
	if va != canonical(va) {
		return false
	}
	for level := 2; ; level-- {
		e := PTE(mem.Words(root)[va>>(pageShift+level*levelBits)%entries])
		if e.IsLeaf() {
			return true
		}
		if !e.IsTable() || level == 0 {
			return false
		}
		root = e.Addr()
	}
}
