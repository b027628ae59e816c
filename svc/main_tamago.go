//go:build tamago

package svc

import (
	"context"
	"os"
	"slices"

	"nexus.internal/ipc"
)

// Start runs the service that argument 0 names and ends the process with its status: it
// is the main function of a binary. find returns the service of a name, or nil; services
// that may be the root process are named.
func Start(find func(name string) Main, roots ...string) {
	name := "?"
	if len(os.Args) > 0 {
		name = os.Args[0]
	}
	m := find(name)
	if m == nil {
		println("no service", name, "in this binary")
		os.Exit(2)
	}
	env, err := NewEnv(ipc.Self(), name, os.Args, os.Stdout, slices.Contains(roots, name))
	if err != nil {
		println(name, err.Error())
		os.Exit(2)
	}
	os.Exit(env.Run(context.Background(), m))
}
