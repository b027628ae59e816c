// Powercut cuts the power of a machine again and again while a load writes to its disk,
// and holds what is found after each cut to what was acknowledged before:
//
//	powercut [-load blk|state] [-image build/nexus-powercut-blk.img] [-seed 1] [-runs 1] [-cuts 10]
//
// Each run begins with an empty disk, and each boot with what the cut before has left. A
// run that fails says with which seed; the moments of the cuts and what they leave repeat
// with it, what the writers do in between does so roughly.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"nexus.internal/test/powercut"
	"nexus.internal/test/qemu"
)

// load is something to be cut, and the disk that it begins with.
type load struct {
	powercut.Load
	create func(file string) error
}

// loads are what there is, by name. Each is made anew for a run.
var loads = map[string]func() load{
	"blk":   func() load { return load{blkLoad(), qemu.NewDisk} },
	"state": stateLoad,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	image := flag.String("image", "", "image with the load (default build/nexus-powercut-<load>.img)")
	name := flag.String("load", "blk", "what writes")
	seed := flag.Uint64("seed", 1, "seed of the first run; the next has the next")
	runs := flag.Int("runs", 1, "number of runs")
	cuts := flag.Int("cuts", 10, "cuts of a run")
	verbose := flag.Bool("v", false, "show the console")
	flag.Parse()
	if loads[*name] == nil {
		fmt.Fprintf(os.Stderr, "powercut: no load %q\n", *name)
		os.Exit(2)
	}
	if *image == "" {
		*image = "build/nexus-powercut-" + *name + ".img"
	}
	for i := range *runs {
		n := *seed + uint64(i)
		if err := run(ctx, *image, loads[*name](), n, *cuts, *verbose); err != nil {
			fmt.Fprintf(os.Stderr, "powercut: FAIL: load %s, seed %d: %v\n", *name, n, err)
			os.Exit(1)
		}
		fmt.Printf("powercut: load %s, seed %d: %d cuts, everything acknowledged was there\n", *name, n, *cuts)
	}
}

// bootTimeout is the longest boot, load and cut included.
const bootTimeout = 2 * time.Minute

func run(ctx context.Context, image string, l load, seed uint64, cuts int, verbose bool) error {
	content, err := powercut.NewDisk(l.create)
	if err != nil {
		return err
	}
	l.Machine, l.Timeout = qemu.Machine{Image: image}, bootTimeout
	if judge := l.Line; verbose {
		l.Line = func(boot int, line string) error {
			fmt.Printf("%d: %s\n", boot, line)
			return judge(boot, line)
		}
	}
	return l.Run(ctx, content, seed, cuts)
}
