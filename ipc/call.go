package ipc

import (
	"context"
	"sync"
	"time"

	"nexus.internal/ipc/abi"
)

// Client calls the server of one endpoint. Its methods may be used by several
// goroutines at once.
type Client struct {
	to    Endpoint[Send]
	proto uint64 // first header word of requests, without op and status

	mu    sync.Mutex
	idle  [maxIdle]*Call
	nidle int
	ended bool
}

// maxIdle is how many idle calls a client keeps for reuse: as many as goroutines
// of one service usually call the same peer at once.
const maxIdle = 4

// NewClient returns a client that speaks proto with the server behind to.
func NewClient[R CanSend](to Endpoint[R], proto Protocol) *Client {
	return &Client{to: NarrowSend(to), proto: proto.word(kindRequest)}
}

// Endpoint returns where the client sends.
func (c *Client) Endpoint() Endpoint[Send] { return c.to }

// Close drops the capability and what the client keeps. Calls under way go on;
// later ones get [ErrBadHandle].
func (c *Client) Close() error {
	c.mu.Lock()
	c.ended = true
	for c.nidle > 0 {
		c.nidle--
		c.idle[c.nidle].Close()
		c.idle[c.nidle] = nil
	}
	c.mu.Unlock()
	return c.to.Close()
}

// Call sends a request and waits for the reply. It copies the payload of the reply
// into resp, which must be large enough (else [ErrTooLarge]), and returns its
// length. The reply's status is returned as error.
//
// The deadline of ctx becomes the deadline of the call in the kernel, which tells
// the server. Cancelling ctx gives the call up; the server is told that too.
//
// Call allocates nothing if ctx cannot be cancelled. Where even the copy counts,
// use a [Call].
func (c *Client) Call(ctx context.Context, op uint16, payload, resp []byte) (int, error) {
	call, err := c.Get()
	if err != nil {
		return 0, err
	}
	got, err := call.do(ctx, op, payload, len(resp) > MaxInlinePayload)
	n := copy(resp, got)
	if err == nil && len(got) > len(resp) {
		err = ErrTooLarge
	}
	c.Put(call)
	return n, err
}

// Get returns an idle [Call], or a new one.
func (c *Client) Get() (*Call, error) {
	c.mu.Lock()
	if c.nidle > 0 {
		c.nidle--
		call := c.idle[c.nidle]
		c.idle[c.nidle] = nil
		c.mu.Unlock()
		return call, nil
	}
	c.mu.Unlock()
	return c.NewCall()
}

// Put gives a call back for reuse by [Client.Get]. What it returned is invalid
// afterwards.
func (c *Client) Put(call *Call) {
	call.reset()
	c.mu.Lock()
	if c.nidle < maxIdle && !c.ended {
		c.idle[c.nidle] = call
		c.nidle++
		call = nil
	}
	c.mu.Unlock()
	if call != nil {
		call.Close()
	}
}

// Notice sends a one-way request of up to MaxInlinePayload bytes, without waiting.
// [ErrQueueFull] means that it was not sent.
func (c *Client) Notice(op uint16, payload []byte) error {
	if len(payload) > MaxInlinePayload {
		return ErrTooLarge
	}
	var r Regs
	r.Data[0], r.Data[1] = header(c.proto, op, 0, 0, len(payload))
	copy(r.payload()[:], payload)
	r.A[0], r.A[1] = uint64(c.to.h), uint64(HeaderSize+len(payload))
	c.to.p.syscall(abi.SysSend, &r)
	return result(r.A[0])
}

// Call is the memory of one call: a goroutine that calls often keeps one. It is
// for one goroutine at a time.
type Call struct {
	c        *Client
	key      uint64
	nonce    uint32
	deadline int64 // of the next call, or 0
	move     Movable
	got      Any
	send     *Buffer
	recv     *Buffer
	regs     Regs

	// Guards against a cancellation that arrives when the call has ended and the
	// next one, with the same cookie, is under way.
	mu     sync.Mutex
	epoch  uint64
	active bool
}

