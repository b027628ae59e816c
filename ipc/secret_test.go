//go:build !tamago

package ipc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

// A secret reply arrives, and is in none of the server's buffers when the handler goes on.
func TestReplySecret(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			k := ipctest.New(io.Discard)
			server, client := k.Boot("server"), k.Boot("client")
			ep, err := server.Self().NewEndpoint(8, abi.MaxMessage)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			left := make(chan bool, 1)
			go ipc.NewServer(ep, echoProto, workers, func(q *ipc.Request) {
				secret := bytes.Clone(q.Payload())
				q.ReplySecret(ipc.StatusOK, secret)
				n := len(secret)
				buffer := q.Inline()[:min(n, ipc.MaxInlinePayload)]
				left <- len(bytes.Trim(buffer, "\x00")) != 0 || len(bytes.Trim(q.Large()[:n], "\x00")) != 0
			}).Serve(ctx)
			c := ipc.NewClient(pass(t, server, client, ep, 1), echoProto)
			for _, n := range []int{1, ipc.MaxInlinePayload, ipc.MaxInlinePayload + 1, ipc.MaxPayload, 3} {
				secret := bytes.Repeat([]byte{0xa5}, n)
				got := make([]byte, ipc.MaxPayload)
				m, err := c.Call(ctx, 1, secret, got)
				if err != nil || !bytes.Equal(got[:m], secret) {
					t.Fatalf("%d bytes: %d, %v", n, m, err)
				}
				if <-left {
					t.Errorf("%d bytes stay in a buffer", n)
				}
			}
		})
	}
}
