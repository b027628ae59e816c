// Command toolchain makes the Go toolchain that Nexus is built with: a copy of
// one pinned stock Go release with runtime-patches/ applied and the go command
// rebuilt.
//
//	go run ./cmd/toolchain -out build/toolchain
//	build/toolchain/bin/go version
//
// The stock tree is found through the go command (GOTOOLCHAIN), so any Go from
// 1.21 on will do. Invariants:
//
//   - The whole patch set is applied in memory (and a scratch directory) before
//     the output is touched: one that does not apply leaves the old toolchain as
//     it was.
//   - Nothing is done when the inputs hash to what the stamp says.
//   - The version string contains a hash of everything that shapes the tools, and
//     the go command mixes it into every action ID. Library sources are hashed by
//     content by the go command itself, so editing them keeps the version.
//   - Two runs at once are serialised by a lock file beside the output.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "build/toolchain", "directory of the toolchain")
	patches := flag.String("patches", "runtime-patches", "directory of the patch set")
	verbose := flag.Bool("v", false, "say what is done")
	flag.Parse()
	logf := func(string, ...any) {}
	if *verbose {
		logf = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	if err := run(*out, *patches, logf); err != nil {
		fmt.Fprintf(os.Stderr, "toolchain: %v\n", err)
		os.Exit(1)
	}
}
