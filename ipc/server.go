package ipc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"nexus.internal/ipc/abi"
)

// Handler answers one request, by [Request.Reply] or [Request.Detach]. A request
// that it leaves unanswered gets [StatusInternal]. It may block: other requests
// then wait for another worker, or in the endpoint's queue. A panic ends the
// process, as everywhere; its supervisor restarts it.
type Handler func(*Request)

// Server hands the requests of one endpoint to a handler.
type Server struct {
	ep      Endpoint[Serve]
	proto   uint64 // first header word of requests, without op
	handler Handler
	workers int

	lead    sync.Mutex // held by the worker that waits for the next request
	stopped atomic.Bool

	malformed atomic.Uint64
	dropped   atomic.Uint64
}

// MaxWorkers bounds the handler goroutines of one server. Each has two buffers of
// 8 KiB.
const MaxWorkers = 32

// NewServer returns a server of ep. With one worker, answering a request and
// waiting for the next is one system call; more workers let handlers block.
func NewServer(ep Endpoint[Serve], proto Protocol, workers int, h Handler) *Server {
	return &Server{ep: ep, proto: proto.word(kindRequest), handler: h, workers: max(1, min(workers, MaxWorkers))}
}

// ServerStats counts what a server met.
type ServerStats struct {
	Malformed uint64 // requests that were not frames of the protocol
	Dropped   uint64 // replies to callers that were gone
}

// Stats returns the counts so far.
func (s *Server) Stats() ServerStats {
	return ServerStats{s.malformed.Load(), s.dropped.Load()}
}

