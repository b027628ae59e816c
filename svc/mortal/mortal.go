// Package mortal is the service "mortal", which dies when it is told to. With it
// package selftest proves what becomes of a service that dies: the manifest of the
// test image lets init start it again after a failure, a few times.
//
// The last argument says what it does, [Serve] and what follows it.
package mortal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/child"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/keystore"
)

// Name of the service.
const Name = "mortal"

// What it does, as its last argument.
const (
	Serve     = "serve"     // answers until it is told to die
	Stillborn = "stillborn" // leaves a record in the journal and dies
	Brief     = "brief"     // dies
	Churn     = "churn"     // makes much garbage with little memory to spare, and ends well
)

// Protocol is the language of the service.
var Protocol = ipc.Protocol{Magic: [2]byte{'M', 'O'}, Version: 1}

// Operations.
const (
	OpShow   = 1 // moves a capability to send → the service has called that with OpHello
	OpHello  = 2 // what the service calls: the kernel tells the receiver who it is
	OpDie    = 3 // never answered: the process ends with Status
	OpRead   = 4 // → the status that a query of the journal gets, which this service may not read
	OpExec   = 5 // → the status that starting a program with the console gets
	OpAdopt  = 6 // moves a capability to send → a program was started that has it
	OpSign   = 7 // payload → signature: of the device, for this service
	OpSecret = 8 // → the status that keystored gives it for the secret named Secret
)

// Status is the exit status with which it dies.
const Status = 9

// Secret is the name of a secret that this service has never kept.
const Secret = "of-somebody-else"

// Born is the text of the record that a stillborn process leaves.
const Born = "mortal is born"

// helloTimeout bounds the call back to a client, which may not answer.
const helloTimeout = 5 * time.Second

// Main is the service.
func Main(ctx context.Context, env *svc.Env) error {
	switch what := env.Args[len(env.Args)-1]; what {
	case Serve:
		return serve(ctx, env)
	case Stillborn:
		logd := journal.Client{To: env.Dial("logd", journal.Protocol)}
		if _, err := logd.Append(ctx, &journal.Record{Level: journal.Info, Scope: Name, Text: Born}); err != nil {
			return err
		}
		return svc.Exit(Status)
	case Brief:
		return svc.Exit(Status)
	case Churn:
		return churn(env)
	default:
		return fmt.Errorf("unknown argument %q", what)
	}
}

// How churn uses its budget: with this share of it alive, a collector that knows
// no limit lets garbage grow beyond it, and one that does has to work for it.
const (
	alive  = 0.4
	rounds = 8 // times the budget is garbage
	piece  = 4 << 10
)

// churn keeps memory alive and replaces it piece by piece. A process that takes a
// page more than its budget ends there.
func churn(env *svc.Env) error {
	info, err := env.Process.Info()
	if err != nil {
		return err
	}
	budget := float64(info.Budget * abi.PageSize)
	kept := make([][]byte, int(alive*budget/piece))
	for i := range int(rounds * budget / piece) {
		b := make([]byte, piece)
		b[i%piece] = 1
		kept[i%len(kept)] = b
	}
	for i, b := range kept {
		if len(b) != piece || bytes.IndexByte(b, 1) < 0 {
			return fmt.Errorf("piece %d has changed", i)
		}
	}
	return nil
}

func serve(ctx context.Context, env *svc.Env) error {
	ep, err := env.Process.NewEndpoint(ipc.DefaultDepth, ipc.HeaderSize+256)
	if err != nil {
		return err
	}
	logd, execd := journal.Client{To: env.Dial("logd", journal.Protocol)}, env.Dial("execd", exec.Protocol)
	keys := keystore.Client{To: env.Dial("keystored", keystore.Protocol)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := ipc.NewServer(ep, Protocol, 1, func(q *ipc.Request) {
		switch q.Op {
		case OpShow:
			q.Reply(show(ctx, q), nil)
		case OpDie:
			q.Detach()
			cancel(svc.Exit(Status))
		case OpRead:
			q.Reply(read(ctx, logd), nil)
		case OpExec:
			q.Reply(statusOf(start(ctx, env, execd, ipc.Any{})), nil)
		case OpSign:
			signature, err := keys.Sign(ctx, q.Payload())
			q.Reply(statusOf(err), signature[:])
		case OpSecret:
			_, err := keys.Get(ctx, nil, Secret)
			q.Reply(statusOf(err), nil)
		case OpAdopt:
			q.Reply(statusOf(start(ctx, env, execd, q.Take())), nil)
		default:
			q.Reply(ipc.StatusUnsupported, nil)
		}
	})
	return env.Serve(ctx, s, ep)
}

// read queries the journal and returns what that ends with.
func read(ctx context.Context, logd journal.Client) ipc.Status {
	_, err := logd.Query(ctx, 0, 1, "")
	return statusOf(err)
}

// start opens a session with execd and has a program started: one that has the
// console, or what give is.
func start(ctx context.Context, env *svc.Env, execd *svc.Remote, give ipc.Any) error {
	c, err := execd.Client(ctx)
	if err != nil {
		return err
	}
	s, err := exec.Open(ctx, env.Process, c)
	if err != nil {
		return err
	}
	r := &exec.Request{Name: "mortal", File: child.Hello, Frames: child.Frames, Args: []string{"mortal"}, Flags: exec.FlagConsole}
	if give.Valid() {
		r.Flags = exec.FlagHold
	}
	id, _, err := s.Spawn(ctx, r, exec.Program{})
	if err != nil || !give.Valid() {
		return errors.Join(err, s.Close(ctx))
	}
	if _, err := s.Give(ctx, id, give.Move(), abi.RightSend); err != nil {
		return err
	}
	_, err = s.Start(ctx, id) // the session stays until this process ends
	return err
}

// statusOf returns the status that an error is.
func statusOf(err error) ipc.Status {
	if err == nil {
		return ipc.StatusOK
	}
	var status ipc.Status
	if errors.As(err, &status) {
		return status
	}
	return ipc.StatusInternal
}

// show calls the capability that came with the request.
func show(ctx context.Context, q *ipc.Request) ipc.Status {
	to, err := q.Take().Send()
	if err != nil {
		return ipc.StatusInvalidArgs
	}
	c := ipc.NewClient(to, Protocol)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	if _, err := c.Call(ctx, OpHello, nil, nil); err != nil {
		return ipc.StatusUnavailable
	}
	return ipc.StatusOK
}
