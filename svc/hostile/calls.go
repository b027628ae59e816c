package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

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

// dieCalling dies with as many calls under way as the kernel allows.
func dieCalling(_ context.Context, a *attacker) error {
	var last abi.Errno
	for i := range uint64(attempts) {
		var r ipc.Regs
		r.A[0], r.A[1], r.A[2] = control, abi.MaxInline|abi.FlagNoWait, 1<<40+i
		a.p.Syscall(abi.SysCall, &r)
		// Not negative: the call is under way, or ended already.
		if last = abi.Errno(max(0, -int64(r.A[0]))); last != abi.OK {
			break
		}
	}
	if err := refused("one call too many", last, abi.ENOSPC, abi.EAGAIN); err != nil {
		return err
	}
	return svc.Exit(DiedCalling)
}

// Exit statuses of services that die in the middle of something.
const (
	DiedCalling = 71
	DiedServing = 72
)

// ServeProtocol is what the attack die-serving speaks.
var ServeProtocol = ipc.Protocol{Magic: [2]byte{'X', 'X'}, Version: 1}

// Operations of the attack die-serving.
const (
	OpEcho = 1
	OpHang = 2 // never answered
	OpDie  = 3 // the server dies with the request in its hands
)

// dieServing is a service that answers once, then does not, then dies.
func dieServing(ctx context.Context, a *attacker) error {
	ep, err := a.p.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
	if err != nil {
		return err
	}
	die := make(chan struct{})
	s := ipc.NewServer(ep, ServeProtocol, 1, func(q *ipc.Request) {
		switch q.Op {
		case OpEcho:
			q.Reply(ipc.StatusOK, append(q.Large(), q.Payload()...))
		case OpHang:
			q.Detach()
		case OpDie:
			q.Detach()
			close(die)
		}
	})
	go s.Serve(ctx)
	if _, err := a.env.Control.Ready(ctx, ep); err != nil {
		return err
	}
	<-die
	runtime.KeepAlive(s)
	return svc.Exit(DiedServing)
}

// FaultAddr is the kernel address at which the attack fault-kernel ends.
const FaultAddr = 0x8021_0040
