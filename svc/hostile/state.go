package hostile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
	"nexus.internal/svc/wire"
)

// keep asks statefsd for what others keep, by every operation and by names that would lead
// there if they were paths; sends what is no request, and memory that is not what the
// request says; and takes all that its own namespace may have.
func keep(ctx context.Context, a *attacker) error {
	r := a.env.Dial("statefsd", state.Protocol)
	c := state.Client{To: r, Process: a.p}
	for op := range uint16(32) {
		for _, payload := range [][]byte{nil, {0}, {255}, make([]byte, 8), make([]byte, ipc.MaxPayload), wire.AppendString8(nil, "/state/hostile/x")} {
			resp := make([]byte, ipc.MaxPayload)
			if n, err := r.Call(ctx, op, payload, resp); err == nil && n > 8 {
				return fmt.Errorf("operation %d with %d bytes: %d bytes", op, len(payload), n)
			}
		}
	}
	const others = "/state/selftest-client/"
	for key, want := range map[string]ipc.Status{
		others + "boots": ipc.StatusDenied, others + "none": ipc.StatusDenied, "/state/keystore/root": ipc.StatusDenied,
		"/state/hostile/../selftest-client/boots": state.StatusInvalidKey, "/state/hostile//boots": state.StatusInvalidKey,
		"/state/selftest-client": state.StatusInvalidKey, "/state/SELFTEST-CLIENT/boots": state.StatusInvalidKey,
		"selftest-client/boots": state.StatusInvalidKey, "/state/hostile/\x00": state.StatusInvalidKey,
	} {
		_, _, get := c.Get(ctx, nil, key)
		_, put := c.Put(ctx, key, []byte("x"))
		_, del := c.Delete(ctx, key)
		var x, y state.Txn
		x.Put("/state/hostile/half", nil)
		x.Delete(key)
		y.Put("/state/hostile/half", nil)
		y.Expect(key, 0)
		_, txn := c.Commit(ctx, &x)
		_, look := c.Commit(ctx, &y)
		for what, err := range map[string]error{"get": get, "put": put, "delete": del, "transaction": txn, "expectation": look} {
			if !errors.Is(err, want) {
				return fmt.Errorf("%s of %q: %v, want %v", what, key, err, want)
			}
		}
	}
	if items, _, err := c.List(ctx, state.Root, "", state.MaxList); err != nil || len(items) != 0 {
		return fmt.Errorf("a list of everything: %v, %w", items, err)
	}
	for _, do := range []func(context.Context, *attacker, state.Client, *ipc.Client) error{keepMemory, keepQuota, keepWatch} {
		to, err := r.Client(ctx)
		if err == nil {
			err = do(ctx, a, c, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepMemory sends memory that is too short, that cannot be written, and what is none.
func keepMemory(ctx context.Context, a *attacker, c state.Client, to *ipc.Client) error {
	key := wire.AppendString8(nil, "/state/hostile/long")
	if _, err := c.Put(ctx, "/state/hostile/long", make([]byte, 10_000)); err != nil {
		return err
	}
	for _, t := range []struct {
		op     uint16
		length uint32
		pages  uint64 // 0: an endpoint instead
	}{
		{state.OpPut, 1 << 20, 1}, {state.OpPut, 1<<32 - 1, 1}, {state.OpPut, 4096, 0},
		{state.OpCommit, 1 << 20, 1}, {state.OpFetch, 0, 1}, {state.OpFetch, 0, 0},
	} {
		var m ipc.Movable
		if t.pages == 0 {
			ep, err := a.p.NewEndpoint(1, ipc.HeaderSize)
			if err != nil {
				return err
			}
			mine, err := ipc.DeriveSendGrant(ep, 0)
			if err != nil {
				return err
			}
			m = ipc.MoveSend(mine)
		} else {
			v, err := a.p.NewVMO(t.pages << 12)
			if err != nil {
				return err
			}
			read, err := ipc.DeriveReadGrant(v)
			if err != nil {
				return err
			}
			v.Close()
			m = ipc.MoveVMO(read)
		}
		call, err := to.NewCall()
		if err != nil {
			return err
		}
		call.Move(m)
		payload := key
		if t.op != state.OpFetch {
			payload = wire.AppendU32(key, t.length)
		}
		_, err = call.Do(ctx, t.op, payload)
		call.Close()
		if _, status := err.(ipc.Status); !status {
			return fmt.Errorf("operation %d with %d pages for %d bytes: %v", t.op, t.pages, t.length, err)
		}
	}
	_, err := c.Delete(ctx, "/state/hostile/long")
	return err
}

// keepQuota takes all keys that a namespace may have, and gives them back.
func keepQuota(ctx context.Context, _ *attacker, c state.Client, _ *ipc.Client) error {
	u, err := c.Usage(ctx, "hostile")
	if err != nil || u.Keys != 0 || u.MaxKeys == 0 {
		return fmt.Errorf("usage: %+v, %w", u, err)
	}
	const each = 32
	for n, wants := uint32(0), error(nil); wants == nil; n += each {
		var x state.Txn
		for i := range uint32(each) {
			x.Put(fmt.Sprintf("/state/hostile/%d", n+i), nil)
		}
		if n >= u.MaxKeys {
			wants = state.StatusQuota
		}
		if _, err := c.Commit(ctx, &x); err != wants {
			return fmt.Errorf("keys from %d on, of %d: %v", n, u.MaxKeys, err)
		}
	}
	for n := uint32(0); n < u.MaxKeys; n += each {
		var x state.Txn
		for i := range uint32(each) {
			x.Delete(fmt.Sprintf("/state/hostile/%d", n+i))
		}
		if _, err := c.Commit(ctx, &x); err != nil {
			return err
		}
	}
	return nil
}

// keepWatch watches more than one service may.
func keepWatch(ctx context.Context, _ *attacker, c state.Client, _ *ipc.Client) error {
	const watches = 16
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	errs := make(chan error, watches)
	for range watches {
		go func() {
			_, _, err := c.Watch(ctx, "/state/hostile/never", 1<<62)
			errs <- err
		}()
	}
	refused := 0
	for range watches {
		if err := <-errs; errors.Is(err, ipc.StatusOverLimit) {
			refused++
		}
	}
	if refused < watches/2 {
		return fmt.Errorf("%d of %d watches were refused", refused, watches)
	}
	return nil
}
