package sv39_test

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/sv39"
	"pgregory.net/rapid"
)

// TestSpaceModel drives two spaces of one account at random and compares them
// with maps of what should be there. After every step no leaf is writable and
// executable, the tables hold exactly the model's pages, and every frame of the
// account is a table, an owned page or one that the test holds.
func TestSpaceModel(t *testing.T) {
	m := newMachine(t, 12) // a few steps can spend it
	total := m.pool.Free()
	rapid.Check(t, func(t *rapid.T) {
		type mapping struct {
			pa    mem.PA
			perm  sv39.Perm
			owned bool
			mega  bool // part of a leaf of 2 MiB
		}
		type space struct {
			sv39.Space
			pages map[uint64]mapping
		}
		var spaces [2]space
		shared, ok := m.pool.Take(&m.acct)
		if !ok {
			t.Fatal("no frame")
		}

		// Few addresses around the seams of tables, so that things collide.
		addr := rapid.Custom(func(t *rapid.T) uint64 {
			base := rapid.SampledFrom([]uint64{abi.UserBase, abi.HeapBase, abi.HeapBase + mega, abi.HeapBase + giga, abi.UserEnd - 4*page}).Draw(t, "base")
			return base + uint64(rapid.IntRange(-2, 2).Draw(t, "page"))*page
		})
		perms := rapid.SampledFrom([]sv39.Perm{rw, rw, rw, ro, ro, rx, xo, rw | sv39.X, sv39.U | sv39.W, sv39.R, 0})
		pick := rapid.IntRange(0, len(spaces)-1)
		user := func(va uint64) bool { return va >= abi.UserBase && va < abi.UserEnd }
		permErr := func(p sv39.Perm) abi.Errno {
			switch p {
			case ro, rw, rx, xo:
				return abi.OK
			case rw | sv39.X:
				return abi.EWX
			}
			return abi.EINVAL
		}
		// live picks a space and makes it if it does not exist. It returns nil if
		// the budget is spent. Nothing here skips an action after a draw: the
		// library ends a sequence that does so often.
		live := func(t *rapid.T) *space {
			s := &spaces[pick.Draw(t, "space")]
			if s.Root != 0 {
				return s
			}
			made, errno := sv39.NewSpace(m.pool, &m.acct, m.kernel)
			if errno == abi.ENOMEM && m.acct.Used() == m.acct.Limit() {
				return nil
			}
			if errno != abi.OK {
				t.Fatalf("new space: errno %d", errno)
			}
			*s = space{made, map[uint64]mapping{}}
			return s
		}

		enterOne := func(t *rapid.T) {
			s := live(t)
			if s == nil {
				return
			}
			va, perm := addr.Draw(t, "va"), perms.Draw(t, "perm")
			w := mapping{pa: shared, perm: perm, owned: rapid.Bool().Draw(t, "owned")}
			if w.owned {
				var ok bool
				if w.pa, ok = m.pool.Take(&m.acct); !ok {
					return
				}
			}
			want := permErr(perm)
			if _, mapped := s.pages[va]; want == abi.OK && !user(va) {
				want = abi.EINVAL
			} else if want == abi.OK && mapped {
				want = abi.EOVERLAP
			}
			enter := s.Map
			if w.owned {
				enter = s.MapOwned
			}
			got := enter(m.pool, va, w.pa, perm)
			if got != want && !(got == abi.ENOMEM && want == abi.OK && m.acct.Used() == m.acct.Limit()) {
				t.Fatalf("map %#x: errno %d, want %d", va, got, want)
			}
			if got == abi.OK {
				s.pages[va] = w
			} else if w.owned {
				m.pool.Give(&m.acct, w.pa)
			}
		}

		// cuts reports whether a range has only a part of a leaf of 2 MiB.
		cuts := func(s *space, va, end uint64) bool {
			return va%mega != 0 && s.pages[va&^(page-1)].mega || end%mega != 0 && s.pages[end&^(page-1)].mega
		}

		t.Repeat(map[string]func(*rapid.T){
			"map 2 MiB": func(t *rapid.T) {
				s := live(t)
				if s == nil {
					return
				}
				va, perm := addr.Draw(t, "va"), perms.Draw(t, "perm")
				if rapid.Bool().Draw(t, "aligned") {
					va &^= mega - 1
				}
				want := permErr(perm)
				if want == abi.OK && (va%mega != 0 || va < abi.UserBase || va > abi.UserEnd-mega) {
					want = abi.EINVAL
				}
				for at := va; want == abi.OK && at < va+mega; at += page {
					if _, mapped := s.pages[at]; mapped {
						want = abi.EOVERLAP
					}
				}
				got := s.MapMega(m.pool, va, megaPA, perm)
				table := got == abi.EOVERLAP && !sv39.Maps(s.Root, va) // of pages that are gone
				if got != want && !(want == abi.OK && (table || got == abi.ENOMEM && m.acct.Used() == m.acct.Limit())) {
					t.Fatalf("map 2 MiB at %#x: errno %d, want %d", va, got, want)
				}
				for at := uint64(0); got == abi.OK && at < mega; at += page {
					s.pages[va+at] = mapping{pa: megaPA + mem.PA(at), perm: perm, mega: true}
				}
			},
			"map":      enterOne,
			"map more": enterOne, // maps and removals would only balance
			"unmap": func(t *rapid.T) {
				s := live(t)
				if s == nil {
					return
				}
				va := addr.Draw(t, "va")
				n := rapid.OneOf(rapid.IntRange(0, 6), rapid.IntRange(0, 2*giga/page)).Draw(t, "pages")
				want := 0
				if cuts(s, va, va+uint64(n)*page) {
					return
				}
				if end := va + uint64(n)*page; va >= abi.UserBase && end <= abi.UserEnd {
					for at := range s.pages {
						if at >= va && at < end {
							delete(s.pages, at)
							want++
						}
					}
				}
				if got := s.Unmap(m.pool, va, n); got != want {
					t.Fatalf("unmap %d pages at %#x removed %d, want %d", n, va, got, want)
				}
			},
			"protect": func(t *rapid.T) {
				s := live(t)
				if s == nil {
					return
				}
				va, perm := addr.Draw(t, "va"), perms.Draw(t, "perm")
				n := rapid.IntRange(0, 6).Draw(t, "pages")
				end := va + uint64(n)*page
				if cuts(s, va, end) {
					return
				}
				want := permErr(perm)
				if want == abi.OK && (va < abi.UserBase || end > abi.UserEnd) {
					want = abi.EINVAL
				}
				if got := s.Protect(va, n, perm); got != want {
					t.Fatalf("protect %d pages at %#x: errno %d, want %d", n, va, got, want)
				}
				for at, w := range s.pages {
					if want == abi.OK && at >= va && at < end {
						w.perm = perm
						s.pages[at] = w
					}
				}
			},
			"lookup": func(t *rapid.T) {
				s := live(t)
				if s == nil {
					return
				}
				va := addr.Draw(t, "va")
				e := s.Lookup(va + 1)
				w, mapped := s.pages[va]
				if mapped != (e != 0) || mapped && (e.Addr() != w.pa || e.Perm() != w.perm || (e&sv39.Owned != 0) != w.owned) {
					t.Fatalf("lookup %#x: %#x, want %+v %v", va, uint64(e), w, mapped)
				}
			},
			"destroy": func(t *rapid.T) {
				spaces[pick.Draw(t, "space")].Destroy(m.pool)
			},
			"": func(t *rapid.T) {
				used := 1 // shared
				for i := range spaces {
					s := &spaces[i]
					if s.Root == 0 {
						continue
					}
					used++
					seen := 0
					sv39.Audit(s.Root, func(va uint64, level int, e sv39.PTE) {
						if va < abi.UserBase {
							return
						}
						if e.IsTable() {
							used++
							return
						}
						if level == 1 {
							for at := va; at < va+mega; at += page {
								if w := s.pages[at]; !w.mega || e.Addr()+mem.PA(at-va) != w.pa || e.Perm() != w.perm {
									t.Fatalf("space %d has %#x at %#x, want %+v", i, uint64(e), at, w)
								}
							}
							seen += mega / page
							return
						}
						w, mapped := s.pages[va]
						if w.mega || !mapped || e.Addr() != w.pa || e.Perm() != w.perm || (e&sv39.Owned != 0) != w.owned {
							t.Fatalf("space %d has %#x at %#x, want %+v %v", i, uint64(e), va, w, mapped)
						}
						if pa, _, ok := hardware(s.Root, va); !ok || pa != uint64(w.pa) {
							t.Fatalf("hardware faults at %#x", va)
						}
						seen++
						if w.owned {
							used++
						}
					})
					if seen != len(s.pages) {
						t.Fatalf("space %d has %d pages, want %d", i, seen, len(s.pages))
					}
					if va, found := sv39.FindWX(s.Root); found {
						t.Fatalf("space %d is W+X at %#x", i, va)
					}
				}
				if m.acct.Used() != used {
					t.Fatalf("account has %d frames, want %d", m.acct.Used(), used)
				}
			},
		})

		for i := range spaces {
			spaces[i].Destroy(m.pool)
		}
		m.pool.Give(&m.acct, shared)
		if m.acct.Used() != 0 || m.pool.Free() != total {
			t.Fatalf("lost frames: account %d, pool %d of %d", m.acct.Used(), m.pool.Free(), total)
		}
	})
}
