//go:build tamago

// Services is the one program of all services: argument 0 says which one a process
// is. Their text is shared by all processes; nothing runs before main but the
// initialisation of packages, which therefore does no work.
package main

import (
	"context"
	"os"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/bench"
	"nexus.internal/svc/execd"
	"nexus.internal/svc/hostile"
	"nexus.internal/svc/initd"
	"nexus.internal/svc/kselftest"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/mortal"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/rngd"
	"nexus.internal/svc/selftest"
	"nexus.internal/svc/soak"
)

var table = svc.Table{
	"init":            initd.Main,
	"policyd":         policyd.Main,
	"logd":            logd.Main,
	"execd":           execd.Main,
	"rngd":            rngd.Main,
	"kselftest":       kselftest.Main,
	"selftest-client": selftest.Main,
	"mortal":          mortal.Main,
	"hostile":         hostile.Main,
}

func main() {
	name := "?"
	if len(os.Args) > 0 {
		name = os.Args[0]
	}
	if name == "bench" {
		bench.Main() // measures the kernel without the help of the service framework
		return
	}
	if name == "soak" {
		soak.Main() // the same
		return
	}
	m := table[name]
	if m == nil {
		println("services: no service", name)
		os.Exit(2)
	}
	env, err := svc.NewEnv(ipc.Self(), name, os.Args, os.Stdout, name == "init" || name == "kselftest")
	if err != nil {
		println("services:", name, err.Error())
		os.Exit(2)
	}
	os.Exit(env.Run(context.Background(), m))
}
