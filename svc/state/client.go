package state

import (
	"context"
	"errors"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/wire"
)

// Client keeps state with statefsd. It may be used by several goroutines.
//
// Errors are statuses of the protocol, and those of every call (see ipc.Client). After
// [ipc.ErrClosed], a deadline that passed, or [StatusDevice] it is not known whether a
// change was made.
type Client struct {
	To      *svc.Remote
	Process ipc.Process // where memory for values comes from that fit into no message
}

// do makes a call, with memory if there is any, and gives the payload of the reply to
// read.
func (c Client) do(ctx context.Context, op uint16, build func([]byte) []byte, memory ipc.Movable, read func(*wire.Reader)) error {
	to, err := c.To.Client(ctx)
	if err != nil {
		memory.Close()
		return err
	}
	call, err := to.Get()
	if err != nil {
		memory.Close()
		return err
	}
	defer to.Put(call)
	call.Move(memory)
	b, err := call.Do(ctx, op, build(call.Large()))
	if errors.Is(err, ipc.ErrClosed) || errors.Is(err, ipc.ErrBadHandle) {
		c.To.Lost(to)
		return ipc.ErrClosed
	}
	if err != nil && err != StatusLarge && err != StatusMissed {
		return err
	}
	r := wire.Read(b)
	if read(&r); !r.Done() {
		return ipc.ErrProtocol
	}
	return err
}

// fits reports whether a payload of n bytes goes in a message.
func fits(n int) bool { return n <= ipc.MaxPayload }

// lend returns a VMO with b in it, to move with a request.
func (c Client) lend(b []byte) (ipc.Movable, error) {
	v, err := c.Process.NewVMO(uint64(len(b)))
	if err != nil {
		return ipc.Movable{}, err
	}
	if err := ipc.WriteVMO(v, 0, b); err != nil {
		v.Close()
		return ipc.Movable{}, err
	}
	return ipc.MoveVMO(v), nil
}

// change makes a request that changes something: head, and then b, in the message or in
// a VMO.
func (c Client) change(ctx context.Context, op uint16, head func([]byte) []byte, headLen int, b []byte) (version uint64, err error) {
	build := func(p []byte) []byte { return append(head(p), b...) }
	var m ipc.Movable
	if !fits(headLen + len(b)) {
		if len(b) > MaxLarge {
			return 0, StatusTooLong
		}
		if m, err = c.lend(b); err != nil {
			return 0, err
		}
		build = func(p []byte) []byte { return wire.AppendU32(head(p), uint32(len(b))) }
	}
	err = c.do(ctx, op, build, m, func(r *wire.Reader) { version = r.U64() })
	return version, err
}

// Put gives a key a value, durably, and returns its version.
func (c Client) Put(ctx context.Context, key string, value []byte) (version uint64, err error) {
	if len(key) > MaxKey {
		return 0, StatusInvalidKey
	}
	return c.change(ctx, OpPut, func(p []byte) []byte { return wire.AppendString8(p, key) }, 1+len(key), value)
}

// Delete removes a key, durably, if there is one.
func (c Client) Delete(ctx context.Context, key string) (version uint64, err error) {
	if len(key) > MaxKey {
		return 0, StatusInvalidKey
	}
	return c.change(ctx, OpDelete, func(p []byte) []byte { return wire.AppendString8(p, key) }, 1+len(key), nil)
}

// Commit makes a transaction, durably, and returns the version of all that it changed.
func (c Client) Commit(ctx context.Context, t *Txn) (version uint64, err error) {
	return c.change(ctx, OpCommit, func(p []byte) []byte { return p }, 0, t.b)
}

