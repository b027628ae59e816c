// Package blkd drives the disk and gives out its partitions, each as a capability of
// its own, see package blk. It is the only one that knows where on the disk a partition
// is, and the only one whose memory the device is told of: its own queue, and a buffer
// for each partition, which the holder of the partition maps. Data go from there to the
// device and back; blkd does not touch them.
//
// Invariants:
//
//   - A request reaches the device only with a range inside of the partition that its
//     endpoint is for, and a range inside of that partition's buffer.
//   - A partition has one holder. A buffer is given to another one only when no request
//     of the one before is under way, and zeroed.
//   - The device is not believed. When it breaks its protocol, or does not answer for
//     a minute, it is reset, every request under way ends with an error, and blkd ends;
//     a restart begins with another reset.
//   - Nothing polls: the device interrupts.
//
// Without a disk, or with one that is of no use, blkd says so and answers everybody
// with [blk.StatusNoDisk].
package blkd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/virtio"
)

// deviceName is the device that blkd owns.
const deviceName = "blk"

const (
	depth = 32 // who may wait to open a partition
	// workers: an open waits for policyd, and for the requests of the holder before.
	workers = 4
	// watchPeriod is how often one looks for requests that the device never answers: one
	// that was there twice in a row took that long. Disks behind a busy host take seconds.
	watchPeriod = 30 * time.Second
)

// server is the service.
type server struct {
	env    *svc.Env
	fail   context.CancelCauseFunc // ends the service
	parts  ipc.Endpoint[ipc.Serve] // where requests for partitions arrive
	window ipc.MMIO[ipc.Drive]
	irq    ipc.IRQ[ipc.Drive]
	n      ipc.Notification[ipc.Listen]

	// Set before anybody asks.
	why     error // for which there is no disk to use
	volumes []*volume
	done    func(*request, ipc.Status) // finished

	mu       sync.Mutex // of everything below, and of the volumes
	disk     *disk
	watching bool
	watcher  *time.Timer
}

var (
	errNone       = errors.New("the machine has none that can be driven")
	errUnreadable = errors.New("sectors cannot be read")
)

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	return run(ctx, env, func(r *ipc.Registers) virtio.Registers { return r })
}

// run is the service, with the registers that behind makes of those of the device.
func run(ctx context.Context, env *svc.Env, behind func(*ipc.Registers) virtio.Registers) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log := journal.NewHandler(env.Name, slog.LevelInfo, env.ConsoleHandler(slog.LevelWarn))
	env.Log = slog.New(log)
	go log.Run(ctx, journal.Client{To: env.Dial("logd", journal.Protocol)})
	s := &server{env: env, fail: cancel}
	public, err := env.Process.NewEndpoint(depth, abi.MaxInline)
	if err != nil {
		return err
	}
	// Room for as many requests as all holders may have under way.
	if s.parts, err = env.Process.NewEndpoint(maxWaiting, abi.MaxInline); err != nil {
		return err
	}
	s.done = s.finished
	if s.why = s.open(ctx, behind); s.why != nil {
		env.Say("blkd: no disk: %v", s.why)
	} else {
		env.Say("blk: virtio-blk up")
		env.Log.Info("disk", "sectors", s.disk.sectors, "readonly", s.disk.readOnly, "cache", s.disk.flush, "discard", s.disk.maxDiscard, "depth", len(s.disk.slots), "partitions", len(s.volumes))
	}
	go func() {
		// One worker: no request waits for anything here.
		if err := ipc.NewServer(s.parts, blk.Protocol, 1, s.request).Serve(ctx); ctx.Err() == nil {
			cancel(err)
		}
	}()
	err = env.Serve(ctx, ipc.NewServer(public, blk.Protocol, workers, func(q *ipc.Request) { s.public(ctx, q) }), public)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// Bits of the notification.
const (
	interruptBit = 1 << iota
	stopBit
)

// open takes the disk into use and reads its table.
func (s *server) open(ctx context.Context, behind func(*ipc.Registers) virtio.Registers) error {
	var err error
	if s.window, err = s.env.Control.Window(ctx, deviceName); errors.Is(err, ipc.StatusNotFound) {
		return errNone
	} else if err != nil {
		return fmt.Errorf("window: %w", err)
	}
	if s.irq, err = s.env.Control.Interrupt(ctx, deviceName); err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	regs, err := ipc.MapMMIO(s.window, 0, abi.PageSize)
	if err != nil {
		return fmt.Errorf("registers: %w", err)
	}
	memory, err := newMemory(s.window, memoryBytes)
	if err != nil {
		return err
	}
	if s.n, err = s.env.Process.NewNotification(); err != nil {
		return err
	}
	d, err := openDisk(behind(regs), ipc.Words32(memory.bytes), memory.address)
	if err != nil {
		return err
	}
	s.disk, d.tick = d, s.startWatch
	if err := ipc.Bind(s.irq, s.n, interruptBit); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { ipc.Set(s.n, stopBit) })
	go s.interrupts(ctx)
	if err = s.readTable(ctx); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.fail(err) // nobody will ask anything of it
	}
	return err
}

