package ipc

import "context"

// Words is a message that fills the payload registers: six numbers of 64 bits.
// A request or reply that is nothing but numbers is fastest in this form, because
// nothing is encoded byte by byte; on the wire it is an ordinary payload of
// MaxInlinePayload bytes, the words little-endian and in order.
type Words [inlineWords]uint64

// DoWords sends w and replaces it by the reply, which must be Words too, else the
// error is [ErrProtocol]. A reply's status is returned as error; then w is as it
// was. It allocates nothing if ctx cannot be cancelled. See [Client.Call] for ctx.
func (c *Call) DoWords(ctx context.Context, op uint16, w *Words) error {
	c.regs.setWords(w)
	got, err := c.do(ctx, op, c.regs.payload()[:], false)
	if err != nil {
		return err
	}
	if len(got) != MaxInlinePayload {
		return ErrProtocol
	}
	c.regs.words(w)
	return nil
}

// Words reads a request that consists of words, and reports whether it does.
func (q *Request) Words(w *Words) bool {
	if len(q.payload) != MaxInlinePayload {
		return false
	}
	q.in.words(w)
	return true
}

// ReplyWords sets the reply with status OK.
func (q *Request) ReplyWords(w *Words) {
	q.out.setWords(w)
	q.Reply(StatusOK, q.out.payload()[:])
}

func (r *Regs) words(w *Words)    { *w = Words(r.Data[headerWords:]) }
func (r *Regs) setWords(w *Words) { copy(r.Data[headerWords:], w[:]) }
