package sv39

import "nexus.internal/kernel/mem"

// Audit calls visit for every valid entry under root, tables and leaves, in
// ascending order of address, an entry before what it points to. The level is 2
// in the root and 0 for pages of 4 KiB; va is the first address that the entry
// stands for, sign-extended like the hardware wants it. It reads any tables,
// whoever made them, and does not follow an entry of level 0 that claims to
// point to a table.
func Audit(root mem.PA, visit func(va uint64, level int, e PTE)) {
	walk(root, func(va uint64, level int, e PTE) bool {
		visit(va, level, e)
		return true
	})
}

// FindWX returns the first address under root whose leaf is writable and
// executable. It looks at every leaf of every level.
func FindWX(root mem.PA) (va uint64, found bool) {
	walk(root, func(at uint64, _ int, e PTE) bool {
		if e&(W|X) == W|X {
			va, found = at, true
		}
		return !found
	})
	return va, found
}

// walk visits entries like [Audit] until visit returns false.
func walk(root mem.PA, visit func(va uint64, level int, e PTE) bool) {
	for i2, e2 := range mem.Words(root) {
		va2 := canonical(uint64(i2) * gigaPage)
		if e2&V == 0 {
			continue
		}
		if !visit(va2, 2, PTE(e2)) {
			return
		}
		if !PTE(e2).IsTable() {
			continue
		}
		for i1, e1 := range mem.Words(PTE(e2).Addr()) {
			va1 := va2 + uint64(i1)*megaPage
			if e1&V == 0 {
				continue
			}
			if !visit(va1, 1, PTE(e1)) {
				return
			}
			if !PTE(e1).IsTable() {
				continue
			}
			for i0, e0 := range mem.Words(PTE(e1).Addr()) {
				if e0&V != 0 && !visit(va1+uint64(i0)*pageSize, 0, PTE(e0)) {
					return
				}
			}
		}
	}
}

// canonical extends bit 38 of va through the upper bits.
func canonical(va uint64) uint64 {
	const unused = 64 - (pageShift + 3*levelBits)
	return uint64(int64(va<<unused) >> unused)
}
