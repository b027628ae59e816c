//go:build !tamago

package svc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
	"nexus.internal/svc"
)

var proto = ipc.Protocol{Magic: [2]byte{'T', 'T'}, Version: 1}

// echo starts a process that echoes, and returns a way for client to reach it.
func echo(t *testing.T, k *ipctest.Kernel, client *ipctest.Process, name string) (*ipctest.Process, ipc.Endpoint[ipc.Send]) {
	t.Helper()
	p := k.Boot(name)
	ep, err := p.Self().NewEndpoint(8, abi.MaxMessage)
	if err != nil {
		t.Fatal(err)
	}
	go ipc.NewServer(ep, proto, 1, func(q *ipc.Request) { q.Reply(ipc.StatusOK, append(q.Inline(), q.Payload()...)) }).Serve(context.Background())
	c, err := ipctest.Share(p, client, ep.Handle(), abi.RightSend, 1)
	if err != nil {
		t.Fatal(err)
	}
	to, err := c.Send()
	if err != nil {
		t.Fatal(err)
	}
	return p, to
}

func TestRemoteConnectsAgain(t *testing.T) {
	k := ipctest.New(io.Discard)
	client := k.Boot("client")
	server, ep := echo(t, k, client, "server")
	connects, away := 0, 2
	r := svc.NewRemote(proto, func(context.Context) (ipc.Endpoint[ipc.Send], error) {
		connects++
		if away > 0 {
			away--
			return ipc.Endpoint[ipc.Send]{}, ipc.StatusUnavailable
		}
		return ep, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var b [2]byte
	for range 3 {
		if _, err := r.Call(ctx, 1, []byte("hi"), b[:]); err != nil || string(b[:]) != "hi" {
			t.Fatal(err)
		}
	}
	if connects != 3 { // twice away, then once for all calls
		t.Errorf("%d connects", connects)
	}
	server.Exit(1)
	if _, err := r.Call(ctx, 1, nil, nil); err != ipc.ErrClosed {
		t.Fatalf("the peer died: %v", err)
	}
	_, ep = echo(t, k, client, "server")
	away = 1
	if _, err := r.Call(ctx, 1, []byte("yo"), b[:]); err != nil || string(b[:]) != "yo" {
		t.Fatal(err)
	}
	if n := ipctest.Caps(client); n != 4 { // spawn, console, devices, the connection
		t.Errorf("%d capabilities", n)
	}
}

func TestRemoteGivesUp(t *testing.T) {
	for name, tt := range map[string]struct{ fail, want error }{
		"denied":   {ipc.StatusDenied, ipc.StatusDenied},
		"deadline": {ipc.StatusUnavailable, context.DeadlineExceeded},
	} {
		r := svc.NewRemote(proto, func(context.Context) (ipc.Endpoint[ipc.Send], error) { return ipc.Endpoint[ipc.Send]{}, tt.fail })
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := r.Call(ctx, 1, nil, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

func TestExitStatus(t *testing.T) {
	env, err := svc.NewEnv(ipctest.New(io.Discard).Boot("x").Self(), "x", nil, io.Discard, true)
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[int]error{0: nil, 1: errors.New("x"), 7: svc.Exit(7)} {
		if got := env.Run(context.Background(), func(context.Context, *svc.Env) error { return err }); got != want {
			t.Errorf("%v: status %d", err, got)
		}
	}
}

func TestConsoleLines(t *testing.T) {
	var b bytes.Buffer
	env := &svc.Env{Name: "x", Stdout: &b}
	log := slog.New(env.ConsoleHandler(slog.LevelInfo))
	log.Debug("no")
	log.With("a", 1).WithGroup("g").Warn("two words", "b", "with space", "c", "\x1b[2J", slog.Group("h", "d", ""))
	if got, want := b.String(), "[WARN x] two words a=1 g.b=\"with space\" g.c=\"\\x1b[2J\" g.h.d=\"\"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestConsoleKeepsTheRulesOfSlog(t *testing.T) {
	var b *bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b = new(bytes.Buffer)
		return (&svc.Env{Name: "x", Stdout: b}).ConsoleHandler(slog.LevelDebug)
	}, func(t *testing.T) map[string]any {
		level, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(b.String()), "["), " x] ")
		got := map[string]any{slog.LevelKey: level, slog.TimeKey: "when it was printed"}
		if strings.Contains(t.Name(), "zero-time") {
			delete(got, slog.TimeKey)
		}
		for i, f := range strings.Fields(rest) {
			key, value, ok := strings.Cut(f, "=")
			if i == 0 || !ok {
				got[slog.MessageKey] = f
				continue
			}
			at, parts := got, strings.Split(key, ".")
			for _, p := range parts[:len(parts)-1] {
				if at[p] == nil {
					at[p] = map[string]any{}
				}
				at = at[p].(map[string]any)
			}
			at[parts[len(parts)-1]] = value
		}
		return got
	})
}
