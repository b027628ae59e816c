package ipc

import (
	"context"

	"nexus.internal/ipc/abi"
)

// Words is a message that fills the payload registers: six numbers of 64 bits.
// A request or reply that is nothing but numbers is fastest in this form, because
// nothing is encoded byte by byte; on the wire it is an ordinary payload of
// MaxInlinePayload bytes, the words little-endian and in order.
type Words [inlineWords]uint64

// DoWords sends w and replaces it by the reply, which must be Words too, else the
// error is [ErrProtocol]. A reply's status is returned as error; then w is as it
// was. It allocates nothing if ctx cannot be cancelled. See [Client.Call] for ctx.
//
// Cost: with the kernel's part and a handler that uses [Request.Words] and
// [Request.ReplyWords], bench ipc_call_lib.
func (c *Call) DoWords(ctx context.Context, op uint16, w *Words) error {
	r := &c.regs
	c.nonce++
	w0, w1 := header(c.c.proto, op, StatusOK, c.nonce, MaxInlinePayload)
	d := &r.Data
	d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7] = w0, w1, w[0], w[1], w[2], w[3], w[4], w[5]
	if ctx.Done() != nil || uint64(c.got.h)|uint64(c.move.h) != 0 {
		if _, err := c.exchange(ctx, abi.MaxInline, nil, nil); err != nil {
			return err
		}
	} else { // exchange, without what there is not
		c.prepare(abi.MaxInline, 0)
		c.c.to.p.ipc(c.key, abi.SysCall, r, nil, nil)
	}
	if r.A[0] != abi.EventReply || r.A[5] != abi.MaxInline || r.A[2]|r.A[6] != 0 || d[0] != w0|kindReply<<24 || d[1] != w1 {
		return c.wordless(op, w)
	}
	w[0], w[1], w[2], w[3], w[4], w[5] = d[2], d[3], d[4], d[5], d[6], d[7]
	return nil
}

// wordless is for a reply that is not words, or that carries a capability.
func (c *Call) wordless(op uint16, w *Words) error {
	length, err := c.result()
	if err != nil {
		return err
	}
	got, err := c.parse(length, op)
	if err == nil && len(got) != MaxInlinePayload {
		err = ErrProtocol // a good reply, but not words
	}
	if err == nil {
		*w = Words(c.regs.Data[headerWords:])
	}
	return err
}

// Words reads a request that consists of words, and reports whether it does.
func (q *Request) Words(w *Words) bool {
	if len(q.payload) != MaxInlinePayload {
		return false
	}
	d := &q.in.Data
	w[0], w[1], w[2], w[3], w[4], w[5] = d[2], d[3], d[4], d[5], d[6], d[7]
	return true
}

// ReplyWords sets the reply with status OK.
func (q *Request) ReplyWords(w *Words) {
	out := q.out
	d := &out.Data
	d[2], d[3], d[4], d[5], d[6], d[7] = w[0], w[1], w[2], w[3], w[4], w[5]
	d[0], d[1] = header(q.w.s.proto|kindReply<<24, q.Op, StatusOK, q.nonce, MaxInlinePayload)
	out.A[0], out.A[1], out.A[4] = q.right, abi.MaxInline, 0
	q.answered, q.large = true, false
	q.moved = Movable{}
}
