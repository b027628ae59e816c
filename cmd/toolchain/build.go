package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// layout is raised when this program itself changes what a toolchain directory
// looks like, so that existing ones are made anew.
const layout = 1

// stampName is the file in a toolchain that says what it was made from.
const stampName = "nexus-stamp.json"

// stamp says what a toolchain was made from.
type stamp struct {
	Layout  int
	Inputs  string   // hash of the patch set
	Stock   string   // the stock GOROOT
	Version string   // of the toolchain
	Files   []string // that differ from stock, below src
}

// run makes or updates the toolchain in out.
func run(out, patches string, logf func(string, ...any)) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	unlock, err := lockFile(out + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	ps, err := loadPatchSet(patches)
	if err != nil {
		return err
	}
	inputs, err := ps.hash()
	if err != nil {
		return err
	}
	old := readStamp(out)
	if old.Inputs == inputs {
		logf("%s is up to date (%s)", out, old.Version)
		return nil
	}
	stock, err := stockRoot(ps.base)
	if err != nil {
		return err
	}
	ov, err := apply(ps, filepath.Join(stock, "src"))
	if err != nil {
		return err
	}
	now := stamp{Layout: layout, Inputs: inputs, Stock: stock, Version: version(ps, ov), Files: sortedKeys(ov.files)}
	if err := update(out, old, now, ov, logf); err != nil {
		return err
	}
	return writeStamp(out, now)
}

// update brings the tree in out from what old says to what now says. The stamp is
// gone while it works, so a run that was interrupted is started over.
func update(out string, old, now stamp, ov *overlay, logf func(string, ...any)) error {
	if err := os.Remove(filepath.Join(out, stampName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old.Stock != now.Stock {
		logf("copying %s to %s", now.Stock, out)
		if err := copyStock(now.Stock, out); err != nil {
			return err
		}
		old = stamp{}
	}
	n, err := writeOverlay(out, old.Files, ov)
	if err != nil {
		return err
	}
	logf("%d files changed", n)
	if old.Version != now.Version {
		logf("building the go command, %s", now.Version)
		if err := buildGo(out, now, ov); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, "VERSION"), []byte(now.Version+"\n"), 0o644)
	}
	return nil
}

// version names the toolchain after everything that shapes its tools.
func version(ps *patchSet, ov *overlay) string {
	tools := map[string][]byte{}
	for name, data := range ov.files {
		if toolSource(name) {
			tools[name] = data
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "layout %d\n", layout)
	hashFiles(h, tools)
	return fmt.Sprintf("%s-%s.%x", ps.base, ps.suffix, h.Sum(nil)[:4])
}

// stockRoot returns the GOROOT of the stock release, which the go command
// downloads and verifies if it is not that release itself.
func stockRoot(base string) (string, error) {
	cmd := goCommand("go", base, "env", "GOROOT", "GOVERSION")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("looking for %s (GOTOOLCHAIN=%s go env GOROOT): %w: %s", base, base, err, strings.TrimSpace(stderr.String()))
	}
	words := strings.Fields(string(text))
	if len(words) != 2 || words[1] != base {
		return "", fmt.Errorf("GOTOOLCHAIN=%s go env GOROOT GOVERSION says %q; is go older than 1.21?", base, words)
	}
	return words[0], nil
}

// goCommand returns a run of the go command as release base, with an environment
// that cannot redirect it.
func goCommand(path, base string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = withoutEnv(os.Environ(), "GOROOT", "GOTOOLCHAIN", "GOFLAGS", "GOOS", "GOARCH", "GOOSPKG", "GOEXPERIMENT", "GOWORK")
	cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+base, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}

// buildGo builds the go command from the stock tree, with only the changed files
// of the tools laid over it: the host's library comes from the stock cache, and
// no edit of the target's library can break a tool.
func buildGo(out string, now stamp, ov *overlay) error {
	replace := map[string]string{}
	for name := range ov.files {
		if toolSource(name) {
			path := filepath.FromSlash(name)
			replace[filepath.Join(now.Stock, "src", path)] = filepath.Join(out, "src", path)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlayFile := filepath.Join(out, "overlay.json")
	if err := os.WriteFile(overlayFile, list, 0o644); err != nil {
		return err
	}
	defer os.Remove(overlayFile)
	base, _, _ := strings.Cut(now.Version, "-")
	bin := filepath.Join(out, "bin", "go.new~")
	cmd := goCommand(filepath.Join(now.Stock, "bin", "go"), base, "build", "-trimpath", "-overlay", overlayFile,
		"-ldflags", "-s -w -X runtime.buildVersion="+now.Version, "-o", bin, "cmd/go")
	cmd.Dir = filepath.Join(now.Stock, "src", "cmd")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the go command: %w\n%s", err, bytes.TrimSpace(text))
	}
	return os.Rename(bin, filepath.Join(out, "bin", "go"))
}

// readStamp returns the stamp of the toolchain in out, or a zero one if there is
// none that this program made.
func readStamp(out string) stamp {
	var s stamp
	data, err := os.ReadFile(filepath.Join(out, stampName))
	if err != nil || json.Unmarshal(data, &s) != nil || s.Layout != layout {
		return stamp{}
	}
	if _, err := os.Stat(filepath.Join(out, "bin", "go")); err != nil {
		return stamp{}
	}
	return s
}

func writeStamp(out string, s stamp) error {
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(out, stampName), append(data, '\n'), 0o644)
}

// lockFile takes an exclusive lock, waiting for another run to end.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
