package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/cmd/mkimage/bake"
	system "nexus.internal/cmd/mkimage/manifest"
	"nexus.internal/kernel/elf"
	"nexus.internal/kernel/image"
	"nexus.internal/svc/manifest"
)

type buildCmd struct {
	Board    string            `required:"" enum:"${boards}" placeholder:"NAME" help:"Board that the image is for: ${boards}."`
	Kernel   string            `required:"" type:"existingfile" placeholder:"ELF" help:"Kernel."`
	Programs string            `required:"" type:"existingfile" placeholder:"ELF" help:"Program of the root process; with a manifest, that of all services."`
	Manifest string            `required:"" type:"existingfile" placeholder:"TOML" help:"Description of the system."`
	Policy   string            `type:"existingdir" placeholder:"DIR" help:"Directory of the policy's *.toml files."`
	File     map[string]string `placeholder:"NAME=FILE" help:"Further entry of the archive; may be repeated."`
	Args     []string          `name:"arg" sep:"none" placeholder:"STRING" help:"Further argument of the root process; may be repeated."`
	Output   string            `short:"o" required:"" placeholder:"FILE" help:"Image to write."`
}

func (c *buildCmd) Run() error {
	i := slices.IndexFunc(bake.Boards, func(b bake.Board) bool { return b.Name == c.Board })
	img, err := c.bake(bake.Boards[i])
	if err != nil {
		return err
	}
	return writeFile(c.Output, img)
}

// bake reads the inputs, checks them against each other and returns the image.
func (c *buildCmd) bake(board bake.Board) ([]byte, error) {
	text, err := os.ReadFile(c.Manifest)
	if err != nil {
		return nil, err
	}
	sys, err := system.Parse(c.Manifest, string(text))
	if err != nil {
		return nil, err
	}
	cfg := bake.Config{Board: board, Root: sys.Root, RootFrames: sys.RootFrames, Args: append(sys.Args, c.Args...), Env: sys.Env}
	if cfg.Kernel, err = os.ReadFile(c.Kernel); err != nil {
		return nil, err
	}
	programs, err := os.ReadFile(c.Programs)
	if err != nil {
		return nil, err
	}
	if err := checkProgram(programs); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Programs, err)
	}
	encoded, err := manifest.Encode(&sys.Manifest)
	if err != nil {
		return nil, err
	}
	cfg.Entries = []bake.Entry{{Name: image.EntryPrograms, Data: programs}, {Name: image.EntryManifest, Data: encoded}}
	if c.Policy != "" {
		rules, err := readPolicy(c.Policy)
		if err != nil {
			return nil, err
		}
		if err := sys.CheckGrants(rules); err != nil {
			return nil, err
		}
		encoded, err := encodePolicy(rules)
		if err != nil {
			return nil, err
		}
		cfg.Entries = append(cfg.Entries, bake.Entry{Name: image.EntryPolicy, Data: encoded})
	}
	names := make([]string, 0, len(c.File))
	for name := range c.File {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := os.ReadFile(c.File[name])
		if err != nil {
			return nil, err
		}
		cfg.Entries = append(cfg.Entries, bake.Entry{Name: name, Data: data})
	}
	img, err := bake.Bake(cfg)
	if err != nil {
		return nil, err
	}
	return img, sys.CheckRAM(board.SBI + uint64(len(img)))
}

// checkProgram refuses what the kernel's loader would refuse.
func checkProgram(file []byte) error {
	var p elf.Program
	err := p.Load(uint64(len(file)), func(off uint64, dst []byte) bool {
		copy(dst, file[off:]) // Load asks only for what is inside the file
		return true
	})
	if err != nil {
		return fmt.Errorf("the kernel would not load it: %w", err)
	}
	return nil
}

// readPolicy merges the policy's files in the order of their names.
func readPolicy(dir string) (system.Rules, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no *.toml files", dir)
	}
	rules := system.Rules{}
	for _, f := range files { // Glob sorts
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if err := rules.AddRules(f, string(text)); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// encodePolicy returns the rules in CBOR: a map from service to capabilities, in
// the order that core deterministic encoding asks for.
func encodePolicy(rules system.Rules) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(rules)
}

// writeFile writes data to path in one step, so that a build that is interrupted
// leaves no half image, and not at all if the file already holds it.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), strings.TrimPrefix(filepath.Base(path), ".")+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