// Serve answers requests until ctx ends, which gives [ErrServerStopped], or the
// endpoint is closed. A handler that runs at that moment finishes first.
func (s *Server) Serve(ctx context.Context) error {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, s.stop)
		defer stop()
	}
	ws := make([]*worker, 0, s.workers)
	defer func() {
		for _, w := range ws {
			s.ep.p.slotFree(w.key)
		}
	}()
	for range s.workers {
		key := s.ep.p.slotNew()
		if key == 0 {
			return ErrNoSlot
		}
		ws = append(ws, newWorker(s, key))
	}
	if len(ws) == 1 {
		return ws[0].alone()
	}
	errs := make(chan error, len(ws))
	for _, w := range ws {
		go func() { errs <- w.among() }()
	}
	var first error
	for range ws {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// stop makes the waiting worker notice that it is over: a message to oneself is
// an event like any other. When the queue is full, it has something to notice
// anyway.
func (s *Server) stop() {
	s.stopped.Store(true)
	var r Regs
	r.A[0] = uint64(s.ep.h)
	s.ep.p.syscall(abi.SysSend, &r)
}

// worker is a goroutine of a server with its request.
type worker struct {
	s       *Server
	key     uint64
	recv    *Buffer
	send    *Buffer // made when a reply needs it
	request Request

	epoch atomic.Uint64 // counts requests
	watch sync.Mutex    // held while the slot is watched for a cancellation
}

func newWorker(s *Server, key uint64) *worker {
	w := &worker{s: s, key: key, recv: newBuffer()}
	w.request = Request{w: w, in: &Regs{}, out: &Regs{}}
	return w
}

// arm sets the registers of wait, or reply and wait, beside those of the reply, and
// returns them. The request comes in them too: then [worker.swap] follows.
func (w *worker) arm() *Regs {
	out := w.request.out
	out.A[1] &^= abi.FlagNoWait
	out.A[2] = uint64(w.s.ep.h)
	out.A[3] = 0
	out.S10 = w.key
	return out
}

// swap makes the registers of the reply those of the request that came in them.
func (w *worker) swap() { q := &w.request; q.in, q.out = q.out, q.in }

// alone serves with one worker: reply and wait in one call.
func (w *worker) alone() error {
	s, q := w.s, &w.request
	num := uint64(abi.SysWait)
	var send *Buffer
	for {
		if s.stopped.Load() {
			if num == abi.SysReply {
				q.finish(send)
			}
			return ErrServerStopped
		}
		s.ep.p.ipc(w.key, num, w.arm(), send, w.recv)
		w.swap()
		num, send = abi.SysWait, nil
		switch a0 := q.in.A[0]; {
		case a0 == abi.EventRequest:
			if w.handle() {
				num, send = abi.SysReply, q.sendBuffer()
			}
		case int64(a0) < 0:
			// A refused reply changed nothing but, with ENOENT, the right. The
			// registers of the reply are now in q.in.
			q.in, q.out = q.out, q.in
			if err := q.refused(a0); err != nil {
				return err
			}
		}
	}
}

// among serves as one of several workers: the one that holds the lead waits,
// and passes it on before it handles what it got.
func (w *worker) among() error {
	s, q := w.s, &w.request
	for {
		s.lead.Lock()
		if s.stopped.Load() {
			s.lead.Unlock()
			return ErrServerStopped
		}
		s.ep.p.ipc(w.key, abi.SysWait, w.arm(), nil, w.recv)
		w.swap()
		a0 := q.in.A[0]
		if int64(a0) < 0 {
			s.stopped.Store(true)
			s.lead.Unlock()
			return result(a0)
		}
		s.lead.Unlock()
		if a0 == abi.EventRequest && w.handle() {
			q.finish(q.sendBuffer())
		}
	}
}

// handle decodes the event in q.in, runs the handler and reports whether a reply
// is ready in q.out.
func (w *worker) handle() (reply bool) {
	s, q := w.s, &w.request
	in := q.in
	w.epoch.Store(w.epoch.Load() + 1) // only this goroutine writes it
	q.Badge = in.A[2]
	q.SenderService = in.A[3]
	q.right = in.A[4]
	q.SenderPID = uint32(in.A[5] >> 32)
	q.Deadline = int64(in.A[7])
	length := int(in.A[5] & abi.MetaLen)
	q.cap.h = abi.Handle(in.A[6])
	q.cap.p = s.ep.p
	q.answered = false
	h := in.Data[:headerWords]
	if length > abi.MaxInline {
		h = w.recv[:headerWords]
	}
	n := length - HeaderSize
	switch {
	case n < 0:
		q.Op, q.nonce, q.payload = 0, 0, nil
		if s.stopped.Load() && length == 0 {
			return false // from stop
		}
		s.malformed.Add(1)
		q.Reply(StatusMalformed, nil)
	case h[0]&protocolMask != s.proto || h[1]>>32 != uint64(n) || h[0]>>48 != 0:
		q.Op, q.nonce, q.payload = uint16(h[0]>>32), uint32(h[1]), nil
		s.malformed.Add(1)
		if h[0]&protocolMask != s.proto && h[0]&0xffff == s.proto&0xffff && h[0]>>24&0xff == kindRequest {
			q.Reply(StatusUnsupported, nil) // another version of the protocol
		} else {
			q.Reply(StatusMalformed, nil)
		}
	default:
		q.Op, q.nonce = uint16(h[0]>>32), uint32(h[1])
		if length <= abi.MaxInline {
			q.payload = in.payload()[:n]
		} else {
			q.payload = w.recv.Bytes()[HeaderSize:length]
		}
		s.handler(q)
	}
	if q.cap.h != 0 {
		q.cap.Close()
		q.cap = Any{}
	}
	if q.right == 0 {
		return false
	}
	if !q.answered {
		q.Reply(StatusInternal, nil)
	}
	return true
}

// Request is a request that a handler answers. It is valid until the handler
// returns.
type Request struct {
	Op            uint16
	SenderPID     uint32 // by the kernel
	Badge         uint64 // of the capability that the sender used, by the kernel
	SenderService uint64 // service id of the sender, by the kernel
	Deadline      int64  // of the caller in nanoseconds since power-on, 0: none

	w        *worker
	in       *Regs // the event
	out      *Regs // the reply that is being built
	payload  []byte
	right    uint64
	nonce    uint32
	answered bool
	large    bool
	cap      Any
	moved    Movable // with the reply
}

// Payload returns the request's payload, valid until the handler returns.
func (q *Request) Payload() []byte { return q.payload }

// Take returns the capability that came with the request, once. If the handler
// does not take it, it is closed.
func (q *Request) Take() Any {
	c := q.cap
	q.cap.h = 0
	return c
}

// OneWay reports whether the sender waits for no reply.
func (q *Request) OneWay() bool { return q.right == 0 }

// Inline returns memory for a reply of up to MaxInlinePayload bytes, for
// appending. It does not overlap the request.
func (q *Request) Inline() []byte { return q.out.payload()[:0] }

// Large returns memory for a reply of up to MaxPayload bytes, for appending.
func (q *Request) Large() []byte {
	if q.w.send == nil {
		q.w.send = newBuffer()
	}
	return q.w.send.Bytes()[HeaderSize:HeaderSize]
}

// Reply sets the reply, which is sent when the handler returns. The payload is at
// most MaxPayload bytes; more becomes [StatusTooLarge].
func (q *Request) Reply(status Status, payload []byte) {
	n := len(payload)
	if n > MaxPayload {
		n, payload, status = 0, nil, StatusTooLarge
	}
	q.answered = true
	out := q.out
	w0, w1 := header(q.w.s.proto|kindReply<<24, q.Op, status, q.nonce, n)
	out.A[0] = q.right
	out.A[1] = uint64(HeaderSize + n)
	out.A[4] = 0
	q.moved.h = 0
	if n <= MaxInlinePayload {
		p := out.payload()
		if n != 0 && !same(payload, &p[0]) {
			copy(p[:], payload)
		}
		out.clearTail(n)
		out.Data[0], out.Data[1] = w0, w1
		q.large = false
		return
	}
	if q.w.send == nil {
		q.w.send = newBuffer()
	}
	b := q.w.send
	p := b.Bytes()[HeaderSize:]
	if !same(payload, &p[0]) {
		copy(p, payload)
	}
	b[0], b[1] = w0, w1
	q.large = true
}

// ReplyCap is Reply with a capability that moves to the caller. If the caller
// cannot have it, it is closed.
func (q *Request) ReplyCap(status Status, payload []byte, m Movable) {
	q.Reply(status, payload)
	q.moved = m
	q.out.A[1] |= m.flags
	q.out.A[4] = uint64(m.h)
}

// ReplySecret sends a reply at once and wipes the memory of this package that it was in.
// The payload itself is the handler's to wipe.
func (q *Request) ReplySecret(status Status, payload []byte) {
	q.Reply(status, payload)
	if q.right == 0 {
		return // was one-way
	}
	send := q.sendBuffer()
	q.finish(send)
	if send != nil {
		clear(send[:])
	}
	clear(q.out.Data[:])
	q.right = 0 // there is nothing more to answer
}

func (q *Request) sendBuffer() *Buffer {
	if q.large {
		return q.w.send
	}
	return nil
}

// finish sends the reply without waiting for the next request.
func (q *Request) finish(send *Buffer) {
	q.w.s.ep.p.replyNoWait(q.out, send)
	if int64(q.out.A[0]) < 0 {
		q.refused(q.out.A[0])
	}
}

// refused deals with a reply that the kernel did not take. It returns an error when
// the server cannot go on. What is sent instead says why and carries nothing.
func (q *Request) refused(a0 uint64) error {
	moved := q.moved
	q.moved.h = 0
	err := result(a0)
	switch {
	case err == ErrNoEntry: // the caller is gone, and the right with it
		q.w.s.dropped.Add(1)
		moved.Close()
		return nil
	case err == ErrTooLarge:
		q.Reply(StatusTooLarge, nil)
	case err == ErrPeerSpace:
		q.Reply(StatusOverLimit, nil)
	case moved.h != 0: // the capability is not one that may be moved
		q.Reply(StatusInternal, nil)
	default:
		return err
	}
	moved.Close()
	q.w.s.ep.p.replyNoWait(q.out, nil)
	return nil
}

// Context returns a context that ends with the caller's deadline, or when the
// caller gives the call up. It costs a goroutine; handlers that never block do
// not need it. The returned function must be called before the handler returns.
func (q *Request) Context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	if q.Deadline != 0 {
		var stop context.CancelFunc
		inner := cancel
		ctx, stop = context.WithTimeout(ctx, time.Duration(q.Deadline-q.w.s.ep.p.Now()))
		cancel = func() { stop(); inner() }
	}
	w, epoch := q.w, q.w.epoch.Load()
	go func() {
		// One at a time may wait on a slot. This one returns at the latest when the
		// worker waits for its next request; then ctx is over, and ending it once
		// more does nothing.
		w.watch.Lock()
		if w.epoch.Load() == epoch {
			w.s.ep.p.cancelWait(w.key)
		}
		w.watch.Unlock()
		cancel()
	}()
	return ctx, cancel
}

