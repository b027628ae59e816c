//go:build tamago

// Random says what crypto/rand gives it: as a service, it then has execd start the same
// program, which says so as well. Package test/entropy compares boots by that. What is
// said is secret in no other system than this one.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/child"
	"nexus.internal/svc/exec"
)

func main() {
	var b [32]byte
	rand.Read(b[:])
	fmt.Printf("child: random %s %x\n", os.Args[0], b)
	if os.Args[0] == child.RandomService {
		svc.Start(func(string) svc.Main { return parent })
	}
}

func parent(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	c, err := env.Dial("execd", exec.Protocol).Client(ctx)
	if err != nil {
		return err
	}
	s, err := exec.Open(ctx, env.Process, c)
	if err != nil {
		return err
	}
	id, _, err := s.Spawn(ctx, &exec.Request{Name: "random", File: child.Random, Frames: 2 * child.Frames, Flags: exec.FlagConsole, Args: []string{"child"}}, exec.Program{})
	if err != nil {
		return err
	}
	e, err := s.Wait(ctx, id)
	if err == nil && e.Status != 0 {
		err = fmt.Errorf("the child ended with status %d", e.Status)
	}
	return err
}
