package blkd

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/virtio"
)

// Of the virtio specification, section 5.2: the number of block devices, their one queue,
// features, and where things are in the configuration.
const (
	blockID      = 2
	requestQueue = 0

	featureSizeMax   = 1 << 1
	featureSegMax    = 1 << 2
	featureReadOnly  = 1 << 5
	featureBlockSize = 1 << 6
	featureFlush     = 1 << 9
	featureDiscard   = 1 << 13
	wanted           = featureSizeMax | featureSegMax | featureReadOnly | featureBlockSize | featureFlush | featureDiscard

	configCapacity   = 0
	configSizeMax    = 8
	configSegMax     = 12
	configBlockSize  = 20
	configMaxDiscard = 36
)

// Kinds of requests, and what the device says of one in a byte.
const (
	typeRead    = 0
	typeWrite   = 1
	typeFlush   = 4
	typeDiscard = 11

	deviceOK          = 0
	deviceIOError     = 1
	deviceUnsupported = 2
	deviceSilent      = 0xff // what is there before it says anything
)

// Sizes. A request takes at most three parts of the queue: its header, the data, which
// lie together, and the byte for the status.
const (
	maxQueue     = virtio.MaxQueue
	partsPerReq  = 3
	minDepth     = 32                     // requests that the device must take at a time
	maxDepth     = maxQueue / partsPerReq // that it is given at a time
	maxWaiting   = maxPartitions * blk.MaxInFlight
	slotBytes    = 64 // of a request for the device: header, range of a discard, status
	slotDiscard  = 16
	slotStatus   = 32
	memoryBytes  = 16 << 10 // the queue and the slots
	slotsAt      = 8 << 10  // behind the queue
	maxDiscard   = 1 << 22  // sectors of one request: 2 GiB
	sectorSize   = blk.SectorSize
	maxTransfer  = blk.BufferSize / sectorSize
	maxSectors   = 1 << 53 // 4 EiB: offsets in bytes are positive
	headerBytes  = 16
	discardBytes = 16
)

var (
	errGeometry = errors.New("blkd: this disk is of no use")
	errHung     = errors.New("blkd: the device does not answer")
)

// request is something to be done by the device.
type request struct {
	kind    uint32
	sector  uint64
	count   uint32                     // sectors
	address uint64                     // of the data
	done    func(*request, ipc.Status) // starts no other request
	owner   *session                   // whose it is, nil: blkd's own
	number  uint64                     // of its owner's requests
	reply   ipc.Pending
}

// slot is a request that the device has.
type slot struct {
	request
	busy bool
	old  bool // it was there at the last tick
}

// disk is a virtio block device. It is not safe for use by several goroutines. What it
// says is not believed: whatever it does, a request ends once, and when it breaks the
// protocol it is reset and nothing is asked of it any more.
type disk struct {
	dev *virtio.Device
	q   *virtio.Queue
	mem []uint32 // of the slots
	at  uint64   // where that is for the device

	sectors    uint64
	maxSectors uint32 // of one transfer
	maxDiscard uint32 // sectors of one discard; 0: it does not want to know
	readOnly   bool
	flush      bool // it has a cache that must be flushed

	slots   []slot
	free    []uint32
	byID    [maxQueue]uint32 // the slot of a request in the queue
	waiting []request
	broken  error
	tick    func() // a request is under way: the watch must run
}

// openDisk takes the device into use. Its memory is DMA memory, zeroed, of memoryBytes.
func openDisk(regs virtio.Registers, memory []uint32, address uint64) (*disk, error) {
	dev, err := virtio.Open(regs, blockID, wanted)
	if err != nil {
		return nil, err
	}
	d := &disk{dev: dev, mem: memory[slotsAt/4:], at: address + slotsAt, tick: func() {}}
	if err := d.configure(); err != nil {
		return nil, err
	}
	size := uint32(maxQueue)
	for size > dev.QueueMax(requestQueue) {
		size /= 2
	}
	depth := size / partsPerReq
	if depth < minDepth {
		return nil, fmt.Errorf("%w: it takes %d requests at a time, fewer than %d", errGeometry, depth, minDepth)
	}
	if d.q, err = dev.Queue(requestQueue, size, memory[:slotsAt/4], address); err != nil {
		return nil, err
	}
	d.slots = make([]slot, depth)
	for i := range depth {
		d.free = append(d.free, depth-1-i)
	}
	dev.Start()
	return d, nil
}

// configure reads what the device says about itself.
func (d *disk) configure() (err error) {
	f := d.dev.Features()
	if d.sectors, err = d.dev.Config64(configCapacity); err != nil {
		return err
	}
	if d.sectors == 0 || d.sectors > maxSectors {
		return fmt.Errorf("%w: %d sectors", errGeometry, d.sectors)
	}
	d.maxSectors = maxTransfer
	if f&featureSizeMax != 0 {
		d.maxSectors = min(d.maxSectors, d.dev.Config32(configSizeMax)/sectorSize)
	}
	if f&featureSegMax != 0 && d.dev.Config32(configSegMax) == 0 || d.maxSectors == 0 {
		return fmt.Errorf("%w: no transfer is short enough", errGeometry)
	}
	if f&featureBlockSize != 0 && d.dev.Config32(configBlockSize) != sectorSize {
		return fmt.Errorf("%w: blocks of %d bytes, not %d", errGeometry, d.dev.Config32(configBlockSize), sectorSize)
	}
	d.readOnly, d.flush = f&featureReadOnly != 0, f&featureFlush != 0
	if f&featureDiscard != 0 {
		d.maxDiscard = min(maxDiscard, d.dev.Config32(configMaxDiscard))
	}
	return nil
}

