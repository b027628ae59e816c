package disk

import (
	"bytes"
	"context"
	"errors"

	"nexus.internal/svc"
	"nexus.internal/svc/state"
)

// keeper keeps a value with statefsd, in the namespace of this service.
type keeper struct {
	c     state.Client
	key   string
	value []byte
	got   []byte
}

func newKeeper(env *svc.Env) *keeper {
	return &keeper{
		c:     state.Client{To: env.Dial("statefsd", state.Protocol), Process: env.Process},
		key:   state.Root + env.Name + "/value",
		value: bytes.Repeat([]byte{7}, 256),
	}
}

func (k *keeper) put() error {
	k.value[0]++
	_, err := k.c.Put(context.Background(), k.key, k.value)
	return err
}

func (k *keeper) get() (err error) {
	if k.got, _, err = k.c.Get(context.Background(), k.got[:0], k.key); err == nil && !bytes.Equal(k.got, k.value) {
		err = errors.New("another value was read")
	}
	return err
}
