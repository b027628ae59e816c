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
	copyWords(r.words(), w)
	r.Data[0], r.Data[1] = w0, w1
	length, err := c.exchange(ctx, abi.MaxInline, nil, nil)
	if err != nil {
		return err
	}
	if length == abi.MaxInline && r.Data[0] == w0|kindReply<<24 && r.Data[1] == w1 {
		copyWords(w, r.words())
		return nil
	}
	if _, err = c.parse(length, op); err == nil {
		err = ErrProtocol // a good reply, but not words
	}
	return err
}

// Words reads a request that consists of words, and reports whether it does.
func (q *Request) Words(w *Words) bool {
	if len(q.payload) != MaxInlinePayload {
		return false
	}
	copyWords(w, q.in.words())
	return true
}

// ReplyWords sets the reply with status OK.
func (q *Request) ReplyWords(w *Words) {
	out := q.out
	copyWords(out.words(), w)
	out.Data[0], out.Data[1] = header(q.w.s.proto|kindReply<<24, q.Op, StatusOK, q.nonce, MaxInlinePayload)
	out.A[0], out.A[1], out.A[4] = q.right, abi.MaxInline, 0
	q.answered, q.large = true, false
	q.moved = Movable{}
}

// words returns the payload registers.
func (r *Regs) words() *Words { return (*Words)(r.Data[headerWords:]) }

// copyWords is an assignment word by word. For the assignment of the whole the
// compiler calls memmove, which costs 43 instructions instead of 12.
func copyWords(to, from *Words) {
	to[0], to[1], to[2], to[3], to[4], to[5] = from[0], from[1], from[2], from[3], from[4], from[5]
}
