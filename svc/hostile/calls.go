package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
)

// frames is how many frames the attack frame-fuzz sends to init.
const frames = 20_000

// frameFuzz sends init every kind of broken frame. init answers each.
func frameFuzz(ctx context.Context, a *attacker) error {
	rng := rand.New(rand.NewPCG(FuzzSeed, 2))
	call, err := a.env.Control.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	buf := make([]byte, abi.MaxMessage)
	for i := range frames {
		n := int(rng.Uint32() % 96)
		if i%256 == 0 {
			n = int(rng.Uint32() % (abi.MaxMessage + 1))
		}
		frame := buf[:n]
		for j := range frame {
			frame[j] = byte(rng.Uint32())
		}
		if n >= ipc.HeaderSize && i%2 == 0 { // a good header around nonsense
			frame = ipc.AppendFrame(frame[:0], ipc.Protocol{Magic: [2]byte{'I', 'C'}, Version: 1}, uint16(rng.Uint32()%10), uint32(i), frame[ipc.HeaderSize:])
			if frame[4] == 1 {
				continue // ready, which init answers only once
			}
		}
		resp, err := call.Raw(ctx, frame)
		if err != nil {
			return fmt.Errorf("frame %d of %d bytes: %w", i, n, err)
		}
		if len(resp) < ipc.HeaderSize || resp[3] != 1 {
			return fmt.Errorf("frame %d of %d bytes: reply of %d", i, n, len(resp))
		}
	}
	return nil
}

// Exit statuses of services that die in the middle of something.
const (
	DiedCalling = 71
	DiedServing = 72
)

// ServeProtocol is what the attack die-serving speaks.
var ServeProtocol = ipc.Protocol{Magic: [2]byte{'X', 'X'}, Version: 1}

// Operations of the attacks die-serving and die-calling.
const (
	OpEcho     = 1
	OpHang     = 2 // never answered
	OpDie      = 3 // the server dies with the request in its hands
	OpCallBack = 4 // the server calls the capability that moves along, and waits
)

// dieServing is a service that dies with a request in its hands.
func dieServing(ctx context.Context, a *attacker) error { return serveAndDie(ctx, a, DiedServing) }

// dieCalling is a service that dies while it calls others, as often as the kernel
// lets it.
func dieCalling(ctx context.Context, a *attacker) error {
	ep, err := a.p.NewEndpoint(ipc.MaxDepth, abi.MaxMessage) // nobody answers here
	if err != nil {
		return err
	}
	last := abi.OK
	for i := uint64(0); i < attempts && last == abi.OK; i++ {
		var r ipc.Regs
		r.A[0], r.A[1], r.A[2] = uint64(ep.Handle()), abi.MaxInline|abi.FlagNoWait, 1<<40+i
		a.p.Syscall(abi.SysCall, &r)
		last = abi.Errno(max(0, -int64(r.A[0])))
		if last == abi.ENOSPC {
			// Enough: one must be left for the calls that the test watches, and is when
			// the end of this one has been collected.
			if err := a.takeBack(1<<40 + i - 1); err != nil {
				return err
			}
		}
	}
	if err := refused("one call too many", last, abi.ENOSPC); err != nil {
		return err
	}
	return serveAndDie(ctx, a, DiedCalling)
}

// takeBack cancels a call of this process, which waits for nothing else.
func (a *attacker) takeBack(cookie uint64) error {
	var r ipc.Regs
	r.A[2] = cookie
	a.p.Syscall(abi.SysCancel, &r)
	r = ipc.Regs{}
	r.A[1] = abi.FlagNoWait
	a.p.Syscall(abi.SysWait, &r)
	if r.A[0] != abi.EventReply || r.A[1] != cookie {
		return fmt.Errorf("event %d of %#x instead of the end of a cancelled call", int64(r.A[0]), r.A[1])
	}
	return nil
}

// serveAndDie answers requests until it is told to die.
func serveAndDie(ctx context.Context, a *attacker, status svc.Exit) error {
	ep, err := a.p.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
	if err != nil {
		return err
	}
	die := make(chan error, 1)
	s := ipc.NewServer(ep, ServeProtocol, 1, func(q *ipc.Request) {
		switch q.Op {
		case OpEcho:
			q.Reply(ipc.StatusOK, append(q.Large(), q.Payload()...))
		case OpHang:
			q.Detach()
		case OpDie:
			q.Detach()
			die <- status
		case OpCallBack:
			back, err := q.Take().Send()
			if err != nil {
				q.Reply(ipc.StatusInvalidArgs, nil)
				return
			}
			go ipc.NewClient(back, ServeProtocol).Call(context.Background(), OpHang, nil, nil)
			q.Reply(ipc.StatusOK, nil)
		}
	})
	go s.Serve(ctx)
	go func() {
		if _, err := a.env.Control.Ready(ctx, ep); err != nil {
			die <- err
		}
	}()
	return <-die
}

// FaultAddr is the kernel address at which the attack fault-kernel ends.
const FaultAddr = 0x8021_0040
