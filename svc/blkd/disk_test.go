package blkd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nexus.internal/ipc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/virtio"
)

// bench is a disk over a model, with memory for data behind that of the queue.
type bench struct {
	*disk
	m    *model
	data []byte
	at   uint64
}

const base = 0x8_4000_0000

func newBench(t testing.TB, m *model) (*bench, error) {
	mem := make([]byte, memoryBytes+blk.BufferSize)
	m.memory = func(address uint64, n int) []byte {
		if address < base || address-base > uint64(len(mem)) || uint64(n) > uint64(len(mem))-(address-base) {
			return nil
		}
		return mem[address-base:][:n]
	}
	d, err := openDisk(m, ipc.Words32(mem[:memoryBytes]), base)
	return &bench{disk: d, m: m, data: mem[memoryBytes:], at: base + memoryBytes}, err
}

func mustBench(t testing.TB, m *model) *bench {
	t.Helper()
	b, err := newBench(t, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const nothing = ipc.Status(999)

// ask starts a request and returns where its status will be.
func (b *bench) ask(t testing.TB, kind uint32, sector uint64, count, offset uint32) *ipc.Status {
	t.Helper()
	got := nothing
	r := request{kind: kind, sector: sector, count: count, address: b.at + uint64(offset), done: func(_ *request, s ipc.Status) {
		if got != nothing {
			t.Errorf("answered twice: %v, then %v", got, s)
		}
		got = s
	}}
	if s := b.start(&r); s != ipc.StatusOK {
		got = s
	}
	return &got
}

func TestDiskReadWrite(t *testing.T) {
	m := newModel(t, 100)
	b := mustBench(t, m)
	for i := range b.data[:4*sectorSize] {
		b.data[i] = byte(i / 3)
	}
	w := b.ask(t, typeWrite, 7, 4, 0)
	if *w != nothing {
		t.Fatal("answered before the device said so")
	}
	if err := b.collect(); err != nil || *w != ipc.StatusOK || !bytes.Equal(m.content[7*sectorSize:11*sectorSize], b.data[:4*sectorSize]) {
		t.Fatalf("write: %v, %v", *w, err)
	}
	if !slices.Equal(m.durable, make([]byte, len(m.durable))) {
		t.Fatal("flushed by itself")
	}
	f := b.ask(t, typeFlush, 0, 0, 0)
	r := b.ask(t, typeRead, 8, 2, 8*sectorSize)
	d := b.ask(t, typeDiscard, 50, 10, 0)
	if err := b.collect(); err != nil || *f != ipc.StatusOK || *r != ipc.StatusOK || *d != ipc.StatusOK {
		t.Fatal(*f, *r, *d, err)
	}
	if !bytes.Equal(b.data[8*sectorSize:10*sectorSize], b.data[sectorSize:3*sectorSize]) || m.flushes != 1 || m.content[50*sectorSize] != 0xdd || m.content[60*sectorSize] != 0 {
		t.Error("not what was asked for")
	}
	if !b.idle() {
		t.Error("something is under way")
	}
}

// Errors of the device are told, each as what it is, and nothing else suffers.
func TestDiskErrors(t *testing.T) {
	m := newModel(t, 100)
	b := mustBench(t, m)
	m.refuse = func(kind uint32, sector uint64) byte {
		switch {
		case sector == 13:
			return deviceIOError
		case kind == typeFlush:
			return deviceUnsupported
		}
		return deviceOK
	}
	bad, good, flush, far := b.ask(t, typeRead, 13, 1, 0), b.ask(t, typeRead, 14, 1, 512), b.ask(t, typeFlush, 0, 0, 0), b.ask(t, typeRead, 100, 1, 0)
	if err := b.collect(); err != nil || *bad != blk.StatusIO || *good != ipc.StatusOK || *flush != blk.StatusUnsupported || *far != blk.StatusIO {
		t.Errorf("%v %v %v %v, %v", *bad, *good, *flush, *far, err)
	}
}

// The device has at least 32 requests at a time, more wait and none is lost, whatever
// the order in which they end.
func TestDiskDepth(t *testing.T) {
	m := newModel(t, 1000)
	m.holds = true
	b := mustBench(t, m)
	var all []*ipc.Status
	for i := range uint64(maxDepth + maxWaiting) {
		all = append(all, b.ask(t, typeRead, i, 1, 0))
	}
	if s := b.ask(t, typeRead, 0, 1, 0); *s != ipc.StatusOverLimit {
		t.Errorf("one too many: %v", *s)
	}
	if m.most < minDepth || m.most != maxDepth {
		t.Errorf("the device has %d at a time", m.most)
	}
	for !b.idle() {
		m.release(slices.Reverse[[]uint16])
		if err := b.collect(); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range all {
		if *s != ipc.StatusOK {
			t.Errorf("request %d: %v", i, *s)
		}
	}
}

// What the device has at the time of its reset ends with an error, and so does what
// waits.
func TestRejectBrokenDevice(t *testing.T) {
	for name, lie := range map[string]func(id, written uint32, status byte) (uint32, uint32, byte){
		"no such request":       func(id, n uint32, s byte) (uint32, uint32, byte) { return 300, n, s },
		"a part of a request":   func(id, n uint32, s byte) (uint32, uint32, byte) { return id + 1, n, s },
		"far off":               func(id, n uint32, s byte) (uint32, uint32, byte) { return 1 << 31, n, s },
		"more than was written": func(id, n uint32, s byte) (uint32, uint32, byte) { return id, n + 1, s },
		"less than was read":    func(id, n uint32, s byte) (uint32, uint32, byte) { return id, n - 1, s },
		"nothing was written":   func(id, n uint32, s byte) (uint32, uint32, byte) { return id, 0, s },
		"error without a byte":  func(id, n uint32, s byte) (uint32, uint32, byte) { return id, 0, deviceIOError },
		"no status":             func(id, n uint32, s byte) (uint32, uint32, byte) { return id, n, deviceSilent },
		"a status of its own":   func(id, n uint32, s byte) (uint32, uint32, byte) { return id, n, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 100)
			m.holds = true
			b := mustBench(t, m)
			var all []*ipc.Status
			for range maxDepth + 5 {
				all = append(all, b.ask(t, typeRead, 1, 1, 0))
			}
			m.lie = lie
			m.release(nil)
			if err := b.collect(); !errors.Is(err, virtio.ErrBroken) {
				t.Errorf("collect: %v", err)
			}
			for i, s := range all {
				if *s != blk.StatusBroken {
					t.Errorf("request %d: %v", i, *s)
				}
			}
			if m.regs[0x70] != 0 {
				t.Error("it was not reset")
			}
			if s := b.ask(t, typeRead, 1, 1, 0); *s != blk.StatusBroken {
				t.Errorf("afterwards: %v", *s)
			}
		})
	}
}

// A device that never answers is found out at the second look.
func TestRejectHungDevice(t *testing.T) {
	m := newModel(t, 100)
	m.holds = true
	b := mustBench(t, m)
	started := 0
	b.tick = func() { started++ }
	first := b.ask(t, typeRead, 1, 1, 0)
	if started != 1 {
		t.Error("nobody was told to watch")
	}
	if err := b.watch(); err != nil {
		t.Fatal(err)
	}
	m.release(nil)
	b.collect()
	second := b.ask(t, typeRead, 2, 1, 0) // in the same slot
	if err := b.watch(); err != nil || *first != ipc.StatusOK {
		t.Fatalf("%v: another request was there at the first look", err)
	}
	if err := b.watch(); !errors.Is(err, errHung) || *second != blk.StatusBroken {
		t.Errorf("%v, %v", err, *second)
	}
}

func TestRejectGeometry(t *testing.T) {
	le := binary.LittleEndian
	for name, change := range map[string]func(*model){
		"no sectors":      func(m *model) { le.PutUint64(m.config[configCapacity:], 0) },
		"endless":         func(m *model) { le.PutUint64(m.config[configCapacity:], maxSectors+1) },
		"large blocks":    func(m *model) { le.PutUint32(m.config[configBlockSize:], 4096) },
		"no segments":     func(m *model) { le.PutUint32(m.config[configSegMax:], 0) },
		"short transfers": func(m *model) { m.features |= featureSizeMax; le.PutUint32(m.config[configSizeMax:], 511) },
		"a short queue":   func(m *model) { m.queueMax = 64 },
	} {
		m := newModel(t, 100)
		change(m)
		if _, err := newBench(t, m); !errors.Is(err, errGeometry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newModel(t, 100)
	m.features |= featureSizeMax | featureReadOnly
	m.features &^= featureFlush | featureDiscard
	le.PutUint32(m.config[configSizeMax:], 4096)
	b := mustBench(t, m)
	if b.sectors != 100 || b.maxSectors != 8 || !b.readOnly || b.flush || b.maxDiscard != 0 {
		t.Errorf("%+v", b.disk)
	}
}

// Against a model of what should be on the disk, with requests in any order, some of
// them refused, any of them late.
func TestDiskModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const sectors, slots = 64, 16
		m := newModel(t, sectors)
		m.holds = true
		b := mustBench(t, m)
		want := make([]byte, sectors*sectorSize)
		type op struct {
			s    *ipc.Status
			kind uint32
			at   uint64
			off  uint32
		}
		busy := map[uint64]bool{}
		var out []op
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			at, off := uint64(rapid.IntRange(0, sectors-1).Draw(rt, "sector")), uint32(step%slots)*sectorSize
			kind := rapid.SampledFrom([]uint32{typeRead, typeWrite}).Draw(rt, "kind")
			if len(out) < slots && !busy[at] && rapid.Bool().Draw(rt, "ask") {
				if kind == typeWrite {
					for i := range b.data[off:][:sectorSize] {
						b.data[off:][i] = byte(step + 1)
						want[at*sectorSize:][i] = byte(step + 1)
					}
				}
				busy[at] = true
				out = append(out, op{b.ask(t, kind, at, 1, off), kind, at, off})
				continue
			}
			m.release(func(ids []uint16) { ids2 := rapid.Permutation(ids).Draw(rt, "order"); copy(ids, ids2) })
			if err := b.collect(); err != nil {
				rt.Fatal(err)
			}
			for _, o := range out {
				if *o.s != ipc.StatusOK {
					rt.Fatalf("%+v: %v", o, *o.s)
				}
				if o.kind == typeRead && !bytes.Equal(b.data[o.off:][:sectorSize], want[o.at*sectorSize:][:sectorSize]) {
					rt.Fatalf("read at %d: %d, want %d", o.at, b.data[o.off], want[o.at*sectorSize])
				}
			}
			out = nil
			clear(busy)
		}
	})
}