// start gives a request to the device, at once or when it has room. StatusOK: its done
// will be called, once. Any other: it will not.
func (d *disk) start(r *request) ipc.Status {
	switch {
	case d.broken != nil:
		return blk.StatusBroken
	case len(d.free) == 0 || len(d.waiting) > 0:
		if len(d.waiting) == maxWaiting {
			return ipc.StatusOverLimit
		}
		d.waiting = append(d.waiting, *r)
		return ipc.StatusOK
	}
	if err := d.add(r); err != nil {
		return ipc.StatusInternal
	}
	d.q.Notify()
	d.tick()
	return ipc.StatusOK
}

// add puts a request into the queue. There is a free slot.
func (d *disk) add(r *request) error {
	i := d.free[len(d.free)-1]
	m, at := d.mem[i*slotBytes/4:][:slotBytes/4], d.at+uint64(i)*slotBytes
	sector := r.sector
	if r.kind == typeFlush || r.kind == typeDiscard {
		sector = 0
	}
	m[0], m[1], m[2], m[3] = r.kind, 0, uint32(sector), uint32(sector>>32)
	m[slotStatus/4] = deviceSilent
	header := virtio.Part{Address: at, Length: headerBytes}
	status := virtio.Part{Address: at + slotStatus, Length: 1, Write: true}
	var id uint32
	var ok bool
	var err error
	switch r.kind {
	case typeFlush:
		id, ok, err = d.q.Add(header, status)
	case typeDiscard:
		m[4], m[5], m[6], m[7] = uint32(r.sector), uint32(r.sector>>32), r.count, 0
		id, ok, err = d.q.Add(header, virtio.Part{Address: at + slotDiscard, Length: discardBytes}, status)
	default:
		data := virtio.Part{Address: r.address, Length: r.count * sectorSize, Write: r.kind == typeRead}
		id, ok, err = d.q.Add(header, data, status)
	}
	if err != nil || !ok {
		return fmt.Errorf("request: %w", errors.Join(err, virtio.ErrQueue))
	}
	d.free = d.free[:len(d.free)-1]
	d.byID[id] = i
	d.slots[i] = slot{request: *r, busy: true}
	return nil
}

// collect ends the requests that the device is done with, and gives it those that
// waited. An error means that the device is broken, and reset.
func (d *disk) collect() error {
	for d.broken == nil {
		id, written, ok, err := d.q.Used()
		if err != nil {
			return d.fail(err)
		}
		if !ok {
			break
		}
		i := d.byID[id]
		status, err := d.result(i, written)
		if err != nil {
			return d.fail(err)
		}
		d.end(i, status)
		d.free = append(d.free, i)
	}
	return errors.Join(d.broken, d.refill())
}

// end ends the request in a slot, which is free from then on.
func (d *disk) end(i uint32, status ipc.Status) {
	s := &d.slots[i]
	s.busy = false
	s.done(&s.request, status)
	*s = slot{}
}

// result is what became of the request in a slot, of which the device says that it wrote
// so many bytes.
func (d *disk) result(i, written uint32) (ipc.Status, error) {
	r := &d.slots[i]
	if !r.busy {
		return 0, fmt.Errorf("%w: slot %d is free", virtio.ErrBroken, i)
	}
	want := uint32(1) // the status
	if r.kind == typeRead {
		want += r.count * sectorSize
	}
	switch s := atomic.LoadUint32(&d.mem[(i*slotBytes+slotStatus)/4]) & 0xff; {
	case s == deviceOK && written == want:
		return ipc.StatusOK, nil
	case s == deviceIOError && written >= 1:
		return blk.StatusIO, nil
	case s == deviceUnsupported && written >= 1:
		return blk.StatusUnsupported, nil
	default:
		return 0, fmt.Errorf("%w: status %#x with %d bytes, not %d", virtio.ErrBroken, s, written, want)
	}
}

// refill gives the device what waited.
func (d *disk) refill() error {
	n := 0
	for ; n < len(d.waiting) && len(d.free) > 0; n++ {
		if err := d.add(&d.waiting[n]); err != nil {
			return d.fail(err)
		}
	}
	if n > 0 {
		d.waiting = append(d.waiting[:0], d.waiting[n:]...)
		d.q.Notify()
		d.tick()
	}
	return nil
}

// fail resets the device, which broke its protocol, and ends all requests.
func (d *disk) fail(why error) error {
	d.broken = why
	if err := d.dev.Reset(); err != nil {
		// It may still write to memory. The kernel keeps that back until it was reset.
		d.broken = errors.Join(why, err)
	}
	for i := range d.slots {
		if d.slots[i].busy {
			d.end(uint32(i), blk.StatusBroken)
		}
	}
	for i := range d.waiting {
		d.waiting[i].done(&d.waiting[i], blk.StatusBroken)
	}
	d.waiting = nil
	return d.broken
}

// watch is called as long as requests are under way, each time after the longest that
// one may take. It fails when one was there the last time already.
func (d *disk) watch() error {
	for i := range d.slots {
		s := &d.slots[i]
		if s.busy && s.old {
			return d.fail(errHung)
		}
		s.old = s.busy
	}
	return nil
}

// idle reports whether the device has nothing to do.
func (d *disk) idle() bool { return len(d.free) == len(d.slots) }

// oldest returns the least number of an owner's requests under way.
func (d *disk) oldest(owner *session) uint64 {
	n := uint64(math.MaxUint64)
	for i := range d.slots {
		if r := &d.slots[i]; r.busy && r.owner == owner {
			n = min(n, r.number)
		}
	}
	for i := range d.waiting {
		if r := &d.waiting[i]; r.owner == owner {
			n = min(n, r.number)
		}
	}
	return n
}
