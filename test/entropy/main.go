// Entropy proves where the entropy of processes comes from: it boots the same image on
// the same machine again and again, with the same seed in the device tree and a clock
// that counts instructions, and changes what the virtio entropy device gives. With the
// same bytes everything repeats, so that nothing else decides; with other bytes
// crypto/rand says something else in every process.
//
// Then it boots machines whose device is of no use, or that have none: the system must say
// what is wrong, and not come up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"nexus.internal/test/qemu"
)

// mark is how a line begins with which a process of the image says what it got.
const mark = "child: random "

// processes say something in each boot: a service, which init starts, and a child of
// execd.
const processes = 2

// deviceBytes is how much a boot may take from the device.
const deviceBytes = 1 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	image := flag.String("image", "build/nexus-entropy.img", "image with the service random")
	timeout := flag.Duration("timeout", time.Minute, "longest boot")
	flag.Parse()
	if err := run(ctx, *image, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "entropy:", err)
		os.Exit(1)
	}
	fmt.Println("ok  \tthe entropy device decides what crypto/rand says, and without one there is no system")
}

func run(ctx context.Context, image string, timeout time.Duration) error {
	dir, err := os.MkdirTemp("", "nexus-entropy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var said [3][]string
	for i, device := range [3]byte{1, 1, 2} {
		file := filepath.Join(dir, "device")
		b := make([]byte, deviceBytes)
		rand.NewChaCha8([32]byte{device}).Read(b)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return err
		}
		if said[i], err = boot(ctx, image, file, timeout); err != nil {
			return fmt.Errorf("boot %d: %w", i+1, err)
		}
	}
	if err := compare(said); err != nil {
		return err
	}
	for _, d := range useless() {
		file := filepath.Join(dir, "useless")
		if err := os.WriteFile(file, d.gives, 0o600); err != nil {
			return err
		}
		m := machine(image, file)
		if d.gives == nil {
			m.Entropy, m.NoRNG = "", true
		}
		if err := refuse(ctx, m, d.says, timeout); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// device is one that entropy cannot come from.
type device struct {
	name  string
	gives []byte // nil: there is none
	says  string // what rngd says of it
}

// useless returns devices that a health test must find, and none at all.
func useless() []device {
	biased := make([]byte, deviceBytes)
	rand.NewChaCha8([32]byte{3}).Read(biased)
	for i := 0; i < len(biased); i += 4 { // never two in a row, but a quarter of them
		biased[i] = 0x55
	}
	return []device{
		{"no device", nil, "the machine has no entropy device"},
		{"a device that is stuck", make([]byte, deviceBytes), "entropy source repeats itself"},
		{"a device that prefers a value", biased, "entropy source prefers one value"},
	}
}

// refuse boots a machine that must end with an error, after it said what is wrong and
// before anything was ready.
func refuse(ctx context.Context, m qemu.Machine, says string, timeout time.Duration) error {
	var all []string
	end, err := m.Run(ctx, timeout, func(line string) time.Duration {
		all = append(all, line)
		return -1
	})
	if err != nil {
		return err
	}
	came := func(what string) bool {
		return slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line, what) })
	}
	if end.Timeout > 0 || end.Status == 0 || !came("rngd: no entropy: "+says) || came("init: ready") || came(mark) {
		return fmt.Errorf("it ends with status %d (out of time: %v)\n%s", end.Status, end.Timeout > 0, strings.Join(all, "\n"))
	}
	return nil
}

// machine returns one with the bytes of that file in its device. There is no disk: it would
// take the host's time, and nothing would repeat.
func machine(image, device string) qemu.Machine {
	return qemu.Machine{Image: image, Entropy: device, NoDisk: true, Args: []string{"-icount", "shift=0,sleep=off", "-seed", "1"}}
}

// boot returns what processes say in a boot with the bytes of that file in the device.
func boot(ctx context.Context, image, device string, timeout time.Duration) (said []string, err error) {
	m := machine(image, device)
	var tail []string
	end, err := m.Run(ctx, timeout, func(line string) time.Duration {
		if what, ok := strings.CutPrefix(line, mark); ok {
			said = append(said, what)
		}
		tail = append(tail, line)
		return -1
	})
	switch {
	case err != nil:
		return nil, err
	case end.Timeout > 0 || end.Status != 0 || len(said) != processes:
		return nil, fmt.Errorf("it says %d things and ends with status %d (out of time: %v)\n%s", len(said), end.Status, end.Timeout > 0, strings.Join(tail, "\n"))
	}
	return said, nil
}

// compare holds three boots against each other, of which the first two had the same
// bytes in the device.
func compare(said [3][]string) error {
	if !slices.Equal(said[0], said[1]) {
		return fmt.Errorf("boots that are alike are not: %q, %q: the comparison would mean nothing", said[0], said[1])
	}
	for i, what := range said[0] {
		name, value, _ := strings.Cut(what, " ")
		other, otherValue, _ := strings.Cut(said[2][i], " ")
		if name != other {
			return fmt.Errorf("%q and %q are of different processes", what, said[2][i])
		}
		if value == otherValue {
			return fmt.Errorf("with other entropy in the device, %s gets the same from crypto/rand", name)
		}
	}
	if a, b := said[0][0], said[0][1]; a[strings.Index(a, " "):] == b[strings.Index(b, " "):] {
		return errors.New("two processes get the same from crypto/rand")
	}
	return nil
}
