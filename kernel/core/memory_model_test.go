package core

import (
	"slices"
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/sv39"
	"pgregory.net/rapid"
)

// modelObject is what a memory object must be: the first byte of each page.
type modelObject struct {
	handle [2]uint64 // of each process
	pages  []byte
	sealed bool
}

type modelMapping struct {
	*modelObject
	who      int
	va       uint64
	off, n   int // pages
	writable bool
}

// TestPropertyMemory makes, maps, writes, protects, seals, resizes and unmaps objects
// around 2 MiB in two processes, and compares what they read with a model, whatever
// leaves show it. After each step all tables agree.
func TestPropertyMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSim(rapidTB{t, rt})
		s.dirty()
		child, _ := s.spawn()
		q := [2]proc{s.root, child}
		var objects []*modelObject
		var maps []*modelMapping
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
		mapped := func(o *modelObject) (end int, busy bool) {
			for _, m := range maps {
				if m.modelObject == o {
					end, busy = max(end, m.off+m.n), true
				}
			}
			return end, busy
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				n := rapid.SampledFrom([]int{1, 3, 511, 512, 513, 1024, 1030}).Draw(rt, "pages")
				h := q[0].sys(abi.SysVMOCreate, uint64(n)*abi.PageSize)
				if errno := refusal(h); errno != abi.OK {
					if errno != abi.ENOMEM {
						rt.Fatal(errno)
					}
					return
				}
				objects = append(objects, &modelObject{handle: [2]uint64{h, s.give(q[0], h, abi.RightRead|abi.RightWrite, 0, q[1])}, pages: make([]byte, n)})
			},
			"map": func(rt *rapid.T) {
				if len(objects) == 0 {
					return
				}
				o := objects[pick(len(objects))]
				off := min(len(o.pages)-1, rapid.SampledFrom([]int{0, 0, 0, 1, 512}).Draw(rt, "offset"))
				n := min(len(o.pages)-off, rapid.SampledFrom([]int{1, 512, 513, 2000}).Draw(rt, "pages"))
				m := &modelMapping{o, pick(2), 0, off, n, rapid.Bool().Draw(rt, "writable")}
				rights, want := ro, abi.OK
				if m.writable {
					rights = rw
					if o.sealed {
						want = abi.ESEALED
					}
				}
				at := rapid.SampledFrom([]uint64{0, 0, 0, abi.MapBase + 8*runBytes, abi.MapBase + 12*runBytes + abi.PageSize}).Draw(rt, "where")
				m.va = q[m.who].sys(abi.SysVMOMap, o.handle[m.who], at, uint64(off)*abi.PageSize, uint64(n)*abi.PageSize, rights)
				if errno := refusal(m.va); errno != want && errno != abi.EOVERLAP {
					rt.Fatalf("map: %v, want %v", errno, want)
				} else if errno == abi.OK {
					maps = append(maps, m)
				}
			},
			"store": func(rt *rapid.T) {
				if len(maps) == 0 {
					return
				}
				m := maps[pick(len(maps))]
				i := rapid.IntRange(0, m.n-1).Draw(rt, "page")
				va := m.va + uint64(i)*abi.PageSize
				if !m.writable || m.sealed {
					if q[m.who].space.CopyOut(va, []byte{1}) {
						rt.Fatalf("written at %#x", va)
					}
					return
				}
				if !q[m.who].access(va, sv39.W) {
					rt.Fatalf("cannot be written at %#x", va)
				}
				m.pages[m.off+i] = rapid.Byte().Draw(rt, "byte")
				q[m.who].write(va, m.pages[m.off+i:][:1])
			},
			"load": func(rt *rapid.T) {
				if len(maps) == 0 {
					return
				}
				m := maps[pick(len(maps))]
				i := rapid.IntRange(0, m.n-1).Draw(rt, "page")
				va := m.va + uint64(i)*abi.PageSize
				if !q[m.who].access(va, sv39.R) {
					rt.Fatalf("cannot be read at %#x", va)
				}
				if got := q[m.who].read(va, 1)[0]; got != m.pages[m.off+i] {
					rt.Fatalf("%d at %#x, want %d", got, va, m.pages[m.off+i])
				}
			},
			"protect": func(rt *rapid.T) {
				if len(maps) == 0 {
					return
				}
				m := maps[pick(len(maps))]
				m.writable = false
				q[m.who].must(abi.SysVMOProtect, m.handle[m.who], ro, m.va, uint64(m.n)*abi.PageSize)
			},
			"unmap": func(rt *rapid.T) {
				if len(maps) == 0 {
					return
				}
				i := pick(len(maps))
				m := maps[i]
				q[m.who].must(abi.SysUnmap, m.va, uint64(m.n)*abi.PageSize)
				maps = append(maps[:i], maps[i+1:]...)
			},
			"seal": func(rt *rapid.T) {
				if len(objects) == 0 || rapid.IntRange(0, 3).Draw(rt, "really") != 0 {
					return
				}
				o := objects[pick(len(objects))]
				o.sealed = true
				q[1].must(abi.SysVMOSeal, o.handle[1])
			},
			"resize": func(rt *rapid.T) {
				if len(objects) == 0 {
					return
				}
				o := objects[pick(len(objects))]
				n := rapid.SampledFrom([]int{1, 2, 300, 512, 700, 1024}).Draw(rt, "pages")
				end, _ := mapped(o)
				errno := refusal(q[0].sys(abi.SysVMOResize, o.handle[0], uint64(n)*abi.PageSize))
				switch {
				case o.sealed:
					if errno != abi.ESEALED {
						rt.Fatalf("resize of a sealed object: %v", errno)
					}
				case end > n:
					if errno != abi.EBUSY {
						rt.Fatalf("resize of %d pages, mapped up to %d, to %d: %v", len(o.pages), end, n, errno)
					}
				case errno == abi.OK:
					o.pages = append(slices.Clone(o.pages[:min(n, len(o.pages))]), make([]byte, max(0, n-len(o.pages)))...)
				case errno != abi.ENOMEM:
					rt.Fatal(errno)
				}
			},
			"close": func(rt *rapid.T) {
				if len(objects) == 0 {
					return
				}
				i := pick(len(objects))
				if _, busy := mapped(objects[i]); busy {
					return
				}
				q[1].must(abi.SysCapClose, objects[i].handle[1])
				q[0].must(abi.SysCapClose, objects[i].handle[0])
				objects = append(objects[:i], objects[i+1:]...)
			},
			"": func(*rapid.T) { s.check() },
		})
	})
}
