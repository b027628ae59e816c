package policy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nexus.internal/ipc"
	"pgregory.net/rapid"
)

func TestQuestionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Question{rapid.Uint64().Draw(t, "s"), rapid.StringMatching(`[a-z.]{1,48}`).Draw(t, "c"), rapid.StringMatching(`[a-z.]{0,64}`).Draw(t, "o")}
		var got Question
		if !got.Decode(q.Append(nil)) || got != q {
			t.Fatalf("%+v became %+v", q, got)
		}
	})
}

func TestRejectQuestion(t *testing.T) {
	for name, q := range map[string]Question{
		"no capability":        {1, "", "x"},
		"long capability":      {1, strings.Repeat("c", MaxCapability+1), ""},
		"long object":          {1, "c", strings.Repeat("o", MaxObject+1)},
		"line feed":            {1, "ipc.core\naudit", ""},
		"space in object":      {1, "c", "logd decision=allow"},
		"equals in object":     {1, "c", "a=b"},
		"capability not ASCII": {1, "ü", ""},
	} {
		var got Question
		if got.Decode(q.Append(nil)) {
			t.Errorf("%s: accepted", name)
		}
	}
	var got Question
	if got.Decode([]byte("bad")) || got.Decode(append((&Question{1, "c", ""}).Append(nil), 0)) {
		t.Error("accepted a payload that is too short or too long")
	}
}

type answer struct {
	payload []byte
	err     error
}

func (a answer) Call(_ context.Context, _ uint16, _, resp []byte) (int, error) {
	return copy(resp, a.payload), a.err
}

// Only an allow is an allow.
func TestRejectEverythingButAllow(t *testing.T) {
	allow := Decision{true, ByRule, 1}
	deny := Decision{false, NoRule, 1}
	tests := map[string]answer{
		"deny":     {deny.Append(nil), nil},
		"timeout":  {nil, ipc.ErrTimedOut},
		"closed":   {nil, ipc.ErrClosed},
		"status":   {allow.Append(nil), ipc.StatusMalformed},
		"short":    {allow.Append(nil)[:9], nil},
		"empty":    {nil, nil},
		"nonsense": {[]byte{0, 99, 0, 0, 0, 0, 0, 0, 0, 0}, nil},
	}
	for name, a := range tests {
		if err := (Client{a}).Check(context.Background(), Question{1, Core, ""}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Client{answer{allow.Append(nil), nil}}).Check(context.Background(), Question{1, Core, ""}); err != nil {
		t.Errorf("allow: %v", err)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add((&Question{1, "c", "o"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q Question
		if q.Decode(b) && string(q.Append(nil)) != string(b) {
			t.Fatalf("%x decodes to %+v, which encodes otherwise", b, q)
		}
	})
}
