// Bench counts the instructions of what the system does and holds them to a
// committed baseline:
//
//	bench -kernel build/kernel.elf -programs build/services.elf -system build/nexus.img [-update]
//
// It boots the benchmarks (package svc/bench), and the system itself up to its
// readiness, in a QEMU whose clock advances by one nanosecond per instruction, and
// collects lines "bench: NAME N insns". Such counts are the same on every machine.
// A figure that is more than 2 % worse than the baseline fails the run, and so
// does one that is missing; -update makes what was measured the new baseline. One
// figure, smp2_scaling, is a ratio on the wall clock and is measured only when -only
// names it: see scaling.go.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
	"nexus.internal/kernel/image"
	"nexus.internal/test/nbd"
	"nexus.internal/test/qemu"
)

// clock makes QEMU count instructions, and everything else repeat exactly.
var clock = []string{"-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"}

// diskClock is the clock of a machine that waits for its disk. That takes time of the
// host. With the clock above, a hart that has nothing to do would find itself at its
// next deadline at once, before the disk had a chance; with this one time goes on
// meanwhile, and who measures takes it off.
var diskClock = []string{"-icount", "shift=0,sleep=on", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"}

// diskDelay is how long the disk takes for each request: longer than the machine needs
// until it waits, so that an interrupt always finds it waiting and takes the same way.
const diskDelay = 3 * time.Millisecond

// rootFrames is the budget of the benchmarks' root process, in pages: half of the
// machine, for the children and their memory come from it as well.
const rootFrames = 64 << 20 / abi.PageSize

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	kernel := flag.String("kernel", "build/kernel.elf", "kernel")
	programs := flag.String("programs", "build/services.elf", "program with the benchmarks")
	system := flag.String("system", "build/nexus-bench.img", "image of the system, baked with BENCH=1 in its environment")
	disk := flag.String("disk", "build/nexus-bench-disk.img", "image of the system with the benchmarks of the disk")
	baseline := flag.String("baseline", "cmd/bench/baseline.txt", "what was measured before")
	only := flag.String("only", "", "run this benchmark alone, and compare nothing else")
	update := flag.Bool("update", false, "make this run the new baseline")
	timeout := flag.Duration("timeout", 5*time.Minute, "longest run of one image")
	verbose := flag.Bool("v", false, "show the console")
	flag.Parse()

	benches, err := parseBenches(benchesTOML)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nexus-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	img := filepath.Join(dir, "bench.img")
	if err := bakeBench(img, *kernel, *programs, *only); err != nil {
		return err
	}
	if *only == scalingName {
		return scaling(ctx, img, *timeout, *verbose)
	}
	got := figures{}
	for _, image := range []struct {
		name    string
		machine qemu.Machine
	}{
		{"bench", qemu.Machine{Image: img, NoDisk: true, Args: clock}},
		{"system", qemu.Machine{Image: *system, NoDisk: true, Args: clock}},
		{"disk", qemu.Machine{Image: *disk, NBD: filepath.Join(dir, "disk"), Args: diskClock}},
	} {
		want := names(benches, image.name, *only)
		if len(want) == 0 {
			continue
		}
		start := time.Now()
		if image.machine.NBD != "" {
			s, err := serveDisk(dir, image.machine.NBD)
			if err != nil {
				return err
			}
			defer s.Close()
		}
		if err := measure(ctx, image.machine, names(benches, image.name, ""), want, got, *timeout, *verbose); err != nil {
			return fmt.Errorf("%s: %w", image.name, err)
		}
		fmt.Printf("image of %s: %.1f s of wall time\n", image.name, time.Since(start).Seconds())
	}
	old, err := readBaseline(*baseline)
	if err != nil {
		return err
	}
	if *only != "" {
		benches = selectBenches(benches, *only)
	}
	ok := report(os.Stdout, benches, got, old)
	if *update {
		return writeBaseline(*baseline, benches, got)
	}
	if !ok {
		return fmt.Errorf("a figure is missing, or more than %d %% worse than the baseline", tolerance)
	}
	return nil
}

// measure boots an image, which may print the known figures, and adds those that are wanted
// to got, until it has printed all of them or ends.
func measure(ctx context.Context, m qemu.Machine, known, want map[string]bool, got figures, timeout time.Duration, verbose bool) error {
	var bad error
	end, err := m.Run(ctx, timeout, func(line string) time.Duration {
		if verbose {
			fmt.Println(line)
		}
		name, n, ok, err := parseLine(line)
		switch {
		case err != nil:
			bad = err
		case !ok:
			return -1
		case !known[name]:
			bad = fmt.Errorf("%q is not in the list of benchmarks", name)
		case !want[name] && got[name] == 0:
			return -1 // not asked for, and there to be seen
		default:
			if _, twice := got[name]; twice {
				bad = fmt.Errorf("%q was printed twice", name)
			}
			got[name] = n
			delete(want, name)
		}
		if bad != nil || len(want) == 0 {
			return 0
		}
		return -1
	})
	switch {
	case err != nil:
		return err
	case bad != nil:
		return bad
	case end.Timeout > 0:
		return fmt.Errorf("not done after %v", end.Timeout)
	case end.Status != 0:
		return fmt.Errorf("QEMU ended with status %d", end.Status)
	}
	return nil
}

// serveDisk is the disk of a machine at a socket.
func serveDisk(dir, socket string) (*nbd.Server, error) {
	file := filepath.Join(dir, "disk.img")
	if err := qemu.NewDisk(file); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := nbd.NewDisk(content)
	d.Delay = diskDelay
	return nbd.Listen(socket, d)
}

// bakeBench writes an image whose root process is the benchmarks; with only, one
// of them.
func bakeBench(file, kernel, programs, only string) error {
	cfg := bake.Config{Root: "bench", RootFrames: rootFrames, Args: []string{"bench"}}
	var err error
	if cfg.Kernel, err = os.ReadFile(kernel); err != nil {
		return err
	}
	program, err := os.ReadFile(programs)
	if err != nil {
		return err
	}
	if program, err = bake.Strip(program); err != nil {
		return fmt.Errorf("%s: %w", programs, err)
	}
	if only != "" {
		cfg.Env = []string{"BENCH=" + only}
	}
	cfg.Entries = []bake.Entry{{Name: image.EntryPrograms, Data: program}, {Name: "min", Data: minimal()}}
	img, err := bake.Bake(cfg)
	if err != nil {
		return err
	}
	return os.WriteFile(file, img, 0o600)
}

// minimal returns the smallest program there is: it exits with status 0.
func minimal() []byte {
	const text = abi.ImageBase + 0x1000
	var code []byte
	for _, insn := range []uint32{
		0x00000513,                     // li a0, 0
		abi.SysExit<<20 | 17<<7 | 0x13, // li a7, SysExit
		0x00000073,                     // ecall
	} {
		code = binary.LittleEndian.AppendUint32(code, insn)
	}
	return elftest.File{Entry: text, Segments: []elftest.Segment{
		{Type: elftest.Load, Flags: elftest.R | elftest.X, VA: text, Data: code},
	}}.Build()
}
