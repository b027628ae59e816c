package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// copied lists what of a GOROOT a working toolchain needs. The stock go command
// is left out: ours takes its place.
var copied = []string{"src", "pkg/include", "pkg/tool", "lib", "go.env", "LICENSE", "PATENTS", "bin/gofmt"}

// copyStock makes out a private, writable copy of the stock GOROOT. The copy
// appears by rename.
func copyStock(stock, out string) error {
	tmp := out + ".tmp"
	if _, err := os.Stat(out); err == nil {
		// Made by an older or interrupted run of this program, or not ours.
		if _, err := os.Stat(filepath.Join(out, "src", "runtime")); err != nil {
			return fmt.Errorf("%s exists and is not a toolchain; remove it first", out)
		}
	}
	if err := removeTree(tmp); err != nil {
		return err
	}
	for _, name := range copied {
		if err := copyTree(filepath.Join(stock, name), filepath.Join(tmp, name)); err != nil {
			return fmt.Errorf("copying the stock tree: %w", err)
		}
	}
	if err := pinToolchain(filepath.Join(tmp, "go.env")); err != nil {
		return err
	}
	if err := removeTree(out); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

// pinToolchain makes local the default of GOTOOLCHAIN: a go.mod that asks for a
// newer release must be an error, not a silent switch to a stock toolchain.
func pinToolchain(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if !strings.HasPrefix(line, "GOTOOLCHAIN=") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "GOTOOLCHAIN=local", "")
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644)
}

// writeOverlay makes the src directory of out the stock one with ov over it, given
// that so far only the files in changed differ from stock. It returns how many
// files it wrote or removed.
func writeOverlay(out string, changed []string, ov *overlay) (int, error) {
	n := 0
	for _, name := range changed {
		if _, still := ov.files[name]; still {
			continue
		}
		path := filepath.Join(out, "src", filepath.FromSlash(name))
		stock := filepath.Join(ov.stock, filepath.FromSlash(name))
		n++
		if _, err := os.Stat(stock); err != nil {
			if err := os.Remove(path); err != nil {
				return n, err
			}
			// An emptied directory would still be found as a package.
			os.Remove(filepath.Dir(path))
			continue
		}
		if err := copyFile(stock, path, 0o644); err != nil {
			return n, err
		}
	}
	for _, name := range sortedKeys(ov.files) {
		path := filepath.Join(out, "src", filepath.FromSlash(name))
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, ov.files[name]) {
			continue
		}
		n++
		if err := writeFile(path, ov.files[name], 0o644); err != nil {
			return n, err
		}
	}
	return n, nil
}

// copyTree copies a file or directory, keeping modification times (the go
// command does not cache what it knows of files that look new) but making
// everything writable, which a tree in a module cache is not.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return copyFile(path, target, info.Mode().Perm()|0o600)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	if err := dst.Close(); err != nil {
		return err
	}
	info, err := src.Stat()
	if err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// removeTree removes a directory that this program made, if there is one.
func removeTree(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the old toolchain: %w", err)
	}
	return nil
}
