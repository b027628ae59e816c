//go:build !tamago

package statefsd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/state"
	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
	"nexus.internal/svc/statefsd"
	"nexus.internal/svc/svctest"
	"nexus.internal/svc/wire"
)

type noise struct{ *rand.Rand }

func (n noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(n.Uint32())
	}
	return len(p), nil
}

// bench is a system with statefsd on a simulated disk, and clients that take turns.
type bench struct {
	disk  *disksim.Disk
	fails error // what opening the store says
	args  []string
	rules map[string][]string
}

func options(d *disksim.Disk) statefs.Options {
	return statefs.Options{Key: [32]byte{5}, Random: noise{rand.New(rand.NewPCG(1, uint64(d.Counts().Writes)))},
		GroupBytes: 2 << 20, GroupKeys: 300}
}

func newBench(t *testing.T) *bench {
	d := disksim.New(512, 32<<20)
	if err := statefs.Format(d, options(d)); err != nil {
		t.Fatal(err)
	}
	return &bench{disk: d, rules: map[string][]string{}}
}

// client is what a service of some name does. An error fails the test.
type client struct {
	name string
	do   func(ctx context.Context, c state.Client, to *svc.Remote) error
}

// run boots the system and has the clients do their work, one after the other.
func (b *bench) run(t *testing.T, clients ...client) {
	t.Helper()
	service := func(name string, calls ...manifest.Call) manifest.Service {
		return manifest.Service{Name: name, Program: name, Frames: 4096, Ready: 5 * time.Second, Console: true, Calls: calls}
	}
	daemon := service("statefsd", manifest.Call{Name: "policyd"}, manifest.Call{Name: "logd"})
	daemon.Args = b.args
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		service("policyd", manifest.Call{Name: "logd", Lazy: true}), service("logd"), daemon}}
	rules := map[string][]string{"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core"}, "statefsd": {"ipc.core", "policy.delegate"}}
	table := svc.Table{"policyd": policyd.Main, "logd": logd.Main, "statefsd": func(ctx context.Context, env *svc.Env) error {
		return statefsd.Serve(ctx, env, func(context.Context) (*statefs.Store, error) {
			if b.fails != nil {
				return nil, b.fails
			}
			return statefs.Open(b.disk, options(b.disk))
		})
	}}
	turn, results := make([]chan bool, len(clients)), make(chan error)
	for i, c := range clients {
		turn[i] = make(chan bool, 1)
		m.Services = append(m.Services, service(c.name, manifest.Call{Name: "statefsd"}))
		rules[c.name] = append([]string{"ipc.core"}, b.rules[c.name]...)
		table[c.name] = func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			<-turn[i]
			to := env.Dial("statefsd", state.Protocol)
			err := c.do(ctx, state.Client{To: to, Process: env.Process}, to)
			if err != nil {
				err = fmt.Errorf("%s: %w", c.name, err)
			}
			results <- err
			return nil
		}
	}
	svctest.Boot(t, m, rules, table)
	for i := range clients {
		turn[i] <- true
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s does not end", clients[i].name)
		}
	}
}

func value(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8), 3}, n/3+1)[:n] }

