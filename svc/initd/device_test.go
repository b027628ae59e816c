//go:build !tamago

package initd_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/svctest"
)

// task is something that a service is told to do by a test, and what came of it.
type task struct {
	do   func(ctx context.Context, env *svc.Env) error
	done chan error
}

// puppets returns a manifest of services that do what they are told, and how to
// tell them. All of them list the device, and the rules grant it to those named.
func puppets(names []string, granted ...string) (*manifest.Manifest, map[string][]string, svc.Table, func(t *testing.T, name string, do func(context.Context, *svc.Env) error) error) {
	tasks := map[string]chan task{}
	m, r, tab := base(), rules(), svc.Table{}
	for k, v := range table {
		tab[k] = v
	}
	for _, name := range names {
		c := make(chan task)
		tasks[name] = c
		m.Services = append(m.Services, manifest.Service{Name: name, Program: name, Frames: 1024, Ready: m.Services[0].Ready,
			Restart: restart(5), Devices: []string{"rng"}})
		if slices.Contains(granted, name) {
			r[name] = []string{"ipc.core", "device.mmio.rng"}
		}
		tab[name] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			for {
				select {
				case t := <-c:
					err := t.do(ctx, env)
					if exit := svc.Exit(0); errors.As(err, &exit) {
						t.done <- nil
						return exit
					}
					t.done <- err
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
	tell := func(t *testing.T, name string, do func(context.Context, *svc.Env) error) error {
		t.Helper()
		ctx := deadline(t)
		k := task{do, make(chan error, 1)}
		select {
		case tasks[name] <- k:
		case <-ctx.Done():
			t.Fatalf("%s does not listen", name)
		}
		select {
		case err := <-k.done:
			return err
		case <-ctx.Done():
			t.Fatalf("%s does not finish", name)
		}
		return nil
	}
	return m, r, tab, tell
}

const deviceStatus = 0x70 // register

// A device has one owner. It is given on when that ends, after a reset.
func TestDeviceOwner(t *testing.T) {
	m, r, tab, tell := puppets([]string{"one", "two"}, "one", "two")
	svctest.Boot(t, m, r, tab)
	var window ipc.MMIO[ipc.Drive]
	take := func(ctx context.Context, env *svc.Env) (err error) {
		if _, err := env.Control.Interrupt(ctx, "rng"); !errors.Is(err, ipc.StatusUnavailable) {
			t.Errorf("interrupt without the window: %v", err)
		}
		if window, err = env.Control.Window(ctx, "rng"); err != nil {
			return err
		}
		regs, err := ipc.MapMMIO(window, 0, abi.PageSize)
		if err != nil {
			return err
		}
		if s := regs.Load32(deviceStatus); s != 0 {
			t.Errorf("%s finds status %d", env.Name, s)
		}
		regs.Store32(deviceStatus, 15)
		if _, err := env.Control.Interrupt(ctx, "rng"); err != nil {
			t.Errorf("interrupt: %v", err)
		}
		if _, err := env.Control.Interrupt(ctx, "rng"); !errors.Is(err, ipc.StatusUnavailable) {
			t.Errorf("interrupt twice: %v", err)
		}
		return nil
	}
	ask := func(ctx context.Context, env *svc.Env) error {
		_, err := env.Control.Window(ctx, "rng")
		return err
	}
	if err := tell(t, "one", take); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if err := tell(t, name, ask); !errors.Is(err, ipc.StatusUnavailable) {
			t.Errorf("%s asks for a device that is taken: %v", name, err)
		}
	}
	tell(t, "one", func(context.Context, *svc.Env) error { return svc.Exit(3) })
	// init hears of it in its own time.
	err := tell(t, "two", take)
	for errors.Is(err, ipc.StatusUnavailable) {
		err = tell(t, "two", take)
	}
	if err != nil {
		t.Fatal(err)
	}
	// It can be given back without ending.
	if err := tell(t, "two", func(ctx context.Context, env *svc.Env) error { return window.Close() }); err != nil {
		t.Fatal(err)
	}
	// As its owner left it, until it is lent again.
	err = tell(t, "one", func(ctx context.Context, env *svc.Env) error {
		window, err := env.Control.Window(ctx, "rng")
		if err != nil {
			return err
		}
		regs, err := ipc.MapMMIO(window, 0, abi.PageSize)
		if err == nil && regs.Load32(deviceStatus) != 0 {
			t.Error("lent without a reset")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The manifest alone gives nobody a device, nor a name that is none.
func TestRejectDevice(t *testing.T) {
	m, r, tab, tell := puppets([]string{"one", "two"}, "two")
	sys := svctest.Boot(t, m, r, tab)
	for name, want := range map[string]error{
		"rng": ipc.StatusDenied, "blk": ipc.StatusDenied, "": ipc.StatusInvalidArgs, "rng0": ipc.StatusInvalidArgs, "uart": ipc.StatusInvalidArgs,
	} {
		err := tell(t, "one", func(ctx context.Context, env *svc.Env) error {
			_, err := env.Control.Window(ctx, name)
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("window on %q: %v, want %v", name, err, want)
		}
	}
	err := tell(t, "two", func(ctx context.Context, env *svc.Env) error {
		if _, err := env.Control.Window(ctx, strings.Repeat("x", 256)); !errors.Is(err, ipc.StatusOverLimit) {
			t.Errorf("a long name: %v", err)
		}
		_, err := env.Control.Window(ctx, "rng")
		return err
	})
	if err != nil {
		t.Errorf("the one that may: %v", err)
	}
	if !slices.Contains(sys.Console.Markers(), "init: mmio policy deny ok") {
		t.Error("init did not ask policyd")
	}
}