// memory is DMA memory that this process has mapped.
type memory struct {
	object  ipc.DMA
	bytes   []byte
	address uint64 // for the device
}

// newMemory returns size bytes, or some more: whole pages.
func newMemory(w ipc.MMIO[ipc.Drive], size uint64) (m memory, err error) {
	size = (size + abi.PageSize - 1) &^ (abi.PageSize - 1)
	if m.object, err = ipc.NewDMA(w, size); err != nil {
		return m, fmt.Errorf("DMA memory: %w", err)
	}
	if m.address, err = ipc.Address(m.object); err != nil {
		return m, fmt.Errorf("DMA memory: %w", err)
	}
	if m.bytes, err = ipc.MapWritable(m.object, 0, size); err != nil {
		err = fmt.Errorf("DMA memory: %w", err)
	}
	return m, err
}

// readTable reads both copies of the partition table and makes a volume of each
// partition.
func (s *server) readTable(ctx context.Context) error {
	const headBytes, tailBytes = (1 + tableSectors) * sectorSize, tableSectors * sectorSize
	sectors := s.disk.sectors
	if sectors < tableSectors+1 {
		return fmt.Errorf("%w: %d sectors", errTable, sectors)
	}
	m, err := newMemory(s.window, headBytes+tailBytes)
	if err != nil {
		return err
	}
	for _, r := range []request{
		{kind: typeRead, sector: 0, count: 1 + tableSectors, address: m.address},
		{kind: typeRead, sector: sectors - tableSectors, count: tableSectors, address: m.address + headBytes},
	} {
		if err := s.own(ctx, r); err != nil {
			return err // the memory stays: the device may still write to it
		}
	}
	parts, err := parseTable(m.bytes[:headBytes], m.bytes[headBytes:][:tailBytes], sectors)
	if err != nil {
		return err
	}
	if err := errors.Join(s.env.Process.Unmap(m.bytes), m.object.Close()); err != nil {
		return err
	}
	to := policy.Client{To: s.env.Dial("policyd", policy.Protocol)}
	for _, p := range parts {
		if askable(p.name) {
			s.volumes = append(s.volumes, &volume{partition: p, gate: policy.Gate{
				To: to, Capability: policy.Disk + p.name, Object: p.name, Now: s.env.Process.Now}})
		}
	}
	return nil
}

// own makes a request of blkd itself, in pieces that the device takes, and waits.
func (s *server) own(ctx context.Context, r request) error {
	for r.count > 0 {
		piece, done := r, make(chan ipc.Status, 1)
		piece.count = min(r.count, s.disk.maxSectors)
		piece.done = func(_ *request, st ipc.Status) { done <- st }
		s.mu.Lock()
		st := s.disk.start(&piece)
		s.mu.Unlock()
		if st == ipc.StatusOK {
			select {
			case st = <-done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if st == blk.StatusIO {
			return fmt.Errorf("%w: %d at %d", errUnreadable, piece.count, piece.sector)
		} else if st != ipc.StatusOK {
			return fmt.Errorf("reading %d sectors at %d: %w", piece.count, piece.sector, st)
		}
		r.sector, r.count, r.address = r.sector+uint64(piece.count), r.count-piece.count, r.address+uint64(piece.count)*sectorSize
	}
	return nil
}

// interrupts collects what the device is done with.
func (s *server) interrupts(ctx context.Context) {
	for {
		// The context ends the wait by a bit: a wait that it could end itself would cost
		// more than all the rest.
		bits, err := ipc.WaitBits(context.Background(), s.n)
		if err == nil && bits&stopBit != 0 {
			return
		}
		if err == nil {
			err = s.interrupted()
		}
		if err != nil {
			s.fail(fmt.Errorf("disk: %w", err))
			return
		}
	}
}

// interrupted serves one interrupt.
func (s *server) interrupted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// First the device lowers its line, then the next interrupt is let in, then one
	// looks: what comes later interrupts again.
	why := s.disk.dev.Interrupted()
	if err := s.irq.Ack(); err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	if why&virtio.InterruptConfig != 0 && s.disk.dev.NeedsReset() {
		return s.disk.fail(virtio.ErrBroken)
	}
	return s.disk.collect()
}

// startWatch sees to it that somebody looks for requests that are never answered. It
// is called, with the lock held, for every request.
func (s *server) startWatch() {
	if s.watching {
		return
	}
	s.watching = true
	if s.watcher == nil {
		s.watcher = time.AfterFunc(watchPeriod, s.watch)
	} else {
		s.watcher.Reset(watchPeriod)
	}
}

func (s *server) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.disk.watch(); err != nil {
		s.fail(fmt.Errorf("disk: %w", err))
		return
	}
	if s.watching = !s.disk.idle(); s.watching {
		s.watcher.Reset(watchPeriod)
	}
}