// A service has its own namespace without anybody's leave: values of all lengths, in
// messages and in memory, transactions, lists.
func TestOwnNamespace(t *testing.T) {
	b := newBench(t)
	b.args = []string{"sealed=alice"}
	b.run(t, client{"alice", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
		sizes := []int{0, 1, 256, 4096, ipc.MaxPayload - 60, ipc.MaxPayload - 8, ipc.MaxPayload - 7, ipc.MaxPayload, 100_000, 1 << 20}
		for i, n := range sizes {
			key := fmt.Sprintf("/state/alice/v/%d", i)
			v, err := c.Put(ctx, key, value(n))
			if err != nil {
				return fmt.Errorf("put %d bytes: %w", n, err)
			}
			got, version, err := c.Get(ctx, nil, key)
			if err != nil || !bytes.Equal(got, value(n)) || version != v {
				return fmt.Errorf("get %d bytes: %d bytes of version %d, want %d, %w", n, len(got), version, v, err)
			}
		}
		if _, err := c.Put(ctx, "/state/alice/long", make([]byte, 1<<20+1)); err != state.StatusTooLong {
			return fmt.Errorf("a value that is too long: %v", err)
		}
		var all []state.Item
		for after := ""; ; {
			items, more, err := c.List(ctx, "/state/alice/v/", after, 3)
			if err != nil {
				return err
			}
			if all = append(all, items...); !more {
				break
			}
			after = all[len(all)-1].Key
		}
		if len(all) != len(sizes) || all[3].Key != "/state/alice/v/3" || all[3].Length != 4096 {
			return fmt.Errorf("list: %v", all)
		}
		var x state.Txn
		x.Expect(all[0].Key, all[0].Version)
		x.Expect("/state/alice/new", 0)
		x.Put("/state/alice/new", value(20_000))
		x.Delete(all[1].Key)
		if _, err := c.Commit(ctx, &x); err != nil {
			return fmt.Errorf("transaction: %w", err)
		}
		if _, err := c.Commit(ctx, &x); err != state.StatusConflict {
			return fmt.Errorf("the same once more: %v", err)
		}
		if _, _, err := c.Get(ctx, nil, all[1].Key); err != ipc.StatusNotFound {
			return fmt.Errorf("deleted: %v", err)
		}
		if _, err := c.Delete(ctx, all[0].Key); err != nil {
			return err
		}
		u, err := c.Usage(ctx, "alice")
		if err != nil || u.Keys != uint32(len(sizes)-1) || u.MaxKeys != 300 || u.Bytes < 1<<20 || u.MaxBytes != 2<<20 {
			return fmt.Errorf("usage: %+v, %v", u, err)
		}
		return nil
	}})
	if bytes.Contains(b.disk.Image(), value(4096)[:64]) {
		t.Error("a value of a sealed namespace can be read on the disk")
	}
}

// Another's namespace takes a yes of policyd, for each direction, and a list shows only
// what its reader may see.
func TestRejectOthers(t *testing.T) {
	b := newBench(t)
	b.rules["reader"] = []string{"statefs.read.alice"}
	b.rules["writer"] = []string{"statefs.write.alice", "statefs.check"}
	list := func(ctx context.Context, c state.Client, prefix string, want ...string) error {
		items, more, err := c.List(ctx, prefix, "", 10)
		var keys []string
		for _, i := range items {
			keys = append(keys, i.Key)
		}
		if err != nil || more || strings.Join(keys, " ") != strings.Join(want, " ") {
			return fmt.Errorf("list of %q: %v, %v; want %v", prefix, keys, err, want)
		}
		return nil
	}
	denied := func(what string, err error) error {
		if err != ipc.StatusDenied {
			return fmt.Errorf("%s: %v", what, err)
		}
		return nil
	}
	b.run(t,
		client{"alice", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			_, err := c.Put(ctx, "/state/alice/a", []byte("1"))
			return err
		}},
		client{"alice-b", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			_, err := c.Put(ctx, "/state/alice-b/b", []byte("2"))
			return err
		}},
		client{"stranger", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			var x state.Txn
			x.Put("/state/stranger/x", nil)
			x.Put("/state/alice/a", nil)
			_, _, get := c.Get(ctx, nil, "/state/alice/a")
			_, _, missing := c.Get(ctx, nil, "/state/alice/none")
			_, put := c.Put(ctx, "/state/alice/a", nil)
			_, del := c.Delete(ctx, "/state/alice/a")
			_, txn := c.Commit(ctx, &x)
			_, _, lst := c.List(ctx, "/state/alice/", "", 10)
			_, _, wat := c.Watch(ctx, "/state/alice/", 0)
			_, usg := c.Usage(ctx, "alice")
			_, chk := c.Check(ctx)
			_, _, own := c.Get(ctx, nil, "/state/stranger/x")
			if own != ipc.StatusNotFound {
				return fmt.Errorf("half of a transaction that was denied: %v", own)
			}
			return errors.Join(denied("get", get), denied("get of a key that is not there", missing), denied("put", put), denied("delete", del),
				denied("transaction", txn), denied("list", lst), denied("watch", wat), denied("usage", usg), denied("check", chk),
				list(ctx, c, "/state/"), list(ctx, c, "/state/ali"), list(ctx, c, "/state/alice"))
		}},
		client{"reader", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			got, _, err := c.Get(ctx, nil, "/state/alice/a")
			if err != nil || string(got) != "1" {
				return fmt.Errorf("get: %q, %v", got, err)
			}
			_, put := c.Put(ctx, "/state/alice/a", nil)
			_, _, lst := c.List(ctx, "/state/alice-b/", "", 10)
			if _, err := c.Put(ctx, "/state/reader/own", nil); err != nil {
				return err
			}
			return errors.Join(denied("put", put), denied("list of a third", lst),
				list(ctx, c, "/state/", "/state/alice/a", "/state/reader/own"), list(ctx, c, "/state/alice", "/state/alice/a"),
				list(ctx, c, "/state/alice/", "/state/alice/a"))
		}},
		client{"writer", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			_, _, get := c.Get(ctx, nil, "/state/alice/a")
			_, put := c.Put(ctx, "/state/alice/a", []byte("3"))
			report, chk := c.Check(ctx)
			if report.Keys != 3 || report.Findings != 0 || report.Generation != 1 {
				chk = fmt.Errorf("check: %+v", report)
			}
			return errors.Join(denied("get", get), put, chk)
		}},
		client{"alice2", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			for i := range 40 { // namespaces that policyd is asked about
				_, err := c.Put(ctx, fmt.Sprintf("/state/ns%d/x", i), nil)
				if i < 32 && err != ipc.StatusDenied || i > 32 && err != ipc.StatusRateLimited {
					return fmt.Errorf("namespace %d: %v", i, err)
				}
			}
			_, err := c.Put(ctx, "/state/alice2/x", nil)
			return err
		}},
	)
}

