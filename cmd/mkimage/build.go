package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/cmd/mkimage/bake"
	system "nexus.internal/cmd/mkimage/manifest"
	"nexus.internal/kernel/image"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
)

// buildCmd bakes a system.
type buildCmd struct {
	Board    string            `required:"" enum:"${boards}" placeholder:"NAME" help:"Board that the image is for: ${boards}."`
	Kernel   string            `required:"" type:"existingfile" placeholder:"ELF" help:"Kernel."`
	Programs string            `required:"" type:"existingfile" placeholder:"ELF" help:"Binary of init and of the services that name no other."`
	Binary   map[string]string `placeholder:"NAME=ELF" help:"Further binary of services; may be repeated. The manifest must name it."`
	Manifest []string          `required:"" type:"existingfile" placeholder:"TOML" help:"Description of the system; may be repeated, each file adds services."`
	Policy   []string          `type:"existingdir" placeholder:"DIR" help:"Directory of the policy's *.toml files; may be repeated, later ones replace rules of earlier ones."`
	File     map[string]string `placeholder:"NAME=FILE" help:"Further entry of the archive; may be repeated."`
	Args     []string          `name:"arg" sep:"none" placeholder:"STRING" help:"Further argument of the root process; may be repeated."`
	Env      []string          `sep:"none" placeholder:"KEY=VALUE" help:"Further environment of the root process; may be repeated."`
	Output   string            `short:"o" required:"" placeholder:"FILE" help:"Image to write."`
}

func (c *buildCmd) Run() error {
	img, err := c.system()
	if err != nil {
		return err
	}
	return writeFile(c.Output, img)
}

// bake adds what the command line says to cfg and returns the image.
func (c *buildCmd) bake(cfg bake.Config, first []string) ([]byte, error) {
	var err error
	if cfg.Kernel, err = os.ReadFile(c.Kernel); err != nil {
		return nil, err
	}
	// Those that the manifest names come first, where init finds them.
	names := slices.Clone(first)
	for _, name := range slices.Sorted(maps.Keys(c.File)) {
		if !slices.Contains(first, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if c.File[name] == "" {
			return nil, fmt.Errorf("%w: the manifest names %q, and no -file has it", manifest.ErrFiles, name)
		}
		data, err := os.ReadFile(c.File[name])
		if err != nil {
			return nil, err
		}
		cfg.Entries = append(cfg.Entries, bake.Entry{Name: name, Data: data})
	}
	return bake.Bake(cfg)
}

// system checks the parts against each other and returns the image.
func (c *buildCmd) system() ([]byte, error) {
	sources := make([]system.Source, len(c.Manifest))
	for i, name := range c.Manifest {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sources[i] = system.Source{Name: name, Text: string(text)}
	}
	sys, err := system.Parse(sources...)
	if err != nil {
		return nil, err
	}
	programs, err := readProgram(c.Programs)
	if err != nil {
		return nil, err
	}
	binaries, err := c.binaries(sys.Manifest.Binaries)
	if err != nil {
		return nil, err
	}
	encoded, err := manifest.Encode(&sys.Manifest)
	if err != nil {
		return nil, err
	}
	entries := []bake.Entry{{Name: image.EntryPrograms, Data: programs}, {Name: image.EntryManifest, Data: encoded}}
	if len(c.Policy) > 0 {
		policy, err := c.policy(sys)
		if err != nil {
			return nil, err
		}
		entries = append(entries, bake.Entry{Name: image.EntryPolicy, Data: policy})
	}
	entries = append(entries, binaries...)
	// kong has checked the name.
	board := bake.Boards[slices.IndexFunc(bake.Boards, func(b bake.Board) bool { return b.Name == c.Board })]
	name, frames, args := sys.Boot()
	img, err := c.bake(bake.Config{
		Board: board, Root: name, RootFrames: frames,
		Args: append(args, c.Args...), Env: append(sys.Env, c.Env...), Entries: entries,
	}, sys.Manifest.Files)
	if err != nil {
		return nil, err
	}
	return img, sys.CheckRAM(board.SBI + uint64(len(img)))
}

// binaries returns the binaries of those names, in that order; the command line must
// have these and no others.
func (c *buildCmd) binaries(names []string) (entries []bake.Entry, err error) {
	for _, name := range slices.Sorted(maps.Keys(c.Binary)) {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: no service is in %q", manifest.ErrBinaries, name)
		}
	}
	for _, name := range names {
		if c.Binary[name] == "" {
			return nil, fmt.Errorf("%w: the manifest names %q, and no -binary has it", manifest.ErrBinaries, name)
		}
		program, err := readProgram(c.Binary[name])
		if err != nil {
			return nil, err
		}
		entries = append(entries, bake.Entry{Name: name, Data: program})
	}
	return entries, nil
}

// policy returns the encoded rules, which must grant what sys needs.
func (c *buildCmd) policy(sys *system.System) ([]byte, error) {
	rules := system.Rules{}
	for _, dir := range c.Policy {
		if err := addPolicy(rules, dir); err != nil {
			return nil, err
		}
	}
	if err := sys.CheckGrants(rules); err != nil {
		return nil, err
	}
	b, err := encodePolicy(rules)
	if err != nil {
		return nil, err
	}
	if _, err := policyd.Decode(b); err != nil {
		return nil, fmt.Errorf("policyd would not take the policy: %w", err)
	}
	return b, nil
}

// readProgram returns an executable as it goes into an image: without symbols,
// and accepted by the kernel's loader.
func readProgram(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	b, err = bake.Strip(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// addPolicy adds the policy files of a directory in the order of their names.
func addPolicy(rules system.Rules, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: no *.toml files", dir)
	}
	for _, f := range files { // Glob sorts
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := rules.AddRules(f, string(text)); err != nil {
			return err
		}
	}
	return nil
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
