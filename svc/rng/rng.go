// Package rng is what rngd and those who ask it for entropy have in common: the
// protocol, and a client. The entropy is made in package rngd.
package rng

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of rngd.
var Protocol = ipc.Protocol{Magic: [2]byte{'R', 'G'}, Version: 1}

// OpGet asks for entropy: n u16 → n bytes.
const OpGet = 1

// MaxBytes is how much one request may ask for: more than any key, and little enough
// that nobody waits long for somebody else.
const MaxBytes = 256

// Capability is what policyd must allow who asks for entropy.
const Capability = "rng.entropy"

// Client asks rngd. It may be used by several goroutines.
type Client struct {
	To interface {
		Call(ctx context.Context, op uint16, req, resp []byte) (int, error)
	}
}

// Read fills b, of at most MaxBytes, with entropy. On an error b is all zeroes.
// [ipc.StatusDenied]: policyd does not allow it. [ipc.StatusOverLimit]: b is too long.
func (c Client) Read(ctx context.Context, b []byte) error {
	if len(b) > 1<<16-1 {
		return ipc.StatusOverLimit
	}
	n, err := c.To.Call(ctx, OpGet, wire.AppendU16(nil, uint16(len(b))), b)
	if err == nil && n != len(b) {
		err = ipc.ErrProtocol
	}
	if err != nil {
		clear(b)
	}
	return err
}