// Pending is a request whose handler has returned without an answer.
type Pending struct {
	p     Process
	proto uint64
	right uint64
	op    uint16
	nonce uint32
}

// Detach takes the request away from its handler, which may then return without
// an answer. The caller waits until [Pending.Reply], its deadline, or the end of
// this process.
func (q *Request) Detach() Pending {
	p := Pending{q.w.s.ep.p, q.w.s.proto | kindReply<<24, q.right, q.Op, q.nonce}
	q.right = 0
	return p
}

// Reply answers with up to MaxPayload bytes. [ErrNoEntry]: the caller is gone.
// [ErrTooLarge]: the payload is longer, or the caller gave no buffer for one of this
// length; it can still be answered.
func (d Pending) Reply(status Status, payload []byte) error {
	if d.right == 0 {
		return nil // was one-way
	}
	if len(payload) > MaxPayload {
		return ErrTooLarge
	}
	r := &Regs{}
	r.A[0], r.A[1] = d.right, uint64(HeaderSize+len(payload))
	w0, w1 := header(d.proto, d.op, status, d.nonce, len(payload))
	var send *Buffer
	if len(payload) <= MaxInlinePayload {
		r.Data[0], r.Data[1] = w0, w1
		copy(r.payload()[:], payload)
	} else {
		send = newBuffer()
		send[0], send[1] = w0, w1
		copy(send.Bytes()[HeaderSize:], payload)
	}
	d.p.replyNoWait(r, send)
	return result(r.A[0])
}
