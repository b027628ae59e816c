// Testexec runs a program for the target as the only process of a machine in
// QEMU: confined, under the real kernel. It is made for go test:
//
//	go build -o build/testexec ./cmd/testexec
//	GOOS=tamago GOARCH=riscv64 build/toolchain/bin/go test -exec "$PWD/build/testexec" ./ipc/...
//
// Flags of go test (-run, -v, -bench, -short, -timeout …) reach the program as
// its arguments. It finds the package's own files, and everything below testdata,
// in its working directory, in memory: what it writes is gone afterwards, so -cover
// and profiles are of no use. Output is passed on line by line, and the exit status
// is the program's.
//
// The machine is ended when the program's own time limit (-test.timeout) and a
// grace period have passed, and when testexec is told to end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/cmd/testexec/filetree"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
	"nexus.internal/test/qemu"
)

const (
	// statusBroken is the exit status when the machine could not run the program.
	statusBroken = 125
	// statusTimeout is the exit status when the machine had to be ended.
	statusTimeout = 124

	// defaultLimit is how long a program runs that has no limit of its own.
	defaultLimit = 10 * time.Minute
	// grace is what a machine gets beyond the program's own limit, so that the
	// program reports it; 0.3 s to boot are part of it.
	grace = 30 * time.Second

	// kernelMiB is what the machine keeps for firmware, kernel and page tables.
	kernelMiB = 64
	mib       = 1 << 20

	processName = "test"
)

func main() {
	var r run
	flag.StringVar(&r.kernel, "kernel", "", "ELF file of the kernel (default: kernel.elf beside testexec)")
	flag.StringVar(&r.plan, "plan", "", "list of extra folders and skipped tests, see cmd/testexec/plan")
	flag.StringVar(&r.goroot, "goroot", os.Getenv("GOROOT"), "Go tree whose packages are the standard library")
	flag.IntVar(&r.memory, "m", 1024, "memory of the machine in MiB")
	flag.IntVar(&r.harts, "smp", 1, "harts of the machine; the program may use as many, unless GOMAXPROCS says otherwise")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: testexec [flags] program [arguments]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(statusBroken)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	status, err := r.program(ctx, flag.Arg(0), flag.Args()[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testexec:", err)
	}
	os.Exit(status)
}

// run is how programs are run.
type run struct {
	kernel, plan, goroot string
	memory               int // MiB
	harts                int
}

// program runs one and returns its exit status.
func (r *run) program(ctx context.Context, path string, args []string) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return statusBroken, err
	}
	place, err := findPlace(dir, r.goroot)
	if err != nil {
		return statusBroken, err
	}
	pkg, err := place.plan(r.plan)
	if err != nil {
		return statusBroken, err
	}
	if skip := pkg.SkipPattern(); skip != "" && place.std {
		args = append(args, "-test.skip="+skip)
	}
	files, err := place.files(pkg.Folders)
	if err != nil {
		return statusBroken, fmt.Errorf("packing the files of %s: %w", dir, err)
	}
	img, err := r.image(path, append([]string{path}, args...), place.env(os.Environ(), r.harts), files)
	if err != nil {
		return statusBroken, err
	}
	return r.boot(ctx, img, limitOf(args))
}

// image bakes the program and its files into a bootable image.
func (r *run) image(path string, args, env []string, files []byte) ([]byte, error) {
	kernel := r.kernel
	if kernel == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		kernel = filepath.Join(filepath.Dir(self), "kernel.elf")
	}
	kernelELF, err := os.ReadFile(kernel)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; make programs builds it", err)
	}
	if err != nil {
		return nil, err
	}
	elf, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	frames := (r.memory-kernelMiB)*mib - len(kernelELF) - len(elf) - len(files)
	if frames <= 0 {
		return nil, fmt.Errorf("%d MiB are too little for this program", r.memory)
	}
	return bake.Bake(bake.Config{
		Kernel: kernelELF, Root: processName, RootFrames: uint64(frames / abi.PageSize), Args: args, Env: env,
		Entries: []bake.Entry{{Name: processName, Data: elf}, {Name: image.EntryFiles, Data: files}},
	})
}

// boot runs an image until the machine ends, and returns the exit status.
func (r *run) boot(ctx context.Context, img []byte, limit time.Duration) (int, error) {
	out := console{to: os.Stdout}
	machine := qemu.Machine{Data: img, Memory: fmt.Sprint(r.memory, "M"), SMP: r.harts}
	end, err := machine.Run(ctx, limit, func(text string) time.Duration { out.line(text); return -1 })
	if !out.started {
		out.flush()
	}
	switch {
	case err != nil:
		return statusBroken, err
	case end.Timeout != 0:
		return statusTimeout, fmt.Errorf("ended after %v", limit)
	case end.Flood:
		return statusBroken, errors.New("too much output")
	}
	return end.Status, nil
}

// limitOf returns how long a program with these arguments may run.
func limitOf(args []string) time.Duration {
	for _, a := range args {
		if text, ok := strings.CutPrefix(a, "-test.timeout="); ok {
			if d, err := time.ParseDuration(text); err == nil && d > 0 {
				return d + grace
			}
		}
	}
	return defaultLimit
}

// system are the files that tests expect on any Unix.
var system = map[string]string{
	"/etc/group":      "root:x:0:\n",
	"/etc/hosts":      "127.0.0.1 localhost\n::1 localhost\n",
	"/etc/passwd":     "root:x:0:0:root:/tmp:/none\n",
	"/usr/bin/README": "Nothing here can be executed.\n",
}

// files packs the package's files, and further folders given relative to it.
func (p *place) files(folders []string) ([]byte, error) {
	var tree filetree.Tree
	for name, text := range system {
		tree.Add(name, 0o644, []byte(text))
	}
	if err := tree.AddDir(p.inside, p.dir, func(sub string) bool { return sub == "testdata" }); err != nil {
		return nil, err
	}
	for _, folder := range folders {
		from, to := filepath.Join(p.dir, folder), filepath.Join(p.inside, folder)
		if err := tree.AddDir(to, from, func(string) bool { return true }); err != nil {
			return nil, err
		}
	}
	return tree.Marshal()
}
