package selftest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc/state"
)

// own is the namespace of this service.
const own = state.Root + "selftest-client/"

// Keys of it. bootsKey counts the boots, legacyKey has what a boot leaves for the next.
const (
	pingKey   = own + "ping"
	longKey   = own + "long"
	bootsKey  = own + "boots"
	legacyKey = own + "persist"
)

// statefsRejected is a marker as it is.
const statefsRejected = "statefs unauthorized access rejected"

// stateProofs take statefsd with a store, and the partition of the proofs of the disk.
var stateProofs = []proof{
	{"statefs put", statefsPut},
	{statefsRejected, statefsDenied},
	{"statefs persist", statefsPersist},
}

// statefsPersist: what the boot before put, as the last it did with the store, is there
// after a reset of the machine, and nothing that it deleted.
func statefsPersist(ctx context.Context, t *tester) error {
	got, _, err := t.state.Get(ctx, nil, bootsKey)
	boots := uint64(0)
	switch {
	case err == nil && len(got) == 8:
		boots = binary.LittleEndian.Uint64(got)
	case err != ipc.StatusNotFound:
		return fmt.Errorf("count of boots: %x, %w", got, err)
	}
	if boots != t.boots {
		return fmt.Errorf("the store has seen %d boots, the disk %d", boots, t.boots)
	}
	if t.boots == 0 {
		if err := leaveState(ctx, t); err != nil {
			return err
		}
		return errFirstBoot
	}
	want := make([]byte, legacy)
	pattern(want, t.boots)
	if got, _, err = t.state.Get(ctx, got[:0], legacyKey); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("boot %d has left %d other bytes, %w", t.boots, len(got), err)
	}
	if _, _, err := t.state.Get(ctx, nil, pingKey); err != ipc.StatusNotFound {
		return fmt.Errorf("what boot %d has deleted: %w", t.boots, err)
	}
	return leaveState(ctx, t)
}

// leaveState puts what the next boot will look for.
func leaveState(ctx context.Context, t *tester) error {
	b := make([]byte, legacy)
	pattern(b, t.boots+1)
	var x state.Txn
	x.Put(bootsKey, binary.LittleEndian.AppendUint64(nil, t.boots+1))
	x.Put(legacyKey, b)
	if _, err := t.state.Commit(ctx, &x); err != nil {
		return fmt.Errorf("for the next boot: %w", err)
	}
	return nil
}

// statefsPut: what is put is what is got, in a message and in memory of 1 MiB; a list has
// it with its length and version; a transaction is refused when a version is another; and
// what is deleted is not found.
func statefsPut(ctx context.Context, t *tester) error {
	version, err := t.state.Put(ctx, pingKey, []byte("ok"))
	if err != nil {
		return err
	}
	got, v, err := t.state.Get(ctx, nil, pingKey)
	if err != nil || string(got) != "ok" || v != version {
		return fmt.Errorf("got %q of version %d, put version %d: %w", got, v, version, err)
	}
	long := make([]byte, 1<<20)
	pattern(long, version)
	if _, err := t.state.Put(ctx, longKey, long); err != nil {
		return fmt.Errorf("1 MiB: %w", err)
	}
	if got, _, err = t.state.Get(ctx, got[:0], longKey); err != nil || !bytes.Equal(got, long) {
		return fmt.Errorf("1 MiB: got %d other bytes, %w", len(got), err)
	}
	items, more, err := t.state.List(ctx, own+"pi", "", 10)
	if err != nil || more || len(items) != 1 || items[0] != (state.Item{Key: pingKey, Version: version, Length: 2}) {
		return fmt.Errorf("list: %v, %w", items, err)
	}
	var x state.Txn
	x.Expect(pingKey, version+1)
	x.Delete(pingKey)
	if _, err := t.state.Commit(ctx, &x); err != state.StatusConflict {
		return fmt.Errorf("a transaction that expects another version: %v, want %v", err, state.StatusConflict)
	}
	x = state.Txn{}
	x.Expect(pingKey, version)
	x.Delete(pingKey)
	x.Delete(longKey)
	if _, err := t.state.Commit(ctx, &x); err != nil {
		return fmt.Errorf("a transaction: %w", err)
	}
	for _, key := range []string{pingKey, longKey} {
		if _, _, err := t.state.Get(ctx, nil, key); err != ipc.StatusNotFound {
			return fmt.Errorf("%s after it was deleted: %v", key, err)
		}
	}
	return nil
}

// statefsDenied: what is another's is denied, whether it is there or not, and a list of
// everything shows what is one's own.
func statefsDenied(ctx context.Context, t *tester) error {
	for _, key := range []string{state.Root + "keystore/deny", state.Root + "boot/bootctl.v1"} {
		_, _, get := t.state.Get(ctx, nil, key)
		_, put := t.state.Put(ctx, key, []byte("x"))
		_, del := t.state.Delete(ctx, key)
		_, _, list := t.state.List(ctx, key, "", 1)
		var x state.Txn
		x.Put(pingKey, []byte("x"))
		x.Put(key, []byte("x"))
		_, txn := t.state.Commit(ctx, &x)
		for what, err := range map[string]error{"get": get, "put": put, "delete": del, "list": list, "transaction": txn} {
			if err != ipc.StatusDenied {
				return fmt.Errorf("%s of %s: %v, want %v", what, key, err, ipc.StatusDenied)
			}
		}
	}
	if _, _, err := t.state.Get(ctx, nil, pingKey); err != ipc.StatusNotFound {
		return fmt.Errorf("a transaction that was denied has done something: %v", err)
	}
	items, _, err := t.state.List(ctx, state.Root, "", state.MaxList)
	if first := t.boots == 0 && len(items) == 0; err != nil || !first && (len(items) != 2 || items[0].Key != bootsKey || items[1].Key != legacyKey) {
		return fmt.Errorf("list of everything: %v, %w", items, err)
	}
	if _, err := t.state.Check(ctx); err != ipc.StatusDenied {
		return fmt.Errorf("check: %v, want %v", err, ipc.StatusDenied)
	}
	return nil
}
