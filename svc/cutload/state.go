package cutload

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc"
	"nexus.internal/svc/state"
)

// stateWriters is how many of [State] there are: so many that commits hold several
// transactions.
const stateWriters = 6

// State is a service that does with statefsd what [Main] does with the disk: each of its
// writers puts the number of the transaction under two keys, in values of many lengths,
// and after a cut finds the same number under both.
func State(ctx context.Context, env *svc.Env) error {
	if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
		return err
	}
	c := state.Client{To: env.Dial("statefsd", state.Protocol), Process: env.Process}
	var at [stateWriters]uint64
	for w := range at {
		for i := range 2 {
			n, err := number(ctx, c, stateKey(env, w, i))
			if err != nil {
				return fmt.Errorf("writer %d: %w", w, err)
			}
			if i == 1 && n != at[w] {
				return fmt.Errorf("writer %d: half of a transaction: %d and %d", w, at[w], n)
			}
			at[w] = n
		}
		env.Say("cut: found %d %d", w, at[w])
	}
	env.Say("cut: start")
	errs := make(chan error)
	for w := range at {
		go func() {
			for n := at[w] + 1; ; n++ {
				var x state.Txn
				for i := range 2 {
					x.Put(stateKey(env, w, i), stateValue(n, i))
				}
				if _, err := c.Commit(ctx, &x); err != nil {
					errs <- err
					return
				}
				env.Say("cut: acked %d %d", w, n)
			}
		}()
	}
	return <-errs
}

func stateKey(env *svc.Env, writer, i int) string {
	return fmt.Sprintf("%s%s/%d/%d", state.Root, env.Name, writer, i)
}

// stateValue is the number again and again: from one time to 12 KiB of it.
func stateValue(n uint64, i int) []byte {
	times := 1 + n*17%60
	if n%16 == 5 && i == 1 {
		times = 1500
	}
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, n), int(times))
}

// number returns the number that a key has; 0 if there is no such key.
func number(ctx context.Context, c state.Client, key string) (uint64, error) {
	b, _, err := c.Get(ctx, nil, key)
	if err == ipc.StatusNotFound {
		return 0, nil
	}
	if err != nil || len(b) < 8 {
		return 0, fmt.Errorf("%s: %d bytes: %w", key, len(b), err)
	}
	if !bytes.Equal(b[8:], b[:len(b)-8]) {
		return 0, fmt.Errorf("%s: not one number", key)
	}
	return binary.LittleEndian.Uint64(b), nil
}
