package virtio

import (
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// fake is a device with one queue, which fills buffers with a pattern when it is
// told to. Its memory begins at physical address base.
type fake struct {
	t        testing.TB
	regs     map[uint32]uint32
	id       uint32
	features uint64
	refuses  bool // the features
	stuck    bool // does not reset
	queueMax uint32
	memory   []uint32
	at       uint16 // of the driver's ring
	used     uint16
	holds    []uint16
}

const base = 0x8_1234_0000

func newFake(t testing.TB) *fake {
	return &fake{t: t, regs: map[uint32]uint32{}, id: 4, features: FeatureVersion1 | 1<<5 | 1, queueMax: 64, memory: make([]uint32, 4096)}
}

func (f *fake) Load32(off uint32) uint32 {
	switch off {
	case 0:
		return 0x74726976
	case 4:
		return 2
	case 8:
		return f.id
	case 0x10:
		return uint32(f.features >> (32 * f.regs[0x14]))
	case 0x34:
		if f.regs[0x30] == 0 {
			return f.queueMax
		}
		return 0
	}
	return f.regs[off]
}

func (f *fake) Store32(off, v uint32) {
	switch off {
	case 0x70:
		if v == 0 {
			if !f.stuck {
				clear(f.regs)
			}
			return
		}
		if v&8 != 0 && f.refuses {
			v &^= 8
		}
		if v&4 != 0 && f.regs[0x70]&8 == 0 {
			f.t.Error("started before the features were agreed")
		}
	case 0x50:
		if v != 0 || f.regs[0x70]&4 == 0 {
			f.t.Errorf("notified about queue %d in status %#x", v, f.regs[0x70])
		}
	case 0x64:
		f.regs[0x60] &^= v
	}
	f.regs[off] = v
}

func (f *fake) bytes(at uint64, n uint32) []byte {
	f.t.Helper()
	if at < base || at+uint64(n) > base+uint64(4*len(f.memory)) {
		f.t.Fatalf("device reaches %d bytes at %#x", n, at)
	}
	b := make([]byte, 4*len(f.memory))
	for i, w := range f.memory {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
	return b[at-base:][:n]
}

func (f *fake) put(at uint64, b []byte) {
	f.bytes(at, uint32(len(b)))
	for i, c := range b {
		o := at - base + uint64(i)
		shift := o % 4 * 8
		f.memory[o/4] = f.memory[o/4]&^(0xff<<shift) | uint32(c)<<shift
	}
}

func (f *fake) area(off uint32) uint64 { return uint64(f.regs[off]) | uint64(f.regs[off+4])<<32 }

// take reads what the driver added.
func (f *fake) take() {
	le := binary.LittleEndian
	size := f.regs[0x38]
	avail := f.area(0x90)
	for index := le.Uint16(f.bytes(avail+2, 2)); f.at != index; f.at++ {
		f.holds = append(f.holds, le.Uint16(f.bytes(avail+4+2*uint64(uint32(f.at)%size), 2)))
	}
}

// use fills the i-th buffer that the device holds with v and returns its length.
func (f *fake) use(i int, v byte) uint32 {
	le := binary.LittleEndian
	id := f.holds[i]
	f.holds = append(f.holds[:i], f.holds[i+1:]...)
	d := f.bytes(f.area(0x80)+16*uint64(id), 16)
	if flags := le.Uint16(d[12:]); flags != 2 {
		f.t.Fatalf("descriptor %d has flags %d", id, flags)
	}
	n := le.Uint32(d[8:])
	b := make([]byte, n)
	for i := range b {
		b[i] = v
	}
	f.put(le.Uint64(d), b)
	f.say(uint32(id), n)
	return n
}

// say puts an entry into the device's ring.
func (f *fake) say(id, n uint32) {
	size := f.regs[0x38]
	var e [8]byte
	binary.LittleEndian.PutUint32(e[:], id)
	binary.LittleEndian.PutUint32(e[4:], n)
	f.put(f.area(0xa0)+4+8*uint64(uint32(f.used)%size), e[:])
	f.used++
	var index [2]byte
	binary.LittleEndian.PutUint16(index[:], f.used)
	f.put(f.area(0xa0)+2, index[:])
	f.regs[0x60] |= 1
}

func open(t testing.TB, f *fake, size uint32) (*Device, *Queue) {
	t.Helper()
	d, err := Open(f, 4, 1<<5|1<<7)
	if err != nil {
		t.Fatal(err)
	}
	if d.Features() != FeatureVersion1|1<<5 || f.regs[0x20] != 1 {
		t.Errorf("features %#x", d.Features())
	}
	q, err := d.Queue(0, size, f.memory, base)
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	return d, q
}

func TestDevice(t *testing.T) {
	f := newFake(t)
	if id, err := ID(f); id != 4 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
	d, q := open(t, f, 8)
	const buffer = base + 2048
	id, ok := q.Add(buffer, 64, true)
	if !ok {
		t.Fatal("not added")
	}
	q.Notify()
	if _, _, ok, err := q.Used(); ok || err != nil {
		t.Fatal(ok, err)
	}
	f.take()
	f.use(0, 7)
	if why := d.Interrupted(); why != InterruptQueue || f.regs[0x60] != 0 {
		t.Errorf("interrupted for %d", why)
	}
	got, n, ok, err := q.Used()
	if got != id || n != 64 || !ok || err != nil {
		t.Fatal(got, n, ok, err)
	}
	if b := f.bytes(buffer, 64); b[0] != 7 || b[63] != 7 {
		t.Error("not written")
	}
	f.regs[0x70] |= 64
	f.regs[0x104] = 99
	if !d.NeedsReset() || d.Config32(4) != 99 {
		t.Error("status or configuration")
	}
	if err := d.Reset(); err != nil || f.regs[0x70] != 0 {
		t.Error(err)
	}
}

// The rings go round, buffers come back in any order, and every one comes back
// exactly once.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFake(t)
		size := uint32(1) << rapid.IntRange(0, 4).Draw(rt, "size")
		_, q := open(t, f, size)
		out := map[uint32]uint32{}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				n := rapid.Uint32Range(1, 16).Draw(rt, "length")
				id, ok := q.Add(base+2048+uint64(len(out))*16, n, true)
				if ok != (len(out) < int(size)) {
					rt.Fatalf("add with %d of %d out: %v", len(out), size, ok)
				}
				if _, twice := out[id]; ok && twice {
					rt.Fatalf("buffer %d twice", id)
				}
				if ok {
					out[id] = n
				}
			case 1:
				f.take()
				if len(f.holds) > 0 {
					f.use(rapid.IntRange(0, len(f.holds)-1).Draw(rt, "which"), 1)
				}
			case 2:
				id, n, ok, err := q.Used()
				if err != nil {
					rt.Fatal(err)
				}
				if ok {
					if out[id] != n {
						rt.Fatalf("buffer %d with %d bytes, want %d", id, n, out[id])
					}
					delete(out, id)
				}
			}
			if q.Pending() != len(out) {
				rt.Fatalf("%d pending, want %d", q.Pending(), len(out))
			}
		}
	})
}

