package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"nexus.internal/cmd/mkimage/bake"
	"nexus.internal/ipc/abi"
	"nexus.internal/kernel/image"
	"nexus.internal/svc/manifest"
)

// output is where results go.
type output io.Writer

type inspectCmd struct {
	Image string `arg:"" type:"existingfile" placeholder:"FILE" help:"Image to check."`
}

func (c *inspectCmd) Run(out output) error {
	b, err := os.ReadFile(c.Image)
	if err != nil {
		return err
	}
	if err := inspect(out, b); err != nil {
		return fmt.Errorf("%s: damaged: %w", c.Image, err)
	}
	return nil
}

// inspect prints what is in the image b.
func inspect(out io.Writer, b []byte) error {
	img, err := bake.Open(b)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "board\t%s\n", img.Board.Name)
	fmt.Fprintf(w, "size\t%d bytes, loaded at %#x\n", len(b), img.Board.Load)
	fmt.Fprintf(w, "ABI\tversion %d\n", abi.Version)
	fmt.Fprintf(w, "entry\t%#x\n", img.Entry)
	fmt.Fprintf(w, "root process\t%s, %d KiB\n", img.Root, img.RootFrames*abi.PageSize>>10)
	fmt.Fprintf(w, "\noffset\tbytes\tSHA-256\tname\n")
	fmt.Fprintf(w, "%#x\t%d\t%x\tkernel\n", 0, len(img.Kernel), img.Archive.Kernel)
	for _, e := range img.Entries() {
		fmt.Fprintf(w, "%#x\t%d\t%x\t%s\n", img.Header.Archive+e.Offset, e.Size, e.SHA256, e.Name)
	}
	if e := img.Lookup(image.EntryManifest); e != nil {
		m, err := manifest.Decode(e.Data)
		if err != nil {
			return err
		}
		printManifest(w, m)
	}
	return w.Flush()
}

// printManifest prints one line for each service, in start order.
func printManifest(w io.Writer, m *manifest.Manifest) {
	fmt.Fprintf(w, "\nservice\tid\tbinary\tKiB\trestart\tready within\tcalls\n")
	for _, s := range m.Services {
		calls := ""
		for _, c := range s.Calls {
			calls += c.Name
			if c.Lazy {
				calls += " (lazily)"
			}
			calls += " "
		}
		fmt.Fprintf(w, "%s\t%016x\t%s\t%d\t%s\t%v\t%s\n", s.Name, manifest.ServiceID(s.Name), cmp.Or(s.Binary, image.EntryPrograms), s.Frames*abi.PageSize>>10,
			s.Restart.Policy, s.Ready.Round(time.Millisecond), calls)
	}
}
