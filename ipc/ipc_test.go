//go:build !tamago

package ipc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
	"pgregory.net/rapid"
)

var echoProto = ipc.Protocol{Magic: [2]byte{'E', 'C'}, Version: 1}

// Operations of the server that the tests call.
const (
	opEcho   = 1
	opWhoAmI = 2
	opBlock  = 3 // until the caller gives up or its deadline passes
	opCap    = 4 // gives the capability that came back
	opSilent = 5 // forgets to answer
	opLarge  = 6 // answers with 4 KiB
	opDetach = 7
	opLose   = 8  // leaves the capability that came
	opSlow   = 9  // blocks until release is closed
	opRights = 10 // tells the rights of the capability that came, and moves one back
)

type rig struct {
	k        *ipctest.Kernel
	server   *ipctest.Process
	client   *ipctest.Process
	ep       ipc.Endpoint[ipc.Serve]
	srv      *ipc.Server
	blocked  chan struct{}
	ended    chan error
	detached chan ipc.Pending
	release  chan struct{}
	stop     context.CancelFunc
	served   chan error
}

// pass gives to a capability of from by sending it through a temporary endpoint,
// as one process can give to another only in a message.
func pass(t testing.TB, from, to *ipctest.Process, ep ipc.Endpoint[ipc.Serve], badge uint64) ipc.Endpoint[ipc.Send] {
	t.Helper()
	c, err := ipctest.Share(from, to, ep.Handle(), abi.RightSend, badge)
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Send()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newRig(t testing.TB, workers int) *rig {
	t.Helper()
	r := &rig{k: ipctest.New(io.Discard), blocked: make(chan struct{}, 8), ended: make(chan error, 8),
		detached: make(chan ipc.Pending, 8), release: make(chan struct{}), served: make(chan error, 1)}
	r.server, r.client = r.k.Boot("server"), r.k.Boot("client")
	var err error
	if r.ep, err = r.server.Self().NewEndpoint(8, abi.MaxMessage); err != nil {
		t.Fatal(err)
	}
	r.srv = ipc.NewServer(r.ep, echoProto, workers, r.handle)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.served <- r.srv.Serve(ctx) }()
	t.Cleanup(cancel)
	return r
}

func (r *rig) handle(q *ipc.Request) {
	switch q.Op {
	case opEcho:
		if len(q.Payload()) <= ipc.MaxInlinePayload {
			q.Reply(ipc.StatusOK, append(q.Inline(), q.Payload()...))
		} else {
			q.Reply(ipc.StatusOK, append(q.Large(), q.Payload()...))
		}
	case opWhoAmI:
		b := binary.LittleEndian.AppendUint64(q.Inline(), q.SenderService)
		b = binary.LittleEndian.AppendUint64(b, q.Badge)
		b = binary.LittleEndian.AppendUint64(b, uint64(q.SenderPID))
		q.Reply(ipc.StatusOK, b)
	case opBlock:
		ctx, cancel := q.Context(context.Background())
		defer cancel()
		q.Detach() // never answers
		r.blocked <- struct{}{}
		<-ctx.Done()
		r.ended <- ctx.Err()
	case opCap:
		c, err := q.Take().SendGrant()
		if err != nil {
			q.Reply(ipc.StatusInvalidArgs, nil)
			return
		}
		q.ReplyCap(ipc.StatusOK, nil, ipc.MoveSend(c).WithGrant())
	case opRights:
		info, err := q.Take().Info()
		if err != nil {
			q.Reply(ipc.StatusInvalidArgs, nil)
			return
		}
		own, err := r.server.Self().NewEndpoint(1, 64)
		if err != nil {
			q.Reply(ipc.StatusInternal, nil)
			return
		}
		defer own.Close()
		give, err := ipc.DeriveSendGrant(own, 0)
		if err != nil {
			q.Reply(ipc.StatusInternal, nil)
			return
		}
		q.ReplyCap(ipc.StatusOK, binary.LittleEndian.AppendUint32(nil, uint32(info.Rights)), ipc.MoveSend(give))
	case opSilent, opLose:
	case opLarge:
		q.Reply(ipc.StatusOK, q.Large()[:4096])
	case opDetach:
		r.detached <- q.Detach()
	case opSlow:
		<-r.release
		q.Reply(ipc.StatusOK, nil)
	default:
		q.Reply(ipc.StatusUnsupported, nil)
	}
}