func TestRejectDevice(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fake)
		want   error
	}{
		{"another kind", func(f *fake) { f.id = 2 }, ErrNoDevice},
		{"empty slot", func(f *fake) { f.id = 0 }, ErrNoDevice},
		{"old device", func(f *fake) { f.features = 1 }, ErrFeatures},
		{"refuses features", func(f *fake) { f.refuses = true }, ErrFeatures},
		{"does not reset", func(f *fake) { f.stuck, f.regs[0x70] = true, 1 }, ErrReset},
	} {
		f := newFake(t)
		c.change(f)
		if _, err := Open(f, 4, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ID(words{}); !errors.Is(err, ErrNoDevice) {
		t.Errorf("no magic: %v", err)
	}
}

type words struct{}

func (words) Load32(uint32) uint32   { return 0 }
func (words) Store32(uint32, uint32) {}

func TestRejectQueue(t *testing.T) {
	f := newFake(t)
	d, err := Open(f, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		i, size uint32
		words   int
		at      uint64
	}{
		{0, 0, 4096, base}, {0, 3, 4096, base}, {0, 2 * MaxQueue, 4096, base}, {0, 128, 4096, base}, {1, 8, 4096, base},
		{0, 8, int(QueueBytes(8)/4) - 1, base}, {0, 8, 4096, base + 4},
	} {
		if _, err := d.Queue(c.i, c.size, f.memory[:c.words], c.at); !errors.Is(err, ErrQueue) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := d.Queue(0, 8, f.memory, base); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Queue(0, 8, f.memory, base); !errors.Is(err, ErrQueue) {
		t.Errorf("a queue in use: %v", err)
	}
}

// A device that says nonsense is found out, and nothing of the driver's is touched.
func TestRejectUsed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *fake, q *Queue, id uint32)
	}{
		{"no such buffer", func(f *fake, _ *Queue, _ uint32) { f.say(8, 1) }},
		{"far off", func(f *fake, _ *Queue, _ uint32) { f.say(1<<31, 1) }},
		{"not handed over", func(f *fake, _ *Queue, id uint32) { f.say((id+1)%8, 1) }},
		{"twice", func(f *fake, q *Queue, id uint32) { f.say(id, 1); q.Used(); f.say(id, 1) }},
		{"too much", func(f *fake, _ *Queue, id uint32) { f.say(id, 17) }},
		{"too many", func(f *fake, _ *Queue, id uint32) {
			f.used = 8
			f.say(id, 1)
		}},
	} {
		f := newFake(t)
		_, q := open(t, f, 8)
		id, _ := q.Add(base+2048, 16, true)
		c.do(f, q, id)
		if _, _, ok, err := q.Used(); ok || !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
	}
	_, q := open(t, newFake(t), 2)
	if _, ok := q.Add(base, 0, false); ok {
		t.Error("an empty buffer")
	}
}
