//go:build !tamago

package keystored

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/blk"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/keystore"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/statefs/disksim"
	"nexus.internal/svc/svctest"
	"nexus.internal/svc/wire"
)

// everything is what a client may have from keystored.
var everything = append(capabilities(), "ipc.core", "log.read")

// rig is a booted system with keystored and two clients.
type rig struct {
	*svctest.System
	ctx  context.Context
	envs map[string]*svc.Env
}

// boot boots keystored with what open returns, and clients with these capabilities.
func boot(t *testing.T, open func() (*vault, error), one, two []string) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	up := make(chan *svc.Env, 2)
	client := func(ctx context.Context, env *svc.Env) error {
		if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
			return err
		}
		up <- env
		<-ctx.Done()
		return nil
	}
	service := func(name string, calls ...manifest.Call) manifest.Service {
		return manifest.Service{Name: name, Program: name, Frames: 1024, Ready: 5 * time.Second, Console: true, Calls: calls,
			Restart: manifest.Restart{Policy: manifest.Always, Backoff: time.Millisecond, MaxBackoff: time.Millisecond, Limit: 3, Window: time.Minute}}
	}
	call := func(name string, lazy bool) manifest.Call { return manifest.Call{Name: name, Lazy: lazy} }
	clientCalls := []manifest.Call{call("logd", false), call("keystored", false)}
	m := &manifest.Manifest{Version: manifest.Version, Services: []manifest.Service{
		service("policyd", call("logd", true)), service("logd", call("policyd", true)),
		service("keystored", call("policyd", false), call("logd", false)),
		service("one", clientCalls...), service("two", clientCalls...),
	}}
	rules := map[string][]string{
		"init": {"ipc.core", "policy.delegate"}, "policyd": {"ipc.core"}, "logd": {"ipc.core", "policy.delegate"},
		"keystored": {"ipc.core", "policy.delegate"}, "one": one, "two": two,
	}
	table := svc.Table{"policyd": policyd.Main, "logd": logd.Main, "one": client, "two": client,
		"keystored": func(ctx context.Context, env *svc.Env) error {
			v, err := open()
			return serve(ctx, env, v, err)
		}}
	r := &rig{svctest.Boot(t, m, rules, table), ctx, map[string]*svc.Env{}}
	for range 2 {
		select {
		case env := <-up:
			r.envs[env.Name] = env
		case <-ctx.Done():
			t.Fatal("the system does not come up")
		}
	}
	return r
}

func (r *rig) client(name string) keystore.Client {
	return keystore.Client{To: r.envs[name].Dial("keystored", keystore.Protocol)}
}

// on returns what opens the keys of a disk.
func on(d *disksim.Disk) func() (*vault, error) {
	return func() (*vault, error) { return openVault(d) }
}

// calls are all that a client can ask for, each with the capability that it takes.
func calls(ctx context.Context, c keystore.Client) map[string]func() error {
	return map[string]func() error{
		keystore.Secrets + " put":    func() error { return c.Put(ctx, "n", []byte("v")) },
		keystore.Secrets + " get":    func() error { _, err := c.Get(ctx, nil, "n"); return err },
		keystore.Secrets + " delete": func() error { return c.Delete(ctx, "n") },
		keystore.Sign:                func() error { _, err := c.Sign(ctx, []byte("p")); return err },
		keystore.Verify:              func() error { _, err := c.Verify(ctx, new(keystore.Statement)); return err },
		keystore.PublicKey:           func() error { _, err := c.PublicKey(ctx); return err },
		keystore.Derive + "statefs":  func() error { _, err := c.Derive(ctx, keystore.LabelState); return err },
		keystore.Epoch + " ask":      func() error { _, err := c.Epoch(ctx); return err },
		keystore.Epoch + " advance":  func() error { return c.Advance(ctx, 1) },
	}
}

// Each operation takes its own capability of the service that asks, and no other will do.
func TestRejectPolicy(t *testing.T) {
	for _, capability := range capabilities() {
		t.Run(capability, func(t *testing.T) {
			all := append([]string{"ipc.core"}, capabilities()...)
			without := []string{}
			for _, c := range all {
				if c != capability {
					without = append(without, c)
				}
			}
			r := boot(t, on(blankDisk()), without, []string{"ipc.core", capability})
			for name, call := range calls(r.ctx, r.client("one")) {
				needed, _, _ := strings.Cut(name, " ")
				if err := call(); (needed == capability) != errors.Is(err, ipc.StatusDenied) {
					t.Errorf("%s without %s: %v", name, capability, err)
				}
			}
			for name, call := range calls(r.ctx, r.client("two")) {
				needed, _, _ := strings.Cut(name, " ")
				if err := call(); (needed != capability) != errors.Is(err, ipc.StatusDenied) {
					t.Errorf("%s with %s alone: %v", name, capability, err)
				}
			}
		})
	}
}