func (r *rig) dial(t testing.TB, badge uint64) *ipc.Client {
	return ipc.NewClient(pass(t, r.server, r.client, r.ep, badge), echoProto)
}

var bg = context.Background()

func eachWorkers(t *testing.T, f func(t *testing.T, r *rig)) {
	for name, n := range map[string]int{"one worker": 1, "three workers": 3} {
		t.Run(name, func(t *testing.T) { f(t, newRig(t, n)) })
	}
}

func TestCallEchoesEveryLength(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 7)
		rapid.Check(t, func(t *rapid.T) {
			want := rapid.SliceOfN(rapid.Byte(), 0, ipc.MaxPayload).Draw(t, "payload")
			got := make([]byte, ipc.MaxPayload)
			n, err := c.Call(bg, opEcho, want, got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		})
		for _, n := range []int{0, 1, 7, 8, 47, 48, 49, 50, 4096, ipc.MaxPayload} {
			want := bytes.Repeat([]byte{byte(n + 1)}, n)
			got := make([]byte, ipc.MaxPayload)
			if m, err := c.Call(bg, opEcho, want, got); err != nil || !bytes.Equal(got[:m], want) {
				t.Errorf("%d bytes came back as %d: %v", n, m, err)
			}
		}
	})
}

func TestKernelStampsTheSender(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		var b [24]byte
		if _, err := r.dial(t, 99).Call(bg, opWhoAmI, nil, b[:]); err != nil {
			t.Fatal(err)
		}
		sid, badge, pid := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
		if sid != ipctest.ServiceID("client") || badge != 99 || uint32(pid) != r.client.Start().PID {
			t.Fatalf("service %x badge %d pid %d", sid, badge, pid)
		}
	})
}

func TestDeadlineCrossesTheCall(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
		defer cancel()
		_, err := r.dial(t, 1).Call(ctx, opBlock, nil, nil)
		// The kernel's timer and the context's race; both say that it took too long.
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Fatalf("client: %v", err)
		}
		if err := <-r.ended; err == nil {
			t.Fatal("the handler's context did not end")
		}
	})
}

func TestDeadlineWithoutContext(t *testing.T) {
	r := newRig(t, 2)
	call, err := r.dial(t, 1).NewCall()
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	call.SetDeadline(r.client.Now() + 10e6)
	if _, err := call.Do(bg, opBlock, nil); err != ipc.ErrTimedOut || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if err := <-r.ended; err == nil {
		t.Fatal("the handler's context did not end")
	}
	if _, err := call.Do(bg, opEcho, []byte("again")); err != nil {
		t.Fatalf("the next call inherited the deadline: %v", err)
	}
}

func TestCancelCrossesTheCall(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(bg)
		go func() { <-r.blocked; cancel() }()
		_, err := r.dial(t, 1).Call(ctx, opBlock, nil, nil)
		if err != ipc.ErrCanceled || !errors.Is(err, context.Canceled) {
			t.Fatalf("client: %v", err)
		}
		if err := <-r.ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("handler: %v", err)
		}
	})
}

