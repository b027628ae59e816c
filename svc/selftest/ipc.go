package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/wire"
)

// The server of this process itself, so that every part of a call can be seen.
var loopProtocol = ipc.Protocol{Magic: [2]byte{'S', 'T'}, Version: 1}

const (
	loopEcho  = 1
	loopNever = 2 // no answer
	loopWho   = 3 // → service u64, badge u64, pid u32
	loopCap   = 4 // gives the capability back
	loopLater = 5 // answered by the test, through later
)

// loop is a server in this process and a client of it.
type loop struct {
	ep     ipc.Endpoint[ipc.Serve]
	client *ipc.Client
	later  chan ipc.Pending
	stop   context.CancelFunc
	done   chan error
}

const loopBadge = 77

// loopback returns the server of this process, starting it the first time.
func (t *tester) loopback() (*loop, error) {
	if t.loop != nil {
		return t.loop, nil
	}
	ep, err := t.env.Process.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
	if err != nil {
		return nil, err
	}
	to, err := ipc.DeriveSend(ep, loopBadge)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &loop{ep: ep, client: ipc.NewClient(to, loopProtocol), later: make(chan ipc.Pending, 4), stop: stop, done: make(chan error, 1)}
	go func() { l.done <- ipc.NewServer(ep, loopProtocol, 1, l.handle).Serve(ctx) }()
	t.loop = l
	return l, nil
}

