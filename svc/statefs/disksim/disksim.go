// Package disksim is a disk for tests of what must survive it: it keeps what was not
// flushed in a cache, of which a power cut leaves any part, in any order, torn; and it
// fails as it is told.
package disksim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Errors of the disk.
var (
	ErrCut   = errors.New("disksim: power is off")
	ErrFault = errors.New("disksim: injected fault")
	ErrRange = errors.New("disksim: not whole sectors of the disk")
)

// Disk implements statefs.Block in memory.
type Disk struct {
	mu      sync.Mutex
	sector  int
	durable []byte
	cache   []write // since the last flush, in order
	newest  map[int64]int

	// cutAfter is how many more changes are made before the power goes; negative: it
	// stays on. fault is asked before each operation.
	cutAfter int
	off      bool
	fault    func(Op) error

	counts Counts
}

// Op is an operation of the disk, as a fault sees it.
type Op struct {
	Kind   Kind
	Offset int64
	Length int
}

// Kind says what an operation does.
type Kind int

// The kinds of operations.
const (
	Read Kind = iota
	Write
	Flush
)

// Counts says what was asked of the disk.
type Counts struct{ Reads, Writes, Flushes, Sectors int }

// write is a sector in the cache.
type write struct {
	at   int64
	data []byte
}

// New returns a blank disk.
func New(sector int, size int64) *Disk {
	return Of(sector, make([]byte, size))
}

// Of returns a disk that holds image, and uses it.
func Of(sector int, image []byte) *Disk {
	return &Disk{sector: sector, durable: image, newest: map[int64]int{}, cutAfter: -1}
}

// SectorSize implements statefs.Block.
func (d *Disk) SectorSize() int { return d.sector }

// Size implements statefs.Block.
func (d *Disk) Size() int64 { return int64(len(d.durable)) }

// CutAfter has the power go when n more changes have been made: sectors written to the
// cache, and flushes.
func (d *Disk) CutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAfter = n
}

// Fault has f asked before each operation; what it returns is its error. A write or flush
// that fails is not done.
func (d *Disk) Fault(f func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Counts returns what was asked of the disk so far.
func (d *Disk) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Off reports whether the power has gone.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

func (d *Disk) begin(o Op) error {
	if d.off {
		return ErrCut
	}
	if o.Offset < 0 || o.Offset%int64(d.sector) != 0 || o.Length%d.sector != 0 || o.Offset+int64(o.Length) > int64(len(d.durable)) {
		return fmt.Errorf("%w: %d bytes at %d", ErrRange, o.Length, o.Offset)
	}
	if d.fault != nil {
		return d.fault(o)
	}
	return nil
}

// Read implements statefs.Block.
func (d *Disk) Read(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Reads++
	if err := d.begin(Op{Read, offset, len(p)}); err != nil {
		return err
	}
	copy(p, d.durable[offset:])
	for at := offset; at < offset+int64(len(p)) && len(d.cache) > 0; at += int64(d.sector) {
		if i, ok := d.newest[at]; ok {
			copy(p[at-offset:], d.cache[i].data)
		}
	}
	return nil
}

// Write implements statefs.Block.
func (d *Disk) Write(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Writes++
	if err := d.begin(Op{Write, offset, len(p)}); err != nil {
		return err
	}
	for len(p) > 0 {
		if err := d.change(); err != nil {
			return err
		}
		d.counts.Sectors++
		d.newest[offset] = len(d.cache)
		d.cache = append(d.cache, write{offset, slices.Clone(p[:d.sector])})
		p, offset = p[d.sector:], offset+int64(d.sector)
	}
	return nil
}

// Flush implements statefs.Block.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Flushes++
	if err := d.begin(Op{Kind: Flush}); err != nil {
		return err
	}
	if err := d.change(); err != nil {
		return err
	}
	for _, w := range d.cache {
		copy(d.durable[w.at:], w.data)
	}
	d.cache = d.cache[:0]
	clear(d.newest)
	return nil
}

// change counts a change, unless the power goes before it.
func (d *Disk) change() error {
	if d.cutAfter == 0 {
		d.off = true
		return ErrCut
	}
	d.cutAfter--
	return nil
}

// After returns what a disk holds after a power cut at this moment, as one of the ways
// in which that can go: of each sector in the cache any of what was written, or nothing,
// or a part.
func (d *Disk) After(rng *rand.Rand) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	image := slices.Clone(d.durable)
	keep := rng.Float64() // of this cut: from hardly anything to nearly all
	for _, w := range d.cache {
		if rng.Float64() >= keep {
			continue
		}
		data := w.data
		if rng.IntN(4) == 0 { // torn: a beginning, an end, or noise
			n := rng.IntN(d.sector)
			switch rng.IntN(3) {
			case 0:
				data = data[:n]
			case 1:
				copy(image[w.at+int64(n):], data[n:])
				continue
			case 2:
				data = slices.Clone(data)
				for i := range n {
					data[i] = byte(rng.Uint32())
				}
			}
		}
		copy(image[w.at:], data)
	}
	return image
}

// Image returns what the disk holds, its cache included.
func (d *Disk) Image() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	image := slices.Clone(d.durable)
	for _, w := range d.cache {
		copy(image[w.at:], w.data)
	}
	return image
}

// Corrupt changes the byte at an offset.
func (d *Disk) Corrupt(offset int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable[offset] ^= 0x55
}
