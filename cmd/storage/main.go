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

var table = svc.Table{
	"rngd":       rngd.Main,
	"blkd":       blkd.Main,
	"keystored":  keystored.Main,
	"bench-disk": benchdisk.Main,
	"cut-load":   cutload.Main,
	"statefsd":   statefsd.Main,
	"cut-state":  cutload.State,
}

func main() { table.Start() }