func (l *loop) handle(q *ipc.Request) {
	switch q.Op {
	case loopEcho:
		q.Reply(ipc.StatusOK, append(q.Large(), q.Payload()...))
	case loopNever:
		q.Detach()
	case loopWho:
		b := wire.AppendU64(wire.AppendU64(q.Inline(), q.SenderService), q.Badge)
		q.Reply(ipc.StatusOK, wire.AppendU32(b, q.SenderPID))
	case loopCap:
		c, err := q.Take().SendGrant()
		if err != nil {
			q.Reply(ipc.StatusInvalidArgs, nil)
			return
		}
		q.ReplyCap(ipc.StatusOK, nil, ipc.MoveSend(c))
	case loopLater:
		l.later <- q.Detach()
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

// echo sends n bytes and verifies that they come back.
func (l *loop) echo(ctx context.Context, n int, resp []byte) error {
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(i*7 + n)
	}
	m, err := l.client.Call(ctx, loopEcho, payload, resp)
	if err != nil {
		return fmt.Errorf("%d bytes: %w", n, err)
	}
	if !bytes.Equal(resp[:m], payload) {
		return fmt.Errorf("%d bytes came back as %d others", n, m)
	}
	return nil
}

var ipcProofs = []proof{
	{"ipc payload roundtrip", func(ctx context.Context, t *tester) error {
		l, err := t.loopback()
		if err != nil {
			return err
		}
		resp := make([]byte, ipc.MaxPayload)
		for _, n := range []int{0, 1, 7, 8, 47, 48, 49, 63, 64, 65, 512, 4095, 4096, 4097, ipc.MaxPayload} {
			if err := l.echo(ctx, n, resp); err != nil {
				return err
			}
		}
		_, err = l.client.Call(ctx, loopEcho, make([]byte, ipc.MaxPayload+1), resp)
		return want("error of a message over the limit", err, error(ipc.ErrTooLarge))
	}},
	{"ipc deadline timeout", func(ctx context.Context, t *tester) error {
		l, err := t.loopback()
		if err != nil {
			return err
		}
		call, err := l.client.NewCall()
		if err != nil {
			return err
		}
		defer call.Close()
		const wait = 20 * time.Millisecond
		start := t.env.Process.Now()
		call.SetDeadline(start + int64(wait))
		_, err = call.DoSmall(context.Background(), loopNever, nil)
		took := t.env.Process.Now() - start
		if err := want("error at the deadline", err, error(ipc.ErrTimedOut)); err != nil {
			return err
		}
		if took < int64(wait) {
			return fmt.Errorf("timed out after %v, before the deadline of %v", time.Duration(took), wait)
		}
		// A deadline that has passed already.
		call.SetDeadline(1)
		_, err = call.DoSmall(context.Background(), loopNever, nil)
		return want("error of a past deadline", err, error(ipc.ErrTimedOut))
	}},
	{"nexus-ipc kernel loopback", func(ctx context.Context, t *tester) error {
		l, err := t.loopback()
		if err != nil {
			return err
		}
		const text = "nexus-ipc kernel loopback"
		resp := make([]byte, 64)
		n, err := l.client.Call(ctx, loopEcho, []byte(text), resp)
		if err != nil {
			return err
		}
		if err := want("reply", string(resp[:n]), text); err != nil {
			return err
		}
		// Cancelling crosses the call too.
		cctx, cancel := context.WithCancel(ctx)
		stop := time.AfterFunc(5*time.Millisecond, cancel)
		defer stop.Stop()
		defer cancel()
		_, err = l.client.Call(cctx, loopNever, nil, nil)
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("cancelled call: %v", err)
		}
		return nil
	}},
	{"ipc sender pid", func(ctx context.Context, t *tester) error {
		_, _, pid, err := t.env.Control.WhoAmI(ctx)
		if err != nil {
			return err
		}
		info, err := t.env.Process.Info()
		if err != nil {
			return err
		}
		if err := want("own pid in the start page", t.env.Process.Start().PID, info.PID); err != nil {
			return err
		}
		return want("pid that init sees", pid, info.PID)
	}},
	{"ipc sender service_id", func(ctx context.Context, t *tester) error {
		id, badge, _, err := t.env.Control.WhoAmI(ctx)
		if err != nil {
			return err
		}
		if badge == 0 {
			return errors.New("init sees no badge")
		}
		if err := want("service id that init sees", id, manifest.ServiceID("selftest-client")); err != nil {
			return err
		}
		l, err := t.loopback()
		if err != nil {
			return err
		}
		// What the payload says does not matter.
		var resp [20]byte
		if _, err := l.client.Call(ctx, loopWho, wire.AppendU64(nil, manifest.ServiceID("init")), resp[:]); err != nil {
			return err
		}
		d := wire.Read(resp[:])
		if err := want("service id seen by oneself", d.U64(), t.self); err != nil {
			return err
		}
		return want("badge seen by oneself", d.U64(), loopBadge)
	}},
	{"mmio map", mmioMap},
	{"cap query mmio", queryMMIO},
	{"ipc cap move reply", capMove},
	{"reply loopback", func(ctx context.Context, t *tester) error {
		// Three calls at once, answered in the wrong order: each gets its own reply.
		l, err := t.loopback()
		if err != nil {
			return err
		}
		type result struct {
			i   int
			got byte
			err error
		}
		results := make(chan result, 3)
		var held [3]ipc.Pending
		for i := range held {
			go func() {
				var resp [1]byte
				_, err := l.client.Call(ctx, loopLater, nil, resp[:])
				results <- result{i, resp[0], err}
			}()
			select {
			case held[i] = <-l.later: // i's, because i+1 has not called yet
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for i := len(held) - 1; i >= 0; i-- {
			if err := held[i].Reply(ipc.StatusOK, []byte{byte(i)}); err != nil {
				return err
			}
		}
		for range held {
			r := <-results
			if r.err != nil {
				return r.err
			}
			if err := want("reply to call "+fmt.Sprint(r.i), int(r.got), r.i); err != nil {
				return err
			}
		}
		return want("error of a second reply", held[0].Reply(ipc.StatusOK, nil), error(ipc.ErrNoEntry))
	}},
	{"ipc soak", soak},
	{"cap query vmo", func(_ context.Context, t *tester) error {
		v, err := t.env.Process.NewVMO(3*abi.PageSize - 5)
		if err != nil {
			return err
		}
		defer v.Close()
		info, err := v.Info()
		if err != nil {
			return err
		}
		full := ipc.Info{Kind: abi.KindVMO, Rights: abi.RightRead | abi.RightWrite | abi.RightGrant, Size: 3 * abi.PageSize}
		if err := want("a fresh VMO", info, full); err != nil {
			return err
		}
		ro, err := ipc.DeriveRead(v)
		if err != nil {
			return err
		}
		defer ro.Close()
		full.Rights = abi.RightRead
		if info, err = ro.Info(); err != nil {
			return err
		}
		return want("a derived VMO", info, full)
	}},
	{"ipc routing", func(ctx context.Context, t *tester) error {
		for name, proto := range map[string]ipc.Protocol{"policyd": policy.Protocol, "logd": journal.Protocol} {
			ep, err := t.env.Control.Connect(ctx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c := ipc.NewClient(ep, proto)
			info, err := ep.Info()
			if err != nil {
				return err
			}
			if err := want("rights at "+name, info.Rights, abi.RightSend); err != nil {
				return err
			}
			_, err = c.Call(ctx, 0x50, nil, nil)
			c.Close()
			if err := want("status of "+name, err, error(ipc.StatusUnsupported)); err != nil {
				return err
			}
		}
		for _, name := range []string{"init", "selftest-client", "metricsd", ""} {
			_, err := t.env.Control.Connect(ctx, name)
			if err := want(fmt.Sprintf("error of connecting to %q", name), err, error(ipc.StatusDenied)); err != nil {
				return err
			}
		}
		return nil
	}},
}

// capMove sends a capability through a call and back, and uses what came back.
func capMove(ctx context.Context, t *tester) error {
	l, err := t.loopback()
	if err != nil {
		return err
	}
	call, err := l.client.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	// The capability is one to the loop itself, with another badge.
	give, err := t.loopGrant(123)
	if err != nil {
		return err
	}
	call.Move(ipc.MoveSend(give).WithGrant())
	if _, err := call.DoSmall(ctx, loopCap, nil); err != nil {
		return err
	}
	if _, err := give.Info(); err != ipc.ErrBadHandle {
		return fmt.Errorf("the handle that was moved away still works: %v", err)
	}
	back, err := call.Take().Send()
	if err != nil {
		return fmt.Errorf("what came back: %w", err)
	}
	info, err := back.Info()
	if err != nil {
		return err
	}
	if err := want("rights of what came back", info.Rights, abi.RightSend); err != nil {
		return err
	}
	c := ipc.NewClient(back, loopProtocol)
	defer c.Close()
	var resp [20]byte
	if _, err := c.Call(ctx, loopWho, nil, resp[:]); err != nil {
		return err
	}
	d := wire.Read(resp[8:])
	return want("badge through the capability that came back", d.U64(), 123)
}

// loopGrant returns a capability to a fresh endpoint that the loop's handler
// serves, which may be given away.
func (t *tester) loopGrant(badge uint64) (ipc.Endpoint[ipc.SendGrant], error) {
	ep, err := t.env.Process.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
	if err != nil {
		return ipc.Endpoint[ipc.SendGrant]{}, err
	}
	go ipc.NewServer(ep, loopProtocol, 1, t.loop.handle).Serve(context.Background())
	return ipc.DeriveSendGrant(ep, badge)
}

// soakRounds is how many calls of growing and shrinking size the soak makes. One in
// soakMoves of them is followed by a timeout and by a capability that moves there and
// back and is left for the library to close.
const (
	soakRounds = 1024
	soakMoves  = 16
)

// soak makes many calls and verifies that nothing is left behind.
func soak(ctx context.Context, t *tester) error {
	l, err := t.loopback()
	if err != nil {
		return err
	}
	before, err := t.env.Control.Usage(ctx)
	if err != nil {
		return err
	}
	call, err := l.client.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	resp := make([]byte, ipc.MaxPayload)
	for i := range soakRounds {
		n := i * 37 % 200
		if i%64 == 0 {
			n = i * 8 % ipc.MaxPayload
		}
		if err := l.echo(ctx, n, resp); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if i%soakMoves != 0 {
			continue
		}
		give, err := ipc.DeriveSendGrant(l.ep, loopBadge+1)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		call.Move(ipc.MoveSend(give).WithGrant())
		if _, err := call.DoSmall(ctx, loopCap, nil); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		call.SetDeadline(1)
		_, err = call.DoSmall(context.Background(), loopNever, nil)
		if err := want("error of a past deadline", err, error(ipc.ErrTimedOut)); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	after, err := t.env.Control.Usage(ctx)
	if err != nil {
		return err
	}
	if err := want("capabilities in use afterwards", after.Caps, before.Caps); err != nil {
		return err
	}
	return want("processes afterwards", after.Processes, before.Processes)
}
