//go:build !tamago

package execd_test

import (
	"fmt"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/wire"
)

// wantReason checks that a child was not created, and why.
func wantReason(t *testing.T, what string, err error, want exec.Reason) {
	t.Helper()
	if got, ok := exec.ReasonOf(err); !ok || got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// Who lacks proc.spawn gets no session, and so nothing else.
func TestRejectOpen(t *testing.T) {
	for name, allow := range map[string][]string{"nothing": {"ipc.core"}, "other things": {"ipc.core", "proc.console", "proc.create"}} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, allow)
			if _, err := exec.Open(r.ctx, r.env.Process, r.client); err != ipc.StatusDenied {
				t.Errorf("session: %v", err)
			}
			id := wire.AppendU32(nil, 0)
			for op, payload := range map[uint16][]byte{
				exec.OpSpawn: request("a").Append(nil), exec.OpStart: id, exec.OpWait: append(id, 0), exec.OpKill: id,
			} {
				if _, err := r.client.Call(r.ctx, op, payload, nil); err != ipc.StatusNotFound {
					t.Errorf("operation %d without a session: %v", op, err)
				}
			}
		})
	}
}

// A child gets the console only if the policy allows it.
func TestRejectConsole(t *testing.T) {
	r := boot(t, []string{"ipc.core", "proc.spawn"})
	q := request("a")
	q.Flags = exec.FlagConsole
	_, _, err := r.session.Spawn(r.ctx, q, exec.Program{})
	wantReason(t, "console", err, exec.Denied)
	q.Flags = 0
	r.spawn(t, q)
}

func TestRejectPrograms(t *testing.T) {
	r := boot(t, grants)
	q := request("a")
	q.File = "other"
	if _, _, err := r.session.Spawn(r.ctx, q, exec.Program{}); err != ipc.StatusNotFound {
		t.Errorf("a file that no manifest names: %v", err)
	}
	own := &exec.Request{Name: "own", Length: 100, Frames: 24}
	_, _, err := r.session.Spawn(r.ctx, own, r.sealed(t, false))
	wantReason(t, "memory that can be written", err, exec.BadProgram)
	_, _, err = r.session.Spawn(r.ctx, &exec.Request{Name: "own", Length: abi.PageSize + 1, Frames: 24}, r.sealed(t, true))
	wantReason(t, "less memory than program", err, exec.BadProgram)
	_, err = r.client.Call(r.ctx, exec.OpSpawn, own.Append(nil), nil)
	wantReason(t, "no memory at all", err, exec.BadProgram)
	_, _, err = r.session.Spawn(r.ctx, own, r.sealed(t, true)) // nothing is known to the kernel under this name
	wantReason(t, "what is no program", err, exec.BadProgram)
	// None of these is left.
	for i := range exec.MaxChildren {
		r.spawn(t, request(fmt.Sprintf("a%d", i)))
	}
}

func TestRejectNames(t *testing.T) {
	r := boot(t, grants)
	r.spawn(t, request("a"))
	_, _, err := r.session.Spawn(r.ctx, request("a"), exec.Program{})
	wantReason(t, "the name of a child that lives", err, exec.NameInUse)
	_, _, err = r.session.Spawn(r.ctx, request("reserved"), exec.Program{})
	wantReason(t, "the name of a service that does not live", err, exec.NameInUse)
}

