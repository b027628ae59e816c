package virtio

import (
	"bytes"
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
	version  uint32
	id       uint32
	features uint64
	refuses  bool // the features
	stuck    bool // does not reset
	queueMax uint32
	memory   []uint32
	at       uint16 // of the driver's ring
	used     uint16
	holds    []uint16
	moving   int // so many more reads of the configuration it changes
}

const base = 0x8_1234_0000

func newFake(t testing.TB) *fake {
	return &fake{t: t, regs: map[uint32]uint32{}, version: 2, id: 4, features: FeatureVersion1 | 1<<5 | 1, queueMax: 64, memory: make([]uint32, 4096)}
}

func (f *fake) Load32(off uint32) uint32 {
	switch off {
	case 0:
		return 0x74726976
	case 4:
		return f.version
	case 8:
		return f.id
	case 0x10:
		return uint32(f.features >> (32 * f.regs[0x14]))
	case 0x100, 0x104:
		if f.moving > 0 {
			f.moving--
			f.regs[0xfc]++
			f.regs[off]++
		}
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

// use carries out the i-th request that the device holds: it reads what it may read,
// fills with v what it may write, and returns how many bytes those are.
func (f *fake) use(i int, v byte) (read, written uint32) {
	le := binary.LittleEndian
	id := f.holds[i]
	f.holds = append(f.holds[:i], f.holds[i+1:]...)
	for at, parts := uint64(id), 0; ; parts++ {
		d := f.bytes(f.area(0x80)+16*at, 16)
		flags, n := le.Uint16(d[12:]), le.Uint32(d[8:])
		switch {
		case flags&^3 != 0 || parts > 16:
			f.t.Fatalf("descriptor %d has flags %d", at, flags)
		case flags&2 != 0:
			f.put(le.Uint64(d), bytes.Repeat([]byte{v}, int(n)))
			written += n
		case written > 0:
			f.t.Fatalf("descriptor %d is read behind one that is written", at)
		default:
			f.bytes(le.Uint64(d), n)
			read += n
		}
		if flags&1 == 0 {
			break
		}
		at = uint64(le.Uint16(d[14:]))
	}
	f.say(uint32(id), written)
	return read, written
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
	id, ok, err := q.Add(Part{buffer, 32, false}, Part{buffer + 32, 16, true}, Part{buffer + 48, 16, true})
	if !ok || err != nil || q.Pending() != 3 {
		t.Fatal("not added", err)
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
	if got != id || n != 32 || !ok || err != nil || q.Pending() != 0 {
		t.Fatal(got, n, ok, err)
	}
	if b := f.bytes(buffer, 64); b[31] != 0 || b[32] != 7 || b[63] != 7 {
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

// Two words of the configuration are of the same time.
func TestConfig64(t *testing.T) {
	f := newFake(t)
	d, _ := open(t, f, 8)
	f.regs[0x100], f.regs[0x104], f.moving = 0xfffffffe, 1, 1
	if v, err := d.Config64(0); v != 0x1_ffff_ffff || err != nil {
		t.Errorf("%#x, %v", v, err)
	}
	f.moving = 1000
	if _, err := d.Config64(0); !errors.Is(err, ErrConfig) {
		t.Errorf("a configuration that does not stand still: %v", err)
	}
	if d.QueueMax(0) != 64 || d.QueueMax(1) != 0 {
		t.Error("length of a queue")
	}
}

// The rings go round, requests come back in any order, and every one comes back
// exactly once, with all of its parts.
func TestQueueModel(t *testing.T) {
	type request struct{ parts, read, written uint32 }
	rapid.Check(t, func(rt *rapid.T) {
		f := newFake(t)
		size := uint32(1) << rapid.IntRange(0, 4).Draw(rt, "size")
		_, q := open(t, f, size)
		out, order, pending := map[uint32]request{}, []uint32{}, uint32(0)
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				var parts []Part
				var want request
				for i := range rapid.Uint32Range(1, size).Draw(rt, "parts") {
					p := Part{base + 2048 + uint64(16*i), rapid.Uint32Range(1, 16).Draw(rt, "length"), want.written > 0 || rapid.Bool().Draw(rt, "write")}
					if p.Write {
						want.written += p.Length
					} else {
						want.read += p.Length
					}
					want.parts++
					parts = append(parts, p)
				}
				id, ok, err := q.Add(parts...)
				if err != nil || ok != (pending+want.parts <= size) {
					rt.Fatalf("add %d parts with %d of %d out: %v, %v", want.parts, pending, size, ok, err)
				}
				if _, twice := out[id]; ok && twice {
					rt.Fatalf("request %d twice", id)
				}
				if ok {
					out[id], pending = want, pending+want.parts
				}
			case 1:
				f.take()
				if len(f.holds) > 0 {
					i := rapid.IntRange(0, len(f.holds)-1).Draw(rt, "which")
					id := uint32(f.holds[i])
					order = append(order, id)
					if read, written := f.use(i, 1); read != out[id].read || written != out[id].written {
						rt.Fatalf("request %d is %d and %d bytes, want %+v", id, read, written, out[id])
					}
				}
			case 2:
				id, n, ok, err := q.Used()
				if err != nil || ok != (len(order) > 0) {
					rt.Fatalf("%d used: %v, %v", len(order), ok, err)
				}
				if ok {
					if id != order[0] || out[id].written != n {
						rt.Fatalf("request %d with %d bytes, want %d with %+v", id, n, order[0], out[id])
					}
					order, pending = order[1:], pending-out[id].parts
					delete(out, id)
				}
			}
			if q.Pending() != int(pending) {
				rt.Fatalf("%d pending, want %d", q.Pending(), pending)
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
		{"legacy device", func(f *fake) { f.version = 1 }, ErrLegacy},
		{"legacy slot", func(f *fake) { f.version, f.id = 1, 0 }, ErrNoDevice},
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
		id, _, _ := q.Add(Part{base + 1024, 16, false}, Part{base + 2048, 16, true})
		c.do(f, q, id)
		if _, _, ok, err := q.Used(); ok || !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
	}
}

// What no device takes is not added.
func TestRejectRequest(t *testing.T) {
	_, q := open(t, newFake(t), 2)
	for name, parts := range map[string][]Part{
		"no part":         {},
		"an empty part":   {{base, 1, false}, {base, 0, true}},
		"read at the end": {{base, 1, true}, {base, 1, false}},
		"too many parts":  {{base, 1, true}, {base, 1, true}, {base, 1, true}},
		"too long":        {{base, 1 << 31, true}, {base, 1 << 31, true}},
	} {
		if _, ok, err := q.Add(parts...); ok || !errors.Is(err, ErrQueue) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if q.Pending() != 0 {
		t.Errorf("%d parts are pending", q.Pending())
	}
}

// FuzzDevice lets the device write anything anywhere into the queue's memory and its
// registers while the driver goes on: whatever it says, a request comes back once at
// most, with no more bytes than it has, and the driver's own memory stays as it is.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0})
	f.Add([]byte{1, 0x4c, 0, 1, 0, 0, 2, 2, 2})
	f.Fuzz(func(t *testing.T, moves []byte) {
		dev := newFake(t)
		_, q := open(t, dev, 8)
		out := map[uint32]uint32{}
		for len(moves) >= 6 {
			m := moves[:6]
			moves = moves[6:]
			switch m[0] % 4 {
			case 0:
				n := 1 + uint32(m[1])
				id, ok, err := q.Add(Part{base + 1024, 8, false}, Part{base + 2048, n, true})
				if _, twice := out[id]; err != nil || ok && twice {
					t.Fatalf("add: %v, request %d", err, id)
				}
				if ok {
					out[id] = n
				}
			case 1:
				word := (uint32(m[1]) | uint32(m[2])<<8) % (QueueBytes(8) / 4)
				dev.memory[word] = uint32(m[3]) | uint32(m[4])<<8 | uint32(m[5])<<16
			case 2:
				dev.say(uint32(m[1])|uint32(m[2])<<16, uint32(m[3])|uint32(m[4])<<16)
			case 3:
				id, n, ok, err := q.Used()
				if errors.Is(err, ErrBroken) {
					return // and a driver resets it
				}
				if err != nil || ok && (out[id] == 0 || n > out[id]) {
					t.Fatalf("used: %v, request %d with %d bytes", err, id, n)
				}
				if ok {
					delete(out, id)
				}
			}
			if q.Pending() != 2*len(out) {
				t.Fatalf("%d parts pending of %d requests", q.Pending(), len(out))
			}
		}
	})
}
