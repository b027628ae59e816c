package rngd

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/rng"
)

// fake is a device that says what says returns, b bytes at most at a time.
type fake struct {
	says  func(b []byte) (int, error)
	asked int
}

func (f *fake) fill(_ context.Context, b []byte) (int, error) {
	f.asked++
	for _, c := range b {
		if c != 0 {
			panic("the device is given something")
		}
	}
	return f.says(b)
}

// good returns a device of high entropy that writes at most n bytes at a time.
func good(n int) (*fake, *rand.ChaCha8) {
	r := rand.NewChaCha8([32]byte{1})
	return &fake{says: func(b []byte) (int, error) { return r.Read(b[:min(n, len(b))]) }}, rand.NewChaCha8([32]byte{1})
}

// What comes out is what the device wrote, however little that is at a time, without
// what the start-up test took.
func TestSource(t *testing.T) {
	ctx := context.Background()
	for _, n := range []int{1, 7, 255, 256} {
		f, same := good(n)
		s, err := newSource(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		want, got := make([]byte, startup+1000), make([]byte, 1000)
		same.Read(want)
		for at := 0; at < len(got); at += 50 {
			if err := s.read(ctx, got[at:][:50]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want[startup:]) {
			t.Errorf("%d at a time: other bytes", n)
		}
	}
}

// A source that fails is never used again, and nothing of it is given out.
func TestRejectSource(t *testing.T) {
	ctx := context.Background()
	boom := errors.New("boom")
	r := rand.NewChaCha8([32]byte{2})
	for name, c := range map[string]struct {
		want error
		says func(b []byte) (int, error)
	}{
		"one value":  {errRepeats, func(b []byte) (int, error) { return len(b), nil }},
		"two values": {errProportion, func(b []byte) (int, error) { return fillWith(b, func(i int) byte { return byte(i % 2) }), nil }},
		"nothing":    {errSilent, func(b []byte) (int, error) { return 0, nil }},
		"too much":   {ipc.ErrProtocol, func(b []byte) (int, error) { return len(b) + 1, nil }},
		"an error":   {boom, func(b []byte) (int, error) { return 0, boom }},
		"a bad end":  {errRepeats, func(b []byte) (int, error) { r.Read(b); clear(b[len(b)-repeatCutoff:]); return len(b), nil }},
		"half of it": {errProportion, func(b []byte) (int, error) { return fillWith(b, mostly(r)), nil }},
	} {
		s, err := newSource(ctx, &fake{says: c.says})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil || c.want == errSilent {
			continue
		}
		s.device = &fake{says: r.Read}
		b := []byte{1, 2, 3}
		if err := s.read(ctx, b); !errors.Is(err, c.want) || !bytes.Equal(b, make([]byte, 3)) {
			t.Errorf("%s: used again: %v, %x", name, err, b)
		}
	}
}

func fillWith(b []byte, f func(i int) byte) int {
	for i := range b {
		b[i] = f(i)
	}
	return len(b)
}

// mostly returns a source of ones and noise in turn.
func mostly(r *rand.ChaCha8) func(int) byte {
	return func(i int) byte {
		if i%2 == 0 {
			return 1
		}
		return byte(r.Uint64())
	}
}

// The cutoffs are exact: one less passes.
func TestHealthCutoffs(t *testing.T) {
	var h health
	b := bytes.Repeat([]byte{5}, repeatCutoff)
	if err := h.test(b[1:]); err != nil {
		t.Errorf("%d alike: %v", len(b)-1, err)
	}
	if err := h.test(b[:1]); err != errRepeats {
		t.Errorf("%d alike: %v", len(b), err)
	}
	for _, alike := range []int{windowCutoff - 1, windowCutoff} {
		h, b := health{}, make([]byte, window)
		for i := range b {
			b[i] = byte(1 + i%255)
		}
		for i := 0; i < alike; i++ {
			b[7*i] = 0
		}
		for i := 1; i < window; i++ { // no other one is like the first
			if b[i] == b[0] && i%7 != 0 {
				t.Fatal("the test is wrong")
			}
		}
		want := error(nil)
		if alike == windowCutoff {
			want = errProportion
		}
		if err := h.test(b); err != want {
			t.Errorf("%d of %d like the first: %v", alike, window, err)
		}
		if want == nil && h.seen != 0 {
			t.Error("the window does not end")
		}
	}
}

// New entropy goes in after so many requests, and after so long.
func TestReseed(t *testing.T) {
	ctx, now := context.Background(), time.Unix(1, 0)
	f, _ := good(chunk)
	s, err := newSource(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGenerator(ctx, s, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	// Without the reseed both would say the same.
	other := *g.drbg
	seen := map[[rng.MaxBytes]byte]bool{}
	var b, same [rng.MaxBytes]byte
	for i := range 3 * reseedRequests {
		if err := g.read(ctx, b[:]); err != nil {
			t.Fatal(err)
		}
		other.generate(same[:])
		if got, want := b == same, i < reseedRequests; got != want {
			t.Fatalf("request %d: predicted %v, want %v", i, got, want)
		}
		if seen[b] {
			t.Fatalf("request %d repeats an earlier one", i)
		}
		seen[b] = true
	}
	other = *g.drbg
	now = now.Add(reseedAfter)
	if g.read(ctx, b[:]); func() bool { other.generate(same[:]); return b == same }() {
		t.Error("not reseeded when it was time")
	}
	// Stale entropy is not given out.
	now = now.Add(reseedAfter)
	f.says = func([]byte) (int, error) { return 0, errors.New("gone") }
	s.rest = nil
	if err := g.read(ctx, b[:]); err == nil {
		t.Error("served although no new entropy was to be had")
	}
}

func TestRejectSize(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		want    ipc.Status
	}{
		{[]byte{0, 1}, ipc.StatusOK}, {[]byte{1, 1}, ipc.StatusOverLimit}, {[]byte{0, 0}, ipc.StatusInvalidArgs},
		{[]byte{255, 255}, ipc.StatusOverLimit}, {[]byte{1}, ipc.StatusMalformed}, {nil, ipc.StatusMalformed}, {[]byte{1, 0, 0}, ipc.StatusMalformed},
	} {
		if n, got := size(c.payload); got != c.want || got == ipc.StatusOK && n != rng.MaxBytes {
			t.Errorf("%x: %d bytes, %v; want %v", c.payload, n, got, c.want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, status := size(b); status == ipc.StatusOK && (n < 1 || n > rng.MaxBytes) {
			t.Errorf("%x: %d bytes", b, n)
		}
	})
}