// NewCall returns a call of the client. [ErrNoSlot]: too many things are waited for.
func (c *Client) NewCall() (*Call, error) {
	key := c.to.p.slotNew()
	if key == 0 {
		return nil, ErrNoSlot
	}
	return &Call{c: c, key: key}, nil
}

// Close frees what the call holds.
func (c *Call) Close() {
	c.reset()
	if c.key != 0 {
		c.c.to.p.slotFree(c.key)
		c.key = 0
	}
}

func (c *Call) reset() {
	c.deadline = 0
	c.move = Movable{}
	if c.got.h != 0 {
		c.got.Close()
		c.got = Any{}
	}
}

// Inline returns memory for a payload of up to MaxInlinePayload bytes, for
// appending. A payload built there is not copied again.
func (c *Call) Inline() []byte { return c.regs.payload()[:0] }

// Large returns memory for a payload of up to MaxPayload bytes, for appending.
func (c *Call) Large() []byte {
	if c.send == nil {
		c.send = newBuffer()
	}
	return c.send.Bytes()[HeaderSize:HeaderSize]
}

// SetDeadline gives the next Do a deadline in nanoseconds since power-on
// ([Process.Now]), without the cost of a context; 0 means none. An earlier
// deadline of the context wins.
func (c *Call) SetDeadline(deadlineNS int64) { c.deadline = deadlineNS }

// Move lets the next Do carry a capability to the server. It is the message's from
// then on: if the message does not reach the server, it is closed.
func (c *Call) Move(m Movable) { c.move = m }

// Take returns the capability that came with the reply, once. If it is not taken
// before the next Do, it is closed.
func (c *Call) Take() Any {
	got := c.got
	c.got = Any{}
	return got
}

// Do sends a request and waits for the reply, whose payload it returns: valid
// until the next use of c. A reply's status is returned as error, together with
// its payload. See [Client.Call] for ctx.
func (c *Call) Do(ctx context.Context, op uint16, payload []byte) ([]byte, error) {
	return c.do(ctx, op, payload, true)
}

// DoSmall is Do for operations whose reply has at most MaxInlinePayload bytes; a
// longer one is refused by the kernel and becomes [StatusTooLarge].
func (c *Call) DoSmall(ctx context.Context, op uint16, payload []byte) ([]byte, error) {
	return c.do(ctx, op, payload, false)
}

func (c *Call) do(ctx context.Context, op uint16, payload []byte, large bool) ([]byte, error) {
	n := len(payload)
	r := &c.regs
	c.nonce++
	w0, w1 := header(c.c.proto, op, 0, c.nonce, n)
	var send, recv *Buffer
	if n <= MaxInlinePayload {
		in := r.payload()
		if n != 0 && !same(payload, &in[0]) {
			copy(in[:], payload)
		}
		r.clearTail(n)
		r.Data[0], r.Data[1] = w0, w1
	} else {
		if n > MaxPayload {
			return nil, ErrTooLarge
		}
		if c.send == nil {
			c.send = newBuffer()
		}
		send = c.send
		out := send.Bytes()[HeaderSize:]
		if !same(payload, &out[0]) {
			copy(out, payload)
		}
		send[0], send[1] = w0, w1
	}
	if large {
		if c.recv == nil {
			c.recv = newBuffer()
		}
		recv = c.recv
	}
	length, err := c.exchange(ctx, HeaderSize+n, send, recv)
	if err != nil {
		return nil, err
	}
	return c.parse(length, op)
}

// parse checks a reply of length bytes against the request.
func (c *Call) parse(length int, op uint16) ([]byte, error) {
	h := c.regs.Data[:headerWords]
	if length > abi.MaxInline {
		h = c.recv[:headerWords]
	}
	n := length - HeaderSize
	want := c.c.proto | kindReply<<24 | uint64(op)<<32
	if n < 0 || h[0]&(1<<48-1) != want || h[1] != uint64(c.nonce)|uint64(n)<<32 {
		return nil, ErrProtocol
	}
	var got []byte
	if length <= abi.MaxInline {
		got = c.regs.payload()[:n]
	} else {
		got = c.recv.Bytes()[HeaderSize : HeaderSize+n]
	}
	if s := Status(h[0] >> 48); s != StatusOK {
		return got, s
	}
	return got, nil
}

