package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// patchSet is runtime-patches/ in memory.
type patchSet struct {
	base   string // stock release, "go1.26.8"
	suffix string // of our version, "nexus"
	rules  []rule // constraints.txt
	copies []rule // copies.txt
	diffs  []string
	files  map[string][]byte // new files, by path below src
	dir    string
}

// rule is one line of a list file: "<file> <what>  # why".
type rule struct {
	file, what string
	where      string // "constraints.txt:12", for errors
}

// loadPatchSet reads and checks the patch set in dir.
func loadPatchSet(dir string) (*patchSet, error) {
	ps := &patchSet{dir: dir, files: map[string][]byte{}}
	version, err := os.ReadFile(filepath.Join(dir, "VERSION"))
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(version))
	if len(words) != 2 || !strings.HasPrefix(words[0], "go1.") {
		return nil, fmt.Errorf("%s/VERSION: want two lines, the stock release and our suffix", dir)
	}
	ps.base, ps.suffix = words[0], words[1]
	if ps.rules, err = readRules(filepath.Join(dir, "constraints.txt")); err != nil {
		return nil, err
	}
	if ps.copies, err = readRules(filepath.Join(dir, "copies.txt")); err != nil {
		return nil, err
	}
	if ps.diffs, err = filepath.Glob(filepath.Join(dir, "patches", "*.patch")); err != nil {
		return nil, err
	}
	sort.Strings(ps.diffs)
	root := filepath.Join(dir, "files")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		ps.files[rel], err = os.ReadFile(path)
		if err == nil {
			err = checkNewFile(rel, ps.files[rel])
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return ps, err
}

// toolSource reports whether the file at path below src is part of what the
// rebuilt tools are made of. Those are compiled for the host; all other files
// of the patch set are for the target.
func toolSource(path string) bool {
	for _, dir := range []string{"cmd/", "internal/cfg/", "internal/platform/", "internal/syslist/"} {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

// checkNewFile refuses a target file that stock tools would take for one of
// every GOOS: they do not know the _tamago suffix.
func checkNewFile(path string, src []byte) error {
	ext := filepath.Ext(path)
	if toolSource(path) || ext != ".go" && ext != ".s" || strings.Contains(path, "/testdata/") {
		return nil
	}
	expr, _, _, err := findConstraint(src)
	if err != nil {
		return fmt.Errorf("files/%s: %w", path, err)
	}
	if expr == nil || !mentions(expr, tag) {
		return fmt.Errorf("files/%s: needs an explicit //go:build line with %s", path, tag)
	}
	return nil
}

// readRules reads a list file. Every entry has two words and a reason.
func readRules(path string) ([]rule, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rules []rule
	seen := map[string]bool{}
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		where := fmt.Sprintf("%s:%d", filepath.Base(path), n)
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		entry, why, _ := strings.Cut(line, "#")
		words := strings.Fields(entry)
		if len(words) != 2 {
			return nil, fmt.Errorf("%s: want two words before the reason, have %q", where, line)
		}
		if strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("%s: %s: no reason given (# why)", where, words[0])
		}
		if key := words[0] + " " + words[1]; seen[key] {
			return nil, fmt.Errorf("%s: %s: listed twice", where, key)
		} else {
			seen[key] = true
		}
		rules = append(rules, rule{file: words[0], what: words[1], where: where})
	}
	return rules, sc.Err()
}

// hash returns a digest of everything in the patch set that shapes the result.
func (ps *patchSet) hash() (string, error) {
	h := sha256.New()
	for _, name := range []string{"VERSION", "constraints.txt", "copies.txt"} {
		if err := hashFile(h, name, filepath.Join(ps.dir, name)); err != nil {
			return "", err
		}
	}
	for _, p := range ps.diffs {
		if err := hashFile(h, filepath.Base(p), p); err != nil {
			return "", err
		}
	}
	hashFiles(h, ps.files)
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func hashFile(h hash.Hash, name, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	return nil
}

// hashFiles adds names and contents to h, in the order of the names.
func hashFiles(h hash.Hash, files map[string][]byte) {
	for _, name := range sortedKeys(files) {
		fmt.Fprintf(h, "%s %d\n%s", name, len(files[name]), files[name])
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
