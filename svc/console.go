package svc

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// consoleHandler writes log records as lines "[LEVEL name] message key=value".
// The bracket sets them apart from markers.
type consoleHandler struct {
	env   *Env
	level slog.Leveler
	attrs []byte // of WithAttrs, ready to write
	group string // "a.b."
	buf   *consoleBuf
}

// consoleBuf is the line that is being built, shared by handlers of one family.
type consoleBuf struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// ConsoleHandler returns a slog handler that writes to the console from level on.
func (e *Env) ConsoleHandler(level slog.Leveler) slog.Handler {
	return &consoleHandler{env: e, level: level, buf: new(consoleBuf)}
}

// Enabled implements slog.Handler.
func (h *consoleHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h *consoleHandler) Handle(_ context.Context, r slog.Record) error {
	h.buf.mu.Lock()
	defer h.buf.mu.Unlock()
	b := &h.buf.b
	b.Reset()
	fmt.Fprintf(b, "[%v %s] %s", r.Level, h.env.Name, r.Message)
	b.Write(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		consoleAttr(b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	_, err := h.env.Stdout.Write(b.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h *consoleHandler) WithAttrs(as []slog.Attr) slog.Handler {
	n := *h
	var b bytes.Buffer
	b.Write(h.attrs)
	for _, a := range as {
		consoleAttr(&b, h.group, a)
	}
	n.attrs = b.Bytes()
	return &n
}

// WithGroup implements slog.Handler.
func (h *consoleHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.group += name + "."
	return &n
}

func consoleAttr(b *bytes.Buffer, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			consoleAttr(b, prefix, g)
		}
		return
	}
	if a.Key == "" {
		return
	}
	s := v.String()
	if s == "" || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '=' }) >= 0 {
		s = strconv.QuoteToASCII(s) // whoever chose it does not get at the terminal
	}
	fmt.Fprintf(b, " %s%s=%s", prefix, a.Key, s)
}
