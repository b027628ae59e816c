package nbd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// sectorSize is what a power cut leaves whole.
const sectorSize = 512

// ErrOff is the error of a disk without power. A server does not answer then.
var ErrOff = errors.New("nbd: the power is off")

// Disk is a disk with a cache of writes: what was not flushed when the power is cut may
// be there or not, each sector for itself, in any order. It is safe for use by several
// goroutines.
type Disk struct {
	Delay time.Duration // of every request
	// Fail, if not nil, is asked before each request is carried out.
	Fail func(write bool, off, n int64) error

	mu      sync.Mutex
	content []byte           // what is read
	last    map[int64][]byte // by sector: what it is on the medium, if that is something else
	older   map[int64][][]byte
	off     bool
	cutAt   uint64 // number of the request at which the power goes, 0: never
	count   Counts
	cut     chan struct{} // closed when the power goes
}

// Counts are the requests that a disk has carried out.
type Counts struct{ Reads, Writes, Flushes, Trims uint64 }

func (c Counts) sum() uint64 { return c.Writes + c.Flushes + c.Trims }

// NewDisk returns a disk with these contents, which it keeps.
func NewDisk(content []byte) *Disk {
	return &Disk{content: content, last: map[int64][]byte{}, older: map[int64][][]byte{}, cut: make(chan struct{})}
}

// Size implements [Device].
func (d *Disk) Size() int64 { return int64(len(d.content)) }

// Counts returns what was carried out so far.
func (d *Disk) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// CutAfter lets the power go at the n-th request from now on that changes something: it
// is not answered, and nothing is afterwards. The channel is closed at that moment.
func (d *Disk) CutAfter(n uint64) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = d.count.sum() + n
	return d.cut
}

// begin is before every request. The lock is held afterwards, also with an error.
func (d *Disk) begin(write bool, off, n int64) error {
	if d.Delay > 0 {
		time.Sleep(d.Delay)
	}
	d.mu.Lock()
	if d.off {
		return ErrOff
	}
	if d.Fail != nil {
		return d.Fail(write, off, n)
	}
	return nil
}

// counted is after every request that changed something: it may be the last.
func (d *Disk) counted() error {
	if d.cutAt == 0 || d.count.sum() < d.cutAt {
		return nil
	}
	d.powerOff()
	return ErrOff
}

// Off cuts the power now.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOff()
}

func (d *Disk) powerOff() {
	if !d.off {
		d.off = true
		close(d.cut)
	}
}

// ReadAt implements [Device].
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	defer d.mu.Unlock()
	if err := d.begin(false, off, int64(len(p))); err != nil {
		return 0, err
	}
	d.count.Reads++
	return copy(p, d.content[off:]), nil
}

// WriteAt implements [Device].
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	defer d.mu.Unlock()
	if err := d.begin(true, off, int64(len(p))); err != nil {
		return 0, err
	}
	for at := off / sectorSize * sectorSize; at < off+int64(len(p)); at += sectorSize {
		old := bytes.Clone(d.content[at:][:sectorSize])
		if _, cached := d.last[at]; cached {
			d.older[at] = append(d.older[at], old)
		} else {
			d.last[at] = old
		}
	}
	copy(d.content[off:], p)
	d.count.Writes++
	return len(p), d.counted()
}

// Flush implements [Device].
func (d *Disk) Flush() error {
	defer d.mu.Unlock()
	if err := d.begin(true, 0, 0); err != nil {
		return err
	}
	d.count.Flushes++
	if err := d.counted(); err != nil {
		return err // the cut came first
	}
	clear(d.last)
	clear(d.older)
	return nil
}

// Trim implements [Device]. It changes nothing, which is one of the things that it may do.
func (d *Disk) Trim(off, n int64) error {
	defer d.mu.Unlock()
	if err := d.begin(true, off, n); err != nil {
		return err
	}
	d.count.Trims++
	return d.counted()
}

// After returns what is on the medium after the power was cut: of each sector that was
// written since the last flush one of the states that it has had, by the seed. The disk
// itself has no power any more.
func (d *Disk) After(seed uint64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOff()
	r := rand.New(rand.NewPCG(seed, 1))
	out := bytes.Clone(d.content)
	// How likely a sector is not there yet: from not at all to almost surely.
	chance := r.Float64()
	for at := int64(0); at < int64(len(out)); at += sectorSize { // in order, so that the seed says it all
		old, cached := d.last[at]
		if !cached || r.Float64() >= chance {
			continue
		}
		if states := d.older[at]; len(states) > 0 && r.IntN(2) == 0 {
			old = states[r.IntN(len(states))]
		}
		copy(out[at:], old)
	}
	return out
}
