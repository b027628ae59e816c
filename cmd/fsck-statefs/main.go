// Fsck-statefs checks the store of statefs on a disk, which no machine uses meanwhile, and
// repairs it:
//
//	fsck-statefs build/disk.img
//	fsck-statefs -key key.hex -repair build/disk.img
//
// It looks for the partition "state" in the table of the disk; with -raw the file is the
// store. Without the key of the device it finds what was damaged, but not what somebody
// changed who knows the format, and cannot repair. docs/statefs-format.md has the format.
//
// The status is 0 if nothing is wrong, 1 if something was and the store opens again with
// all that could be read, 2 if something is wrong, and 3 if there is no store or it cannot
// be read.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"nexus.internal/svc/statefs"
)

type cli struct {
	Disk      string `arg:"" help:"Disk image, or with --raw what is in the partition."`
	Partition string `default:"state" placeholder:"NAME" help:"Partition with the store (${default})."`
	Raw       bool   `help:"The file is the store."`
	Key       string `placeholder:"FILE" help:"File with the key of the store: 32 bytes, or as many in hexadecimal digits."`
	Repair    bool   `help:"Make the store open again where commits cannot be read: what they held is lost. Takes the key."`
	List      bool   `help:"Print all keys, with version and length."`
	Sector    int    `default:"512" placeholder:"BYTES" help:"Bytes of a sector (${default})."`
}

// Statuses.
const (
	clean    = 0
	repaired = 1
	damaged  = 2
	failed   = 3
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command. It returns its status.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("fsck-statefs"), kong.Writers(stdout, stderr), kong.Exit(func(n int) { exited = n }),
		kong.Description("Checks and repairs the store of statefs on a disk. Ends with 0 if nothing is wrong, 1 if it was repaired, 2 if something is wrong, 3 if there is no store or it cannot be read."))
	if err != nil {
		panic(err) // the command line's description is wrong
	}
	_, err = parser.Parse(goFlags(args))
	if exited >= 0 {
		return exited // --help
	}
	status := failed
	if err == nil {
		status, err = c.run(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "fsck-statefs:", err)
	}
	return status
}

// goFlags lets long flags begin with one dash, as those of the go command do. There are no
// groups of short flags that this could be mistaken for.
func goFlags(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if len(a) > 2 && strings.HasPrefix(a, "-") && a[1] != '-' {
			a = "-" + a
		}
		out[i] = a
	}
	return out
}

func (c *cli) run(stdout io.Writer) (int, error) {
	var key *[statefs.KeySize]byte
	if c.Key != "" {
		k, err := readKey(c.Key)
		if err != nil {
			return failed, err
		}
		key = &k
	}
	if c.Repair && key == nil {
		return failed, errors.New("-repair takes -key: what is written must be authentic")
	}
	d, err := openDevice(c)
	if err != nil {
		return failed, err
	}
	defer d.file.Close()
	report, err := statefs.Check(d, key)
	if err != nil {
		return failed, err
	}
	show(stdout, report)
	status := clean
	if len(report.Findings) > 0 {
		status = damaged
	}
	if status == damaged && c.Repair {
		if _, err := statefs.Repair(d, statefs.Options{Key: *key, Random: rand.Reader}); err != nil {
			return failed, fmt.Errorf("repair: %w", err)
		}
		if report, err = statefs.Check(d, key); err != nil {
			return failed, fmt.Errorf("after the repair: %w", err)
		}
		fmt.Fprintln(stdout, "repaired:")
		show(stdout, report)
		if status = repaired; len(report.Findings) > 0 {
			status = damaged // values, which only their owner can put again
		}
	}
	if c.List {
		if err := list(stdout, d, key); err != nil {
			return failed, err
		}
	}
	return status, nil
}

// show prints a report.
func show(w io.Writer, r statefs.Report) {
	authentic := "authentic"
	if !r.Authenticated {
		authentic = "not authenticated: no key was given"
	}
	fmt.Fprintf(w, "generation %d, %d commits up to %d, %d keys, %d bytes; %s\n", r.Generation, r.Commits, r.Sequence, r.Keys, r.Live, authentic)
	if r.Superblocks < 2 {
		fmt.Fprintln(w, "one superblock is not whole, as a power cut may leave it; the next opening writes it")
	}
	if r.Repaired > 0 {
		fmt.Fprintf(w, "%d gaps that were repaired before: keys may have an older value\n", r.Repaired)
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, "wrong:", f)
	}
}

// list prints the keys of a store.
func list(w io.Writer, d *device, key *[statefs.KeySize]byte) error {
	items, err := statefs.Keys(d, key)
	for _, i := range items {
		fmt.Fprintf(w, "%8d %8d %q\n", i.Version, i.Length, i.Key)
	}
	return err
}

// readKey reads a key.
func readKey(file string) (key [statefs.KeySize]byte, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return key, err
	}
	if len(b) == len(key) {
		return [statefs.KeySize]byte(b), nil
	}
	b = bytes.TrimSpace(b)
	if hex.DecodedLen(len(b)) != len(key) {
		return key, fmt.Errorf("%s: not %d bytes, nor their digits", file, len(key))
	}
	if _, err := hex.Decode(key[:], b); err != nil {
		return key, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