func TestRejectQuota(t *testing.T) {
	b := newBench(t)
	b.run(t,
		client{"greedy", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			if _, err := c.Put(ctx, "/state/greedy/a", value(1<<20)); err != nil {
				return err
			}
			if _, err := c.Put(ctx, "/state/greedy/b", value(1<<20)); err != state.StatusQuota {
				return fmt.Errorf("more than the quota: %v", err)
			}
			for i := range 299 {
				if _, err := c.Put(ctx, fmt.Sprintf("/state/greedy/k%d", i), nil); err != nil {
					return err
				}
			}
			if _, err := c.Put(ctx, "/state/greedy/more", nil); err != state.StatusQuota {
				return fmt.Errorf("more keys than the quota: %v", err)
			}
			return nil
		}},
		client{"modest", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
			_, err := c.Put(ctx, "/state/modest/a", value(1<<20))
			return err
		}})
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	b.run(t, client{"alice", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
		v, err := c.Put(ctx, "/state/alice/a", nil)
		if err != nil {
			return err
		}
		got := make(chan error, 1)
		go func() {
			changes, next, err := c.Watch(ctx, "/state/alice/", v)
			if err != nil || len(changes) != 1 || changes[0].Key != "/state/alice/b" || changes[0].Deleted || next != changes[0].Version {
				err = fmt.Errorf("watch: %v, next %d, %w", changes, next, err)
			}
			got <- err
		}()
		if _, err := c.Put(ctx, "/state/alice/b", nil); err != nil {
			return err
		}
		if err := <-got; err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if changes, next, err := c.Watch(short, "/state/alice/none", v); err != nil || len(changes) != 0 || next < v {
			return fmt.Errorf("watch of nothing: %v, %d, %v", changes, next, err)
		}
		for i := range 30 {
			var x state.Txn
			for j := range 20 {
				x.Put(fmt.Sprintf("/state/alice/%d/%d", i%10, j), nil)
			}
			if v, err = c.Commit(ctx, &x); err != nil {
				return err
			}
		}
		if _, next, err := c.Watch(ctx, "/state/alice/", 1); err != state.StatusMissed || next != v {
			return fmt.Errorf("watch of what is forgotten: %d, %v", next, err)
		}
		changes, next, err := c.Watch(ctx, "/state/alice/", v-10)
		if err != nil || len(changes)%20 != 0 || len(changes) == 0 || next > v {
			return fmt.Errorf("watch of much: %d, next %d of %d, %v", len(changes), next, v, err)
		}
		return nil
	}})
}

