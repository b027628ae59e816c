package selftest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/child"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/journal"
	"nexus.internal/svc/manifest"
)

// Services that the proofs of execd take.
const (
	execdName = "execd"
	spareName = "spare-execd" // another one, which may be killed
	askerName = "mortal-exec" // a service that dies on demand and may have programs started
)

var execProofs = []proof{
	{"ipc routing execd", func(ctx context.Context, t *tester) error {
		if err := routed(ctx, t.execd); err != nil {
			return err
		}
		c, err := t.execd.Client(ctx)
		if err != nil {
			return err
		}
		t.session, err = exec.Open(ctx, t.env.Process, c)
		return err
	}},
	{"e2e exec-elf", execELF},
	{"child exit", childExit},
	{"crash report", crashReport},
	{"exec denied", execDenied},
	{"execd malformed", execMalformed},
}

// lifeProofs ask policyd about many children, whose audits take the journal a while.
var lifeProofs = []proof{
	{"exec reasons", execReasons},
	{"exec waits", execWaits},
	{"exec orphans", execOrphans},
	{"exec rounds", execRounds},
}

// bundled asks for a program of the image, without console.
func bundled(name, file string, args ...string) *exec.Request {
	return &exec.Request{Name: name, File: file, Frames: child.Frames, Args: append([]string{name}, args...)}
}

// onConsole gives it the console.
func onConsole(r *exec.Request) *exec.Request {
	r.Flags |= exec.FlagConsole
	return r
}

// started starts a child and verifies what it can of it.
func (t *tester) started(ctx context.Context, r *exec.Request) (id, pid uint32, err error) {
	id, pid, err = t.session.Spawn(ctx, r, exec.Program{})
	if err == nil && (id == 0 || pid == 0) {
		err = fmt.Errorf("child %d with pid %d", id, pid)
	}
	return id, pid, err
}

// filled returns memory of this process that holds a program of the image, changed by
// edit and not sealed yet.
func (t *tester) filled(ctx context.Context, file string, edit func([]byte)) (v ipc.VMO[ipc.Full], size uint64, err error) {
	c, err := t.env.Control.File(ctx, file)
	if err != nil {
		return v, 0, fmt.Errorf("file: %w", err)
	}
	from, err := c.Memory()
	if err != nil {
		return v, 0, err
	}
	defer from.Close()
	info, err := from.Info()
	if err != nil {
		return v, 0, err
	}
	if info.Rights != abi.RightRead {
		return v, 0, fmt.Errorf("the file comes with rights %#x", info.Rights)
	}
	if v, err = t.env.Process.NewVMO(info.Size); err != nil {
		return v, 0, err
	}
	src, err := ipc.Map(from, 0, info.Size)
	if err != nil {
		return v, 0, err
	}
	dst, err := ipc.MapWritable(v, 0, info.Size)
	if err != nil {
		return v, 0, err
	}
	copy(dst, src)
	edit(dst)
	return v, info.Size, errors.Join(t.env.Process.Unmap(src), t.env.Process.Unmap(dst))
}

// program returns the same, sealed, to be handed over.
func (t *tester) program(ctx context.Context, file string, edit func([]byte)) (p exec.Program, size uint64, err error) {
	v, size, err := t.filled(ctx, file, edit)
	if err != nil {
		return p, 0, err
	}
	defer v.Close()
	if err := ipc.Seal(v); err != nil {
		return p, 0, err
	}
	p, err = ipc.DeriveReadGrant(v)
	return p, size, err
}

// hello is the call of a child of the program child.Hello.
type hello struct {
	pid     uint32
	service uint64
	text    string
	reply   ipc.Pending
	gone    chan struct{} // closed when its caller has ended
}

// greeter takes the calls of such children.
type greeter struct {
	ep     ipc.Endpoint[ipc.Serve]
	hellos chan hello
	stop   func()
}

func (t *tester) greeter(ctx context.Context) (*greeter, error) {
	ep, err := t.env.Process.NewEndpoint(4, abi.MaxMessage)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &greeter{ep, make(chan hello, 4), nil}
	served := make(chan struct{})
	go func() {
		defer close(served)
		ipc.NewServer(ep, child.Protocol, 2, func(q *ipc.Request) {
			called, cancel := q.Context(ctx)
			defer cancel()
			h := hello{q.SenderPID, q.SenderService, string(q.Payload()), q.Detach(), make(chan struct{})}
			g.hellos <- h
			<-called.Done()
			close(h.gone)
		}).Serve(ctx)
	}()
	g.stop = func() { cancel(); <-served; ep.Close() }
	return g, nil
}

// give returns a capability to call the greeter.
func (g *greeter) give() (ipc.Movable, error) {
	c, err := ipc.DeriveSendGrant(g.ep, 0)
	return ipc.MoveSend(c), err
}

