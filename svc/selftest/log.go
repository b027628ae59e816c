package selftest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/mortal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
)

var logProofs = []proof{
	{"logd hardening rejects", func(ctx context.Context, t *tester) error {
		// Who wrote a record is not for the writer to say.
		for _, key := range append([]string{"Service_ID", " service "}, journal.Reserved...) {
			r := journal.Record{Level: journal.Info, Scope: "selftest", Text: "forged", Fields: key + "=9999\n"}
			if err := t.refusedAppend(ctx, "field "+key, r.Append(nil), ipc.StatusInvalidArgs); err != nil {
				return err
			}
		}
		r := journal.Record{Level: 9, Scope: "selftest", Text: "level"}
		if err := t.refusedAppend(ctx, "level 9", r.Append(nil), ipc.StatusInvalidArgs); err != nil {
			return err
		}
		for what, r := range map[string]journal.Record{
			"scope":  {Scope: strings.Repeat("s", journal.MaxScope+1)},
			"text":   {Text: strings.Repeat("t", journal.MaxText+1)},
			"fields": {Fields: "a=" + strings.Repeat("f", journal.MaxFields-2) + "\n"},
		} {
			if err := t.refusedAppend(ctx, "long "+what, r.Append(nil), ipc.StatusOverLimit); err != nil {
				return err
			}
		}
		// More than the rate, in less than the window.
		for i := 0; ; i++ {
			r := journal.Record{Level: journal.Debug, Scope: "selftest", Text: fmt.Sprintf("flood %d", i)}
			_, err := t.journal.Append(ctx, &r)
			if err == nil && i < 100*journal.Rate {
				continue
			}
			if err := want("status of too many records", err, error(ipc.StatusRateLimited)); err != nil {
				return err
			}
			if i < journal.Rate {
				return fmt.Errorf("limited after %d records, not %d", i, journal.Rate)
			}
			break
		}
		// And it goes on after the window.
		_, err := t.append(ctx, &journal.Record{Level: journal.Info, Scope: "selftest", Text: "after the flood"})
		return err
	}},
	{"log query", func(ctx context.Context, t *tester) error {
		r := journal.Record{Level: journal.Info, Scope: "selftest", Text: "logd hello", Fields: "a=1\nb=two\n"}
		id, err := t.append(ctx, &r)
		if err != nil {
			return err
		}
		p, err := t.journal.Query(ctx, id-1, 1, "selftest")
		if err != nil {
			return err
		}
		if len(p.Entries) != 1 {
			return fmt.Errorf("%d records", len(p.Entries))
		}
		e := p.Entries[0]
		if e.TimeNS <= 0 || e.TimeNS > t.env.Process.Now() {
			return fmt.Errorf("time %d", e.TimeNS)
		}
		return want("record", e, journal.Entry{Record: r, ID: id, TimeNS: e.TimeNS, Service: t.self})
	}},
	{"nexus-log sink-logd", func(ctx context.Context, t *tester) error {
		st, err := t.journal.Stats(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		log, sync := t.logger(ctx)
		log.Info("nexus-log sink-logd probe", "answer", 42, "password", "hunter2")
		if err := sync(ctx); err != nil {
			return err
		}
		e, err := t.journal.Find(ctx, st.Total, func(e *journal.Entry) bool { return e.Text == "nexus-log sink-logd probe" })
		if err != nil {
			return err
		}
		if e.Service != t.self || !strings.Contains(e.Fields, "answer=42\n") || strings.Contains(e.Fields, "hunter2") {
			return fmt.Errorf("record is %+v", e)
		}
		return nil
	}},
	{"core services log", func(ctx context.Context, t *tester) error {
		st, err := t.journal.Stats(ctx)
		if err != nil {
			return err
		}
		if _, err := t.policyd.Call(ctx, 0x7f, nil, nil); err != nil {
			return fmt.Errorf("policyd: %w", err)
		}
		if _, err := t.logd.Call(ctx, 0x7f, nil, nil); err != nil {
			return fmt.Errorf("logd: %w", err)
		}
		if _, err := t.env.Control.Call(ctx, 0x7f, nil, nil); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		for _, name := range []string{"policyd", "logd", "init"} {
			_, err := t.journal.Find(ctx, st.Total, func(e *journal.Entry) bool {
				return e.Text == "core service log probe: "+name && e.Service == manifest.ServiceID(name)
			})
			if err != nil {
				return fmt.Errorf("line of %s: %w", name, err)
			}
		}
		return nil
	}},
}

// readerProofs take a service that may write to the journal and not read it.
var readerProofs = []proof{
	{"log query denied", func(ctx context.Context, t *tester) (err error) {
		st, err := t.journal.Stats(ctx)
		if err != nil {
			return err
		}
		if _, err := t.env.Control.Start(ctx, mortal.Name, mortal.Serve); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		defer func() { err = errors.Join(err, t.endMortal(ctx)) }()
		_, err = t.env.Dial(mortal.Name, mortal.Protocol).Call(ctx, mortal.OpRead, nil, nil)
		if err := want("status of a query without the capability", err, error(ipc.StatusDenied)); err != nil {
			return err
		}
		denial, err := t.journal.Find(ctx, st.Total, readAudit(mortal.Name))
		if err != nil {
			return fmt.Errorf("audit of the denial: %w", err)
		}
		if err := t.checkAudit(denial, "logd", mortal.Name, "object=journal", "decision=deny", "reason=no-rule"); err != nil {
			return err
		}
		leave, err := t.journal.Find(ctx, 0, readAudit(t.env.Name))
		if err != nil {
			return fmt.Errorf("audit of our own leave to read: %w", err)
		}
		return t.checkAudit(leave, "logd", t.env.Name, "object=journal", "decision=allow", "reason=rule")
	}},
}

// readAudit matches audits of the question whether a service may read the journal.
func readAudit(name string) func(*journal.Entry) bool {
	subject := fmt.Sprintf("subject=%016x\ncapability=%s\n", manifest.ServiceID(name), policy.ReadLog)
	return func(e *journal.Entry) bool {
		return e.Scope == policyd.AuditScope && strings.Contains(e.Fields, subject)
	}
}

// refusedAppend verifies that the journal refuses a payload and keeps nothing of it.
func (t *tester) refusedAppend(ctx context.Context, what string, payload []byte, status ipc.Status) error {
	_, err := t.logd.Call(ctx, journal.OpAppend, payload, make([]byte, 16))
	return want("status of "+what, err, error(status))
}

// append writes a record, waiting for the window of the rate if need be.
func (t *tester) append(ctx context.Context, r *journal.Record) (uint64, error) {
	for {
		id, err := t.journal.Append(ctx, r)
		if !errors.Is(err, ipc.StatusRateLimited) {
			return id, err
		}
		timer := time.NewTimer(journal.Window)
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		case <-timer.C:
		}
	}
}