// Without a store everybody gets an error, and statefsd says why.
func TestRejectNoStore(t *testing.T) {
	b := newBench(t)
	b.fails = errors.New("no disk")
	b.run(t, client{"alice", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
		_, put := c.Put(ctx, "/state/alice/a", nil)
		_, _, get := c.Get(ctx, nil, "/state/alice/a")
		_, _, lst := c.List(ctx, "/state/alice/", "", 1)
		for _, err := range []error{put, get, lst} {
			if err != state.StatusNoStore {
				return fmt.Errorf("%v", err)
			}
		}
		return nil
	}})
}

// When the disk fails, whoever asked learns that, and the store is opened again for the
// next one.
func TestDiskFails(t *testing.T) {
	b := newBench(t)
	b.run(t, client{"alice", func(ctx context.Context, c state.Client, _ *svc.Remote) error {
		if _, err := c.Put(ctx, "/state/alice/a", []byte("1")); err != nil {
			return err
		}
		var once sync.Once
		b.disk.Fault(func(o disksim.Op) (err error) {
			if o.Kind == disksim.Flush {
				once.Do(func() { err = disksim.ErrFault })
			}
			return err
		})
		if _, err := c.Put(ctx, "/state/alice/a", []byte("2")); err != state.StatusDevice {
			return fmt.Errorf("put: %v", err)
		}
		got, _, err := c.Get(ctx, nil, "/state/alice/a")
		if err != nil || string(got) != "1" && string(got) != "2" {
			return fmt.Errorf("get: %q, %v", got, err)
		}
		_, err = c.Put(ctx, "/state/alice/a", []byte("3"))
		return err
	}})
}

func TestRejectMalformed(t *testing.T) {
	b := newBench(t)
	b.run(t, client{"alice", func(ctx context.Context, c state.Client, to *svc.Remote) error {
		key := wire.AppendString8(nil, "/state/alice/a")
		if _, err := c.Put(ctx, "/state/alice/b", nil); err != nil {
			return err
		}
		for i, r := range []struct {
			op      uint16
			payload []byte
			want    ipc.Status
		}{
			{0, nil, ipc.StatusUnsupported}, {10, nil, ipc.StatusUnsupported}, {state.OpFetch, wire.AppendString8(nil, "/state/alice/b"), ipc.StatusInvalidArgs},
			{state.OpPut, nil, state.StatusInvalidKey}, {state.OpPut, key[:5], state.StatusInvalidKey},
			{state.OpGet, append(key, 1), ipc.StatusMalformed}, {state.OpDelete, append(key, 1), ipc.StatusMalformed},
			{state.OpCommit, []byte{9}, ipc.StatusMalformed}, {state.OpCommit, append([]byte{1}, key...), ipc.StatusMalformed},
			{state.OpList, key, ipc.StatusMalformed}, {state.OpList, append(append(key, 0), 0, 0), ipc.StatusOverLimit},
			{state.OpList, append(append(key, 0), 1, 1), ipc.StatusOverLimit},
			{state.OpWatch, key, ipc.StatusMalformed}, {state.OpWatch, append(wire.AppendString8(nil, "/state/"), make([]byte, 8)...), state.StatusInvalidKey},
			{state.OpUsage, wire.AppendString8(nil, "no/name"), state.StatusInvalidKey}, {state.OpCheck, key, ipc.StatusMalformed},
		} {
			if _, err := to.Call(ctx, r.op, r.payload, make([]byte, 8192)); err != r.want {
				return fmt.Errorf("request %d: %v, want %v", i, err, r.want)
			}
		}
		var x state.Txn
		for range statefs.MaxOps + 1 {
			x.Delete("/state/alice/a")
		}
		if _, err := c.Commit(ctx, &x); err != ipc.StatusOverLimit {
			return fmt.Errorf("a transaction that is too long: %v", err)
		}
		return nil
	}})
}