// A cancellation that comes when its call has ended must not hit the next call,
// which has the same cookie.
func TestLateCancelDoesNotHitTheNextCall(t *testing.T) {
	r := newRig(t, 1)
	call, err := r.dial(t, 1).NewCall()
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	for i := range 200 {
		ctx, cancel := context.WithCancel(bg)
		go cancel()
		if _, err := call.Do(ctx, opEcho, nil); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := call.Do(bg, opEcho, []byte{byte(i)}); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

func TestServerDeathWakesCallers(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, 1)
	go func() { <-r.blocked; r.server.Exit(1) }()
	if _, err := c.Call(bg, opBlock, nil, nil); err != ipc.ErrClosed {
		t.Fatalf("taken call: %v", err)
	}
	if _, err := c.Call(bg, opEcho, nil, nil); err != ipc.ErrClosed {
		t.Fatalf("next call: %v", err)
	}
}

func TestStatusIsAnError(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 1)
		if _, err := c.Call(bg, 999, nil, nil); !errors.Is(err, ipc.StatusUnsupported) {
			t.Fatalf("unknown op: %v", err)
		}
		if _, err := c.Call(bg, opSilent, nil, nil); !errors.Is(err, ipc.StatusInternal) {
			t.Fatalf("silent handler: %v", err)
		}
	})
}

func TestRejectReplyLargerThanBuffer(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 1)
		if _, err := c.Call(bg, opLarge, nil, nil); !errors.Is(err, ipc.StatusTooLarge) {
			t.Fatalf("into registers: %v", err)
		}
		if _, err := c.Call(bg, opLarge, nil, make([]byte, 100)); err != ipc.ErrTooLarge {
			t.Fatalf("into 100 bytes: %v", err)
		}
		if n, err := c.Call(bg, opLarge, nil, make([]byte, 4096)); err != nil || n != 4096 {
			t.Fatalf("into 4096 bytes: %d, %v", n, err)
		}
	})
}

func TestRejectMessageOverLimit(t *testing.T) {
	r := newRig(t, 1)
	if _, err := r.dial(t, 1).Call(bg, opEcho, make([]byte, ipc.MaxPayload+1), nil); err != ipc.ErrTooLarge {
		t.Fatal(err)
	}
}

func TestRejectMalformedFrames(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		call, err := r.dial(t, 1).NewCall()
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		good := ipc.AppendFrame(nil, echoProto, opEcho, 5, []byte("hi"))
		other := echoProto
		other.Version = 9
		long := ipc.AppendFrame(nil, echoProto, opEcho, 5, make([]byte, 100))
		tests := []struct {
			name  string
			frame []byte
			want  ipc.Status
		}{
			{"good", good, ipc.StatusOK},
			{"empty", nil, ipc.StatusMalformed},
			{"short", []byte("bad"), ipc.StatusMalformed},
			{"header only in part", good[:15], ipc.StatusMalformed},
			{"length too long", good[:17], ipc.StatusMalformed},
			{"length too short", append(bytes.Clone(good), 0), ipc.StatusMalformed},
			{"magic", append([]byte{'X'}, good[1:]...), ipc.StatusMalformed},
			{"version", ipc.AppendFrame(nil, other, opEcho, 5, nil), ipc.StatusUnsupported},
			{"a reply", append(append(bytes.Clone(good[:3]), 1), good[4:]...), ipc.StatusMalformed},
			{"status in request", append(append(bytes.Clone(good[:6]), 1, 0), good[8:]...), ipc.StatusMalformed},
			{"long", long, ipc.StatusOK},
			{"long, cut", long[:90], ipc.StatusMalformed},
		}
		for _, tt := range tests {
			got, err := call.Raw(bg, tt.frame)
			if err != nil || len(got) < ipc.HeaderSize {
				t.Fatalf("%s: %d bytes, %v", tt.name, len(got), err)
			}
			if s := ipc.Status(binary.LittleEndian.Uint16(got[6:])); s != tt.want || got[3] != 1 {
				t.Errorf("%s: status %v, want %v", tt.name, s, tt.want)
			}
		}
		if r.srv.Stats().Malformed != 10 {
			t.Errorf("counted %d", r.srv.Stats().Malformed)
		}
	})
}

