package virtio

import (
	"fmt"
	"math"
	"sync/atomic"
)

// Queue is a split virtqueue. A driver adds requests, each a chain of parts of memory,
// notifies the device, and collects them when the device has used them. It is not safe
// for use by several goroutines.
//
// In memory, one part behind the other:
//
//	descriptors  16 bytes each: address, length, flags and next
//	driver area  flags u16, index u16, a ring of u16, used event u16
//	device area  flags u16, index u16, a ring of (id u32, length u32), avail event u16
//
// The device may write to all of it at any time, so what the driver must know later it
// keeps in memory of its own: which descriptors are whose, and how much may be written.
type Queue struct {
	d      *Device
	index  uint32
	size   uint32
	desc   []uint32
	driver []uint32
	device []uint32

	added uint32  // requests added so far: the index of the driver's ring
	seen  uint32  // requests collected so far: the index of the device's ring
	free  uint16  // first descriptor that the device does not have, none for no more
	left  uint32  // how many those are
	own   []chain // by descriptor
}

// chain is what the driver knows about a descriptor.
type chain struct {
	next     uint16 // of its request, or free; none at the end
	head     bool   // the device has a request that begins here
	parts    uint32 // of that request
	writable uint32 // bytes of it that the device may write
}

const none = 0xffff

// Part is memory of a request, at a physical address. The device reads it or, with
// Write, writes it.
type Part struct {
	Address uint64
	Length  uint32
	Write   bool
}

// MaxQueue is the longest queue in parts.
const MaxQueue = 256

// Flags of a descriptor.
const (
	descNext  = 1 // the request goes on
	descWrite = 2
)

// QueueBytes returns how many bytes of DMA memory a queue of size parts takes.
func QueueBytes(size uint32) uint32 { return size*16 + areaBytes(size*2) + areaBytes(size*8) }

// areaBytes is the length of an area with a ring of n bytes, in whole words.
func areaBytes(n uint32) uint32 { return (4 + n + 2 + 3) &^ 3 }

// Queue sets up queue i with size parts, a power of two up to MaxQueue. Its memory
// is zeroed, DMA memory at this physical address, of QueueBytes(size) bytes at
// least, and belongs to the queue until the device was reset.
func (d *Device) Queue(i, size uint32, memory []uint32, address uint64) (*Queue, error) {
	if size == 0 || size > MaxQueue || size&(size-1) != 0 || len(memory) < int(QueueBytes(size)/4) || address%16 != 0 {
		return nil, fmt.Errorf("%w: %d parts in %d bytes at %#x", ErrQueue, size, 4*len(memory), address)
	}
	d.regs.Store32(regQueueSel, i)
	if d.regs.Load32(regQueueReady) != 0 {
		return nil, fmt.Errorf("%w: %d is in use", ErrQueue, i)
	}
	if m := d.regs.Load32(regQueueMax); m < size {
		return nil, fmt.Errorf("%w: %d takes %d parts, not %d", ErrQueue, i, m, size)
	}
	driver, device := size*16, size*16+areaBytes(size*2)
	q := &Queue{
		d: d, index: i, size: size,
		desc: memory[:driver/4], driver: memory[driver/4 : device/4], device: memory[device/4 : QueueBytes(size)/4],
		left: size, own: make([]chain, size),
	}
	for i := range q.own {
		q.own[i].next = uint16(i) + 1
	}
	q.own[size-1].next = none
	d.regs.Store32(regQueueNum, size)
	for _, part := range [...]struct {
		reg uint32
		at  uint64
	}{{regQueueDesc, address}, {regQueueDriver, address + uint64(driver)}, {regQueueDevice, address + uint64(device)}} {
		d.regs.Store32(part.reg, uint32(part.at))
		d.regs.Store32(part.reg+4, uint32(part.at>>32))
	}
	d.regs.Store32(regQueueReady, 1)
	return q, nil
}

// Add hands the device a request: parts that it reads, then parts that it writes, each
// of at least a byte. It returns the number by which the request comes back, and false
// if the queue has no room for it. ErrQueue: no device takes such a request.
func (q *Queue) Add(parts ...Part) (id uint32, ok bool, err error) {
	n, writable := uint32(len(parts)), uint64(0)
	for i, p := range parts {
		if p.Length == 0 || i > 0 && parts[i-1].Write && !p.Write {
			return 0, false, fmt.Errorf("%w: part %d of %d, of %d bytes", ErrQueue, i, n, p.Length)
		}
		if p.Write {
			writable += uint64(p.Length)
		}
	}
	if n == 0 || n > q.size || writable > math.MaxUint32 {
		return 0, false, fmt.Errorf("%w: %d parts, %d bytes to write", ErrQueue, n, writable)
	}
	if n > q.left {
		return 0, false, nil
	}
	id = uint32(q.free)
	at := q.free
	for i, p := range parts {
		flags, next := uint32(0), q.own[at].next
		if p.Write {
			flags = descWrite
		}
		if i == len(parts)-1 {
			q.free, q.own[at].next = next, none
		} else {
			flags |= descNext | uint32(next)<<16
		}
		d := q.desc[4*uint32(at):]
		d[0], d[1], d[2], d[3] = uint32(p.Address), uint32(p.Address>>32), p.Length, flags
		at = next
	}
	q.left -= n
	c := &q.own[id]
	c.head, c.parts, c.writable = true, n, uint32(writable)
	// The ring holds numbers of 16 bits, two to a word.
	slot := q.added % q.size
	word, shift := &q.driver[1+slot/2], slot%2*16
	*word = *word&^(0xffff<<shift) | id<<shift
	q.added++
	// Everything above is visible before the index is.
	atomic.StoreUint32(&q.driver[0], q.added<<16)
	return id, true, nil
}

// Notify tells the device that requests were added.
func (q *Queue) Notify() { q.d.regs.Store32(regQueueNotify, q.index) }

// Used returns a request that the device is done with and how many bytes it wrote, and
// false if there is none. ErrBroken: the device names a request that it does not have,
// or wrote more than it may; it must be reset.
func (q *Queue) Used() (id, written uint32, ok bool, err error) {
	index := atomic.LoadUint32(&q.device[0]) >> 16
	if index == q.seen&0xffff {
		return 0, 0, false, nil
	}
	if (index-q.seen)&0xffff > q.size {
		return 0, 0, false, fmt.Errorf("%w: it used %d requests at once", ErrBroken, (index-q.seen)&0xffff)
	}
	e := q.device[1+2*(q.seen%q.size):]
	id, written = atomic.LoadUint32(&e[0]), atomic.LoadUint32(&e[1])
	if id >= q.size || !q.own[id].head || written > q.own[id].writable {
		return 0, 0, false, fmt.Errorf("%w: request %d with %d bytes", ErrBroken, id, written)
	}
	q.seen++
	c := &q.own[id]
	c.head = false
	q.left += c.parts
	last := uint16(id)
	for q.own[last].next != none {
		last = q.own[last].next
	}
	q.own[last].next, q.free = q.free, uint16(id)
	return id, written, true, nil
}

// Pending returns how many parts the device has.
func (q *Queue) Pending() int { return int(q.size - q.left) }
