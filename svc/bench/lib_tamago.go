//go:build tamago && riscv64

package bench

import (
	"context"
	"runtime"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// The protocol of the library benchmarks: six numbers each way, which with the
// frame's header fill the payload registers.
var adder = ipc.Protocol{Magic: [2]byte{'B', 'N'}, Version: 1}

const (
	opAdd  = 1
	opStop = 2
)

// serveLib answers requests of the library until it is told to stop.
func serveLib() {
	p := ipc.Self()
	ep, err := p.NewEndpoint(1, abi.MaxMessage)
	if err != nil {
		panic(err)
	}
	parent, err := p.BootCap(1).Send()
	if err != nil {
		panic(err)
	}
	mine, err := ipc.DeriveSendGrant(ep, 0)
	if err != nil {
		panic(err)
	}
	// The parent waits for a bare message with the capability, as from the other
	// servers.
	sys(abi.SysSend, uint64(parent.Handle()), 0, 0, 0, uint64(mine.Handle()))
	ctx, stop := context.WithCancel(context.Background())
	server := ipc.NewServer(ep, adder, 1, func(q *ipc.Request) {
		var w ipc.Words
		switch {
		case q.Op == opStop:
			stop()
			q.Reply(ipc.StatusOK, nil)
		case q.Op == opAdd && q.Words(&w):
			for i := range w {
				w[i]++
			}
			q.ReplyWords(&w)
		default:
			q.Reply(ipc.StatusMalformed, nil)
		}
	})
	server.Serve(ctx)
}

// libClient starts a server and returns a call to it.
func libClient() *ipc.Call {
	ep, err := ipc.Self().Adopt(abi.Handle(serverOf("servelib"))).Send()
	if err != nil {
		panic(err)
	}
	call, err := ipc.NewClient(ep, adder).NewCall()
	if err != nil {
		panic(err)
	}
	return call
}

// callAdd makes n typed calls.
func callAdd(call *ipc.Call, n int) {
	ctx := context.Background()
	w := ipc.Words{1, 2, 3, 4, 5, 6}
	for range n {
		want := w[0] + 1
		if err := call.DoWords(ctx, opAdd, &w); err != nil || w[0] != want {
			panic("bench: a typed call failed")
		}
	}
}

func stopLib(call *ipc.Call) {
	if _, err := call.DoSmall(context.Background(), opStop, nil); err != nil {
		panic(err)
	}
	call.Close()
}

func callLib(name string) {
	call := libClient()
	measure(name, 1000, func(n int) { callAdd(call, n) })
	stopLib(call)
}

// callPark makes the calls beside a goroutine that always has something to do, so
// that the calling one parks each time.
func callPark(name string) {
	call := libClient()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	measure(name, 1000, func(n int) { callAdd(call, n) })
	close(stop)
	<-stopped
	stopLib(call)
}
