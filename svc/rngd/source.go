package rngd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nexus.internal/ipc"
)

// device is where entropy comes from.
type device interface {
	// fill has the device write to b, which is all zeroes, and returns how many bytes
	// it wrote, from the start on.
	fill(ctx context.Context, b []byte) (int, error)
}

// chunk is how many bytes the device is asked for at once.
const chunk = 256

// maxEmpty is how often in a row the device may say nothing.
const maxEmpty = 8

// fillTimeout bounds how long the device may take for a chunk. Devices take
// microseconds; a machine under emulation may be slow.
const fillTimeout = 5 * time.Second

var errSilent = errors.New("entropy source says nothing")

// source gives out what the device says and the health tests let pass, and nothing
// after they have failed.
type source struct {
	device device
	health health
	broken error
	rest   []byte // of chunk: tested, not given out yet
	chunk  [chunk]byte
}

// newSource returns a source that has passed the start-up test. What it said for that
// is not used.
func newSource(ctx context.Context, d device) (*source, error) {
	s := &source{device: d}
	var b [startup]byte
	defer clear(b[:])
	return s, s.read(ctx, b[:])
}

// read fills b.
func (s *source) read(ctx context.Context, b []byte) error {
	for at, empty := 0, 0; at < len(b); {
		if len(s.rest) == 0 {
			if err := s.refill(ctx); err != nil {
				clear(b)
				return err
			}
			if len(s.rest) == 0 {
				if empty++; empty == maxEmpty {
					clear(b)
					return errSilent
				}
			}
		}
		n := copy(b[at:], s.rest)
		clear(s.rest[:n])
		s.rest = s.rest[n:]
		at += n
	}
	return nil
}

// refill asks the device once. Only what it says it wrote counts.
func (s *source) refill(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	clear(s.chunk[:])
	n, err := s.device.fill(ctx, s.chunk[:])
	if err == nil && (n < 0 || n > chunk) {
		err = fmt.Errorf("%w: %d bytes", ipc.ErrProtocol, n)
	}
	if err == nil {
		err = s.health.test(s.chunk[:n])
	}
	if err != nil {
		s.broken = err
		clear(s.chunk[:])
		return err
	}
	s.rest = s.chunk[:n]
	return nil
}
