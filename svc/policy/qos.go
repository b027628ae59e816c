package policy

import (
	"fmt"

	"nexus.internal/ipc/abi"
)

// ForQoS returns the capabilities that whoever a process is started for needs for it to
// have q, which is valid: that of the class, and one for a share above the default.
func ForQoS(q abi.QoS) []string {
	needed := []string{QoS + q.Class().String()}
	if q.Share() > abi.DefaultShare {
		needed = append(needed, QoSShare)
	}
	return needed
}

// QoSReason says why a request for a class of service is decided as it is, as records
// spell it.
type QoSReason string

// The reasons. All but the first are those of refusals.
const (
	QoSApplied    QoSReason = "applied"
	QoSInvalid    QoSReason = "invalid_qos_class"
	QoSNoTarget   QoSReason = "invalid_target_pid"
	QoSOther      QoSReason = "unauthorized_other_pid"
	QoSEscalation QoSReason = "unauthorized_escalation"
)

// QoSScope is the scope in the journal of the records about classes of service, and of
// nothing else.
const QoSScope = "qos"

// QoSAudit is the record of one decision.
type QoSAudit struct {
	Reason   QoSReason
	Service  uint64 // who asked, by service id and pid
	PID      uint32
	Target   uint32  // whose class it is, 0 if there is no such process
	From, To abi.QoS // if either is none, the record ends before them
}

// String returns the text of the record.
func (a *QoSAudit) String() string {
	decision := "deny"
	if a.Reason == QoSApplied {
		decision = "allow"
	}
	text := fmt.Sprintf("QOS-AUDIT decision=%s reason=%s caller_sid=0x%016x caller_pid=%d target_pid=%d", decision, a.Reason, a.Service, a.PID, a.Target)
	if a.From.Valid() && a.To.Valid() {
		text += fmt.Sprintf(" from=%v to=%v", a.From.Class(), a.To.Class())
	}
	return text
}
