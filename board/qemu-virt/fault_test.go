//go:build !tamago

package virt_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/elf/elftest"
)

// These tests let the kernel fail in QEMU, which only a boot argument can make it
// do. They need the toolchain of the project and QEMU, and are skipped without.

// faultImage returns the file of an image with the real kernel and one process,
// which counts for a while and then ends with status 0.
func faultImage(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../../build/toolchain/bin/go"); err != nil {
		t.Skip("no toolchain: ", err)
	}
	if _, err := exec.LookPath("qemu-system-riscv64"); err != nil {
		t.Skip(err)
	}
	kernel, err := buildKernel()
	if err != nil {
		t.Fatal(err)
	}
	var code []byte
	for _, w := range []uint32{
		0x4000<<12 | 0x2b7,      // lui t0, 0x4000
		0xfff28293,              // addi t0, t0, -1
		0xfe029ee3,              // bnez t0, -4
		0x00000513,              // li a0, 0
		abi.SysExit<<20 | 0x893, // li a7, SysExit
		0x00000073,              // ecall
	} {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	const start = abi.ImageBase + 0x1_1000
	root := elftest.File{Entry: start, Segments: []elftest.Segment{{Type: elftest.Load, Flags: elftest.R | elftest.X, VA: start, Data: code}}}
	img, err := bake.Bake(bake.Config{Kernel: kernel, Root: "counter", RootFrames: 64, Entries: []bake.Entry{{Name: "counter", Data: root.Build()}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var buildKernel = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "kernel")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "kernel.elf")
	cmd := exec.Command("../../build/toolchain/bin/go", "build", "-trimpath", "-buildvcs=false", "-o", file, "-ldflags", "-T 0x80211000 -R 0x1000", "../../cmd/kernel")
	cmd.Env = append(os.Environ(), "GOOS=tamago", "GOARCH=riscv64", "GOOSPKG=github.com/usbarmory/tamago", "GOTOOLCHAIN=local", "GOROOT=", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// run boots the image until QEMU ends or ctx does.
func run(ctx context.Context, file string, args ...string) (string, *exec.Cmd) {
	cmd := exec.CommandContext(ctx, "qemu-system-riscv64", append([]string{"-M", "virt", "-nographic", "-monitor", "none", "-kernel", file}, args...)...)
	out, _ := cmd.Output()
	return strings.ReplaceAll(string(out), "\r\n", "\n"), cmd
}

// inOrder reports the first of texts that does not follow the ones before it.
func inOrder(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("%q is missing or too early in\n%s", text, out)
		}
		rest = after
	}
}

// TestFaultReport tests what a kernel that fails says before the machine ends.
func TestFaultReport(t *testing.T) {
	for _, c := range []struct {
		args, first, frame string
	}{
		{"nexus.fault=load", "kernel: PANIC: exception scause=0x000000000000000d", "nexus.internal/kernel.(*faults).provoke("},
		{"nexus.fault=index", "kernel: PANIC: exception scause=", "runtime.panicBounds("},
		{"nexus.fault=panic", "panic: nexus.fault=panic", "runtime.throw("},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, cmd := run(ctx, faultImage(t), "-append", c.args, "-no-reboot")
			if s := cmd.ProcessState.ExitCode(); s != 102 {
				t.Errorf("status %d", s)
			}
			inOrder(t, out, c.first, "  ra 0x", "  t6 0x", "hart 0, process 1 counter\n", "traceback:\n", c.frame,
				"nexus.internal/kernel.(*cpu).runAlone(", "kernel/harts_tamago.go:",
				"flight recorder of hart 0\nstart 1 1;", "run 1 0;", "tick ", "kernel: end of the report\n")
		})
	}
}

// TestFaultRecord resets the machine after a fault, without a new QEMU, and expects
// that the next boot tells what the one before said, once, and then works.
func TestFaultRecord(t *testing.T) {
	for _, harts := range []string{"1", "4"} {
		t.Run(harts, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, cmd := run(ctx, faultImage(t), "-smp", harts, "-append", "nexus.fault=load nexus.onfault=reset")
			if s := cmd.ProcessState.ExitCode(); s != 0 {
				t.Errorf("status %d", s)
			}
			inOrder(t, out, "neuron vers.", "\nkernel: PANIC: exception", "kernel: end of the report\n", "OpenSBI",
				"crash: the kernel failed before this boot", "crash: | kernel: PANIC: exception scause=0x000000000000000d",
				", process 1 counter\n", "crash: | traceback:\n", "(*faults).provoke(", "crash: | flight recorder of hart 0\n", "run 1 0;", "crash: | kernel: end of the report\n", "crash: end of record\n",
				"neuron vers.", "KSELFTEST: frames returned ok")
			if n := strings.Count(out, "crash: end of record"); n != 1 {
				t.Errorf("%d records\n%s", n, out)
			}
		})
	}
}

// TestFaultHalt tests that a machine told to halt neither ends nor starts over.
func TestFaultHalt(t *testing.T) {
	file := faultImage(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-riscv64", "-M", "virt", "-nographic", "-monitor", "none", "-kernel", file, "-append", "nexus.fault=load nexus.onfault=halt")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	reported := false
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "kernel: end of the report") {
			reported = true
			break
		}
	}
	const quiet = time.Second // in which a machine would end or print
	time.AfterFunc(quiet, cancel)
	for lines.Scan() {
		t.Errorf("after the report: %s", lines.Text())
	}
	cmd.Wait()
	if !reported || cmd.ProcessState.Exited() {
		t.Errorf("reported: %v, %v", reported, cmd.ProcessState)
	}
}

// TestRejectFaultArgument tests that what is no known value changes nothing.
func TestRejectFaultArgument(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, cmd := run(ctx, faultImage(t), "-append", "nexus.fault=please", "-no-reboot")
	if s := cmd.ProcessState.ExitCode(); s != 0 {
		t.Errorf("status %d", s)
	}
	inOrder(t, out, "kernel: boot argument ignored: nexus.fault=please\n", "neuron vers.", "KSELFTEST: frames returned ok")
}
