package policyd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/policy"
)

// fakeLogd takes records, or fails as told.
type fakeLogd struct {
	mu   sync.Mutex
	got  []journal.Record
	fail []error // of the next calls
	gate chan struct{}
}

func (f *fakeLogd) Call(ctx context.Context, op uint16, payload, resp []byte) (int, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fail) > 0 {
		err := f.fail[0]
		f.fail = f.fail[1:]
		return 0, err
	}
	var r journal.Record
	if s := r.Decode(payload); s != ipc.StatusOK {
		return 0, s
	}
	f.got = append(f.got, r)
	return 16, nil
}

func start(t *testing.T, f *fakeLogd) (*auditor, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	a := newAuditor(func() int64 { return 42 })
	a.pace = 2 * AuditQueue // the fake takes any rate
	go a.run(ctx, journal.Client{To: f}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	return a, ctx
}

func TestAuditHasEverything(t *testing.T) {
	f := &fakeLogd{}
	a, ctx := start(t, f)
	a.add(auditRecord{asker: 0xa, question: policy.Question{Subject: 0xb, Capability: "ipc.core", Object: "logd"}, reason: policy.Spoof})
	a.add(auditRecord{asker: 0xc, bad: true})
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	want := "sequence=1\ntime_ns=42\nenforcer=000000000000000a\nsubject=000000000000000b\ncapability=ipc.core\nobject=logd\ndecision=deny\nreason=spoof\n"
	if f.got[0].Fields != want || f.got[0].Scope != AuditScope || f.got[0].Text != "audit v1 decision=deny reason=spoof" {
		t.Errorf("%+v", f.got[0])
	}
	if !strings.Contains(f.got[1].Text, "reason=malformed") || !strings.Contains(f.got[1].Fields, "sequence=2\n") {
		t.Errorf("%+v", f.got[1])
	}
}

// The longest question fits a record: an audit is never refused for its size.
func TestLongestAuditFits(t *testing.T) {
	r := (&auditRecord{seq: 1<<64 - 1, timeNS: 1<<63 - 1, asker: 1<<64 - 1, reason: policy.NoSubject, question: policy.Question{
		Subject: 1<<64 - 1, Capability: strings.Repeat("c", policy.MaxCapability), Object: strings.Repeat("o", policy.MaxObject)}}).record()
	var got journal.Record
	if s := got.Decode(r.Append(nil)); s != ipc.StatusOK || got != r {
		t.Fatal(s)
	}
}

// More audits than the journal takes from one sender wait for its next window, so that
// none is refused there.
func TestAuditPace(t *testing.T) {
	f := &fakeLogd{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	boot := time.Now()
	a := newAuditor(func() int64 { return int64(time.Since(boot)) + 1 })
	for range pace + 1 {
		a.add(auditRecord{reason: policy.NoRule})
	}
	go a.run(ctx, journal.Client{To: f}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(boot); d < journal.Window {
		t.Errorf("%d audits within %v", pace+1, d)
	}
	if pace >= journal.Rate {
		t.Error("policyd sends more than the journal takes")
	}
}

// A logd that is away, restarts, or limits the rate gets every audit in the end.
func TestAuditSurvivesLogd(t *testing.T) {
	f := &fakeLogd{fail: []error{ipc.ErrClosed, ipc.StatusRateLimited, ipc.StatusUnavailable}}
	a, ctx := start(t, f)
	for range 3 {
		a.add(auditRecord{reason: policy.NoRule})
	}
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.got) != 3 {
		t.Errorf("%d records", len(f.got))
	}
}

// What does not fit the queue is counted, and the count is audited.
func TestRejectAuditOverQueue(t *testing.T) {
	f := &fakeLogd{gate: make(chan struct{})}
	a, ctx := start(t, f)
	for range AuditQueue + 10 {
		a.add(auditRecord{reason: policy.NoRule})
	}
	if err := func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		return a.sync(ctx)
	}(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("sync without logd: %v", err)
	}
	close(f.gate)
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := 0
	for _, r := range f.got {
		if strings.HasPrefix(r.Text, "audit v1 lost=") {
			lost++
		}
	}
	if lost != 1 || len(f.got) < AuditQueue+1 || len(f.got) > AuditQueue+2 {
		t.Errorf("%d records, %d of them about losses", len(f.got), lost)
	}
}
