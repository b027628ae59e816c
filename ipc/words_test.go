//go:build !tamago

package ipc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

func TestWords(t *testing.T) {
	k := ipctest.New(io.Discard)
	server, client := k.Boot("server"), k.Boot("client")
	ep, err := server.Self().NewEndpoint(1, abi.MaxMessage)
	if err != nil {
		t.Fatal(err)
	}
	serve, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go ipc.NewServer(ep, echoProto, 1, func(q *ipc.Request) {
		var w ipc.Words
		switch {
		case q.Op == 1 && q.Words(&w):
			for i := range w {
				w[i] += uint64(i)
			}
			q.ReplyWords(&w)
		case q.Op == 2:
			q.Reply(ipc.StatusOK, []byte("short"))
		default:
			q.Reply(ipc.StatusMalformed, nil)
		}
	}).Serve(serve)
	call, err := ipc.NewClient(pass(t, server, client, ep, 1), echoProto).NewCall()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	w := ipc.Words{1, 2, 3, 4, 5, 1 << 63}
	if err := call.DoWords(ctx, 1, &w); err != nil || w != (ipc.Words{1, 3, 5, 7, 9, 1<<63 + 5}) {
		t.Errorf("words: %v, %v", w, err)
	}
	if err := call.DoWords(ctx, 2, &w); !errors.Is(err, ipc.ErrProtocol) {
		t.Errorf("a reply of other length: %v", err)
	}
	if _, err := call.DoSmall(ctx, 1, []byte("five!")); !errors.Is(err, ipc.StatusMalformed) {
		t.Errorf("a request of other length: %v", err)
	}
}
