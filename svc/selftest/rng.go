package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"nexus.internal/ipc"
	"nexus.internal/svc/rng"
)

// rngProofs take rngd with a device that works.
var rngProofs = []proof{
	{"rng entropy", entropy},
	{"rng entropy oversized", entropyOversized},
}

// entropy: requests of every size are answered, and no answer begins or ends like the
// one before, or ends in zeroes. Four bytes by chance do that once in six million runs.
func entropy(ctx context.Context, t *tester) error {
	c := rng.Client{To: t.env.Dial("rngd", rng.Protocol)}
	var last [rng.MaxBytes]byte
	for n := 1; n <= rng.MaxBytes; n++ {
		var b [rng.MaxBytes]byte
		if err := c.Read(ctx, b[:n]); err != nil {
			return fmt.Errorf("%d bytes: %w", n, err)
		}
		if n > 4 && (bytes.Equal(b[n-4:n], last[n-4:n]) || bytes.Equal(b[:4], last[:4]) || bytes.Equal(b[n-4:n], make([]byte, 4))) {
			return fmt.Errorf("%d bytes: like those before, or zeroes at the end", n)
		}
		last = b
	}
	return nil
}

// entropyOversized: more than rngd gives at once is refused, and so are nothing and
// requests that are none.
func entropyOversized(ctx context.Context, t *tester) error {
	r := t.env.Dial("rngd", rng.Protocol)
	c := rng.Client{To: r}
	for n, status := range map[int]ipc.Status{0: ipc.StatusInvalidArgs, rng.MaxBytes + 1: ipc.StatusOverLimit, 1<<16 - 1: ipc.StatusOverLimit} {
		if err := c.Read(ctx, make([]byte, n)); !errors.Is(err, status) {
			return fmt.Errorf("%d bytes: %v, want %v", n, err, status)
		}
	}
	for _, payload := range [][]byte{nil, {1}, {1, 0, 0}} {
		if _, err := r.Call(ctx, rng.OpGet, payload, make([]byte, 8)); !errors.Is(err, ipc.StatusMalformed) {
			return fmt.Errorf("payload %x: %v", payload, err)
		}
	}
	return c.Read(ctx, make([]byte, rng.MaxBytes))
}
