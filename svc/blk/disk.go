package blk

import (
	"context"
	"errors"
	"math/bits"
	"sync"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// unit is in how large pieces the buffer is given out: 64 of them, a bit for each.
const unit = BufferSize / 64

// Disk is a partition that this process holds. Its methods may be used by several
// goroutines; requests that are under way at the same time go to the device at the
// same time. Offsets and lengths are bytes and must be whole sectors.
//
// Errors are the statuses of this package, of which errors.Is finds [StatusIO] and the
// others; what ctx says when it ends before the answer comes, and then it is not known
// what the device did; and [ipc.ErrClosed] when blkd has ended, after which the
// partition must be opened again: what was written and not flushed may be lost.
type Disk struct {
	c    *ipc.Client
	info Info
	buf  ipc.VMO[ipc.ReadWrite]
	mem  []byte

	mu    sync.Mutex
	used  uint64          // units of the buffer, a bit for each
	waits []chan struct{} // closed, the first first, when units are given back
}

// Open opens a partition through a connection to blkd. Who opens it holds it alone;
// a process that is started again takes it over from the one that it was.
// [ipc.StatusDenied]: policyd does not allow it. [ipc.StatusNotFound]: there is no such
// partition. [ipc.StatusUnavailable]: somebody else holds it. [StatusNoDisk]: there is
// no disk.
func Open(ctx context.Context, blkd *ipc.Client, partition string) (*Disk, error) {
	if len(partition) > MaxName {
		return nil, ipc.StatusNotFound
	}
	call, err := blkd.Get()
	if err != nil {
		return nil, err
	}
	defer blkd.Put(call)
	d := &Disk{}
	payload, err := call.DoSmall(ctx, OpOpen, wire.AppendString8(call.Inline(), partition))
	if err != nil {
		return nil, err
	}
	if !d.info.Decode(payload) || d.info.MaxSectors == 0 {
		return nil, ipc.ErrProtocol
	}
	ep, err := call.Take().Send()
	if err != nil {
		return nil, err
	}
	d.c = ipc.NewClient(ep, Protocol)
	if err := d.mapBuffer(ctx); err != nil {
		d.c.Close()
		return nil, err
	}
	return d, nil
}

// mapBuffer asks for the buffer and maps it.
func (d *Disk) mapBuffer(ctx context.Context) error {
	call, err := d.c.Get()
	if err != nil {
		return err
	}
	defer d.c.Put(call)
	if _, err := call.DoSmall(ctx, OpBuffer, nil); err != nil {
		return err
	}
	if d.buf, err = call.Take().Writable(); err != nil {
		return err
	}
	if d.mem, err = ipc.MapWritable(d.buf, 0, BufferSize); err != nil {
		d.buf.Close()
	}
	return err
}

// Size returns how many bytes the partition has.
func (d *Disk) Size() int64 { return int64(d.info.Sectors) * SectorSize }

// Info describes the partition.
func (d *Disk) Info() Info { return d.info }

// ReadAt reads all of p from the offset on.
func (d *Disk) ReadAt(ctx context.Context, p []byte, off int64) error {
	return d.pieces(ctx, p, off, func(m *Memory, p []byte, off int64) error {
		err := m.Read(ctx, off)
		if err == nil {
			copy(p, m.Bytes)
		}
		return err
	})
}

// WriteAt writes all of p from the offset on. It lasts after the next [Disk.Flush].
func (d *Disk) WriteAt(ctx context.Context, p []byte, off int64) error {
	return d.pieces(ctx, p, off, func(m *Memory, p []byte, off int64) error {
		copy(m.Bytes, p)
		return m.Write(ctx, off)
	})
}

// pieces has do move p in as few pieces as the limits allow.
func (d *Disk) pieces(ctx context.Context, p []byte, off int64, do func(*Memory, []byte, int64) error) error {
	if err := d.check(off, int64(len(p))); err != nil {
		return err
	}
	for len(p) > 0 {
		n := min(len(p), MaxMemory, int(d.info.MaxSectors)*SectorSize)
		m, err := d.Memory(ctx, n)
		if err != nil {
			return err
		}
		err = do(&m, p[:n], off)
		m.Release()
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// check verifies that n bytes at off are whole sectors of the partition.
func (d *Disk) check(off, n int64) error {
	if off < 0 || n < 0 || off > d.Size() || n > d.Size()-off {
		return StatusRange
	}
	if (off|n)%SectorSize != 0 {
		return StatusAlign
	}
	return nil
}

// Flush returns when everything whose writing had ended before lasts.
func (d *Disk) Flush(ctx context.Context) error { return d.call(ctx, OpFlush, nil, 0) }

// Discard says that nobody needs n bytes at off any more; they read as anything until
// they are written again. [StatusUnsupported]: the device has no use for that.
func (d *Disk) Discard(ctx context.Context, off, n int64) error {
	if err := d.check(off, n); err != nil {
		return err
	}
	if d.info.MaxDiscard == 0 {
		return StatusUnsupported
	}
	for n > 0 {
		piece := min(n, int64(d.info.MaxDiscard)*SectorSize)
		if err := d.call(ctx, OpDiscard, &Transfer{Sector: uint64(off) / SectorSize, Count: uint32(piece / SectorSize)}, 0); err != nil {
			return err
		}
		off, n = off+piece, n-piece
	}
	return nil
}

// MaxMemory is the longest [Memory]: several of them fit into the buffer.
const MaxMemory = 64 << 10

// Memory is a piece of the buffer that belongs to its holder until Release: the device
// reads and writes there, without a copy.
type Memory struct {
	Bytes []byte // what one transfer moves
	d     *Disk
	units uint64
	at    uint32
}

// Memory returns n bytes of the buffer, whole sectors and at most [MaxMemory], when so
// many are free. What is in them is anything.
func (d *Disk) Memory(ctx context.Context, n int) (Memory, error) {
	if n <= 0 || n%SectorSize != 0 {
		return Memory{}, StatusAlign
	}
	if n > MaxMemory {
		return Memory{}, StatusRange
	}
	k := (n + unit - 1) / unit
	for first := true; ; first = false {
		d.mu.Lock()
		// Who waits is served before who comes.
		if !first || len(d.waits) == 0 {
			if i := run(^d.used, k); i < 64 {
				units := (uint64(1)<<k - 1) << i
				d.used |= units
				d.wake()
				d.mu.Unlock()
				at := i * unit
				return Memory{Bytes: d.mem[at : at+n : at+n], d: d, units: units, at: uint32(at)}, nil
			}
		}
		w := make(chan struct{})
		if first {
			d.waits = append(d.waits, w)
		} else {
			d.waits = append([]chan struct{}{w}, d.waits...)
		}
		d.mu.Unlock()
		select {
		case <-w:
		case <-ctx.Done():
			d.leave(w)
			return Memory{}, ctx.Err()
		}
	}
}

// run returns where the first k ones in a row begin in a word, 64 if nowhere.
func run(word uint64, k int) int {
	for ; k > 1; k-- {
		word &= word >> 1
	}
	return bits.TrailingZeros64(word)
}

// wake lets the first who waits look. The lock is held.
func (d *Disk) wake() {
	if len(d.waits) > 0 {
		close(d.waits[0])
		d.waits = d.waits[1:]
	}
}

// leave takes one who gave up out of the queue. If it was woken, the next one is.
func (d *Disk) leave(w chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, c := range d.waits {
		if c == w {
			d.waits = append(d.waits[:i:i], d.waits[i+1:]...)
			return
		}
	}
	d.wake()
}

// free gives units of the buffer back.
func (d *Disk) free(units uint64) {
	d.mu.Lock()
	d.used &^= units
	d.wake()
	d.mu.Unlock()
}

// Read fills the memory from the offset on.
func (m *Memory) Read(ctx context.Context, off int64) error { return m.transfer(ctx, OpRead, off) }

// Write writes the memory from the offset on.
func (m *Memory) Write(ctx context.Context, off int64) error { return m.transfer(ctx, OpWrite, off) }

func (m *Memory) transfer(ctx context.Context, op uint16, off int64) error {
	d := m.d
	if m.units == 0 {
		return StatusStale
	}
	if err := d.check(off, int64(len(m.Bytes))); err != nil {
		return err
	}
	t := Transfer{uint64(off) / SectorSize, uint32(len(m.Bytes) / SectorSize), m.at}
	err := d.call(ctx, op, &t, m.units)
	if err != nil && given(err) {
		m.units = 0 // the device may still use it
	}
	return err
}

// given reports whether an error leaves the request under way.
func given(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Release gives the memory back. Nobody may use it afterwards.
func (m *Memory) Release() {
	if m.units != 0 {
		m.d.free(m.units)
		m.units = 0
	}
}

// call makes a request. If it is given up, units stay in use until the device is done
// with them.
func (d *Disk) call(ctx context.Context, op uint16, t *Transfer, units uint64) error {
	if err := ctx.Err(); err != nil {
		if units != 0 {
			d.free(units) // as in every case in which the caller finds them gone
		}
		return err
	}
	call, err := d.c.Get()
	if err != nil {
		return err
	}
	payload := call.Inline()
	if t != nil {
		payload = t.Append(payload)
	}
	_, err = call.DoSmall(ctx, op, payload)
	d.c.Put(call)
	if err == nil || !given(err) {
		return err
	}
	if units != 0 {
		go func() {
			// Without blkd there is no buffer that anybody could use again.
			if _, err := d.c.Call(context.Background(), OpDrain, nil, nil); err == nil {
				d.free(units)
			}
		}()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err // the kernel saw the deadline pass first
}