// Raw sends bytes that need not be a frame and returns the bytes of the reply,
// valid until the next use of c. It exists to test what servers do with frames
// that are wrong.
func (c *Call) Raw(ctx context.Context, frame []byte) ([]byte, error) {
	if len(frame) > abi.MaxMessage {
		return nil, ErrTooLarge
	}
	if c.recv == nil {
		c.recv = newBuffer()
	}
	var send *Buffer
	if len(frame) <= abi.MaxInline {
		n := copy(c.regs.frame()[:], frame)
		clear(c.regs.frame()[n:])
	} else {
		if c.send == nil {
			c.send = newBuffer()
		}
		send = c.send
		copy(send.Bytes()[:], frame)
	}
	length, err := c.exchange(ctx, len(frame), send, c.recv)
	if err != nil {
		return nil, err
	}
	if length <= abi.MaxInline {
		return c.regs.frame()[:length], nil
	}
	return c.recv.Bytes()[:length], nil
}

// exchange performs the system call and returns the length of the reply.
func (c *Call) exchange(ctx context.Context, length int, send, recv *Buffer) (int, error) {
	if c.got.h != 0 {
		c.got.Close()
		c.got = Any{}
	}
	moved := c.move
	c.move = Movable{}
	c.prepare(uint64(length)|moved.flags, moved.h)
	if ctx.Done() == nil {
		c.c.to.p.ipc(c.key, abi.SysCall, &c.regs, send, recv)
	} else if err := c.cancellable(ctx, send, recv); err != nil {
		moved.Close()
		return 0, err
	}
	length, err := c.result()
	if err != nil {
		moved.Close() // a stale handle, unless the message came back
	}
	return length, err
}

// prepare sets the registers for a message with this a1 and capability.
func (c *Call) prepare(meta uint64, moved abi.Handle) {
	r := &c.regs
	r.A[0], r.A[1], r.A[2], r.A[3] = uint64(c.c.to.h), meta, c.key, uint64(c.deadline)
	r.A[4], r.S10 = uint64(moved), 0
	c.deadline = 0
}

// result returns the length of the reply in the registers, and keeps its capability.
func (c *Call) result() (int, error) {
	r := &c.regs
	if r.A[0] != abi.EventReply {
		return 0, unexpected(r.A[0])
	}
	if r.A[2] != 0 {
		return 0, FromErrno(abi.Errno(r.A[2]))
	}
	if r.A[6] != 0 {
		c.got = Any{ref{c.c.to.p, abi.Handle(r.A[6])}}
	}
	return int(r.A[5] & abi.MetaLen), nil
}

// unexpected returns the error for an event that is not the one waited for.
func unexpected(a0 uint64) error {
	if err := result(a0); err != nil {
		return err
	}
	return ErrProtocol
}

// cancellable is the way of a call whose context can end.
func (c *Call) cancellable(ctx context.Context, send, recv *Buffer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := c.c.to.p
	if t, ok := ctx.Deadline(); ok {
		d := p.Now() + int64(time.Until(t))
		if d <= 0 {
			d = 1 // 0 would mean none
		}
		if old := int64(c.regs.A[3]); old == 0 || d < old {
			c.regs.A[3] = uint64(d)
		}
	}
	c.mu.Lock()
	c.epoch++
	epoch := c.epoch
	c.active = true
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { c.cancel(epoch) })
	p.ipc(c.key, abi.SysCall, &c.regs, send, recv)
	c.mu.Lock()
	c.active = false
	c.mu.Unlock()
	stop()
	return nil
}

// cancel gives the call of that epoch up, if it is still under way. ENOENT, when
// it ended in the kernel a moment ago, is as good.
func (c *Call) cancel(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active || c.epoch != epoch {
		return
	}
	var r Regs
	r.A[2] = c.key
	c.c.to.p.syscall(abi.SysCancel, &r)
}
