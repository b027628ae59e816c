package qemu

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nexus.internal/cmd/mkimage/disk"
)

// Machine is a virtual machine to boot. The zero values of its fields give the
// machine that everything must run on.
type Machine struct {
	QEMU    string   // command; qemu-system-riscv64 if empty
	Image   string   // file that -kernel boots
	Data    []byte   // what -kernel boots, in place of a file
	SMP     int      // harts; 1 if 0
	Memory  string   // for -m; 128M if empty
	CPU     string   // for -cpu; rv64 if empty
	Entropy string   // file with what the entropy devices give; that of the host if empty
	NoRNG   bool     // it has no entropy device
	Disk    string   // file of its disk, which it may change; a new one for each run if empty
	NBD     string   // Unix socket of a server that is its disk (package nbd), instead of a file
	NoDisk  bool     // it has none
	NoClock bool     // its device tree does not tell of the board's clock
	Kill    bool     // it ends as without power, when we end it; else QEMU closes its files
	Args    []string // further arguments
}

// Date is what the board's clock says when a machine is switched on, in UTC. The client of
// the test image is told it (cmd/mkimage/system/test/client.toml) and looks whether it
// has come through.
const Date = "2031-05-06T07:08:09"

// NewDisk makes the disk that a run has unless it brings its own: the partitions of the
// system, and one for tests.
func NewDisk(file string) error {
	return disk.Create(file, disk.DefaultMiB, []disk.Partition{{Name: "keys", MiB: 1}, {Name: "test", MiB: 16}, {Name: "state"}})
}

// Limits of a run.
const (
	maxOutput = 64 << 20         // bytes that a run may print
	maxLine   = 8 << 10          // bytes of one line; what is longer is cut
	endGrace  = 10 * time.Second // between asking QEMU to end and killing it
)

// command returns QEMU's arguments. Every machine has two modern virtio entropy devices, and
// a clock that goes on with the machine's own time, however busy ours is.
// The serial line is standard output, and
// nothing reads standard input: a run cannot hang on a terminal.
func (m *Machine) command() (string, []string, error) {
	image, err := filepath.Abs(m.Image)
	if err != nil {
		return "", nil, err
	}
	name, smp, memory, cpu := m.QEMU, m.SMP, m.Memory, m.CPU
	if name == "" {
		name = "qemu-system-riscv64"
	}
	if smp == 0 {
		smp = 1
	}
	if memory == "" {
		memory = "128M"
	}
	if cpu == "" {
		cpu = "rv64"
	}
	rng := []string{"-device", "virtio-rng-device", "-device", "virtio-rng-device"}
	if m.NoRNG {
		rng = nil
	}
	if m.Entropy != "" {
		rng = nil
		for _, id := range []string{"a", "b"} {
			rng = append(rng, "-object", "rng-random,filename="+m.Entropy+",id="+id, "-device", "virtio-rng-device,rng="+id)
		}
	}
	var blk []string
	if !m.NoDisk {
		source, name := "file=", m.Disk
		if m.NBD != "" {
			source, name = "file.driver=nbd,file.server.type=unix,file.server.path=", m.NBD
		}
		name, err := filepath.Abs(name)
		if err != nil {
			return "", nil, err
		}
		blk = []string{"-drive", "if=none,id=disk,format=raw,discard=unmap," + source + strings.ReplaceAll(name, ",", ",,"), "-device", "virtio-blk-device,drive=disk,werror=report,rerror=report"}
	}
	return name, slices.Concat([]string{
		"-M", "virt", "-cpu", cpu, "-smp", strconv.Itoa(smp), "-m", memory, "-no-reboot",
		"-global", "virtio-mmio.force-legacy=false", "-rtc", "base=" + Date + ",clock=vm",
	}, rng, []string{
		"-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel", image,
	}, blk, m.Args), nil
}

