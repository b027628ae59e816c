package sv39_test

import (
	"errors"
	"testing"

	"nexus.internal/kernel/mem"
	"nexus.internal/kernel/mem/memtest"
	"nexus.internal/kernel/sv39"
)

const (
	kr  = sv39.R
	krw = sv39.R | sv39.W
	krx = sv39.R | sv39.X
)

func region(start, end mem.PA, perm sv39.Perm) sv39.Region {
	return sv39.Region{Range: mem.Range{Start: start, End: end}, Perm: perm}
}

// build builds kernel tables with a budget of frames.
func build(t *testing.T, p *mem.Pool, frames int, regions ...sv39.Region) (mem.PA, error) {
	t.Helper()
	var a mem.Account
	if !p.Open(&a, frames) {
		t.Fatal("no frames")
	}
	return sv39.BuildKernel(func() (mem.PA, bool) { return p.Take(&a) }, regions)
}

// TestBuildKernel builds the map of a board like QEMU's and compares it, page by
// page around every edge, with the regions.
func TestBuildKernel(t *testing.T) {
	p := memtest.Pool(t, 64)
	const ram = 0x8000_0000
	regions := []sv39.Region{
		region(0x1000_0000, 0x1000_1000, krw),              // one page of UART
		region(0x4000_0000, 0x8000_0000, krw),              // a whole GiB
		region(ram+0x20_0000, ram+0x21_0000, kr),           // header: touches text
		region(ram+0x21_0000, ram+0x3f_f000, krx),          // text: small pages, then a guard page
		region(ram+0x40_0000, ram+0x4000_0000, krw),        // 510 pages of 2 MiB: touches the next
		region(ram+0x4000_0000, ram+0x8000_0000-page, krw), // ends one page before 4 GiB
	}
	root, err := build(t, p, 16, regions...)
	if err != nil {
		t.Fatal(err)
	}
	perm := func(va uint64) (sv39.Perm, bool) {
		for _, r := range regions {
			if va >= uint64(r.Start) && va < uint64(r.End) {
				return r.Perm | sv39.G, true
			}
		}
		return 0, false
	}
	for _, r := range regions {
		for _, edge := range []mem.PA{r.Start, r.End, r.Start + mega, r.End - mega, (r.Start + r.End) / 2} {
			for va := uint64(edge) - 2*page; va <= uint64(edge)+2*page; va += page / 2 {
				want, mapped := perm(va)
				pa, pte, ok := hardware(root, va)
				if ok != mapped || ok && (pa != va || sv39.PTE(pte).Perm() != want) {
					t.Errorf("%#x: address %#x, entry %#x, %v; want perm %#x, %v", va, pa, pte, ok, uint64(want), mapped)
				}
			}
		}
	}

	var leaves [3]int
	var bytes uint64
	end := uint64(0)
	sv39.Audit(root, func(va uint64, level int, e sv39.PTE) {
		if !e.IsLeaf() {
			if !e.IsTable() {
				t.Errorf("entry at %#x is neither leaf nor table: %#x", va, uint64(e))
			}
			return
		}
		if va < end {
			t.Errorf("leaf at %#x out of order", va)
		}
		leaves[level]++
		end = va + page<<(9*level)
		bytes += page << (9 * level)
	})
	if want := [3]int{1 + 16 + 0x1ef + 511, 510 + 511, 1}; leaves != want {
		t.Errorf("leaves by level %v, want %v", leaves, want)
	}
	var want uint64
	for _, r := range regions {
		want += uint64(r.End - r.Start)
	}
	if bytes != want {
		t.Errorf("%#x bytes mapped, want %#x", bytes, want)
	}
	if va, found := sv39.FindWX(root); found {
		t.Errorf("W+X at %#x", va)
	}
}

func TestRejectRegion(t *testing.T) {
	p := memtest.Pool(t, 64)
	ok := region(0x8000_0000, 0x8000_2000, krw)
	for _, c := range []struct {
		name    string
		regions []sv39.Region
		want    error
	}{
		{"empty", []sv39.Region{region(page, page, kr)}, sv39.ErrRegionRange},
		{"backwards", []sv39.Region{region(2*page, page, kr)}, sv39.ErrRegionRange},
		{"unaligned start", []sv39.Region{region(page+1, 2*page, kr)}, sv39.ErrRegionRange},
		{"unaligned end", []sv39.Region{region(page, 2*page+8, kr)}, sv39.ErrRegionRange},
		{"reaches user addresses", []sv39.Region{region(4*giga-page, 4*giga+page, kr)}, sv39.ErrRegionRange},
		{"overlap", []sv39.Region{ok, region(0x8000_1000, 0x8000_3000, krw)}, sv39.ErrRegionOrder},
		{"descending", []sv39.Region{ok, region(page, 2*page, krw)}, sv39.ErrRegionOrder},
		{"writable and executable", []sv39.Region{region(page, 2*page, krw|sv39.X)}, sv39.ErrRegionWX},
		{"no access", []sv39.Region{region(page, 2*page, 0)}, sv39.ErrRegionPerm},
		{"write-only", []sv39.Region{region(page, 2*page, sv39.W)}, sv39.ErrRegionPerm},
		{"for users", []sv39.Region{region(page, 2*page, krw|sv39.U)}, sv39.ErrRegionPerm},
		{"software bit", []sv39.Region{region(page, 2*page, krw|sv39.Owned)}, sv39.ErrRegionPerm},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := build(t, p, 3, c.regions...); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRejectBuildWithoutFrames(t *testing.T) {
	p := memtest.Pool(t, 64)
	small := region(0x8000_0000, 0x8000_2000, krw) // needs a root and two tables
	for frames := 1; frames <= 3; frames++ {
		_, err := build(t, p, frames, small)
		if want := map[bool]error{true: sv39.ErrNoFrame}[frames < 3]; !errors.Is(err, want) {
			t.Errorf("with %d frames: %v, want %v", frames, err, want)
		}
	}
	none := func() (mem.PA, bool) { return 0, false }
	if _, err := sv39.BuildKernel(none, nil); !errors.Is(err, sv39.ErrNoFrame) {
		t.Errorf("without any frame: %v", err)
	}
}

// TestFindWX plants one bad leaf at each level, first and last.
func TestFindWX(t *testing.T) {
	p := memtest.Pool(t, 64)
	root, err := build(t, p, 3, region(giga+mega, giga+mega+page, krw))
	if err != nil {
		t.Fatal(err)
	}
	if va, found := sv39.FindWX(root); found {
		t.Fatalf("found W+X at %#x", va)
	}
	table1 := sv39.PTE(mem.Words(root)[1]).Addr()
	table0 := sv39.PTE(mem.Words(table1)[1]).Addr()
	for _, c := range []struct {
		table mem.PA
		index int
		va    uint64
	}{
		{root, 0, 0},
		{root, 511, 0xffff_ffff_c000_0000},
		{table1, 0, giga},
		{table1, 511, 2*giga - mega},
		{table0, 1, giga + mega + page},
		{table0, 511, giga + 2*mega - page},
	} {
		for _, bits := range []uint64{sv39.V | sv39.R | sv39.W | sv39.X, sv39.V | sv39.W | sv39.X | sv39.U} {
			e := &mem.Words(c.table)[c.index]
			*e = bits
			if va, found := sv39.FindWX(root); !found || va != c.va {
				t.Errorf("planted at %#x: found %#x %v", c.va, va, found)
			}
			*e = bits &^ sv39.V
			if va, found := sv39.FindWX(root); found {
				t.Errorf("invalid entry for %#x: found %#x", c.va, va)
			}
			*e = 0
		}
	}
}
