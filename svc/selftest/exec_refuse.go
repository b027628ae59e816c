package selftest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/child"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/mortal"
	"nexus.internal/svc/policy"
	"nexus.internal/svc/policyd"
)

// execDenied lets a service ask that may be connected to execd and nothing more.
func execDenied(ctx context.Context, t *tester) (err error) {
	st, err := t.journal.Stats(ctx)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		service, capability, object string
		status                      ipc.Status
	}{
		{mortal.Name, policy.Spawn, execdName, ipc.StatusDenied},
		{askerName, policy.Console, exec.Prefix + "mortal", exec.Denied.Status()},
	} {
		if _, err := t.env.Control.Start(ctx, w.service, mortal.Serve); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		_, err := t.env.Dial(w.service, mortal.Protocol).Call(ctx, mortal.OpExec, nil, nil)
		if err := errors.Join(want("status of "+w.service, err, error(w.status)), t.end(ctx, w.service)); err != nil {
			return err
		}
		subject := fmt.Sprintf("subject=%016x\ncapability=%s\n", manifest.ServiceID(w.service), w.capability)
		audit, err := t.journal.Find(ctx, st.Total, func(e *journal.Entry) bool {
			return e.Scope == policyd.AuditScope && strings.Contains(e.Fields, subject)
		})
		if err != nil {
			return fmt.Errorf("audit about %s: %w", w.service, err)
		}
		if err := t.checkAudit(audit, execdName, w.service, "object="+w.object, "decision=deny", "reason=no-rule"); err != nil {
			return err
		}
	}
	return nil
}

// end kills a service that was started on demand.
func (t *tester) end(ctx context.Context, name string) error {
	exit, err := t.env.Control.End(ctx, name, true)
	return errors.Join(err, want("status of "+name, exit.Status, abi.ExitKilled))
}

// noise is how many random requests execd gets.
const noise = 400

