// Package svc is what every service is made with: an environment ([Env]) with
// console, log and the control endpoint to init, connections to other services
// that survive their death ([Remote]), and the start of a binary with several services.
//
// A service is a function:
//
//	func Main(ctx context.Context, env *svc.Env) error {
//		ep, err := env.Process.NewEndpoint(ipc.DefaultDepth, abi.MaxMessage)
//		if err != nil {
//			return err
//		}
//		return env.Serve(ctx, ipc.NewServer(ep, proto, 1, handler), ep)
//	}
//
// It keeps no work in init(): the services of a binary are linked together.
package svc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"nexus.internal/ipc"
	"nexus.internal/svc/control"
)

// Main is a service. An error ends the process with status 1, or with the one of
// an [Exit].
type Main func(ctx context.Context, env *Env) error

// Table is services by name, for a system that is put together at run time. A binary has
// a switch, which costs its start nothing; see [Start].
type Table map[string]Main

// Exit is an error that ends a process with a status of its own.
type Exit int

// Error implements error.
func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Env is what a service starts with.
type Env struct {
	Name    string // of the service
	Args    []string
	Process ipc.Process
	Stdout  io.Writer      // the console, or nothing; one Write is one piece
	Log     *slog.Logger   // starts out as the console
	Control control.Client // to init; the root process has none
}

// NewEnv returns the environment of the process p. Its control endpoint is the
// first capability that the parent gave; root processes have none.
func NewEnv(p ipc.Process, name string, args []string, stdout io.Writer, root bool) (*Env, error) {
	env := &Env{Name: name, Args: args, Process: p, Stdout: stdout}
	env.Log = slog.New(env.ConsoleHandler(slog.LevelInfo))
	if !root {
		ep, err := p.BootCap(0).Send()
		if err != nil {
			return nil, fmt.Errorf("control endpoint: %w", err)
		}
		env.Control = control.Client{Client: ipc.NewClient(ep, control.Protocol)}
	}
	return env, nil
}

// Say writes one line to the console. Markers are lines said after what they
// claim has been observed.
func (e *Env) Say(format string, args ...any) {
	io.WriteString(e.Stdout, fmt.Sprintf(format, args...)+"\n")
}

// Run runs a service and returns its exit status.
func (e *Env) Run(ctx context.Context, m Main) int {
	err := m(ctx, e)
	var exit Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	e.Log.Error("ended", "err", err)
	return 1
}

// Ready tells init that the service answers requests at ep (the zero value for a
// service that nobody calls), waits until the system is up, and says so on the
// console if this is the first start: "<name>: ready" for a service with an
// endpoint.
func (e *Env) Ready(ctx context.Context, ep ipc.Endpoint[ipc.Serve]) error {
	announce, err := e.Control.Ready(ctx, ep)
	if err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	if !announce {
		e.Log.Info("ready again")
		return nil
	}
	if ep.Valid() {
		e.Say("%s: ready", e.Name)
	}
	return e.Control.Announced(ctx)
}

// Serve serves s, which answers at ep, after telling init that it does. It returns
// when ctx ends or the server cannot go on.
func (e *Env) Serve(ctx context.Context, s *ipc.Server, ep ipc.Endpoint[ipc.Serve]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := e.Ready(ctx, ep); err != nil {
			cancel(err)
		}
	}()
	err := s.Serve(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
