package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"nexus.internal/ipc"
)

// QueueLen is how many records a handler keeps while logd is away or slow: what a
// service says while it starts. Newer ones are dropped and counted.
const QueueLen = 64

// Handler is a slog.Handler that writes to the journal. Handle never blocks: it
// queues, and a goroutine sends.
type Handler struct {
	q     *queue
	scope string
	attrs string // fields of WithAttrs, ready to send
	group string // "a.b."
	also  slog.Handler
	level slog.Leveler
}

type queue struct {
	ch chan item

	mu      sync.Mutex
	dropped uint64
}

type item struct {
	rec  Record
	sync chan struct{} // closed when everything before it has been sent
}

// NewHandler returns a handler whose records have the scope, normally the name of
// the service, and start at the level. What it handles, also handles too, if that
// is not nil: typically a console. [Handler.Run] must run for anything to be sent.
func NewHandler(scope string, level slog.Leveler, also slog.Handler) *Handler {
	return &Handler{q: &queue{ch: make(chan item, QueueLen)}, scope: scope, level: level, also: also}
}

// WithScope returns a handler whose records have another scope. They go the same way:
// Run of h sends them.
func (h *Handler) WithScope(scope string) *Handler {
	n := *h
	n.scope = scope
	return &n
}

// Run sends what is queued until ctx ends. A record that logd refuses because of
// the rate is sent again when the window is over; while logd is away, the queue
// waits. Records that logd finds wrong are dropped and counted.
func (h *Handler) Run(ctx context.Context, to Client) {
	for {
		var it item
		select {
		case <-ctx.Done():
			return
		case it = <-h.q.ch:
		}
		if it.sync != nil {
			close(it.sync)
			continue
		}
		if n := h.q.takeDropped(); n > 0 {
			if !send(ctx, to, &Record{Warn, h.scope, fmt.Sprintf("%d records dropped before this one", n), ""}) {
				h.q.drop(n)
			}
		}
		if !send(ctx, to, &it.rec) {
			h.q.drop(1)
		}
	}
}

// send appends a record, again and again while that can help, and reports success.
func send(ctx context.Context, to Client, r *Record) bool {
	for {
		_, err := to.Append(ctx, r)
		switch {
		case err == nil:
			return true
		case errors.Is(err, ipc.StatusRateLimited):
			t := time.NewTimer(Window)
			select {
			case <-ctx.Done():
				t.Stop()
				return false
			case <-t.C:
			}
		case errors.Is(err, ipc.ErrClosed) && ctx.Err() == nil:
			// logd died with the record; the connection has noticed.
		default:
			return false
		}
	}
}

// Sync returns when everything logged before has been sent or dropped.
func (h *Handler) Sync(ctx context.Context) error {
	it := item{sync: make(chan struct{})}
	select {
	case h.q.ch <- it:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-it.sync:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) drop(n uint64) {
	q.mu.Lock()
	q.dropped += n
	q.mu.Unlock()
}

func (q *queue) takeDropped() uint64 {
	q.mu.Lock()
	n := q.dropped
	q.dropped = 0
	q.mu.Unlock()
	return n
}

// Dropped returns how many records were lost and not yet reported in the journal.
func (h *Handler) Dropped() uint64 {
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	return h.q.dropped
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() || h.also != nil && h.also.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if h.also != nil && h.also.Enabled(ctx, r.Level) {
		err = h.also.Handle(ctx, r)
	}
	if r.Level < h.level.Level() {
		return err
	}
	rec := Record{Level: levelOf(r.Level), Scope: cut(h.scope, MaxScope), Text: cut(r.Message, MaxText)}
	var f strings.Builder
	f.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&f, h.group, a)
		return true
	})
	rec.Fields = wholeLines(f.String(), MaxFields)
	select {
	case h.q.ch <- item{rec: rec}:
	default:
		h.q.drop(1)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(as []slog.Attr) slog.Handler {
	n := *h
	var f strings.Builder
	f.WriteString(h.attrs)
	for _, a := range as {
		appendAttr(&f, h.group, a)
	}
	n.attrs = f.String()
	if h.also != nil {
		n.also = h.also.WithAttrs(as)
	}
	return &n
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.group += name + "."
	if h.also != nil {
		n.also = h.also.WithGroup(name)
	}
	return &n
}

func levelOf(l slog.Level) Level {
	switch {
	case l >= slog.LevelError:
		return Error
	case l >= slog.LevelWarn:
		return Warn
	case l >= slog.LevelInfo:
		return Info
	case l >= slog.LevelDebug:
		return Debug
	}
	return Trace
}

// secret are parts of keys whose values do not leave the process.
var secret = []string{"password", "passwd", "secret", "token", "private", "seed", "credential", "apikey", "api_key"}

// appendAttr appends an attribute as a line "key=value\n". Groups become
// prefixes.
func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			appendAttr(b, prefix, g)
		}
		return
	}
	if a.Key == "" {
		return
	}
	key := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '=' || r == 0x7f {
			return '_'
		}
		return r
	}, prefix+a.Key)
	lower := strings.ToLower(key)
	value := strings.ReplaceAll(v.String(), "\n", `\n`)
	if slices.ContainsFunc(secret, func(s string) bool { return strings.Contains(lower, s) }) {
		value = "[redacted]"
	}
	if slices.Contains(Reserved, lower) {
		key = "attr." + key // says who, which only the kernel may
	}
	b.WriteString(key)
	b.WriteByte('=')
	b.WriteString(value)
	b.WriteByte('\n')
}

// cut shortens s to n bytes and shows that it did.
func cut(s string, n int) string {
	const mark = "..."
	if len(s) <= n {
		return s
	}
	return s[:n-len(mark)] + mark
}

// wholeLines shortens s to the lines that fit into n bytes and shows that it did.
func wholeLines(s string, n int) string {
	const mark = "cut=1\n"
	if len(s) <= n {
		return s
	}
	s = s[:n-len(mark)]
	return s[:strings.LastIndexByte(s, '\n')+1] + mark
}
