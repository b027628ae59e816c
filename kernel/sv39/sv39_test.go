package sv39_test

import (
	"testing"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"nexus.internal/kernel/sv39"
)

const (
	page = abi.PageSize
	mega = page << 9
	giga = mega << 9

	rw = sv39.U | sv39.R | sv39.W
	ro = sv39.U | sv39.R
	rx = sv39.U | sv39.R | sv39.X
	xo = sv39.U | sv39.X
)

// machine is a pool, kernel tables and accounts to test spaces with.
type machine struct {
	pool   *mem.Pool
	kernel mem.PA // root of the kernel's tables
	acct   mem.Account
}

// newMachine makes a machine whose kernel maps all the memory there is, and an
// account with a budget of frames.
func newMachine(tb testing.TB, frames int) *machine {
	tb.Helper()
	m := &machine{pool: memtest.Pool(tb, frames+32)}
	var kernel mem.Account
	if !m.pool.Open(&kernel, 4) {
		tb.Fatal("no frames for the kernel")
	}
	root, err := sv39.BuildKernel(func() (mem.PA, bool) { return m.pool.Take(&kernel) },
		[]sv39.Region{{Range: mem.Range{Start: giga * 2, End: giga * 4}, Perm: sv39.R | sv39.W}})
	if err != nil {
		tb.Fatal(err)
	}
	m.kernel = root
	if !m.pool.Open(&m.acct, frames) {
		tb.Fatal("no frames for the account")
	}
	return m
}

func (m *machine) space(tb testing.TB) *sv39.Space {
	tb.Helper()
	s, errno := sv39.NewSpace(m.pool, &m.acct, m.kernel)
	if errno != abi.OK {
		tb.Fatalf("new space: errno %d", errno)
	}
	return &s
}

// frame takes a frame with the account and fills it with b.
func (m *machine) frame(tb testing.TB, b byte) mem.PA {
	tb.Helper()
	pa, ok := m.pool.Take(&m.acct)
	if !ok {
		tb.Fatal("no frame left")
	}
	fill(pa, b)
	return pa
}

func fill(pa mem.PA, b byte) {
	f := mem.Bytes(pa, page)
	for i := range f {
		f[i] = b
	}
}

// own maps an owned page filled with b.
func (m *machine) own(tb testing.TB, s *sv39.Space, va uint64, perm sv39.Perm, b byte) mem.PA {
	tb.Helper()
	pa := m.frame(tb, b)
	if errno := s.MapOwned(m.pool, va, pa, perm); errno != abi.OK {
		tb.Fatalf("map %#x: errno %d", va, errno)
	}
	return pa
}

// hardware translates va as section 4.3.2 of the privileged specification says,
// with the shift-and-mask of the manual and nothing of the package under test.
func hardware(root mem.PA, va uint64) (pa uint64, pte uint64, ok bool) {
	if sign := int64(va) >> 38; sign != 0 && sign != -1 {
		return 0, 0, false
	}
	a := uint64(root)
	for i := 2; i >= 0; i-- {
		pte = mem.Words(mem.PA(a))[va>>(12+9*i)&0x1ff]
		v, r, w, x := pte&1, pte>>1&1, pte>>2&1, pte>>3&1
		if v == 0 || r == 0 && w == 1 || pte>>54 != 0 {
			return 0, 0, false
		}
		ppn := pte >> 10
		if r == 1 || x == 1 {
			below := uint64(1)<<(9*i) - 1
			if ppn&below != 0 {
				return 0, 0, false // misaligned superpage
			}
			if pte>>6&1 == 0 || w == 1 && pte>>7&1 == 0 {
				return 0, 0, false // would fault for A or D
			}
			return (ppn|va>>12&below)<<12 | va&0xfff, pte, true
		}
		if pte&0xf0 != 0 {
			return 0, 0, false // reserved in a pointer
		}
		a = ppn << 12
	}
	return 0, 0, false
}
