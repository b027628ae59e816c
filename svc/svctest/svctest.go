//go:build !tamago

// Package svctest boots services on the kernel of package ipctest: the same init,
// policyd, logd and clients as on the target, in one Go test.
package svctest

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
	"nexus.internal/svc"
	"nexus.internal/svc/initd"
	"nexus.internal/svc/manifest"
)

// Console collects what processes print, line by line.
type Console struct {
	t testing.TB

	mu    sync.Mutex
	b     strings.Builder
	waits []chan struct{}
	ended bool
}

// Write implements io.Writer.
func (c *Console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Write(b)
	if !c.ended {
		c.t.Logf("%s", strings.TrimRight(string(b), "\n"))
	}
	for _, w := range c.waits {
		close(w)
	}
	c.waits = nil
	return len(b), nil
}

// Lines returns what was printed so far.
func (c *Console) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Split(strings.TrimSuffix(c.b.String(), "\n"), "\n")
}

// Markers returns the lines that are not log records.
func (c *Console) Markers() (ms []string) {
	for _, l := range c.Lines() {
		if !strings.HasPrefix(l, "[") {
			ms = append(ms, l)
		}
	}
	return ms
}

// Await waits until a line has been printed, and fails the test when ctx ends.
func (c *Console) Await(ctx context.Context, line string) {
	c.t.Helper()
	for {
		c.mu.Lock()
		if strings.Contains("\n"+c.b.String(), "\n"+line+"\n") {
			c.mu.Unlock()
			return
		}
		w := make(chan struct{})
		c.waits = append(c.waits, w)
		c.mu.Unlock()
		select {
		case <-w:
		case <-ctx.Done():
			c.t.Fatalf("no line %q", line)
		}
	}
}

// System is a booted system.
type System struct {
	Kernel  *ipctest.Kernel
	Init    *ipctest.Process
	Console *Console
	RNG     *ipctest.Device // the first of two that look like entropy devices and do nothing
	Disk    *ipctest.Device // looks like a disk and does nothing
}

// Boot starts init with a manifest and policy rules. The table has the programs of
// the manifest; its binaries and files are all alike. Without an rngd there is one in
// front that gives out bytes that tell where they come from ([Entropy]). The system is
// killed when the test ends.
func Boot(t testing.TB, m *manifest.Manifest, rules map[string][]string, table svc.Table) *System {
	t.Helper()
	if m.Lookup(rngdName) == nil {
		m, table = withRNG(m, table)
	}
	encoded, err := manifest.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := cbor.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	con := &Console{t: t}
	k := ipctest.New(con)
	ctx, cancel := context.WithCancel(context.Background())
	for i := range m.Services {
		s := &m.Services[i]
		main := table[s.Program]
		if main == nil {
			t.Fatalf("no program %q", s.Program)
		}
		k.Program(s.Name, func(p *ipctest.Process) int {
			env, err := svc.NewEnv(p.Self(), s.Name, p.Args(), p, false)
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
				return 1
			}
			return env.Run(ctx, main)
		})
	}
	rng := k.AddDevice(slot(4))
	k.AddDevice(slot(4))
	k.AddDevice(slot(0)) // an empty one
	disk := k.AddDevice(slot(2))
	files := [][]byte{[]byte("\x7fELF"), pad(encoded), pad(policy)}
	for range len(m.Binaries) + len(m.Files) {
		files = append(files, pad([]byte("\x7fELF")))
	}
	root := k.Boot("init", files...)
	env, err := svc.NewEnv(root.Self(), "init", []string{"init"}, root, true)
	if err != nil {
		t.Fatal(err)
	}
	root.Run(func(*ipctest.Process) int { return env.Run(ctx, initd.Main) })
	t.Cleanup(func() {
		con.mu.Lock()
		con.ended = true
		con.mu.Unlock()
		cancel()
		k.Shutdown()
	})
	return &System{k, root, con, rng, disk}
}

// slot returns the registers of a virtio slot with a device of that kind.
func slot(id uint32) []byte {
	b := make([]byte, abi.PageSize)
	for i, v := range []uint32{0x74726976, 2, id} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	return b
}

// pad brings b to whole pages, as the boot archive does.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&4095)...) }
