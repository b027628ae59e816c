// Mkimage bakes a kernel, the programs it starts and a checked description of
// the system into one bootable image, shows what is in one, and makes disks:
//
//	mkimage build -board qemu-virt -kernel build/kernel.elf -programs build/services.elf \
//		-binary storage=build/storage.elf -manifest system.toml -policy policy -o build/nexus.img
//	mkimage inspect build/nexus.img
//	mkimage disk -o build/disk.img
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"nexus.internal/cmd/mkimage/bake"
)

type cli struct {
	Build   buildCmd   `cmd:"" help:"Bake an image."`
	Disk    diskCmd    `cmd:"" help:"Make an empty disk with a partition table."`
	Inspect inspectCmd `cmd:"" help:"Check every byte of an image and print what is inside, with sizes and SHA-256."`
}

func main() {
	var c cli
	parser, err := kong.New(&c, kong.Name("mkimage"),
		kong.Description("Bakes kernel, programs and manifest into one bootable Nexus image. Same inputs, same bytes."),
		kong.ShortUsageOnError(), kong.Vars{"boards": boardNames()}, kong.BindTo(os.Stdout, (*output)(nil)))
	if err != nil {
		panic(err) // the command line's description is wrong
	}
	ctx, err := parser.Parse(goFlags(os.Args[1:]))
	parser.FatalIfErrorf(err)
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// boardNames lists the boards for the help text.
func boardNames() string {
	names := make([]string, len(bake.Boards))
	for i, b := range bake.Boards {
		names[i] = b.Name
	}
	return strings.Join(names, ",")
}

// goFlags lets long flags begin with one dash, as those of the go command do.
// There are no groups of short flags that this could be mistaken for.
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
