//go:build tamago

// Services is the binary of init and of all services that name no other: argument 0
// says which one a process is. Their text is shared by all processes; nothing runs
// before main but the initialisation of packages, which therefore does no work. It
// costs every process what it links, so that what is large and needed by few has a
// binary of its own; see cmd/storage.
package main

import (
	"os"
	_ "time/tzdata" // for time.LoadLocation in every service: there is no file to read it from

	"nexus.internal/svc"
	"nexus.internal/svc/bench"
	"nexus.internal/svc/execd"
	"nexus.internal/svc/hostile"
	"nexus.internal/svc/initd"
	"nexus.internal/svc/kselftest"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/mortal"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/selftest"
	"nexus.internal/svc/soak"
	"nexus.internal/svc/timed"
)

// find returns the service of that name. It is no map, which every process would fill.
func find(name string) svc.Main {
	switch name {
	case "init":
		return initd.Main
	case "policyd":
		return policyd.Main
	case "logd":
		return logd.Main
	case "execd":
		return execd.Main
	case "timed":
		return timed.Main
	case "kselftest":
		return kselftest.Main
	case "selftest-client":
		return selftest.Main
	case "mortal":
		return mortal.Main
	case "hostile":
		return hostile.Main
	}
	return nil
}

func main() {
	// These measure and try the kernel without the help of the service framework.
	if len(os.Args) > 0 {
		switch os.Args[0] {
		case "bench":
			bench.Main()
			return
		case "soak":
			soak.Main()
			return
		}
	}
	svc.Start(find, "init", "kselftest")
}
