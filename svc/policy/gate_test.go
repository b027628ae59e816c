package policy

import (
	"context"
	"testing"

	"nexus.internal/ipc"
)

// answers is a policyd that allows even service ids and is asked this often.
type answers struct {
	asked int
	err   error
}

func (a *answers) Call(_ context.Context, _ uint16, payload, resp []byte) (int, error) {
	a.asked++
	if a.err != nil {
		return 0, a.err
	}
	var q Question
	if !q.Decode(payload) || q.Capability != "a.right" || q.Object != "thing" {
		return 0, ipc.StatusMalformed
	}
	d := Decision{Allow: q.Subject%2 == 0, Reason: ByRule, Sequence: 1}
	return len(d.Append(resp[:0])), nil
}

func TestGate(t *testing.T) {
	ctx, now := context.Background(), int64(0)
	a := &answers{}
	g := Gate{To: Client{a}, Capability: "a.right", Object: "thing", Now: func() int64 { return now }}
	for round, want := range []struct {
		service uint64
		status  ipc.Status
		asked   int
	}{
		{2, ipc.StatusOK, 1}, {2, ipc.StatusOK, 1}, {3, ipc.StatusDenied, 2}, {3, ipc.StatusDenied, 2}, {2, ipc.StatusOK, 2},
	} {
		if got := g.Check(ctx, want.service); got != want.status || a.asked != want.asked {
			t.Errorf("round %d: %v after %d questions, want %+v", round, got, a.asked, want)
		}
	}
	now = int64(Refusal)
	if got := g.Check(ctx, 3); got != ipc.StatusDenied || a.asked != 3 {
		t.Errorf("a denial is for ever: %v after %d questions", got, a.asked)
	}
	a.err = ipc.ErrClosed
	if got := g.Check(ctx, 4); got != ipc.StatusUnavailable {
		t.Errorf("without a decision: %v", got)
	}
	a.err = nil
	if got := g.Check(ctx, 4); got != ipc.StatusOK {
		t.Errorf("no decision was remembered as one: %v", got)
	}
}

// Nobody passes because there are many.
func TestRejectGateFull(t *testing.T) {
	ctx, now := context.Background(), int64(0)
	a := &answers{}
	g := Gate{To: Client{a}, Capability: "a.right", Object: "thing", Now: func() int64 { return now }}
	for i := range uint64(MaxKnown) {
		g.Check(ctx, 2*i+1)
	}
	if got := g.Check(ctx, 1000); got != ipc.StatusUnavailable || a.asked != MaxKnown {
		t.Errorf("one more: %v after %d questions", got, a.asked)
	}
	now = int64(Refusal)
	if got := g.Check(ctx, 1000); got != ipc.StatusOK {
		t.Errorf("after the denials: %v", got)
	}
}
