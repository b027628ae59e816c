//go:build tamago && riscv64

package bench

import (
	"context"
	"encoding/binary"
	"runtime"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
)

// The protocol of the library benchmarks: a typed request of five words and a
// reply of the same, which is the inline payload of a frame but one word.
var adder = ipc.Protocol{Magic: [2]byte{'B', 'N'}, Version: 1}

const (
	opAdd  = 1
	opStop = 2

	words = 5
)

// sum is a typed request: its fields are encoded and decoded, not copied.
type sum struct{ v [words]uint64 }

func (s *sum) append(b []byte) []byte {
	for _, v := range s.v {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func (s *sum) decode(b []byte) bool {
	if len(b) != words*8 {
		return false
	}
	for i := range s.v {
		s.v[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return true
}

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
		var s sum
		switch {
		case q.Op == opStop:
			stop()
			q.Reply(ipc.StatusOK, nil)
		case q.Op == opAdd && s.decode(q.Payload()):
			for i := range s.v {
				s.v[i]++
			}
			q.Reply(ipc.StatusOK, s.append(q.Inline()))
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
	s := sum{v: [words]uint64{1, 2, 3, 4, 5}}
	for range n {
		want := s.v[0] + 1
		got, err := call.DoSmall(ctx, opAdd, s.append(call.Inline()))
		if err != nil || !s.decode(got) || s.v[0] != want {
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