// execMalformed sends what is no request.
func execMalformed(ctx context.Context, t *tester) error {
	c, err := t.execd.Client(ctx)
	if err != nil {
		return err
	}
	call, err := c.NewCall()
	if err != nil {
		return err
	}
	defer call.Close()
	good := bundled("malformed", child.Exit0).Append(nil)
	for name, frame := range map[string][]byte{
		"three bytes":   []byte("bad"),
		"no payload":    ipc.AppendFrame(nil, exec.Protocol, exec.OpSpawn, 1, nil),
		"half":          ipc.AppendFrame(nil, exec.Protocol, exec.OpSpawn, 1, good[:len(good)/2]),
		"bytes behind":  ipc.AppendFrame(nil, exec.Protocol, exec.OpSpawn, 1, append(good, 0)),
		"another magic": ipc.AppendFrame(nil, journal.Protocol, exec.OpSpawn, 1, good),
		"short wait":    ipc.AppendFrame(nil, exec.Protocol, exec.OpWait, 1, good[:4]),
		"long kill":     ipc.AppendFrame(nil, exec.Protocol, exec.OpKill, 1, good[:5]),
	} {
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
	_, err = t.session.Ended(ctx, 0)
	return want("status of a wait for no children", err, error(ipc.StatusNotFound))
}

// execNoise sends random requests while the session is full: none may succeed but
// those that end what is held.
func (t *tester) execNoise(ctx context.Context) error {
	c, err := t.execd.Client(ctx)
	if err != nil {
		return err
	}
	good := bundled("noise", child.Exit0).Append(nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for range noise {
		b := append([]byte(nil), good...)
		for range rng.IntN(4) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		op, b := uint16(rng.IntN(exec.OpClose)), b[:len(b)-rng.IntN(len(b))]
		if op == exec.OpWait && len(b) > 4 {
			b = append(b[:4:4], exec.FlagNoWait)
		}
		_, err := c.Call(ctx, op, b, make([]byte, 40))
		var status ipc.Status
		if err != nil && !errors.As(err, &status) || err == nil && op == exec.OpSpawn {
			return fmt.Errorf("random request %d %x: %v", op, b, err)
		}
	}
	return nil
}

// execReasons brings about every reason for which no child is created.
func execReasons(ctx context.Context, t *tester) error {
	is := func(err error, reason exec.Reason) error {
		got, ok := exec.ReasonOf(err)
		if !ok {
			return fmt.Errorf("%v instead of the reason %v", err, reason)
		}
		return want("reason", got, reason)
	}
	spawn := func(r *exec.Request, p exec.Program, reason exec.Reason) error {
		_, _, err := t.session.Spawn(ctx, r, p)
		return is(err, reason)
	}
	own := func(reason exec.Reason, edit func([]byte)) error {
		p, size, err := t.program(ctx, child.Exit0, edit)
		if err != nil {
			return err
		}
		return spawn(&exec.Request{Name: "own", Length: size, Frames: child.Frames}, p, reason)
	}
	// The program: writable and executable, no ELF, or memory that can be written.
	err := own(exec.MapFailed, func(b []byte) {
		le := binary.LittleEndian
		for at := le.Uint64(b[32:]); ; at += 56 { // program headers, of type and flags
			if le.Uint32(b[at:]) == 1 && b[at+4]&1 != 0 {
				b[at+4] |= 2
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("program that is writable and executable: %w", err)
	}
	if err := own(exec.BadProgram, func(b []byte) { b[0]++ }); err != nil {
		return fmt.Errorf("program that is none: %w", err)
	}
	v, size, err := t.filled(ctx, child.Exit0, func([]byte) {})
	if err != nil {
		return err
	}
	defer v.Close()
	p, err := ipc.DeriveReadGrant(v)
	if err != nil {
		return err
	}
	if err := spawn(&exec.Request{Name: "own", Length: size, Frames: child.Frames}, p, exec.BadProgram); err != nil {
		return fmt.Errorf("program that can be written: %w", err)
	}
	// Memory: more than the session may have, or than there is. The children call
	// somebody who does not answer, so that none gives its memory back meanwhile.
	const children = exec.MaxBudget/exec.MaxFrames + 1
	silent, err := t.env.Process.NewEndpoint(children, abi.MaxMessage)
	if err != nil {
		return err
	}
	defer silent.Close()
	var held []uint32
	for range children {
		r := bundled(fmt.Sprint("oom-", len(held)), child.Hello)
		r.Frames, r.Flags = exec.MaxFrames, exec.FlagHold
		id, _, err := t.session.Spawn(ctx, r, exec.Program{})
		if err != nil {
			return err
		}
		c, err := ipc.DeriveSendGrant(silent, 0)
		if err != nil {
			return err
		}
		if _, err := t.session.Give(ctx, id, ipc.MoveSend(c), abi.RightSend); err != nil {
			return err
		}
		held = append(held, id)
	}
	var last error
	for _, id := range held {
		if _, last = t.session.Start(ctx, id); last != nil {
			break
		}
	}
	if err := is(last, exec.NoMemory); err != nil {
		return fmt.Errorf("budgets: %w", err)
	}
	if err := t.restartSession(ctx); err != nil { // which ends all of them
		return err
	}
	// Capabilities: one too many, and one that its owner took back.
	r := bundled("caps", child.Hello)
	r.Flags = exec.FlagHold
	id, _, err := t.session.Spawn(ctx, r, exec.Program{})
	if err != nil {
		return err
	}
	ep, err := t.env.Process.NewEndpoint(1, ipc.HeaderSize)
	if err != nil {
		return err
	}
	defer ep.Close()
	for i := range exec.MaxCaps + 1 {
		c, err := ipc.DeriveSendGrant(ep, 0)
		if err != nil {
			return err
		}
		_, err = t.session.Give(ctx, id, ipc.MoveSend(c), abi.RightSend)
		if i == exec.MaxCaps {
			err = is(err, exec.CapTableFull)
		}
		if err != nil {
			return fmt.Errorf("capability %d: %w", i, err)
		}
	}
	if _, err := ep.Revoke(); err != nil {
		return err
	}
	_, err = t.session.Start(ctx, id)
	if err := is(err, exec.Unknown); err != nil {
		return fmt.Errorf("capabilities that are gone: %w", err)
	}
	// Number and names of children.
	for i := range exec.MaxChildren {
		r := bundled(fmt.Sprint("many-", i), child.Hello)
		r.Flags = exec.FlagHold
		if _, _, err := t.session.Spawn(ctx, r, exec.Program{}); err != nil {
			return fmt.Errorf("child %d: %w", i, err)
		}
	}
	if err := spawn(bundled("many", child.Hello), exec.Program{}, exec.Quota); err != nil {
		return fmt.Errorf("a child too many: %w", err)
	}
	if err := t.execNoise(ctx); err != nil {
		return err
	}
	if err := t.restartSession(ctx); err != nil {
		return err
	}
	g, err := t.greeter(ctx)
	if err != nil {
		return err
	}
	defer g.stop()
	if _, _, err := t.greeted(ctx, t.session, g, bundled("twice", child.Hello), exec.Program{}); err != nil {
		return err
	}
	if err := spawn(bundled("twice", child.Hello), exec.Program{}, exec.NameInUse); err != nil {
		return fmt.Errorf("second child of a name: %w", err)
	}
	return t.restartSession(ctx)
}

// restartSession closes the session, with its children, and opens another.
func (t *tester) restartSession(ctx context.Context) error {
	if err := t.session.Close(ctx); err != nil {
		return err
	}
	c, err := t.execd.Client(ctx)
	if err != nil {
		return err
	}
	t.session, err = exec.Open(ctx, t.env.Process, c)
	return err
}
