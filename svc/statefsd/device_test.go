package statefsd

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"nexus.internal/svc/statefs"
	"nexus.internal/svc/statefs/disksim"
)

// ring is a keyring in memory.
type ring struct {
	key   [statefs.KeySize]byte
	epoch uint64
	fails error // of Advance
}

func (r *ring) Derive(context.Context, string) ([statefs.KeySize]byte, error) { return r.key, nil }
func (r *ring) Epoch(context.Context) (uint64, error)                         { return r.epoch, nil }
func (r *ring) Advance(_ context.Context, epoch uint64) error {
	if r.fails == nil {
		r.epoch = epoch
	}
	return r.fails
}

// A blank partition becomes a store, once: when keystored has seen a generation, neither a
// blank partition nor an old copy is opened, and a store whose generation keystored does
// not take is not either.
func TestRejectRolledBack(t *testing.T) {
	ctx, keys := context.Background(), &ring{key: [32]byte{1}}
	d := disksim.New(512, 1<<20)
	for n := range uint64(3) {
		s, err := open(ctx, d, keys)
		if err != nil || s.Generation() != n+1 || keys.epoch != n+1 {
			t.Fatalf("opening %d: %v, epoch %d", n, err, keys.epoch)
		}
	}
	old := bytes.Clone(d.Image())
	keys.fails = errors.New("no keys")
	if _, err := open(ctx, d, keys); !errors.Is(err, keys.fails) {
		t.Errorf("without keystored: %v", err)
	}
	keys.fails = nil
	if s, err := open(ctx, d, keys); err != nil || s.Generation() != 5 {
		t.Fatal(err)
	}
	for what, other := range map[string]*disksim.Disk{"an old copy": disksim.Of(512, old), "a blank one": disksim.New(512, 1<<20)} {
		if _, err := open(ctx, other, keys); !errors.Is(err, statefs.ErrRolledBack) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := open(ctx, d, &ring{epoch: 5}); !errors.Is(err, statefs.ErrIntegrity) {
		t.Errorf("another key: %v", err)
	}
}
