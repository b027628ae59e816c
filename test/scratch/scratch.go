// Package scratch copies the source tree, so that a test can build or break it
// without touching the original. Copies share the toolchain of the original,
// which must therefore be built, and must not be changed through them.
package scratch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Tree is a copy of the source.
type Tree struct {
	Dir  string
	root string // what it is a copy of
}

// Copy copies the files under root that git knows, or would add, to a new
// temporary folder. The caller removes it.
func Copy(ctx context.Context, root string) (*Tree, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z", "-c", "-o", "--exclude-standard")
	cmd.Dir = root
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the source: %w", err)
	}
	dir, err := os.MkdirTemp("", "nexus-scratch-")
	if err != nil {
		return nil, err
	}
	t := &Tree{dir, root}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		// A file that git knows may be deleted in the source.
		if err := t.Restore(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(err, t.Remove())
		}
	}
	if err := t.linkToolchain(); err != nil {
		return nil, errors.Join(err, t.Remove())
	}
	return t, nil
}

func (t *Tree) linkToolchain() error {
	if err := os.Mkdir(filepath.Join(t.Dir, "build"), 0o755); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(t.root, "build/toolchain"), filepath.Join(t.Dir, "build/toolchain"))
}

// Remove deletes the copy.
func (t *Tree) Remove() error { return os.RemoveAll(t.Dir) }

// Restore makes a file of the copy what it is in the source.
func (t *Tree) Restore(name string) error {
	in, err := os.Open(filepath.Join(t.root, name))
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	to := filepath.Join(t.Dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Command runs a command in the copy and returns its output. git does not look
// for a repository outside of the copy.
func (t *Tree) Command(ctx context.Context, timeout time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.Dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(t.Dir))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Build bakes the images of the copy.
func (t *Tree) Build(ctx context.Context) error {
	const timeout = 5 * time.Minute
	if out, err := t.Command(ctx, timeout, "make", "--no-print-directory", "build"); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}