// Nobody gets the private key, with every capability that there is, or reads another
// service's secret, key or epoch.
func TestRejectExport(t *testing.T) {
	r := boot(t, on(blankDisk()), everything, everything)
	one, two := r.client("one"), r.client("two")
	for _, payload := range [][]byte{nil, {1}, make([]byte, 64)} {
		resp := make([]byte, 256)
		n, err := one.To.Call(r.ctx, keystore.OpExport, payload, resp)
		if !errors.Is(err, keystore.StatusExportDenied) || n != 0 || !bytes.Equal(resp, make([]byte, 256)) {
			t.Errorf("export: %d bytes, %v", n, err)
		}
	}
	if err := errors.Join(one.Put(r.ctx, "n", []byte("of one")), one.Advance(r.ctx, 4)); err != nil {
		t.Fatal(err)
	}
	if got, err := two.Get(r.ctx, nil, "n"); !errors.Is(err, ipc.StatusNotFound) {
		t.Errorf("another's secret: %q, %v", got, err)
	}
	if n, err := two.Epoch(r.ctx); n != 0 || err != nil {
		t.Errorf("another's epoch: %d, %v", n, err)
	}
	a, errA := one.Derive(r.ctx, keystore.LabelState)
	b, errB := two.Derive(r.ctx, keystore.LabelState)
	if again, err := one.Derive(r.ctx, keystore.LabelState); a == b || again != a || errors.Join(errA, errB, err) != nil {
		t.Errorf("keys %x and %x: %v, %v, %v", a, b, errA, errB, err)
	}
}

