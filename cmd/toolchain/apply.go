package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// overlay is the result of a patch set over a stock tree: the files that differ,
// by slash-separated path below src.
type overlay struct {
	stock string // the stock src directory
	files map[string][]byte
}

// apply computes the overlay of ps over the stock src directory. It writes
// nothing but a scratch directory for git apply.
func apply(ps *patchSet, stock string) (*overlay, error) {
	ov := &overlay{stock: stock, files: map[string][]byte{}}
	for _, r := range ps.copies {
		if err := ov.copyFile(r); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.where, r.file, err)
		}
	}
	for _, r := range ps.rules {
		if err := ov.constrain(r); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.where, r.file, err)
		}
	}
	if err := ov.applyDiffs(ps.diffs); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(ps.files) {
		if _, err := ov.read(name); err == nil {
			return nil, fmt.Errorf("files/%s: the stock tree has such a file already; change it by a patch", name)
		}
		ov.files[name] = ps.files[name]
	}
	return ov, nil
}

// read returns a file as it is so far.
func (ov *overlay) read(name string) ([]byte, error) {
	if data, ok := ov.files[name]; ok {
		return data, nil
	}
	data, err := os.ReadFile(filepath.Join(ov.stock, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no such file in the stock tree")
	}
	return data, err
}

func (ov *overlay) copyFile(r rule) error {
	src, err := ov.read(r.file)
	if err != nil {
		return err
	}
	if _, err := ov.read(r.what); err == nil {
		return fmt.Errorf("%s exists already", r.what)
	}
	ov.files[r.what], err = ownFile(src)
	return err
}

func (ov *overlay) constrain(r rule) error {
	src, err := ov.read(r.file)
	if err != nil {
		return err
	}
	switch r.what {
	case "+tamago":
		src, err = includeFile(src)
	case "-tamago":
		src, err = excludeFile(src)
	default:
		err = fmt.Errorf("want +tamago or -tamago, have %q", r.what)
	}
	if err == nil {
		ov.files[r.file] = src
	}
	return err
}

// applyDiffs runs git apply over a scratch directory that holds only the files
// the diffs touch, so that a diff cannot reach anything else.
func (ov *overlay) applyDiffs(diffs []string) error {
	scratch, err := os.MkdirTemp("", "toolchain-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for _, diff := range diffs {
		if err := ov.applyDiff(scratch, diff); err != nil {
			return fmt.Errorf("patches/%s: %w", filepath.Base(diff), err)
		}
	}
	return nil
}

func (ov *overlay) applyDiff(scratch, diff string) error {
	text, err := os.ReadFile(diff)
	if err != nil {
		return err
	}
	names := touched(text)
	if len(names) == 0 {
		return errors.New("changes no file")
	}
	for _, name := range names {
		data, err := ov.read(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := writeFile(filepath.Join(scratch, filepath.FromSlash(name)), data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("git", "apply", "-p1", "--whitespace=nowarn", "-")
	cmd.Dir = scratch
	cmd.Stdin = bytes.NewReader(text)
	// Outside of any repository, or git apply ignores files that are not in it.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(scratch))
	cmd.Env = withoutEnv(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("does not apply: %s (git apply: %w)", strings.TrimSpace(string(out)), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(scratch, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		ov.files[name] = data
	}
	return nil
}

// touched returns the files that a unified diff changes.
func touched(diff []byte) []string {
	var names []string
	for _, line := range strings.Split(string(diff), "\n") {
		if name, ok := strings.CutPrefix(line, "+++ b/"); ok {
			name, _, _ = strings.Cut(name, "\t")
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// withoutEnv returns env without the named variables.
func withoutEnv(env []string, names ...string) []string {
	var out []string
next:
	for _, kv := range env {
		for _, name := range names {
			if strings.HasPrefix(kv, name+"=") {
				continue next
			}
		}
		out = append(out, kv)
	}
	return out
}

// writeFile writes a file by rename, so that a build that reads the tree at the
// same time sees either version whole.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new~"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