func TestRejectTooMany(t *testing.T) {
	r := boot(t, grants)
	for i := range exec.MaxChildren {
		q := request(fmt.Sprintf("a%d", i))
		q.Flags = exec.FlagHold
		r.spawn(t, q)
	}
	_, _, err := r.session.Spawn(r.ctx, request("b"), exec.Program{})
	wantReason(t, "a child too many", err, exec.Quota)
	if err := r.session.Kill(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	r.spawn(t, request("b"))
}

func TestRejectBudget(t *testing.T) {
	r := boot(t, grants)
	for i := range exec.MaxBudget / exec.MaxFrames {
		q := request(fmt.Sprintf("a%d", i))
		q.Frames = exec.MaxFrames
		r.spawn(t, q)
	}
	_, _, err := r.session.Spawn(r.ctx, request("b"), exec.Program{})
	wantReason(t, "budgets over that of a session", err, exec.NoMemory)
	r.quit["a0"] <- 0
	if _, err := r.session.Wait(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	r.spawn(t, request("b"))
}

func TestRejectGive(t *testing.T) {
	r := boot(t, grants)
	q := request("a")
	q.Flags = exec.FlagHold
	id, _ := r.spawn(t, q)
	ep, err := r.env.Process.NewEndpoint(2, ipc.HeaderSize)
	if err != nil {
		t.Fatal(err)
	}
	give := func(id uint32, rights abi.Rights) error {
		c, err := ipc.DeriveSendGrant(ep, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.session.Give(r.ctx, id, ipc.MoveSend(c), rights)
		return err
	}
	if err := give(id, abi.RightSend|abi.RightRead); err != ipc.StatusInvalidArgs {
		t.Errorf("more rights than it has: %v", err)
	}
	if err := give(id+1, abi.RightSend); err != ipc.StatusNotFound {
		t.Errorf("to no child: %v", err)
	}
	if _, err := r.client.Call(r.ctx, exec.OpGive, wire.AppendU32(wire.AppendU32(nil, id), 0), nil); err != ipc.StatusInvalidArgs {
		t.Errorf("nothing: %v", err)
	}
	for range exec.MaxCaps {
		if err := give(id, abi.RightSend); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, "a capability too many", give(id, abi.RightSend), exec.CapTableFull)
	// What was given is taken back by its owner before the child starts.
	if _, err := ep.Revoke(); err != nil {
		t.Fatal(err)
	}
	_, err = r.session.Start(r.ctx, id)
	wantReason(t, "capabilities that are gone", err, exec.Unknown)
	if _, err := r.session.Start(r.ctx, id); err != ipc.StatusNotFound {
		t.Errorf("a child that was not started stays: %v", err)
	}
}

func TestRejectWaits(t *testing.T) {
	r := boot(t, grants)
	a, _ := r.spawn(t, request("a"))
	if _, err := r.client.Call(r.ctx, exec.OpWait, append(wire.AppendU32(nil, a), 2), nil); err != ipc.StatusInvalidArgs {
		t.Errorf("unknown flag: %v", err)
	}
	ends := make(chan error)
	for range exec.MaxWaits + 1 {
		go func() {
			_, err := r.session.Wait(r.ctx, a)
			ends <- err
		}()
	}
	if err := <-ends; err != ipc.StatusOverLimit {
		t.Errorf("a wait too many: %v", err)
	}
	r.quit["a"] <- 0
	told := 0
	for range exec.MaxWaits {
		// One of them learns of it, and the session's end frees the others.
		if err := <-ends; err == nil {
			told++
			r.session.Close(r.ctx)
		}
	}
	if told != 1 {
		t.Errorf("%d waits were told of one end", told)
	}
}

func TestRejectMalformed(t *testing.T) {
	r := boot(t, grants)
	for name, tt := range map[string]struct {
		op      uint16
		payload []byte
		want    ipc.Status
	}{
		"open with a payload":  {exec.OpOpen, []byte{1}, ipc.StatusMalformed},
		"open without a cap":   {exec.OpOpen, nil, ipc.StatusInvalidArgs},
		"spawn of nothing":     {exec.OpSpawn, nil, ipc.StatusMalformed},
		"half a request":       {exec.OpSpawn, request("a").Append(nil)[:20], ipc.StatusMalformed},
		"no id":                {exec.OpStart, nil, ipc.StatusMalformed},
		"long id":              {exec.OpKill, make([]byte, 5), ipc.StatusMalformed},
		"wait without flags":   {exec.OpWait, make([]byte, 4), ipc.StatusMalformed},
		"give without rights":  {exec.OpGive, make([]byte, 4), ipc.StatusMalformed},
		"close with a payload": {exec.OpClose, []byte{0}, ipc.StatusMalformed},
		"unknown operation":    {99, nil, ipc.StatusUnsupported},
	} {
		if _, err := r.client.Call(r.ctx, tt.op, tt.payload, nil); err != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
