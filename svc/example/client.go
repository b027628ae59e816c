package example

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Caller is what a client asks through: a svc.Remote, which connects again after
// the service was restarted, or an ipc.Client.
type Caller interface {
	Call(ctx context.Context, op uint16, payload, resp []byte) (int, error)
}

// Client uses the service. It may be used by several goroutines.
type Client struct{ To Caller }

// Add adds n to the caller's counter of that name, which starts at 0, and returns
// the new value. [ipc.StatusOverLimit]: the name is too long, there are too many
// counters, or the value would overflow.
func (c Client) Add(ctx context.Context, name string, n uint64) (total uint64, err error) {
	return c.call(ctx, &request{OpAdd, n, name})
}

// Get returns the value of the caller's counter of that name.
// [ipc.StatusNotFound]: it has none.
func (c Client) Get(ctx context.Context, name string) (total uint64, err error) {
	return c.call(ctx, &request{op: OpGet, name: name})
}

func (c Client) call(ctx context.Context, r *request) (uint64, error) {
	if len(r.name) > MaxName {
		return 0, ipc.StatusOverLimit // the encoding has room for 255 bytes only
	}
	var req [8 + 1 + MaxName]byte
	var resp [8]byte
	n, err := c.To.Call(ctx, r.op, r.append(req[:0]), resp[:])
	if err != nil {
		return 0, err
	}
	d := wire.Read(resp[:n])
	total := d.U64()
	if !d.Done() {
		return 0, ipc.ErrProtocol
	}
	return total, nil
}
