package selftest

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
)

// Questions that the policy of this system answers in a known way.
const (
	granted = policy.Core
	refused = "crypto.sign" // keystored's, never ours
)

var policyProofs = []proof{
	{"ipc routing policyd", func(ctx context.Context, t *tester) error { return routed(ctx, t.policyd) }},
	{"policy allow", func(ctx context.Context, t *tester) error {
		st, err := t.journal.Stats(ctx)
		if err != nil {
			return err
		}
		t.mark = st.Total
		d, err := t.policy.Decide(ctx, policy.Question{Subject: t.self, Capability: granted, Object: "selftest.allow"})
		if err != nil {
			return err
		}
		return want("decision", d, policy.Decision{Allow: true, Reason: policy.ByRule, Sequence: d.Sequence})
	}},
	{"policy deny", func(ctx context.Context, t *tester) error {
		d, err := t.policy.Decide(ctx, policy.Question{Subject: t.self, Capability: refused, Object: "selftest.deny"})
		if err != nil {
			return err
		}
		return want("decision", d, policy.Decision{Reason: policy.NoRule, Sequence: d.Sequence})
	}},
	{"mmio policy deny", mmioDeny},
	{"policyd requester spoof denied", func(ctx context.Context, t *tester) error {
		// init may ask about anybody; saying that one is init does not help. The
		// question is one that would be allowed to the subject itself.
		for _, name := range []string{"init", "policyd"} {
			d, err := t.policy.Decide(ctx, policy.Question{Subject: manifest.ServiceID(name), Capability: granted, Object: "selftest.spoof"})
			if err != nil {
				return err
			}
			if err := want("decision about "+name, d, policy.Decision{Reason: policy.Spoof, Sequence: d.Sequence}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"policy malformed", func(ctx context.Context, t *tester) error {
		c, err := t.policyd.Client(ctx)
		if err != nil {
			return err
		}
		call, err := c.NewCall()
		if err != nil {
			return err
		}
		defer call.Close()
		good := policy.Question{Subject: t.self, Capability: granted, Object: ""}
		frames := map[string][]byte{
			"three bytes":   []byte("bad"),
			"no payload":    ipc.AppendFrame(nil, policy.Protocol, policy.OpCheck, 1, nil),
			"half":          ipc.AppendFrame(nil, policy.Protocol, policy.OpCheck, 1, good.Append(nil)[:9]),
			"bytes behind":  ipc.AppendFrame(nil, policy.Protocol, policy.OpCheck, 1, append(good.Append(nil), 0)),
			"another magic": ipc.AppendFrame(nil, journal.Protocol, policy.OpCheck, 1, good.Append(nil)),
		}
		for name, frame := range frames {
			resp, err := call.Raw(ctx, frame)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if len(resp) < ipc.HeaderSize {
				return fmt.Errorf("%s: %d bytes of reply", name, len(resp))
			}
			if err := want("status of "+name, ipc.Status(binary.LittleEndian.Uint16(resp[6:])), ipc.StatusMalformed); err != nil {
				return err
			}
		}
		return nil
	}},
	{"policy allow audit", func(ctx context.Context, t *tester) error {
		return t.findAudit(ctx, "selftest.allow", granted, "decision=allow", "reason=rule")
	}},
	{"policy deny audit", func(ctx context.Context, t *tester) error {
		if err := t.findAudit(ctx, "selftest.deny", refused, "decision=deny", "reason=no-rule"); err != nil {
			return err
		}
		if err := t.deviceAudit(ctx); err != nil {
			return err
		}
		e, err := t.journal.Find(ctx, t.mark, func(e *journal.Entry) bool {
			return e.Scope == policyd.AuditScope && strings.Contains(e.Fields, "object=selftest.spoof\n")
		})
		if err != nil {
			return fmt.Errorf("audit of the spoof: %w", err)
		}
		// The enforcer is who really asked, the subject whom it asked about.
		return t.checkAudit(e, t.env.Name, "init", "reason=spoof")
	}},
}

// findAudit waits for the audit of the question about object.
func (t *tester) findAudit(ctx context.Context, object, capability, decision, reason string) error {
	e, err := t.journal.Find(ctx, t.mark, func(e *journal.Entry) bool {
		return e.Scope == policyd.AuditScope && strings.Contains(e.Fields, "object="+object+"\n")
	})
	if err != nil {
		return fmt.Errorf("audit of %s: %w", object, err)
	}
	return t.checkAudit(e, t.env.Name, t.env.Name, "capability="+capability, decision, reason)
}

// checkAudit verifies that an audit was written by policyd, about these two services,
// and has the fields.
func (t *tester) checkAudit(e *journal.Entry, enforcer, subject string, fields ...string) error {
	if err := want("writer of the audit", e.Service, manifest.ServiceID("policyd")); err != nil {
		return err
	}
	fields = append(fields, fmt.Sprintf("enforcer=%016x", manifest.ServiceID(enforcer)), fmt.Sprintf("subject=%016x", manifest.ServiceID(subject)), "sequence=", "time_ns=")
	for _, f := range fields {
		if !strings.Contains("\n"+e.Fields, "\n"+f) {
			return fmt.Errorf("audit lacks %q: %q", f, e.Fields)
		}
	}
	return nil
}
