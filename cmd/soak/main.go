// Soak lets processes do anything, for a long time, on several harts (package
// svc/soak), once for each seed:
//
//	soak -kernel build/kernel.elf -programs build/services.elf -small build/kselftest.bin [-seed 1] [-runs 3] [QEMU arguments]
//
// Each run is an image and a QEMU of its own. A run that fails says with which seed,
// and how to repeat it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
	"nexus.internal/test/qemu"
)

// rootFrames is the budget of the root process, in pages. Its children have theirs
// from the rest of the machine.
const rootFrames = 8 << 20 / abi.PageSize

// options are what a run is made from.
type options struct {
	kernel, programs, small string
	harts                   int
	calls, turns            uint64
	timeout                 time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.kernel, "kernel", "build/kernel.elf", "kernel")
	flag.StringVar(&o.programs, "programs", "build/services.elf", "binary with the soak")
	flag.StringVar(&o.small, "small", "build/kselftest.bin", "small programs for children of children")
	flag.IntVar(&o.harts, "harts", 4, "harts of the machine")
	flag.Uint64Var(&o.calls, "calls", 4_000_000, "random system calls of a run")
	flag.Uint64Var(&o.turns, "turns", 1_200_000, "turns of a run: calls, notifications, and futexes, each")
	flag.DurationVar(&o.timeout, "timeout", 25*time.Minute, "longest run")
	seed := flag.Uint64("seed", 1, "seed of the first run; the next has the next")
	runs := flag.Int("runs", 3, "number of runs")
	flag.Parse()
	for i := range *runs {
		n := *seed + uint64(i)
		if err := o.run(ctx, n); err != nil {
			fmt.Fprintf(os.Stderr, "soak: FAIL: seed %d: %v\nsoak: to repeat: make soak SEED=%d RUNS=1 (calls are the same, how processes interleave is not)\n", n, err, n)
			os.Exit(1)
		}
	}
}

// run bakes and boots an image, shows what it says, and judges it.
func (o *options) run(ctx context.Context, seed uint64) error {
	img, err := o.bake(seed)
	if err != nil {
		return err
	}
	j := judge{}
	start := time.Now()
	m := qemu.Machine{Data: img, SMP: o.harts, Args: flag.Args()}
	end, err := m.Run(ctx, o.timeout, func(line string) time.Duration {
		if j.line(line) {
			fmt.Printf("%7.1fs  %s\n", time.Since(start).Seconds(), line)
		}
		return -1
	})
	if err != nil {
		return err
	}
	return j.end(end)
}

// bake returns an image whose root process is the soak.
func (o *options) bake(seed uint64) ([]byte, error) {
	cfg := bake.Config{Root: "soak", RootFrames: rootFrames, Args: []string{"soak"}}
	cfg.Env = []string{fmt.Sprint("SOAK_SEED=", seed), fmt.Sprint("SOAK_CALLS=", o.calls), fmt.Sprint("SOAK_TURNS=", o.turns)}
	var err error
	if cfg.Kernel, err = os.ReadFile(o.kernel); err != nil {
		return nil, err
	}
	program, err := os.ReadFile(o.programs)
	if err != nil {
		return nil, err
	}
	if program, err = bake.Strip(program); err != nil {
		return nil, fmt.Errorf("%s: %w", o.programs, err)
	}
	small, err := os.ReadFile(o.small)
	if err != nil {
		return nil, err
	}
	cfg.Entries = []bake.Entry{{Name: image.EntryPrograms, Data: program}, {Name: "small", Data: small}}
	return bake.Bake(cfg)
}

// judge holds what a run says to what it must say.
type judge struct {
	bad   []string
	ended bool
}

// done is the last line of a good run of the root process.
const done = "soak: end"

// line judges a line and reports whether to show it.
func (j *judge) line(line string) bool {
	switch {
	case strings.Contains(line, "FAIL"), strings.Contains(line, "PANIC"), strings.Contains(line, "goroutine "), strings.Contains(line, "fatal error"):
		j.bad = append(j.bad, line)
	case line == done:
		j.ended = true
	case strings.HasPrefix(line, "soak: "):
	default:
		return false
	}
	return true
}

func (j *judge) end(end qemu.End) error {
	switch {
	case len(j.bad) > 0:
		return errors.New(j.bad[0])
	case end.Timeout > 0:
		return fmt.Errorf("not done after %v", end.Timeout)
	case end.Status != 0:
		return fmt.Errorf("QEMU ended with status %d", end.Status)
	case !j.ended:
		return fmt.Errorf("the machine ended before it said %q", done)
	}
	return nil
}
