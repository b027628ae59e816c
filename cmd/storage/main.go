//go:build tamago

// Storage is the binary of the services that keep secrets and data, or drive what these
// are on: argument 0 says which one a process is. They link the cryptography of the
// standard library, whose start costs more than that of all other services, and which
// nobody else pays for.
package main

import (
	_ "time/tzdata" // for time.LoadLocation in every service, as in cmd/services

	"nexus.internal/svc"
	benchdisk "nexus.internal/svc/bench/disk"
	"nexus.internal/svc/blkd"
	"nexus.internal/svc/cutload"
	"nexus.internal/svc/keystored"
	"nexus.internal/svc/rngd"
	"nexus.internal/svc/statefsd"
)

// find returns the service of that name. It is no map, which every process would fill.
func find(name string) svc.Main {
	switch name {
	case "rngd":
		return rngd.Main
	case "blkd":
		return blkd.Main
	case "keystored":
		return keystored.Main
	case "bench-disk":
		return benchdisk.Main
	case "cut-load":
		return cutload.Main
	case "statefsd":
		return statefsd.Main
	case "cut-state":
		return cutload.State
	}
	return nil
}

func main() { svc.Start(find) }