func TestCapabilityMovesThereAndBack(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		p := r.client.Self()
		own, err := p.NewEndpoint(1, 64)
		if err != nil {
			t.Fatal(err)
		}
		c := r.dial(t, 1)
		call, _ := c.NewCall()
		defer call.Close()
		before := ipctest.Caps(r.server)
		for range 10 {
			give, err := ipc.DeriveSendGrant(own, 4)
			if err != nil {
				t.Fatal(err)
			}
			call.Move(ipc.MoveSend(give).WithGrant())
			if _, err := call.Do(bg, opCap, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := give.Info(); err != ipc.ErrBadHandle {
				t.Fatalf("the handle that was moved: %v", err)
			}
			back, err := call.Take().SendGrant()
			if err != nil {
				t.Fatal(err)
			}
			if info, _ := back.Info(); info.Badge != 4 {
				t.Fatalf("came back as %+v", info)
			}
			back.Close()
		}
		// What a handler or a caller leaves is closed.
		for range 10 {
			give, _ := ipc.DeriveSendGrant(own, 4)
			call.Move(ipc.MoveSend(give))
			if _, err := call.Do(bg, opLose, nil); !errors.Is(err, ipc.StatusInternal) {
				t.Fatal(err)
			}
			give, _ = ipc.DeriveSendGrant(own, 4)
			call.Move(ipc.MoveSend(give).WithGrant())
			if _, err := call.Do(bg, opCap, nil); err != nil {
				t.Fatal(err)
			}
		}
		call.Do(bg, opEcho, nil)
		if got := ipctest.Caps(r.server); got != before {
			t.Errorf("server: %d capabilities, had %d", got, before)
		}
	})
}

// A capability arrives without the right to be given away unless its sender says so.
func TestMoveDropsGrant(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		own, err := r.client.Self().NewEndpoint(1, 64)
		if err != nil {
			t.Fatal(err)
		}
		call, _ := r.dial(t, 1).NewCall()
		defer call.Close()
		for _, grant := range []bool{false, true, false} {
			give, err := ipc.DeriveSendGrant(own, 0)
			if err != nil {
				t.Fatal(err)
			}
			m, want := ipc.MoveSend(give), abi.RightSend
			if grant {
				m, want = m.WithGrant(), want|abi.RightGrant
			}
			call.Move(m)
			got, err := call.Do(bg, opRights, nil)
			if err != nil || len(got) != 4 || abi.Rights(binary.LittleEndian.Uint32(got)) != want {
				t.Fatalf("with grant: %v: rights %x, %v", grant, got, err)
			}
			back := call.Take()
			if info, err := back.Info(); err != nil || info.Rights != abi.RightSend {
				t.Fatalf("came with the reply: %+v, %v", info, err)
			}
			// So it goes nowhere from here.
			call.Move(back.Move())
			if _, err := call.Do(bg, opRights, nil); err != ipc.ErrPermission {
				t.Fatalf("passed on: %v", err)
			}
		}
	})
}

func TestRejectMoveWithoutGrant(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, 1)
	call, _ := c.NewCall()
	defer call.Close()
	only := pass(t, r.server, r.client, r.ep, 2)
	call.Move(r.client.Self().Adopt(only.Handle()).Move())
	if _, err := call.Do(bg, opCap, nil); err != ipc.ErrPermission {
		t.Fatal(err)
	}
	if _, err := only.Info(); err != ipc.ErrBadHandle {
		t.Fatalf("what could not be sent was not closed: %v", err)
	}
	if _, err := call.Do(bg, opEcho, nil); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}

