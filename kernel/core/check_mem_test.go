package core

import (
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
)

func (c *checker) vmoTable() {
	used := 0
	for i := 1; i <= maxVMOs; i++ {
		v := &c.vmos[i]
		if v.size == 0 {
			continue
		}
		used++
		c.want(v.refs == c.refs.vmos[i] && v.maps == c.refs.maps[i], "vmo %d: %d references and %d maps, counted %d and %d", i, v.refs, v.maps, c.refs.vmos[i], c.refs.maps[i])
		n, prev := uint32(0), uint32(0)
		for ref := v.first; ref != 0 && n <= v.maps; n++ {
			p, r := c.regionAt(ref)
			c.want(p.state == procLive && int(ref%regionsPerProcess) < p.numRegions && r.vmo == uint32(i) && r.prev == prev, "vmo %d: broken list of mappings at %d", i, ref)
			c.want(r.kind != regionShare || !v.sealed || r.perm&sv39.Perm(sv39.W) == 0, "vmo %d is sealed and proc %d can write it at %#x", i, p.id, r.start)
			c.want(!r.user || r.off+r.end-r.start <= v.size, "vmo %d of %#x bytes is mapped up to %#x by proc %d", i, v.size, r.off+r.end-r.start, p.id)
			prev, ref = ref, r.next
		}
		c.want(n == v.maps, "vmo %d: %d mappings on its list, count says %d", i, n, v.maps)
		c.want(!v.code || v.sealed || v.immutable(), "vmo %d can be executed and is not sealed", i)
		if v.immutable() {
			continue
		}
		c.want((v.refs+v.maps == 0) == c.kept[i], "vmo %d: named %d times and mapped %d times, kept back: %v", i, v.refs, v.maps, c.kept[i])
		if p := &c.procs[v.owner]; p.state == procLive && p.pid == v.pid {
			c.owned.vmos[v.owner]++
		}
		if v.dev != 0 {
			n := int(v.size / abi.PageSize)
			c.want(v.base != 0 && v.index == 0 && v.account.Used() == n && v.account.Limit() == n, "vmo %d: DMA buffer of %d frames at %#x, account says %d of %d", i, n, v.base, v.account.Used(), v.account.Limit())
			continue
		}
		frames := 1
		for t, table := range mem.Words(v.index) {
			if table == 0 {
				continue
			}
			frames++
			pages := leafTable(table)
			for j, pa := range pages {
				if table&runBit != 0 && (pages[0]%runBytes != 0 || pa != pages[0]+uint64(j)*abi.PageSize) {
					c.want(false, "vmo %d: page %d of run %d is %#x, the first %#x", i, j, t, pa, pages[0])
				}
				if pa != 0 {
					frames++
					if at := uint64(t*pagesPerTable+j) * abi.PageSize; at >= v.size {
						c.want(false, "vmo %d of %#x bytes has a page at %#x", i, v.size, at)
					}
				}
			}
		}
		c.want(v.account.Used() == frames && v.account.Limit() == vmoFrames(v.size), "vmo %d: %d frames, account says %d of %d", i, frames, v.account.Used(), v.account.Limit())
	}
	for i := range c.procs {
		p := &c.procs[i]
		c.want(p.state != procLive || p.numVMOs == c.owned.vmos[i], "proc %d: %d memory objects, count says %d", i, c.owned.vmos[i], p.numVMOs)
	}
	c.want(used+freeList(c.freeVMOs, func(i uint32) uint32 { return c.vmos[i].next }) == maxVMOs, "%d memory objects used, the rest is not free", used)
}

// frames checks that every frame is charged to whoever has it, and that no space
// maps what it has no right to.
func (c *checker) frames() {
	used, reserved := 1+c.hog.Used(), c.hog.Limit()-c.hog.Used()
	for i := range c.procs {
		p := &c.procs[i]
		if p.state != procLive {
			continue
		}
		used += p.acct.Used()
		reserved += p.acct.Limit() - p.acct.Used()
		own := 1 // the root
		sv39.Audit(p.space.Root, func(va uint64, level int, e sv39.PTE) {
			if !e.IsLeaf() || e&sv39.Owned != 0 {
				own++
			}
			if e.IsLeaf() {
				want := sv39.Perm(sv39.U | sv39.R)
				if r := p.regionOf(va); r != nil {
					want = r.perm
				} else if va < abi.StartPage {
					want = 0
				}
				if r := p.regionOf(va); (e&sv39.Device != 0) != (r != nil && r.kind == regionDevice) || e&sv39.Device != 0 && e.Addr() != c.devices[r.dev].Base+mem.PA(r.off+va-r.start) {
					c.want(false, "proc %d: %#x is mapped to %#x, region %+v", i, va, e, r)
				}
				size := uint64(abi.PageSize)
				if level == 1 {
					size = runBytes
				}
				for at := va; at < va+size; at += abi.PageSize {
					if r := p.regionOf(at); r != nil && r.kind == regionShare && p.space.Lookup(at).Addr() != c.present(&c.vmos[r.vmo], (r.off+at-r.start)/abi.PageSize) {
						c.want(false, "proc %d: %#x is mapped to %#x, which its object does not have there", i, at, p.space.Lookup(at))
					}
				}
				c.want(level == 0 || p.regionOf(va) != nil && p.regionOf(va) == p.regionOf(va+size-1), "proc %d: a leaf of 2 MiB at %#x is not in one region", i, va)
				if e.Perm() != want || e&(sv39.W|sv39.X) == sv39.W|sv39.X {
					c.want(false, "proc %d: %#x is mapped with %#x, want %#x", i, va, e.Perm(), want)
				}
			}
		})
		c.want(own == p.acct.Used(), "proc %d: %d frames in its space, account says %d", i, own, p.acct.Used())
	}
	for i := range c.vmos {
		if v := &c.vmos[i]; v.size != 0 && !v.immutable() {
			used += v.account.Used()
			reserved += v.account.Limit() - v.account.Used()
		}
	}
	c.checkTLBs()
	c.want(c.pool.Total()-c.pool.Free() == used, "%d frames taken, %d accounted for", c.pool.Total()-c.pool.Free(), used)
	c.want(c.pool.Unreserved() == c.pool.Free()-reserved, "%d frames unreserved, expected %d", c.pool.Unreserved(), c.pool.Free()-reserved)
}

// checkTLBs checks that no hart has cached what the page tables do not say any more.
func (s *sim) checkTLBs() {
	for key, e := range s.tlb {
		p := &s.procs[key.asid]
		if p.state != procLive || p.space.Lookup(key.page*abi.PageSize) != e {
			s.tb.Errorf("TLB of hart %d holds %#x for %#x of proc %d: fence missing", key.hart, e, key.page*abi.PageSize, key.asid)
		}
	}
}