// FuzzDisk lets the device do anything to its side of the queue's memory and its
// registers while requests go on: each is answered once at most, and exactly once when
// the device has been reset.
func FuzzDisk(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 0, 0, 2, 0, 0})
	f.Add([]byte{0, 1, 0, 1, 4, 200, 2, 0, 0, 0, 9, 9, 3, 7, 1})
	f.Fuzz(func(t *testing.T, moves []byte) {
		m := newModel(t, 100)
		m.holds = true
		b := mustBench(t, m)
		m.t = ignore{t} // what the device is led to by its own nonsense
		answers := map[int]int{}
		asked := 0
		for ; len(moves) >= 3 && b.broken == nil; moves = moves[3:] {
			switch v := uint32(moves[1]) | uint32(moves[2])<<8; moves[0] % 5 {
			case 0:
				n := asked
				asked++
				r := request{kind: []uint32{typeRead, typeWrite, typeFlush, typeDiscard}[v%4], sector: uint64(v >> 2), count: 1 + v%8, address: b.at,
					done: func(*request, ipc.Status) { answers[n]++ }}
				if s := b.start(&r); s != ipc.StatusOK {
					answers[n]++
				}
			case 1: // anywhere into what the device may write
				m.memory(base+uint64(4096+v%4096), 1)[0] = byte(v >> 5)
			case 2:
				m.say(v%maxQueue, v>>4)
			case 3:
				m.release(nil)
			case 4:
				b.collect()
			}
		}
		b.fail(virtio.ErrBroken)
		for n := range asked {
			if answers[n] != 1 {
				t.Fatalf("request %d of %d was answered %d times", n, asked, answers[n])
			}
		}
	})
}

// ignore is a test that takes no offence.
type ignore struct{ testing.TB }

func (ignore) Errorf(string, ...any) {}
