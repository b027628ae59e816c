package keystore

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"nexus.internal/ipc"
)

func TestStatement(t *testing.T) {
	s := Statement{Key: [32]byte{1, 31: 2}, Signature: [64]byte{3, 63: 4}, Service: 5, Payload: []byte("payload")}
	var got Statement
	if !got.Decode(s.Append(nil)) || got.Key != s.Key || got.Signature != s.Signature || got.Service != 5 || got.Length != 0 || string(got.Payload) != "payload" {
		t.Errorf("%+v", got)
	}
	s.Length = 1
	if got.Decode(s.Append(nil)) {
		t.Error("a payload here and in memory")
	}
	s.Payload = nil
	if !got.Decode(s.Append(nil)) || got.Length != 1 {
		t.Errorf("%+v", got)
	}
	if got.Decode(s.Append(nil)[:statementBytes-1]) {
		t.Error("it is too short")
	}
}

func FuzzStatement(f *testing.F) {
	f.Add((&Statement{Payload: []byte("p")}).Append(nil))
	f.Add((&Statement{Length: 7}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Statement
		if s.Decode(b) && !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%x is %+v", b, s)
		}
	})
}

func TestRejectName(t *testing.T) {
	for _, name := range []string{"", " ", "a b", "a/b", "/", "a\x00", "a\x7f", "ä", "\xff", strings.Repeat("x", MaxName+1)} {
		if ValidName(name) {
			t.Errorf("%q", name)
		}
	}
	for _, name := range []string{"a", "A-Z_0~!", "..", strings.Repeat("x", MaxName)} {
		if !ValidName(name) {
			t.Errorf("%q", name)
		}
	}
}

// Contexts of signatures are different for all services, and within what Ed25519ctx takes.
func TestContext(t *testing.T) {
	if Context(1) == Context(16) || Context(0) == Context(1<<63) || len(Context(^uint64(0))) > 255 || Context(1) == "" {
		t.Errorf("%q, %q", Context(1), Context(16))
	}
}

// liar answers everything with n bytes of 1, and an error.
type liar struct {
	n   int
	err error
}

func (l liar) Call(_ context.Context, _ uint16, _, resp []byte) (int, error) {
	n := min(l.n, len(resp))
	copy(resp, bytes.Repeat([]byte{1}, n))
	return n, l.err
}

// An answer of another length is none, and after an error there is nothing left of one.
func TestRejectAnswers(t *testing.T) {
	ctx := context.Background()
	for _, l := range []liar{{7, nil}, {0, nil}, {64, ipc.StatusInternal}} {
		c := Client{l}
		want := l.err
		if want == nil {
			want = ipc.ErrProtocol
		}
		key, err := c.PublicKey(ctx)
		sig, err2 := c.Sign(ctx, nil)
		derived, err3 := c.Derive(ctx, LabelState)
		epoch, err4 := c.Epoch(ctx)
		for i, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, want) {
				t.Errorf("%+v, call %d: %v", l, i, err)
			}
		}
		if key != [32]byte{} || sig != [64]byte{} || derived != [32]byte{} || epoch != 0 {
			t.Errorf("%+v: something is left", l)
		}
	}
	c := Client{liar{1, nil}}
	if valid, err := c.Verify(ctx, new(Statement)); !valid || err != nil {
		t.Errorf("verify: %v, %v", valid, err)
	}
	for what, err := range map[string]error{
		"name":    c.Delete(ctx, strings.Repeat("x", MaxName+1)),
		"value":   c.Put(ctx, "n", make([]byte, MaxValue+1)),
		"payload": func() error { _, err := c.Sign(ctx, make([]byte, MaxPayload+1)); return err }(),
	} {
		if !errors.Is(err, ipc.StatusOverLimit) {
			t.Errorf("long %s: %v", what, err)
		}
	}
}
