// Package goos teaches the go command what is special about GOOS=tamago: where
// package runtime/goos comes from, and how the stock compiler, assembler and
// linker are told to work for a GOOS that they do not know.
//
// It is a file of its own, so that the patches of stock files stay one line each.
package goos

import (
	"context"
	"path/filepath"
	"runtime"

	"cmd/go/internal/base"
	"cmd/go/internal/cfg"
	"cmd/go/internal/modload"

	"golang.org/x/mod/module"
)

// importPath is the package of the runtime's platform hooks.
const importPath = "runtime/goos"

// Resolve returns the directory of runtime/goos when GOOSPKG names the module
// that holds it, in its subdirectory goos. Without GOOSPKG the package is an
// ordinary one of GOROOT: the hooks of a Nexus process.
func Resolve(state *modload.State, path string) (dir string, ok bool) {
	if path != importPath || cfg.Goos != "tamago" || cfg.GOOSPKG == "" {
		return "", false
	}
	ctx := context.Background()
	mods, err := modload.ListModules(state, ctx, []string{cfg.GOOSPKG}, 0, "")
	switch {
	case err != nil:
		base.Fatalf("go: GOOSPKG=%s is not a module of this build: %v", cfg.GOOSPKG, err)
	case len(mods) == 0:
		base.Fatalf("go: GOOSPKG=%s is not a module of this build", cfg.GOOSPKG)
	case mods[0].Error != nil:
		base.Fatalf("go: GOOSPKG=%s: %s", cfg.GOOSPKG, mods[0].Error.Err)
	}
	dir = mods[0].Dir
	if dir == "" { // not in the module cache yet
		dir, err = state.Fetcher().Download(ctx, module.Version{Path: mods[0].Path, Version: mods[0].Version})
		if err != nil {
			base.Fatalf("go: GOOSPKG=%s: %v", cfg.GOOSPKG, err)
		}
	}
	return filepath.Join(dir, "goos"), true
}

// LinkFlags returns the linker flags of GOOS=tamago; flags of the user come
// later and win. The tools run with GOOS=linux (same layout of ELF files), so
// they have to be told the entry and the version of this toolchain. Without
// GOOSPKG the program is a process and is linked to where the kernel maps it:
// the ELF header page at 4 GiB + 64 KiB, text one page above.
func LinkFlags() []string {
	if cfg.Goos != "tamago" {
		return nil
	}
	flags := []string{"-E", "_rt0_" + cfg.Goarch + "_tamago", "-X", "runtime.buildVersion=" + runtime.Version()}
	if cfg.GOOSPKG == "" {
		flags = append(flags, "-T", "0x100011000", "-R", "0x1000")
	}
	return flags
}