// Get appends the value of a key to dst. [ipc.StatusNotFound]: there is none.
func (c Client) Get(ctx context.Context, dst []byte, key string) (value []byte, version uint64, err error) {
	if len(key) > MaxKey {
		return dst, 0, StatusInvalidKey
	}
	var length int
	get := func(p []byte) []byte { return wire.AppendString8(p, key) }
	err = c.do(ctx, OpGet, get, ipc.Movable{}, func(r *wire.Reader) {
		if r.Len() == 4 {
			length = int(r.U32())
			return
		}
		version = r.U64()
		dst = append(dst, r.Rest()...)
	})
	if err != StatusLarge {
		return dst, version, err
	}
	// The value may be another by now, and longer.
	for range 4 {
		if length > MaxLarge {
			return dst, 0, ipc.ErrProtocol
		}
		v, err := c.Process.NewVMO(uint64(length))
		if err != nil {
			return dst, 0, err
		}
		m, err := ipc.DeriveFull(v)
		if err != nil {
			v.Close()
			return dst, 0, err
		}
		n := 0
		err = c.do(ctx, OpFetch, get, ipc.MoveVMO(m), func(r *wire.Reader) {
			if r.Len() != 4 {
				version = r.U64()
			}
			n = int(r.U32())
		})
		if err == nil && n > length {
			err = ipc.ErrProtocol
		}
		if err == nil {
			at := len(dst)
			dst = append(dst, make([]byte, n)...)
			err = ipc.ReadVMO(v, 0, dst[at:])
		}
		v.Close()
		if err != StatusLarge {
			return dst, version, err
		}
		length = n
	}
	return dst, 0, StatusConflict
}

// List returns up to limit keys that begin with prefix, in order, behind after. There are
// more if more is true: behind the last one of these. Of namespaces that the caller may
// not read it shows nothing, unless prefix names one; that is denied.
func (c Client) List(ctx context.Context, prefix, after string, limit int) (items []Item, more bool, err error) {
	if len(prefix) > MaxKey || len(after) > MaxKey {
		return nil, false, StatusInvalidKey
	}
	err = c.do(ctx, OpList, func(p []byte) []byte {
		return wire.AppendU16(wire.AppendString8(wire.AppendString8(p, prefix), after), uint16(min(limit, MaxList)))
	}, ipc.Movable{}, func(r *wire.Reader) {
		more = r.U8() == 1
		for r.OK() && !r.Done() {
			i := Item{Version: r.U64(), Length: int(r.U32())}
			i.Key = string(r.String8())
			items = append(items, i)
		}
	})
	return items, more, err
}

// Watch returns the changes after a version of keys that begin with prefix, which must
// name a namespace, and the version after which to look next. If there are none yet, it
// waits until there are, or its deadline is near; then there are none.
// [StatusMissed]: list the keys, and go on from next.
func (c Client) Watch(ctx context.Context, prefix string, after uint64) (changes []Change, next uint64, err error) {
	if len(prefix) > MaxKey {
		return nil, after, StatusInvalidKey
	}
	err = c.do(ctx, OpWatch, func(p []byte) []byte { return wire.AppendU64(wire.AppendString8(p, prefix), after) },
		ipc.Movable{}, func(r *wire.Reader) {
			next = r.U64()
			for r.OK() && !r.Done() {
				h := Change{Deleted: r.U8() == 1, Version: r.U64()}
				h.Key = string(r.String8())
				changes = append(changes, h)
			}
		})
	return changes, next, err
}

// Usage returns what a namespace has, and what it may have.
func (c Client) Usage(ctx context.Context, namespace string) (u Usage, err error) {
	if len(namespace) > MaxNamespace {
		return u, StatusInvalidKey
	}
	err = c.do(ctx, OpUsage, func(p []byte) []byte { return wire.AppendString8(p, namespace) }, ipc.Movable{},
		func(r *wire.Reader) { u.Decode(r.Rest()) })
	return u, err
}

// Check has the values of all keys read and compared with what was put.
func (c Client) Check(ctx context.Context) (report Report, err error) {
	err = c.do(ctx, OpCheck, func(p []byte) []byte { return p }, ipc.Movable{}, func(r *wire.Reader) { report.Decode(r.Rest()) })
	return report, err
}