// await returns the next call, which must come from the child with that pid and name.
func (g *greeter) await(ctx context.Context, pid uint32, name string) (hello, error) {
	select {
	case h := <-g.hellos:
		return h, errors.Join(want("service id of the child", h.service, manifest.ServiceID(exec.Prefix+name)),
			want("pid of the child", h.pid, pid))
	case <-ctx.Done():
		return hello{}, errors.New("the child does not call")
	}
}

// ended waits until the process that called has ended.
func (h *hello) ended(ctx context.Context) error {
	select {
	case <-h.gone:
		return nil
	case <-ctx.Done():
		return errors.New("a child lives on")
	}
}

// greeted starts a child with a capability to call g, and waits until it has done so.
func (t *tester) greeted(ctx context.Context, s *exec.Session, g *greeter, r *exec.Request, p exec.Program) (id uint32, h hello, err error) {
	r.Flags |= exec.FlagHold
	id, _, err = s.Spawn(ctx, r, p)
	if err != nil {
		return 0, h, fmt.Errorf("spawn: %w", err)
	}
	m, err := g.give()
	if err != nil {
		return 0, h, err
	}
	index, err := s.Give(ctx, id, m, abi.RightSend)
	if err := errors.Join(err, want("place of the capability", index, 0)); err != nil {
		return 0, h, fmt.Errorf("give: %w", err)
	}
	pid, err := s.Start(ctx, id)
	if err != nil {
		return 0, h, fmt.Errorf("start: %w", err)
	}
	h, err = g.await(ctx, pid, r.Name)
	return id, h, err
}

// execELF has a program started that is in memory of this process, with arguments,
// environment and a capability, and talks to it.
func execELF(ctx context.Context, t *tester) error {
	g, err := t.greeter(ctx)
	if err != nil {
		return err
	}
	defer g.stop()
	p, size, err := t.program(ctx, child.Hello, func([]byte) {})
	if err != nil {
		return err
	}
	r := onConsole(&exec.Request{Name: "hello", Length: size, Frames: child.Frames, Args: []string{"hello", "a b", ""}, Env: []string{"KEY=value"}})
	id, h, err := t.greeted(ctx, t.session, g, r, p)
	if err != nil {
		return err
	}
	if err := want("arguments and environment of the child", h.text, "hello a b |KEY=value"); err != nil {
		return err
	}
	if err := t.session.Kill(ctx, id); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	if err := h.ended(ctx); err != nil {
		return err
	}
	e, err := t.session.Wait(ctx, id)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	return want("its end", e, exec.End{ID: id, PID: h.pid, Status: abi.ExitKilled})
}

// childExit waits for a child of the image's program.
func childExit(ctx context.Context, t *tester) error {
	id, pid, err := t.started(ctx, onConsole(bundled("exit0", child.Exit0)))
	if err != nil {
		return err
	}
	e, err := t.session.Wait(ctx, id)
	if err != nil {
		return err
	}
	return want("its end", e, exec.End{ID: id, PID: pid})
}

// crashReport lets children end badly and finds execd's report of that in the journal.
func crashReport(ctx context.Context, t *tester) error {
	st, err := t.journal.Stats(ctx)
	if err != nil {
		return err
	}
	ends := map[string]exec.End{}
	for _, name := range []string{"exit42", "crash"} {
		r := bundled(name, "child-"+name)
		if name == "exit42" { // the other's report is in the journal alone
			onConsole(r)
		}
		id, pid, err := t.started(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e, err := t.session.Wait(ctx, id)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := want("pid of "+name, e.PID, pid); err != nil {
			return err
		}
		ends[name] = e
	}
	e := ends["exit42"]
	if err := want("end of exit42", e, exec.End{ID: e.ID, PID: e.PID, Status: 42}); err != nil {
		return err
	}
	e = ends["crash"]
	if e.PC < abi.ImageBase || e.PC >= abi.MapBase {
		return fmt.Errorf("recorded pc %#x is not in the program", e.PC)
	}
	if err := want("end of crash", e, exec.End{ID: e.ID, PID: e.PID, Status: abi.ExitFault, Cause: storePageFault, PC: e.PC}); err != nil {
		return err
	}
	for name, e := range ends {
		text := fmt.Sprintf("crash pid=%d code=%d name=%s%s", e.PID, e.Status, exec.Prefix, name)
		entry, err := t.journal.Find(ctx, st.Total, func(e *journal.Entry) bool { return e.Text == text })
		if err != nil {
			return fmt.Errorf("report %q: %w", text, err)
		}
		if err := want("writer of the report", entry.Service, manifest.ServiceID(execdName)); err != nil {
			return err
		}
		for _, f := range []string{"event=crash.v1\n", fmt.Sprintf("cause=%d\n", e.Cause), fmt.Sprintf("pc=%d\n", e.PC), fmt.Sprintf("addr=%d\n", e.Addr)} {
			if !strings.Contains(entry.Fields, f) {
				return fmt.Errorf("report of %s lacks %q: %q", name, f, entry.Fields)
			}
		}
	}
	return nil
}

const storePageFault = 15 // scause
