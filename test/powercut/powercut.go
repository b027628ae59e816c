// Package powercut cuts the power of machines while they write to their disk, and boots
// them again on what is left.
//
// The disk is a server in this process (package nbd) with a cache. The power goes at a
// change of the disk that the seed chooses: the request is carried out in the cache and
// never answered, QEMU is killed, and of what was not flushed each sector is there or
// not. That is more than killing QEMU alone does, which leaves everything that was
// written in the cache of the host.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"nexus.internal/test/nbd"
	"nexus.internal/test/qemu"
)

// Load is something that changes the disk of a machine, and judges what it finds there.
type Load struct {
	Machine qemu.Machine  // without a disk
	Start   string        // the line that it prints before the first change
	Most    uint64        // changes of the disk until the power goes, at most
	Timeout time.Duration // longest boot
	// Line is told each line of the console, with the number of the boot. Its error ends
	// the campaign.
	Line func(boot int, line string) error
	// Left, if there is one, is shown what each cut leaves on the disk.
	Left func(content []byte) error
}

// ErrSilent is the error of a boot in which the load does not start, or does not go on
// until the power goes.
var ErrSilent = errors.New("powercut: the load does not go on")

// NewDisk returns the contents of an empty disk that create makes in a file.
func NewDisk(create func(file string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "nexus-powercut-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "disk")
	if err := create(file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// Run boots the machine as often as there are to be cuts, each time on what the cut before
// has left, and once more to the start of the load. The seed decides when the power goes
// and what is left of the cache.
func (l *Load) Run(ctx context.Context, content []byte, seed uint64, cuts int) error {
	for boot := range cuts + 1 {
		var err error
		content, err = l.boot(ctx, content, seed, boot, boot < cuts)
		if err == nil && l.Left != nil {
			err = l.Left(content)
		}
		if err != nil {
			return fmt.Errorf("boot %d: %w", boot, err)
		}
	}
	return nil
}

// boot boots once and returns what is on the disk after the power was cut or, without a
// cut, when the load has started.
func (l *Load) boot(ctx context.Context, content []byte, seed uint64, boot int, cut bool) ([]byte, error) {
	dir, err := os.MkdirTemp("", "nexus-powercut-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := rand.New(rand.NewPCG(seed, uint64(boot)))
	disk := nbd.NewDisk(content)
	m := l.Machine
	m.Kill = true
	m.NBD = filepath.Join(dir, "disk")
	server, err := nbd.Listen(m.NBD, disk)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	started := false
	end, err := m.Run(ctx, l.Timeout, func(line string) time.Duration {
		if err := l.Line(boot, line); err != nil {
			stop(err)
			return 0
		}
		if line != l.Start || started {
			return -1
		}
		started = true
		if !cut {
			return 0
		}
		gone := disk.CutAfter(1 + r.Uint64N(l.Most))
		context.AfterFunc(ctx, disk.Off)
		go func() {
			<-gone
			stop(errCut)
		}()
		return -1
	})
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errCut):
		return disk.After(r.Uint64()), nil
	case cause != nil:
		return nil, cause
	case err != nil:
		return nil, err
	case started && !cut && end.Stopped:
		return disk.After(r.Uint64()), nil
	}
	return nil, fmt.Errorf("%w: started %v, %+v", ErrSilent, started, end)
}

var errCut = errors.New("the power is off")
