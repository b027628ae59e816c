package journal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"pgregory.net/rapid"

	"nexus.internal/ipc"
)

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Level(rapid.IntRange(0, int(levels)-1).Draw(t, "l")), rapid.StringMatching(`[a-z.]{0,64}`).Draw(t, "s"),
			rapid.StringMatching(`.{0,60}`).Draw(t, "t"), rapid.StringMatching(`([a-z]{1,5}=[a-z =]{0,9}\n){0,5}`).Draw(t, "f")}
		var got Record
		if s := got.Decode(r.Append(nil)); s != ipc.StatusOK || got != r {
			t.Fatalf("%+v became %+v: %v", r, got, s)
		}
	})
}

func TestRejectRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		r    Record
		want ipc.Status
	}{
		"level":           {Record{Level: levels}, ipc.StatusInvalidArgs},
		"scope":           {Record{Scope: strings.Repeat("s", MaxScope+1)}, ipc.StatusOverLimit},
		"text":            {Record{Text: strings.Repeat("t", MaxText+1)}, ipc.StatusOverLimit},
		"fields":          {Record{Fields: "a=" + strings.Repeat("f", MaxFields) + "\n"}, ipc.StatusOverLimit},
		"no line":         {Record{Fields: "a=b"}, ipc.StatusInvalidArgs},
		"no key":          {Record{Fields: "=b\n"}, ipc.StatusInvalidArgs},
		"no value":        {Record{Fields: "a\n"}, ipc.StatusInvalidArgs},
		"sender":          {Record{Fields: "a=b\nsender_service_id=1\n"}, ipc.StatusInvalidArgs},
		"sender, capital": {Record{Fields: "Service=logd\n"}, ipc.StatusInvalidArgs},
		"sender, spaced":  {Record{Fields: " service_id =1\n"}, ipc.StatusInvalidArgs},
	} {
		var r Record
		if s := r.Decode(tt.r.Append(nil)); s != tt.want || r != (Record{}) {
			t.Errorf("%s: %v, want %v", name, s, tt.want)
		}
	}
	var r Record
	good := (&Record{Text: "x"}).Append(nil)
	if r.Decode(good[:5]) != ipc.StatusMalformed || r.Decode(append(good, 0)) != ipc.StatusMalformed || r.Decode(nil) != ipc.StatusMalformed {
		t.Error("accepted what is too short or too long")
	}
}

// memory is a logd that keeps everything, limited by what its channel takes.
type memory struct {
	got  []Record
	fail []error
}

func (m *memory) Call(_ context.Context, op uint16, payload, resp []byte) (int, error) {
	if len(m.fail) > 0 {
		err := m.fail[0]
		m.fail = m.fail[1:]
		return 0, err
	}
	var r Record
	if s := r.Decode(payload); s != ipc.StatusOK {
		return 0, s
	}
	m.got = append(m.got, r)
	return 16, nil
}

func run(t testing.TB, h *Handler, m *memory) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	done := make(chan struct{})
	go func() { h.Run(ctx, Client{m}); close(done) }()
	if err := h.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
}

func TestHandlerKeepsTheRulesOfSlog(t *testing.T) {
	var h *Handler
	slogtest.Run(t, func(*testing.T) slog.Handler {
		h = NewHandler("test", slog.LevelDebug, nil)
		return h
	}, func(t *testing.T) map[string]any {
		m := &memory{}
		run(t, h, m)
		got := map[string]any{slog.MessageKey: m.got[0].Text, slog.LevelKey: m.got[0].Level, slog.TimeKey: "from logd"}
		for _, line := range strings.Split(strings.TrimSuffix(m.got[0].Fields, "\n"), "\n") {
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				continue
			}
			at := got
			parts := strings.Split(key, ".")
			for _, p := range parts[:len(parts)-1] {
				if at[p] == nil {
					at[p] = map[string]any{}
				}
				at = at[p].(map[string]any)
			}
			at[parts[len(parts)-1]] = value
		}
		if strings.Contains(t.Name(), "zero-time") {
			delete(got, slog.TimeKey) // the time is logd's
		}
		return got
	})
}

func TestHandlerHidesSecrets(t *testing.T) {
	h, m := NewHandler("test", slog.LevelInfo, nil), &memory{}
	log := slog.New(h)
	log.With("db_password", "hunter2").Info("x", slog.Group("auth", "API_KEY", "hunter2", "token", []byte("hunter2")), "privateKey", "hunter2", "seed", "hunter2", "user", "ok")
	run(t, h, m)
	if f := m.got[0].Fields; strings.Contains(f, "hunter2") || !strings.Contains(f, "user=ok\n") || strings.Count(f, "[redacted]") != 5 {
		t.Errorf("%q", f)
	}
}

func TestHandlerFitsTheLimits(t *testing.T) {
	h, m := NewHandler(strings.Repeat("s", 100), slog.LevelInfo, nil), &memory{}
	log := slog.New(h)
	log.Info(strings.Repeat("m", 1000), "a", strings.Repeat("v", 100), "service", "x", "b=c d\n", "1\n2", "c", strings.Repeat("w", 1000))
	log.Debug("not logged")
	run(t, h, m)
	if len(m.got) != 1 {
		t.Fatalf("%d records", len(m.got))
	}
	f := m.got[0].Fields
	if !strings.Contains(f, "attr.service=x\n") || !strings.Contains(f, `b_c_d_=1\n2`+"\n") || !strings.HasSuffix(f, "cut=1\n") || !strings.HasSuffix(m.got[0].Text, "...") {
		t.Errorf("%+v", m.got[0])
	}
}

func TestRejectOverQueue(t *testing.T) {
	h, m := NewHandler("test", slog.LevelInfo, nil), &memory{}
	log := slog.New(h)
	for i := range QueueLen + 7 {
		log.Info(fmt.Sprint(i))
	}
	if h.Dropped() != 7 {
		t.Fatalf("%d dropped", h.Dropped())
	}
	run(t, h, m)
	if len(m.got) != QueueLen+1 || m.got[0].Text != "7 records dropped before this one" || h.Dropped() != 0 {
		t.Errorf("%d records, the first is %q", len(m.got), m.got[0].Text)
	}
}

func TestHandlerTriesAgain(t *testing.T) {
	h, m := NewHandler("test", slog.LevelInfo, nil), &memory{fail: []error{ipc.ErrClosed, ipc.StatusRateLimited}}
	slog.New(h).Info("in the end")
	run(t, h, m)
	if len(m.got) != 1 || m.got[0].Text != "in the end" {
		t.Errorf("%+v", m.got)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add((&Record{Info, "s", "t", "a=b\n"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if r.Decode(b) == ipc.StatusOK && string(r.Append(nil)) != string(b) {
			t.Fatalf("%x decodes to %+v, which encodes otherwise", b, r)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add((&Page{1, 0, 1, []Entry{{Record{Info, "s", "t", ""}, 1, 2, 3}}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Page
		if p.Decode(b) && len(p.Entries) > len(b)/30 {
			t.Fatal("more entries than bytes")
		}
	})
}
