//go:build !tamago

package execd_test

import (
	"fmt"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/wire"
)

// audited checks that the journal has a line about a decision.
func (r *rig) audited(t *testing.T, line string) {
	t.Helper()
	logd := journal.Client{To: r.env.Dial("logd", journal.Protocol)}
	want := fmt.Sprintf(line, manifest.ServiceID("client"), r.env.Process.Start().PID)
	_, err := logd.Find(r.ctx, 0, func(e *journal.Entry) bool {
		return e.Scope == "qos" && e.Service == manifest.ServiceID("execd") && e.Text == want
	})
	if err != nil {
		t.Errorf("no %q: %v", want, err)
	}
}

func TestQoS(t *testing.T) {
	r := boot(t, append([]string{"qos.interactive", "qos.idle"}, grants...))
	lively, idle := abi.NewQoS(abi.Interactive, 100, 1), abi.NewQoS(abi.Idle, 10, 1)
	q := request("a")
	q.QoS = lively
	id, pid := r.spawn(t, q)
	r.audited(t, "QOS-AUDIT decision=allow reason=applied caller_sid=0x%016x caller_pid=%d target_pid="+fmt.Sprint(pid)+" from=normal to=interactive")
	for i, step := range []struct{ set, was abi.QoS }{{0, lively}, {idle, lively}, {0, idle}} {
		if was, err := r.session.QoS(r.ctx, id, step.set); err != nil || was != step.was {
			t.Errorf("step %d: %#x, %v", i, was, err)
		}
	}
	r.audited(t, "QOS-AUDIT decision=allow reason=applied caller_sid=0x%016x caller_pid=%d target_pid="+fmt.Sprint(pid)+" from=interactive to=idle")
	b, _ := r.spawn(t, request("b"))
	if was, err := r.session.QoS(r.ctx, b, 0); err != nil || was != abi.DefaultQoS {
		t.Errorf("a child about which nobody asked has %#x, %v", was, err)
	}
}

// Each refusal is told and audited, and nothing changes.
func TestRejectQoS(t *testing.T) {
	r := boot(t, append([]string{"qos.normal"}, grants...))
	id, pid := r.spawn(t, request("a"))
	deny := fmt.Sprintf("target_pid=%d from=normal to=", pid)
	for _, tt := range []struct {
		name string
		id   uint32
		set  abi.QoS
		want ipc.Status
		line string // of the audit, behind the caller
	}{
		{"class above", id, abi.NewQoS(abi.PerfBurst, 100, 1), ipc.StatusDenied, "reason=unauthorized_escalation " + deny + "perfburst"},
		{"class below", id, abi.NewQoS(abi.Idle, 100, 1), ipc.StatusDenied, "reason=unauthorized_escalation " + deny + "idle"},
		{"share", id, abi.NewQoS(abi.Normal, 101, 1), ipc.StatusDenied, "reason=unauthorized_escalation " + deny + "normal"},
		{"no class", id, abi.NewQoS(0xff, 100, 1), ipc.StatusInvalidArgs, "reason=invalid_qos_class " + fmt.Sprintf("target_pid=%d", pid)},
		{"no share", id, abi.NewQoS(abi.Normal, 0, 1), ipc.StatusInvalidArgs, "reason=invalid_qos_class " + fmt.Sprintf("target_pid=%d", pid)},
		{"large share", id, abi.NewQoS(abi.Normal, 1001, 1), ipc.StatusInvalidArgs, "reason=invalid_qos_class " + fmt.Sprintf("target_pid=%d", pid)},
		{"no hart", id, abi.NewQoS(abi.Normal, 100, 0), ipc.StatusInvalidArgs, "reason=invalid_qos_class " + fmt.Sprintf("target_pid=%d", pid)},
		{"wide class", id, abi.DefaultQoS | 1<<24, ipc.StatusInvalidArgs, "reason=invalid_qos_class " + fmt.Sprintf("target_pid=%d", pid)},
		{"nobody", id + 1, abi.DefaultQoS, ipc.StatusNotFound, "reason=invalid_target_pid target_pid=0"},
	} {
		if _, err := r.session.QoS(r.ctx, tt.id, tt.set); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var reason, rest string
		fmt.Sscanf(tt.line, "reason=%s", &reason)
		rest = tt.line[len("reason=")+len(reason):]
		r.audited(t, "QOS-AUDIT decision=deny reason="+reason+" caller_sid=0x%016x caller_pid=%d"+rest)
	}
	if was, err := r.session.QoS(r.ctx, id, 0); err != nil || was != abi.DefaultQoS {
		t.Errorf("after all refusals: %#x, %v", was, err)
	}
	if _, err := r.client.Call(r.ctx, exec.OpQoS, wire.AppendU32(nil, id), nil); err != ipc.StatusMalformed {
		t.Errorf("half a request: %v", err)
	}
	// The same for new children.
	q := request("b")
	q.QoS = abi.NewQoS(abi.Interactive, 100, 1)
	if _, _, err := r.session.Spawn(r.ctx, q, exec.Program{}); err != ipc.StatusDenied {
		t.Errorf("a new child above: %v", err)
	}
	q.QoS = 7
	if _, _, err := r.session.Spawn(r.ctx, q, exec.Program{}); err != ipc.StatusInvalidArgs {
		t.Errorf("a new child without a share: %v", err)
	}
	r.spawn(t, request("b"))
}