// Without keys everybody gets an error, and what is wrong is said; nothing is made up.
func TestRejectNoKeys(t *testing.T) {
	broken := errors.New("the disk is broken")
	r := boot(t, func() (*vault, error) { return nil, broken }, everything, everything)
	r.Console.Await(r.ctx, "keystored: no keys: the disk is broken")
	for name, call := range calls(r.ctx, r.client("one")) {
		if err := call(); !errors.Is(err, keystore.StatusNoKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// When the disk fails under it, keystored opens the keys again, and goes on with those.
func TestDiskFails(t *testing.T) {
	d := blankDisk()
	r := boot(t, on(d), everything, everything)
	c := r.client("one")
	before, err := c.PublicKey(r.ctx)
	if err := errors.Join(err, c.Put(r.ctx, "n", []byte("kept"))); err != nil {
		t.Fatal(err)
	}
	failed := false
	d.Fault(func(o disksim.Op) error {
		if o.Kind == disksim.Write && !failed {
			failed = true
			return blk.StatusIO // a status, which is not one of keystored
		}
		return nil
	})
	if err := c.Put(r.ctx, "n", []byte("lost")); !errors.Is(err, ipc.StatusUnavailable) && !errors.Is(err, ipc.ErrClosed) {
		t.Errorf("put on a disk that fails: %v", err)
	}
	for {
		err := c.Put(r.ctx, "again", nil)
		if err == nil {
			break
		}
		if !errors.Is(err, ipc.ErrClosed) && !errors.Is(err, ipc.StatusUnavailable) || r.ctx.Err() != nil {
			t.Fatalf("put afterwards: %v", err)
		}
	}
	if got, err := c.Get(r.ctx, nil, "n"); string(got) != "kept" || err != nil {
		t.Errorf("get afterwards: %q, %v", got, err)
	}
	if after, err := c.PublicKey(r.ctx); after != before || err != nil {
		t.Errorf("the key was %x and is %x: %v", before, after, err)
	}
}

// Requests that are none, or too much, are refused with a status that says which.
func TestRejectRequests(t *testing.T) {
	r := boot(t, on(blankDisk()), everything, everything)
	c := r.client("one")
	name := func(s string) []byte { return wire.AppendString8(nil, s) }
	long := new(keystore.Statement)
	long.Length = keystore.MaxMemory + 1
	both := new(keystore.Statement)
	both.Length, both.Payload = 1, []byte("x")
	none := new(keystore.Statement)
	none.Length = 1
	for what, tt := range map[string]struct {
		op      uint16
		payload []byte
		status  ipc.Status
	}{
		"operation":            {99, nil, ipc.StatusUnsupported},
		"no name":              {keystore.OpGet, nil, ipc.StatusMalformed},
		"empty name":           {keystore.OpGet, name(""), ipc.StatusInvalidArgs},
		"name with a slash":    {keystore.OpPut, name("a/b"), ipc.StatusInvalidArgs},
		"name with a space":    {keystore.OpPut, name("a b"), ipc.StatusInvalidArgs},
		"long name":            {keystore.OpPut, name(strings.Repeat("x", keystore.MaxName+1)), ipc.StatusOverLimit},
		"get with a value":     {keystore.OpGet, append(name("a"), 1), ipc.StatusMalformed},
		"long value":           {keystore.OpPut, append(name("a"), make([]byte, keystore.MaxValue+1)...), ipc.StatusOverLimit},
		"half an epoch":        {keystore.OpAdvance, make([]byte, 7), ipc.StatusMalformed},
		"more than an epoch":   {keystore.OpAdvance, make([]byte, 9), ipc.StatusMalformed},
		"epoch with more":      {keystore.OpEpoch, []byte{1}, ipc.StatusMalformed},
		"public key with more": {keystore.OpPublicKey, []byte{1}, ipc.StatusMalformed},
		"no label":             {keystore.OpDerive, nil, ipc.StatusMalformed},
		"label with more":      {keystore.OpDerive, append(name(keystore.LabelState), 1), ipc.StatusMalformed},
		"unknown label":        {keystore.OpDerive, name("other"), ipc.StatusNotFound},
		"short statement":      {keystore.OpVerify, make([]byte, 107), ipc.StatusMalformed},
		"payload twice":        {keystore.OpVerify, both.Append(nil), ipc.StatusMalformed},
		"much memory":          {keystore.OpVerify, long.Append(nil), ipc.StatusOverLimit},
		"no memory":            {keystore.OpVerify, none.Append(nil), ipc.StatusInvalidArgs},
	} {
		if _, err := c.To.Call(r.ctx, tt.op, tt.payload, make([]byte, 512)); !errors.Is(err, tt.status) {
			t.Errorf("%s: %v, want %v", what, err, tt.status)
		}
	}
	if err := c.Put(r.ctx, "a", []byte("good")); err != nil {
		t.Error(err)
	}
}

// Nothing secret is printed or in the journal, in any way of writing bytes down, after
// everything has been asked for and refused.
func TestNothingPrinted(t *testing.T) {
	d := blankDisk()
	r := boot(t, on(d), everything, []string{"ipc.core"})
	secret := []byte("the secret of one, and nobody's")
	c := r.client("one")
	if err := c.Put(r.ctx, "n", secret); err != nil {
		t.Fatal(err)
	}
	derived, err := c.Derive(r.ctx, keystore.LabelState)
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []string{"one", "two"} {
		for _, call := range calls(r.ctx, r.client(client)) {
			call()
		}
	}
	v := mustOpen(t, disksim.Of(512, d.Image()))
	key, err := v.identity()
	root, _, err2 := v.store.Get(nil, rootKey)
	if errors.Join(err, err2) != nil {
		t.Fatal(err, err2)
	}
	logged := strings.Join(r.Console.Lines(), "\n")
	j := journal.Client{To: r.envs["one"].Dial("logd", journal.Protocol)}
	if _, err := j.Find(r.ctx, 0, func(e *journal.Entry) bool { return e.Text == "device key generated" }); err != nil {
		t.Fatalf("the journal has nothing of keystored: %v", err)
	}
	st, err := j.Stats(r.ctx)
	for after := uint64(0); err == nil && after < st.Total; {
		var p *journal.Page
		if p, err = j.Query(r.ctx, after, 64, ""); err != nil || len(p.Entries) == 0 {
			break
		}
		for _, e := range p.Entries {
			logged += "\n" + e.Text + " " + e.Fields
		}
		after = p.Next
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"secret": secret, "derived key": derived[:], "seed": key.Seed(), "root secret": root, "sealing key": v.keys.sealing[:], "deriving key": v.keys.deriving[:],
	} {
		for _, written := range []string{
			string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
			strings.Trim(fmt.Sprint(b), "[]"), fmt.Sprintf("%q", b), fmt.Sprintf("%#v", b),
		} {
			// Any eight bytes of it are too much.
			if len(written) > 16 {
				written = written[:16]
			}
			if strings.Contains(logged, written) {
				t.Errorf("the %s is printed", name)
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(uint16(keystore.OpPut), append(wire.AppendString8(nil, "name"), "value"...))
	f.Add(uint16(keystore.OpVerify), new(keystore.Statement).Append(nil))
	f.Add(uint16(keystore.OpAdvance), make([]byte, 8))
	f.Add(uint16(keystore.OpDerive), wire.AppendString8(nil, keystore.LabelState))
	f.Fuzz(func(t *testing.T, code uint16, payload []byte) {
		r := request{code: code, sender: 1, payload: payload}
		op, status := r.decode()
		if status == ipc.StatusOK && (op.capability == "" || op.do == nil) {
			t.Fatalf("operation %d with %x: %v, %+v", code, payload, status, op)
		}
	})
}