// hideClock writes the device tree of the machine to a file, with a clock in it that
// nobody knows. QEMU's machine always has one.
func (m *Machine) hideClock(ctx context.Context, file string) error {
	name, args, err := m.command()
	if err != nil {
		return err
	}
	args[slices.Index(args, "virt")] = "virt,dumpdtb=" + file
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	tree, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	hidden := bytes.ReplaceAll(tree, []byte("google,goldfish-rtc"), []byte("google,unknown-dev."))
	if bytes.Equal(hidden, tree) {
		return errors.New("there is none to hide")
	}
	return os.WriteFile(file, hidden, 0o600)
}

// Run boots the machine in a temporary folder of its own and gives line each line
// of the console, without its end, until QEMU ends, the time is over, ctx is done
// or line returns a limit: the longest time that the run may still take, where
// negative means as before. With limit 0 the machine is ended at once. QEMU has
// ended when Run returns. An error means that QEMU could not be run.
func (m *Machine) Run(ctx context.Context, timeout time.Duration, line func(text string) (limit time.Duration)) (End, error) {
	dir, err := os.MkdirTemp("", "nexus-qemu-")
	if err != nil {
		return End{}, err
	}
	defer os.RemoveAll(dir)
	own := *m
	if m.Data != nil {
		own.Image = filepath.Join(dir, "image")
		if err := os.WriteFile(own.Image, m.Data, 0o600); err != nil {
			return End{}, err
		}
	}
	if m.Disk == "" && m.NBD == "" && !m.NoDisk {
		own.Disk = filepath.Join(dir, "disk.img")
		if err := NewDisk(own.Disk); err != nil {
			return End{}, err
		}
	}
	if m.NoClock {
		tree := filepath.Join(dir, "tree")
		if err := own.hideClock(ctx, tree); err != nil {
			return End{}, fmt.Errorf("device tree without a clock: %w", err)
		}
		own.Args = append(slices.Clone(m.Args), "-dtb", tree)
	}
	name, args, err := own.command()
	if err != nil {
		return End{}, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(errTimeout) })
	defer timer.Stop()

	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error {
		if m.Kill {
			return cmd.Process.Kill()
		}
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.WaitDelay = endGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // QEMU does not outlive us
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return End{}, err
	}
	if err := cmd.Start(); err != nil {
		return End{}, fmt.Errorf("starting QEMU: %w", err)
	}
	ended := readLines(stdout, func(text string) bool {
		limit := line(text)
		switch {
		case limit == 0:
			return false
		case limit > 0:
			timer.Reset(limit)
		}
		return true
	})
	stopped := errors.Is(ended, errStop)
	if ended != nil {
		cancel(ended)
		stdout.Close()
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch cause := context.Cause(ctx); {
	case stopped:
		return End{Stopped: true}, nil
	case errors.Is(cause, errTimeout):
		return End{Timeout: timeout}, nil
	case errors.Is(cause, errFlood):
		return End{Flood: true}, nil
	case cause != nil:
		return End{}, cause
	case errors.As(err, &exit):
		if stderr.Len() > 0 {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		if exit.ExitCode() < 0 || stderr.Len() > 0 {
			return End{}, fmt.Errorf("QEMU: %w", err)
		}
		return End{Status: exit.ExitCode()}, nil
	}
	return End{}, err
}

var (
	errStop    = errors.New("nothing more to see")
	errTimeout = errors.New("time is over")
	errFlood   = errors.New("too much output")
)

// readLines gives each line of r to line until that returns false (errStop), r
// ends (nil) or has given more than maxOutput bytes (errFlood).
func readLines(r io.Reader, line func(string) bool) error {
	limited := &io.LimitedReader{R: r, N: maxOutput}
	in := bufio.NewReaderSize(limited, maxLine)
	for {
		raw, err := in.ReadSlice('\n')
		text := string(bytes.TrimRight(raw, "\r\n"))
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if (err == nil || text != "") && !line(text) {
			return errStop
		}
		switch {
		case err == nil:
		case limited.N == 0:
			return errFlood
		default:
			return nil
		}
	}
}
