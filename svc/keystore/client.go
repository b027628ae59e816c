package keystore

import (
	"context"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Caller is what a client asks through: a svc.Remote, which connects again after the
// service was restarted, or an ipc.Client.
type Caller interface {
	Call(ctx context.Context, op uint16, payload, resp []byte) (int, error)
}

// Client uses keystored. It may be used by several goroutines. Each method needs a
// capability of this package; [ipc.StatusDenied]: policyd does not allow it.
// [StatusNoKeys]: the device has none now.
type Client struct{ To Caller }

// exactly makes a call whose answer fills b, which is all zeroes after an error.
func (c Client) exactly(ctx context.Context, op uint16, req, b []byte) error {
	n, err := c.To.Call(ctx, op, req, b)
	if err == nil && n != len(b) {
		err = ipc.ErrProtocol
	}
	if err != nil {
		clear(b)
	}
	return err
}

// Put keeps a secret, durably. [ipc.StatusOverLimit]: it is too long, or there are too
// many. The caller wipes value.
func (c Client) Put(ctx context.Context, name string, value []byte) error {
	if len(name) > MaxName || len(value) > MaxValue {
		return ipc.StatusOverLimit
	}
	req := append(wire.AppendString8(make([]byte, 0, 1+MaxName+MaxValue), name), value...)
	defer clear(req)
	return c.exactly(ctx, OpPut, req, nil)
}

// Get appends a secret to dst. [ipc.StatusNotFound]: there is none of that name. The
// caller wipes it.
func (c Client) Get(ctx context.Context, dst []byte, name string) ([]byte, error) {
	if len(name) > MaxName {
		return dst, ipc.StatusOverLimit
	}
	var resp [MaxValue]byte
	defer clear(resp[:])
	n, err := c.To.Call(ctx, OpGet, wire.AppendString8(nil, name), resp[:])
	if err != nil {
		return dst, err
	}
	return append(dst, resp[:n]...), nil
}

// Delete removes a secret, if it is there.
func (c Client) Delete(ctx context.Context, name string) error {
	if len(name) > MaxName {
		return ipc.StatusOverLimit
	}
	return c.exactly(ctx, OpDelete, wire.AppendString8(nil, name), nil)
}

// PublicKey returns the key of the device.
func (c Client) PublicKey(ctx context.Context) (key [PublicKeySize]byte, err error) {
	return key, c.exactly(ctx, OpPublicKey, nil, key[:])
}

// Sign has the device sign, for the caller; see [Context].
func (c Client) Sign(ctx context.Context, payload []byte) (sig [SignatureSize]byte, err error) {
	if len(payload) > MaxPayload {
		return sig, ipc.StatusOverLimit
	}
	return sig, c.exactly(ctx, OpSign, payload, sig[:])
}

// Verify reports whether a signature is valid.
func (c Client) Verify(ctx context.Context, s *Statement) (bool, error) {
	if len(s.Payload) > MaxPayload {
		return false, ipc.StatusOverLimit
	}
	var valid [1]byte
	err := c.exactly(ctx, OpVerify, s.Append(nil), valid[:])
	return valid[0] == 1, err
}

// VerifyMemory is Verify of s.Length bytes of sealed memory, which keystored gets with the
// request and gives up when it has answered.
func VerifyMemory(ctx context.Context, c *ipc.Client, s *Statement, memory ipc.VMO[ipc.ReadGrant]) (bool, error) {
	call, err := c.Get()
	if err != nil {
		return false, err
	}
	defer c.Put(call)
	call.Move(ipc.MoveVMO(memory))
	valid, err := call.DoSmall(ctx, OpVerify, s.Append(call.Large()))
	if err == nil && len(valid) != 1 {
		err = ipc.ErrProtocol
	}
	return err == nil && valid[0] == 1, err
}

// Export asks for the private key of the device, which nobody gets: [StatusExportDenied].
func (c Client) Export(ctx context.Context) error {
	return c.exactly(ctx, OpExport, nil, nil)
}

// Derive returns the key of the caller for a label: the same at each time, and nobody
// else's. The caller wipes it.
func (c Client) Derive(ctx context.Context, label string) (key [KeySize]byte, err error) {
	if len(label) > MaxLabel {
		return key, ipc.StatusNotFound
	}
	return key, c.exactly(ctx, OpDerive, wire.AppendString8(nil, label), key[:])
}

// Epoch returns the number that was given to [Client.Advance] last, 0 before that.
func (c Client) Epoch(ctx context.Context) (uint64, error) {
	var b [8]byte
	err := c.exactly(ctx, OpEpoch, nil, b[:])
	d := wire.Read(b[:])
	return d.U64(), err
}

// Advance makes the epoch of the caller this number, durably. [StatusBackwards]: it is
// greater already.
func (c Client) Advance(ctx context.Context, epoch uint64) error {
	return c.exactly(ctx, OpAdvance, wire.AppendU64(nil, epoch), nil)
}