func TestDetachedReply(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 1)
		got := make(chan error, 1)
		var b [8]byte
		go func() {
			_, err := c.Call(bg, opDetach, nil, b[:])
			got <- err
		}()
		d := <-r.detached
		if _, err := c.Call(bg, opEcho, nil, nil); err != nil {
			t.Fatalf("while one is pending: %v", err)
		}
		if err := d.Reply(ipc.StatusOK, []byte("answered")); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil || string(b[:]) != "answered" {
			t.Fatalf("%q, %v", b, err)
		}
		if err := d.Reply(ipc.StatusOK, nil); err != ipc.ErrNoEntry {
			t.Fatalf("second reply: %v", err)
		}
		// One that does not fit into registers.
		long := bytes.Repeat([]byte("long"), ipc.MaxPayload/4)
		large := make([]byte, ipc.MaxPayload)
		go func() {
			_, err := c.Call(bg, opDetach, nil, large)
			got <- err
		}()
		d = <-r.detached
		if err := d.Reply(ipc.StatusOK, append(long, 0)); err != ipc.ErrTooLarge {
			t.Fatalf("reply over the limit: %v", err)
		}
		if err := d.Reply(ipc.StatusOK, long); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil || !bytes.Equal(large, long) {
			t.Fatalf("large reply: %v", err)
		}
		// A caller without a buffer for it can still be answered.
		go func() {
			_, err := c.Call(bg, opDetach, nil, b[:])
			got <- err
		}()
		d = <-r.detached
		if err := d.Reply(ipc.StatusOK, long); err != ipc.ErrTooLarge {
			t.Fatalf("reply without a buffer: %v", err)
		}
		if err := d.Reply(ipc.StatusTooLarge, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != ipc.StatusTooLarge {
			t.Fatalf("told: %v", err)
		}
	})
}

// With n workers, n requests are handled at once and not one more.
func TestWorkersAreBounded(t *testing.T) {
	r := newRig(t, 3)
	c := r.dial(t, 1)
	for range 3 {
		go c.Call(bg, opBlock, nil, nil)
	}
	for range 3 {
		<-r.blocked
	}
	call, _ := c.NewCall()
	defer call.Close()
	call.SetDeadline(r.client.Now() + 20e6)
	if _, err := call.Do(bg, opEcho, nil); err != ipc.ErrTimedOut {
		t.Fatalf("fourth request: %v", err)
	}
}

func TestRejectWhenQueueFull(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, 1)
	var wg sync.WaitGroup
	wg.Go(func() { c.Call(bg, opSlow, nil, nil) })
	full := 0
	for full == 0 { // one in the handler, eight in the queue
		if err := c.Notice(opEcho, nil); err == ipc.ErrQueueFull {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Call(bg, opEcho, nil, nil); err != ipc.ErrQueueFull {
		t.Fatalf("call: %v", err)
	}
	close(r.release)
	wg.Wait()
	err := error(ipc.ErrQueueFull)
	for err == ipc.ErrQueueFull {
		_, err = c.Call(bg, opEcho, nil, nil)
	}
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}

func TestServerStops(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 1)
		if _, err := c.Call(bg, opEcho, nil, nil); err != nil {
			t.Fatal(err)
		}
		slots := ipctest.Slots(r.server)
		r.stop()
		if err := <-r.served; err != ipc.ErrServerStopped {
			t.Fatal(err)
		}
		if got := ipctest.Slots(r.server); got != 0 || slots == 0 {
			t.Errorf("slots: %d while serving, %d after", slots, got)
		}
	})
}

func TestCallsRunInParallel(t *testing.T) {
	eachWorkers(t, func(t *testing.T, r *rig) {
		c := r.dial(t, 1)
		var wg sync.WaitGroup
		for g := range 6 {
			wg.Go(func() {
				buf := make([]byte, 600)
				for i := range 50 {
					want := bytes.Repeat([]byte{byte(g), byte(i)}, 1+i*5)
					n, err := c.Call(bg, opEcho, want, buf)
					for err == ipc.ErrQueueFull {
						n, err = c.Call(bg, opEcho, want, buf)
					}
					if err != nil || !bytes.Equal(buf[:n], want) {
						t.Errorf("goroutine %d round %d: %v", g, i, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestCallAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	// The fake kernel allocates; what the library does before and after it is
	// measured with a kernel that answers by itself.
	c := ipc.NewClient(ipctest.EchoEndpoint(), echoProto)
	call, err := c.NewCall()
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 40)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := call.DoSmall(bg, opEcho, payload); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(bg, opEcho, payload, payload); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
