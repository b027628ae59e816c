//go:build !tamago

package blkd

import (
	"context"
	"errors"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
	"nexus.internal/svc/virtio"
	"nexus.internal/svc/wire"
)

// rig is a system with blkd over a model, and services that do what the test says.
type rig struct {
	*svctest.System
	t     *testing.T
	m     *model
	tasks map[string]chan task
}

type task struct {
	do   func(ctx context.Context, env *svc.Env) error
	done chan error
}

// boot starts the system. The clients one and two may open a partition each, and both
// may open "shared"; three may open nothing.
func boot(t *testing.T, m *model) *rig {
	t.Helper()
	r := &rig{t: t, m: m, tasks: map[string]chan task{}}
	lazily := []manifest.Call{{Name: "policyd", Lazy: true}, {Name: "logd", Lazy: true}}
	again := manifest.Restart{Policy: manifest.Always, Backoff: time.Millisecond, MaxBackoff: time.Millisecond, Limit: 3, Window: time.Minute}
	service := func(name string, calls ...manifest.Call) manifest.Service {
		return manifest.Service{Name: name, Program: name, Frames: 1024, Ready: 20 * time.Second, Console: true, Restart: again, Calls: calls}
	}
	disk := service("blkd", manifest.Call{Name: "policyd"}, manifest.Call{Name: "logd"})
	disk.Devices = []string{"blk"}
	man := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		service("policyd", lazily[1]), service("logd", lazily[0]), disk}}
	rules := map[string][]string{
		"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core", "policy.delegate"},
		"blkd": {"ipc.core", "policy.delegate", "device.mmio.blk"},
		"one":  {"ipc.core", "disk.keys", "disk.shared"}, "two": {"ipc.core", "disk.state", "disk.shared"}, "three": {"ipc.core"},
	}
	ready := make(chan struct{})
	table := svc.Table{"policyd": policyd.Main, "logd": logd.Main, "blkd": func(ctx context.Context, env *svc.Env) error {
		<-ready
		return run(ctx, env, func(regs *ipc.Registers) virtio.Registers {
			if m == nil {
				return regs
			}
			return m
		})
	}}
	for _, name := range []string{"one", "two", "three"} {
		c := make(chan task)
		r.tasks[name] = c
		man.Services = append(man.Services, service(name, manifest.Call{Name: "blkd"}))
		table[name] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			for {
				select {
				case k := <-c:
					err := k.do(ctx, env)
					k.done <- err
					if exit := svc.Exit(0); errors.As(err, &exit) {
						return exit
					}
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
	r.System = svctest.Boot(t, man, rules, table)
	if m != nil {
		m.memory, m.interrupt = r.Kernel.Memory, r.Disk.Interrupt
	}
	close(ready)
	return r
}

// patience is longer than anything takes here.
const patience = 20 * time.Second

// tell has a client do something.
func (r *rig) tell(name string, do func(ctx context.Context, env *svc.Env) error) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k := task{do, make(chan error, 1)}
	select {
	case r.tasks[name] <- k:
	case <-ctx.Done():
		r.t.Fatalf("%s does not listen", name)
	}
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
		r.t.Fatalf("%s does not finish", name)
	}
	return nil
}

// open opens a partition as the service does.
func open(ctx context.Context, env *svc.Env, name string) (*blk.Disk, error) {
	c, err := env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return nil, err
	}
	return blk.Open(ctx, c, name)
}

// parted is a device with the partitions of the rules.
func parted(t *testing.T) *model {
	m := newModel(t, tableTest)
	copy(m.content, makeTable(t, nil, partition{"keys", 40, 100}, partition{"state", 200, 1000}, partition{"shared", 1500, 10}, partition{"Odd name", 1600, 10}))
	return m
}

func fill(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i/7) + byte(i/sectorSize)
	}
	return b
}

// raw opens a partition without the client and returns a client of its endpoint.
func raw(ctx context.Context, env *svc.Env, name string) (*ipc.Client, error) {
	c, err := env.Dial("blkd", blk.Protocol).Client(ctx)
	if err != nil {
		return nil, err
	}
	call, err := c.NewCall()
	if err != nil {
		return nil, err
	}
	defer call.Close()
	if _, err := call.Do(ctx, blk.OpOpen, wire.AppendString8(nil, name)); err != nil {
		return nil, err
	}
	ep, err := call.Take().Send()
	return ipc.NewClient(ep, blk.Protocol), err
}
