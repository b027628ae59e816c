// Package policy is what policyd and those who ask it have in common: the
// protocol, and a client. The decisions are made in package policyd.
//
// A question has a subject, who wants to do something, a capability, the name of
// what it must be allowed, and an object, what it wants to do it to. Whoever asks
// is known from the kernel. Asking about somebody else takes the capability
// [Delegate]. No answer, late or broken, is ever an allow: see [Client.Check].
package policy

import (
	"context"
	"errors"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/svc/wire"
)

// Protocol is the language of policyd.
var Protocol = ipc.Protocol{Magic: [2]byte{'P', 'O'}, Version: 4}

// Operations.
const (
	OpCheck    = 1    // subject u64, capability str8, object str8 → decision u8, reason u8, sequence u64
	OpSync     = 2    // → the audits of all earlier decisions are in the journal
	OpLogProbe = 0x7f // → policyd has logged a line
)

// Limits of a question, in bytes.
const (
	MaxCapability = 48
	MaxObject     = 64
)

// Capabilities that the system itself asks about.
const (
	Core     = "ipc.core"        // talk to services; the object is which
	Spawn    = "proc.spawn"      // have processes started; the object is which
	Create   = "proc.create"     // create processes that are no services
	Console  = "proc.console"    // have a child of one's own print on the console
	QoS      = "qos."            // prefix: have a child in the class that follows
	QoSShare = "qos.share"       // have a child with more than the default share of its class
	Delegate = "policy.delegate" // ask about other subjects
	ReadLog  = "log.read"        // read the journal, which has what every service said
	Device   = "device.mmio."    // prefix: own a device of the class whose name follows; the object is which
	Route    = "route."          // prefix: a service whose name follows is for holders only
	Disk     = "disk."           // prefix: hold the partition of the disk whose name follows
)

// Timeout bounds a question for those who enforce policy: later is a refusal.
const Timeout = time.Second

// Reason says what a decision rests on.
type Reason uint8

// The reasons.
const (
	ByRule    Reason = 1 // the policy grants it
	NoRule    Reason = 2 // the policy does not mention it
	NoSubject Reason = 3 // the policy does not mention the subject
	Spoof     Reason = 4 // the asker may not ask about that subject
	NoRoute   Reason = 5 // the object is for holders of a route only
)

var reasons = [...]string{"?", "rule", "no-rule", "no-subject", "spoof", "no-route"}

// String returns the word that audits have.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return reasons[0]
}

// Decision is an answer.
type Decision struct {
	Allow    bool
	Reason   Reason
	Sequence uint64 // of the audit record
}

// ErrDenied is the refusal that a decision, or the lack of one, becomes.
var ErrDenied = errors.New("policy: denied")

// Question is what is asked.
type Question struct {
	Subject    uint64 // service id
	Capability string
	Object     string
}

// Append appends the payload of the question.
func (q *Question) Append(b []byte) []byte {
	b = wire.AppendU64(b, q.Subject)
	b = wire.AppendString8(b, q.Capability)
	return wire.AppendString8(b, q.Object)
}

// Decode reads a payload and reports whether it is a question within the limits.
func (q *Question) Decode(b []byte) bool {
	r := wire.Read(b)
	q.Subject = r.U64()
	capability, object := r.String8(), r.String8()
	if !r.Done() || len(capability) < 1 || len(capability) > MaxCapability || len(object) > MaxObject ||
		!printable(capability) || !printable(object) {
		return false
	}
	q.Capability, q.Object = string(capability), string(object)
	return true
}

// printable reports whether b can stand in an audit line without spoiling it.
func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' || c == '"' || c == '=' {
			return false
		}
	}
	return true
}

// Append appends the payload of the answer.
func (d *Decision) Append(b []byte) []byte {
	deny := byte(1)
	if d.Allow {
		deny = 0
	}
	return wire.AppendU64(append(b, deny, byte(d.Reason)), d.Sequence)
}

// Decode reads a payload and reports whether it is an answer.
func (d *Decision) Decode(b []byte) bool {
	r := wire.Read(b)
	deny, reason, seq := r.U8(), r.U8(), r.U64()
	if !r.Done() || deny > 1 || reason == 0 || int(reason) >= len(reasons) {
		return false
	}
	*d = Decision{deny == 0, Reason(reason), seq}
	return true
}

// Caller is what a client asks through: an ipc.Client, or one that reconnects.
type Caller interface {
	Call(ctx context.Context, op uint16, payload, resp []byte) (int, error)
}

// Client asks policyd. It may be used by several goroutines.
type Client struct{ To Caller }

// Decide asks a question and returns the decision. An error means that there is
// none.
func (c Client) Decide(ctx context.Context, q Question) (Decision, error) {
	var req [8 + 2 + MaxCapability + MaxObject]byte
	var resp [10]byte
	if len(q.Capability) > MaxCapability || len(q.Object) > MaxObject {
		return Decision{}, ipc.StatusOverLimit
	}
	n, err := c.To.Call(ctx, OpCheck, q.Append(req[:0]), resp[:])
	if err != nil {
		return Decision{}, err
	}
	var d Decision
	if !d.Decode(resp[:n]) {
		return Decision{}, ipc.ErrProtocol
	}
	return d, nil
}

// Check returns nil if and only if policyd said allow. Everything else, no answer
// within [Timeout] included, is [ErrDenied], with what was wrong joined to it.
func (c Client) Check(ctx context.Context, q Question) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	d, err := c.Decide(ctx, q)
	if err != nil {
		return errors.Join(ErrDenied, err)
	}
	if !d.Allow {
		return ErrDenied
	}
	return nil
}

// Sync returns when the audits of all earlier decisions are in the journal.
func (c Client) Sync(ctx context.Context) error {
	_, err := c.To.Call(ctx, OpSync, nil, nil)
	return err
}
