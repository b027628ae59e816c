package blkd

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/svc/virtio"
)

// model is a virtio block device with its contents in memory. It carries requests out
// when it is notified or, if it holds them, when the test says so.
type model struct {
	t         testing.TB
	memory    func(address uint64, n int) []byte // of the machine
	interrupt func()

	mu       sync.Mutex
	regs     map[uint32]uint32
	config   [64]byte
	features uint64
	queueMax uint32
	content  []byte
	durable  []byte // what a flush has saved of it
	flushes  int
	holds    bool // requests, until release
	held     []uint16
	taken    uint16 // of the driver's ring
	used     uint16
	// lie changes what the device says of a request, after it was carried out.
	lie func(id, written uint32, status byte) (uint32, uint32, byte)
	// refuse is asked for the status of a request before it is carried out.
	refuse func(kind uint32, sector uint64) byte
	most   int // requests held at a time
	acked  int // interrupts whose reason was acknowledged
}

func newModel(t testing.TB, sectors int) *model {
	m := &model{t: t, regs: map[uint32]uint32{}, queueMax: 256, content: make([]byte, sectors*sectorSize), durable: make([]byte, sectors*sectorSize),
		features: virtio.FeatureVersion1 | featureFlush | featureDiscard | featureBlockSize | featureSegMax, interrupt: func() {}}
	le := binary.LittleEndian
	le.PutUint64(m.config[configCapacity:], uint64(sectors))
	le.PutUint32(m.config[configSegMax:], 126)
	le.PutUint32(m.config[configBlockSize:], sectorSize)
	le.PutUint32(m.config[configMaxDiscard:], 1<<20)
	return m
}

func (m *model) Load32(off uint32) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case off == 0:
		return 0x74726976
	case off == 4:
		return 2
	case off == 8:
		return blockID
	case off == 0x10:
		return uint32(m.features >> (32 * m.regs[0x14]))
	case off == 0x34:
		return m.queueMax
	case off >= 0x100:
		return binary.LittleEndian.Uint32(m.config[off-0x100:])
	}
	return m.regs[off]
}

func (m *model) Store32(off, v uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch off {
	case 0x70:
		if v == 0 {
			clear(m.regs)
			m.held, m.taken, m.used = nil, 0, 0
			return
		}
	case 0x64:
		m.regs[0x60] &^= v
		m.acked++
		return
	case 0x50:
		m.take()
		if !m.holds {
			m.carryOut()
		}
		return
	}
	m.regs[off] = v
}

func (m *model) area(off uint32) uint64 { return uint64(m.regs[off]) | uint64(m.regs[off+4])<<32 }

func (m *model) words(at uint64, n int) []uint32 { return ipc.Words32(m.memory(at, 4*n)) }

// take reads what the driver added.
func (m *model) take() {
	size := m.regs[0x38]
	index := uint16(atomic.LoadUint32(&m.words(m.area(0x90), 1)[0]) >> 16)
	ring := m.memory(m.area(0x90)+4, int(2*size))
	for ; m.taken != index; m.taken++ {
		m.held = append(m.held, binary.LittleEndian.Uint16(ring[2*(uint32(m.taken)%size):]))
	}
	m.most = max(m.most, len(m.held))
}

// hold makes the device keep requests until release, or no longer.
func (m *model) hold(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds = on
}

// release carries out what the device holds, in an order of the test's choice.
func (m *model) release(order func([]uint16)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if order != nil {
		order(m.held)
	}
	m.carryOut()
}

func (m *model) carryOut() {
	for _, id := range m.held {
		m.one(uint32(id))
	}
	done := len(m.held) > 0
	m.held = nil
	if done {
		m.regs[0x60] |= virtio.InterruptQueue
		m.interrupt()
	}
}

// one carries out a request.
func (m *model) one(id uint32) {
	type part struct {
		b     []byte
		write bool
	}
	var parts []part
	le := binary.LittleEndian
	for at := id; ; {
		d := m.memory(m.area(0x80)+16*uint64(at), 16)
		flags := le.Uint16(d[12:])
		b := m.memory(le.Uint64(d), int(le.Uint32(d[8:])))
		if b == nil {
			m.t.Errorf("device reaches %d bytes at %#x", le.Uint32(d[8:]), le.Uint64(d))
			b = make([]byte, min(le.Uint32(d[8:]), 1<<20)) // and goes on
		}
		parts = append(parts, part{b, flags&2 != 0})
		if flags&1 == 0 {
			break
		}
		at = uint32(le.Uint16(d[14:]))
	}
	head, last := parts[0].b, parts[len(parts)-1]
	if len(head) != headerBytes || parts[0].write || len(last.b) != 1 || !last.write {
		m.t.Errorf("a request of %d parts", len(parts))
		return
	}
	kind, sector := le.Uint32(head), le.Uint64(head[8:])
	status, written := byte(deviceOK), uint32(1)
	if m.refuse != nil {
		status = m.refuse(kind, sector)
	}
	if status == deviceOK {
		for _, p := range parts[1 : len(parts)-1] {
			var n uint32
			if n, status = m.move(kind, sector, p.b, p.write); status != deviceOK {
				break
			}
			written += n
		}
		if kind == typeFlush {
			copy(m.durable, m.content)
			m.flushes++
		}
	}
	if m.lie != nil {
		id, written, status = m.lie(id, written, status)
	}
	if status != deviceSilent {
		// A byte of a word that the driver reads as a whole.
		at := m.statusWord(last.b)
		atomic.StoreUint32(at, atomic.LoadUint32(at)&^0xff|uint32(status))
	}
	m.say(id, written)
}

// statusWord is the word that a status byte, which begins it, is in.
func (m *model) statusWord(b []byte) *uint32 { return &ipc.Words32(b[:4:4])[0] }

// move carries out what a request does with one of its parts.
func (m *model) move(kind uint32, sector uint64, b []byte, write bool) (written uint32, status byte) {
	at := sector * sectorSize
	switch {
	case kind == typeDiscard:
		le := binary.LittleEndian
		first, n := le.Uint64(b)*sectorSize, uint64(le.Uint32(b[8:]))*sectorSize
		if len(b) != discardBytes || first+n > uint64(len(m.content)) {
			return 0, deviceIOError
		}
		for i := range m.content[first : first+n] {
			m.content[first:][i] = 0xdd
		}
	case at+uint64(len(b)) > uint64(len(m.content)) || len(b)%sectorSize != 0:
		return 0, deviceIOError
	case kind == typeRead && write:
		copy(b, m.content[at:])
		return uint32(len(b)), deviceOK
	case kind == typeWrite && !write:
		copy(m.content[at:], b)
	default:
		return 0, deviceUnsupported
	}
	return 0, deviceOK
}

// say puts an entry into the device's ring.
func (m *model) say(id, written uint32) {
	size := m.regs[0x38]
	w := m.words(m.area(0xa0), 1+2*int(size))
	e := 1 + 2*(uint32(m.used)%size)
	atomic.StoreUint32(&w[e], id)
	atomic.StoreUint32(&w[e+1], written)
	m.used++
	atomic.StoreUint32(&w[0], uint32(m.used)<<16)
}
