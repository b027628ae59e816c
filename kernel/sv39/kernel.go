package sv39

import (
	"errors"
	"fmt"

	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/mem"
)

// Why [BuildKernel] refuses regions.
var (
	ErrRegionRange = errors.New("region is empty, unaligned or not below the user addresses")
	ErrRegionOrder = errors.New("regions overlap or are not in ascending order")
	ErrRegionPerm  = errors.New("region needs R, RW, X or RX and nothing else")
	ErrRegionWX    = errors.New("region is writable and executable")
	ErrNoFrame     = errors.New("no frame for a table")
)

// Region is physical memory that the kernel maps at its own address. Perm is R,
// R|W, X or R|X; supervisor and global are implied.
type Region struct {
	mem.Range
	Perm Perm
}

// BuildKernel makes the kernel's page tables: every region at its own address,
// with the largest leaves that alignment allows, and nothing between regions, so
// a hole is a guard. Regions are page aligned, ascending, disjoint and below
// abi.UserBase. Frames for tables come from next, which reports false when there
// are no more. It returns the root table.
//
// Every [Space] copies the root entries, so the root must not change once the
// first one exists.
func BuildKernel(next func() (mem.PA, bool), regions []Region) (mem.PA, error) {
	b := builder{next: next}
	root, err := b.table()
	if err != nil {
		return 0, fmt.Errorf("kernel page tables: root: %w", err)
	}
	var last mem.PA
	for i, r := range regions {
		err := r.check(last)
		if err == nil {
			err = b.region(root, r)
		}
		if err != nil {
			return 0, fmt.Errorf("kernel page tables: region %d, %#x to %#x: %w", i, uint64(r.Start), uint64(r.End), err)
		}
		last = r.End
	}
	return root, nil
}

func (r Region) check(last mem.PA) error {
	if r.End <= r.Start || (r.Start|r.End)%pageSize != 0 || r.End > abi.UserBase {
		return ErrRegionRange
	}
	if r.Start < last {
		return ErrRegionOrder
	}
	switch checkPerm(r.Perm, kernelPerms) {
	case abi.OK:
		return nil
	case abi.EWX:
		return ErrRegionWX
	}
	return ErrRegionPerm
}

type builder struct {
	next func() (mem.PA, bool)
}

func (b builder) table() (mem.PA, error) {
	pa, ok := b.next()
	if !ok {
		return 0, ErrNoFrame
	}
	mem.Zero(pa)
	return pa, nil
}

// region maps r, which overlaps no region before it, leaf by leaf.
func (b builder) region(root mem.PA, r Region) error {
	for pa := r.Start; pa < r.End; {
		level, size := 0, mem.PA(pageSize)
		switch left := r.End - pa; {
		case pa%gigaPage == 0 && left >= gigaPage:
			level, size = 2, gigaPage
		case pa%megaPage == 0 && left >= megaPage:
			level, size = 1, megaPage
		}
		e, err := b.entry(root, uint64(pa), level)
		if err != nil {
			return err
		}
		*e = uint64(leaf(pa, r.Perm|G))
		pa += size
	}
	return nil
}

// entry returns the entry for va in its table of the given level, and adds the
// tables on the way there.
func (b builder) entry(root mem.PA, va uint64, level int) (*uint64, error) {
	e := &mem.Words(root)[index2(va)]
	for l := 1; l >= level; l-- {
		if *e == 0 {
			pa, err := b.table()
			if err != nil {
				return nil, err
			}
			*e = uint64(table(pa))
		}
		e = &mem.Words(PTE(*e).Addr())[va>>(pageShift+l*levelBits)%entries]
	}
	return e, nil
}
