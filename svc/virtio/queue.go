package virtio

import (
	"fmt"
	"sync/atomic"
)

// Queue is a split virtqueue. A driver adds buffers, notifies the device, and
// collects them when the device has used them. It is not safe for use by several
// goroutines.
//
// In memory, one part behind the other:
//
//	descriptors  16 bytes each: address, length, flags and next
//	driver area  flags u16, index u16, a ring of u16, used event u16
//	device area  flags u16, index u16, a ring of (id u32, length u32), avail event u16
type Queue struct {
	d      *Device
	index  uint32
	size   uint32
	desc   []uint32
	driver []uint32
	device []uint32

	next   uint32   // of the driver's ring: buffers added so far
	seen   uint32   // of the device's ring: buffers collected so far
	free   []uint32 // descriptors that the device does not have
	length []uint32 // of the buffer in each descriptor, 0 if the driver has it
}

// MaxQueue is the longest queue in buffers.
const MaxQueue = 256

// Flags of a descriptor.
const descWrite = 2

// QueueBytes returns how many bytes of DMA memory a queue of size buffers takes.
func QueueBytes(size uint32) uint32 { return size*16 + areaBytes(size*2) + areaBytes(size*8) }

// areaBytes is the length of an area with a ring of n bytes, in whole words.
func areaBytes(n uint32) uint32 { return (4 + n + 2 + 3) &^ 3 }

// Queue sets up queue i with size buffers, a power of two up to MaxQueue. Its memory
// is zeroed, DMA memory at this physical address, of QueueBytes(size) bytes at
// least, and belongs to the queue until the device was reset.
func (d *Device) Queue(i, size uint32, memory []uint32, address uint64) (*Queue, error) {
	if size == 0 || size > MaxQueue || size&(size-1) != 0 || len(memory) < int(QueueBytes(size)/4) || address%16 != 0 {
		return nil, fmt.Errorf("%w: %d buffers in %d bytes at %#x", ErrQueue, size, 4*len(memory), address)
	}
	d.regs.Store32(regQueueSel, i)
	if d.regs.Load32(regQueueReady) != 0 {
		return nil, fmt.Errorf("%w: %d is in use", ErrQueue, i)
	}
	if m := d.regs.Load32(regQueueMax); m < size {
		return nil, fmt.Errorf("%w: %d takes %d buffers, not %d", ErrQueue, i, m, size)
	}
	driver, device := size*16, size*16+areaBytes(size*2)
	q := &Queue{
		d: d, index: i, size: size,
		desc: memory[:driver/4], driver: memory[driver/4 : device/4], device: memory[device/4 : QueueBytes(size)/4],
		length: make([]uint32, size),
	}
	for n := size; n > 0; n-- {
		q.free = append(q.free, n-1)
	}
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

// Add hands the device a buffer of length bytes at a physical address, to read or,
// if write is set, to write. It returns the number by which the buffer comes back,
// and false if the device has as many as it can.
func (q *Queue) Add(address uint64, length uint32, write bool) (id uint32, ok bool) {
	if len(q.free) == 0 || length == 0 {
		return 0, false
	}
	id = q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	q.length[id] = length
	flags := uint32(0)
	if write {
		flags = descWrite
	}
	d := q.desc[4*id:]
	d[0], d[1], d[2], d[3] = uint32(address), uint32(address>>32), length, flags
	// The ring holds numbers of 16 bits, two to a word.
	at, shift := 1+q.next%q.size/2, q.next%2*16
	q.driver[at] = q.driver[at]&^(0xffff<<shift) | id<<shift
	q.next++
	// Everything above is visible before the index is.
	atomic.StoreUint32(&q.driver[0], q.next<<16)
	return id, true
}

// Notify tells the device that buffers were added.
func (q *Queue) Notify() { q.d.regs.Store32(regQueueNotify, q.index) }

// Used returns a buffer that the device is done with and how many bytes it wrote,
// and false if there is none. ErrBroken: the device names a buffer that it does not
// have, or wrote more than it may; it must be reset.
func (q *Queue) Used() (id, written uint32, ok bool, err error) {
	index := atomic.LoadUint32(&q.device[0]) >> 16
	if index == q.seen&0xffff {
		return 0, 0, false, nil
	}
	if (index-q.seen)&0xffff > q.size {
		return 0, 0, false, fmt.Errorf("%w: it used %d buffers at once", ErrBroken, (index-q.seen)&0xffff)
	}
	e := q.device[1+2*(q.seen%q.size):]
	id, written = atomic.LoadUint32(&e[0]), atomic.LoadUint32(&e[1])
	if id >= q.size || q.length[id] == 0 || written > q.length[id] {
		return 0, 0, false, fmt.Errorf("%w: buffer %d with %d bytes", ErrBroken, id, written)
	}
	q.seen++
	q.length[id] = 0
	q.free = append(q.free, id)
	return id, written, true, nil
}

// Pending returns how many buffers the device has.
func (q *Queue) Pending() int { return int(q.size) - len(q.free) }
