//go:build !tamago

package execd_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
	"nexus.internal/svc"
	"nexus.internal/svc/exec"
	"nexus.internal/svc/execd"
	"nexus.internal/svc/logd"
	"nexus.internal/svc/manifest"
	"nexus.internal/svc/policyd"
	"nexus.internal/svc/svctest"
)

// rig is a booted system with execd and one client, in the shoes of which tests are.
type rig struct {
	*svctest.System
	env     *svc.Env // of the client
	session *exec.Session
	client  *ipc.Client
	ctx     context.Context
	quit    map[string]chan int // ends the child of that name
}

// grants are what the client has unless a test says otherwise.
var grants = []string{"ipc.core", "proc.spawn", "proc.console", "log.read"}

func service(name string, calls ...manifest.Call) manifest.Service {
	return manifest.Service{Name: name, Program: name, Frames: 1024, Ready: 5 * time.Second, Console: true, Calls: calls,
		Restart: manifest.Restart{Policy: manifest.Always, Backoff: time.Millisecond, MaxBackoff: time.Millisecond, Limit: 3, Window: time.Minute}}
}

func nothing(context.Context, *svc.Env) error { return nil }

func boot(t *testing.T, allow []string) *rig {
	t.Helper()
	policyd0 := service("policyd", manifest.Call{Name: "logd", Lazy: true})
	logd0 := service("logd", manifest.Call{Name: "policyd", Lazy: true})
	execd0 := service("execd", manifest.Call{Name: "policyd"}, manifest.Call{Name: "logd"}, manifest.Call{Name: "rngd"})
	execd0.Spawner = true
	client := service("client", manifest.Call{Name: "execd"}, manifest.Call{Name: "logd"})
	client.Files = []string{"program"}
	reserved := service("exec.reserved") // on demand, and nobody demands it
	reserved.Demand = true
	m := &manifest.Manifest{Version: manifest.Version, Files: []string{"program"}, Services: []manifest.Service{policyd0, logd0, execd0, client, reserved}}
	rules := map[string][]string{
		"init": {"ipc.core", "policy.delegate", "proc.spawn"}, "policyd": {"ipc.core"}, "logd": {"ipc.core", "policy.delegate"},
		"execd": {"ipc.core", "policy.delegate", "proc.create"}, "client": allow,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	up := make(chan *svc.Env, 4)
	table := svc.Table{"exec.reserved": nothing, "policyd": policyd.Main, "logd": logd.Main, "execd": execd.Main,
		"client": func(ctx context.Context, env *svc.Env) error {
			if err := env.Ready(ctx, ipc.Endpoint[ipc.Serve]{}); err != nil {
				return err
			}
			up <- env
			<-ctx.Done()
			return nil
		}}
	r := &rig{System: svctest.Boot(t, m, rules, table), ctx: ctx, quit: map[string]chan int{}}
	select {
	case r.env = <-up:
	case <-ctx.Done():
		t.Fatal("the system does not come up")
	}
	var err error
	if r.client, err = r.env.Dial("execd", exec.Protocol).Client(ctx); err != nil {
		t.Fatal(err)
	}
	r.session, err = exec.Open(ctx, r.env.Process, r.client)
	if err != nil && slices.Contains(allow, "proc.spawn") {
		t.Fatal(err)
	}
	return r
}

// program lets children of that name wait until something is sent to r.quit.
func (r *rig) program(name string) {
	quit := make(chan int, 1)
	r.quit[name] = quit
	r.Kernel.Program(exec.Prefix+name, func(p *ipctest.Process) int { return <-quit })
}

// request is a child of the image's program.
func request(name string) *exec.Request {
	return &exec.Request{Name: name, File: "program", Frames: 24, Args: []string{name, "x"}, Env: []string{"K=v"}}
}

func (r *rig) spawn(t *testing.T, q *exec.Request) (id, pid uint32) {
	t.Helper()
	if r.quit[q.Name] == nil {
		r.program(q.Name)
	}
	id, pid, err := r.session.Spawn(r.ctx, q, exec.Program{})
	if err != nil {
		t.Fatalf("%s: %v", q.Name, err)
	}
	return id, pid
}

// sealed returns sealed memory of the client, to be given away.
func (r *rig) sealed(t *testing.T, seal bool) exec.Program {
	t.Helper()
	v, err := r.env.Process.NewVMO(abi.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if seal {
		if err := ipc.Seal(v); err != nil {
			t.Fatal(err)
		}
	}
	ro, err := ipc.DeriveReadGrant(v)
	if err != nil {
		t.Fatal(err)
	}
	return ro
}

func TestSpawnAndWait(t *testing.T) {
	r := boot(t, grants)
	var got []string
	r.Kernel.Program("exec.a", func(p *ipctest.Process) int { got = p.Args(); return 7 })
	id, pid, err := r.session.Spawn(r.ctx, request("a"), exec.Program{})
	if err != nil || pid == 0 {
		t.Fatal(id, pid, err)
	}
	e, err := r.session.Wait(r.ctx, id)
	if err != nil || e != (exec.End{ID: id, PID: pid, Status: 7}) || strings.Join(got, " ") != "a x" {
		t.Fatalf("%+v, %v, args %q", e, err, got)
	}
	if _, err := r.session.Wait(r.ctx, id); err != ipc.StatusNotFound {
		t.Errorf("the end was told twice: %v", err)
	}
	if _, err := r.session.Wait(r.ctx, 0); err != ipc.StatusNotFound {
		t.Errorf("waiting for any of no children: %v", err)
	}

	// Any child, whichever ends first; without waiting; with a deadline.
	b, _ := r.spawn(t, request("b"))
	c, _ := r.spawn(t, request("c"))
	if _, err := r.session.Ended(r.ctx, 0); err != ipc.StatusUnavailable {
		t.Errorf("none has ended: %v", err)
	}
	short, cancel := context.WithTimeout(r.ctx, 20*time.Millisecond)
	if _, err := r.session.Wait(short, b); err != error(ipc.ErrTimedOut) && err != error(ipc.ErrCanceled) {
		t.Errorf("a deadline: %v", err)
	}
	cancel()
	r.quit["c"] <- 3
	if e, err := r.session.Wait(r.ctx, 0); err != nil || e.ID != c || e.Status != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	r.quit["b"] <- 0
	// The wait whose deadline passed does not take the end away.
	if e, err := r.session.Wait(r.ctx, b); err != nil || e.ID != b || e.Status != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// Of several calls that wait, each end goes to one: the first that it fits.
func TestWaitsInTurn(t *testing.T) {
	r := boot(t, grants)
	a, _ := r.spawn(t, request("a"))
	b, _ := r.spawn(t, request("b"))
	type result struct {
		who string
		end exec.End
		err error
	}
	results := make(chan result, 2)
	started := make(chan struct{})
	go func() {
		close(started)
		e, err := r.session.Wait(r.ctx, b)
		results <- result{"b", e, err}
	}()
	<-started
	go func() {
		e, err := r.session.Wait(r.ctx, 0)
		results <- result{"any", e, err}
	}()
	r.quit["a"] <- 1
	if got := <-results; got.who != "any" || got.end.ID != a || got.err != nil {
		t.Errorf("%+v", got)
	}
	r.quit["b"] <- 2
	if got := <-results; got.who != "b" || got.end.ID != b || got.err != nil {
		t.Errorf("%+v", got)
	}
}

// A program that the client brings, with a capability for it.
func TestOwnProgramAndCapabilities(t *testing.T) {
	r := boot(t, grants)
	ep, err := r.env.Process.NewEndpoint(2, ipc.HeaderSize)
	if err != nil {
		t.Fatal(err)
	}
	give, err := ipc.DeriveSendGrant(ep, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Kernel.Program("exec.own", func(p *ipctest.Process) int {
		info, err := p.Self().BootCap(0).Info()
		if err != nil || info.Kind != abi.KindEndpoint || info.Rights != abi.RightSend {
			t.Errorf("the child has %+v, %v", info, err)
		}
		if c := p.Self().BootCap(1); c.Handle() != p.Self().Start().Console {
			t.Error("behind what it was given the child has no console")
		}
		return 0
	})
	q := &exec.Request{Name: "own", Length: 100, Frames: 24, Flags: exec.FlagHold | exec.FlagConsole}
	id, pid, err := r.session.Spawn(r.ctx, q, r.sealed(t, true))
	if err != nil || pid != 0 {
		t.Fatal(id, pid, err)
	}
	if i, err := r.session.Give(r.ctx, id, ipc.MoveSend(give), abi.RightSend); i != 0 || err != nil {
		t.Fatal(i, err)
	}
	if _, err := r.session.Start(r.ctx, id); err != nil {
		t.Fatal(err)
	}
	if e, err := r.session.Wait(r.ctx, id); err != nil || e.Status != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := r.session.Start(r.ctx, id); err != ipc.StatusNotFound {
		t.Errorf("started twice: %v", err)
	}
	r.Console.Await(r.ctx, "execd: elf load ok")
}

func TestKill(t *testing.T) {
	r := boot(t, grants)
	a, _ := r.spawn(t, request("a"))
	if err := r.session.Kill(r.ctx, a); err != nil {
		t.Fatal(err)
	}
	if e, err := r.session.Wait(r.ctx, a); err != nil || e.Status != abi.ExitKilled {
		t.Errorf("%+v, %v", e, err)
	}
	// One that is held is forgotten.
	q := request("b")
	q.Flags = exec.FlagHold
	b, _ := r.spawn(t, q)
	if err := r.session.Kill(r.ctx, b); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"kill of what was killed": r.session.Kill(r.ctx, a),
		"kill of what was held":   r.session.Kill(r.ctx, b),
		"kill of nothing":         r.session.Kill(r.ctx, 999),
	} {
		if err != ipc.StatusNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A child that ended badly is reported, one that was killed is not.
func TestCrashReport(t *testing.T) {
	r := boot(t, grants)
	q := request("bad")
	q.Flags = exec.FlagConsole
	id, pid := r.spawn(t, q)
	r.quit["bad"] <- 42
	if _, err := r.session.Wait(r.ctx, id); err != nil {
		t.Fatal(err)
	}
	r.Console.Await(r.ctx, fmt.Sprintf("execd: crash report pid=%d code=42 name=exec.bad", pid))
	q = request("good")
	q.Flags = exec.FlagConsole
	id, pid = r.spawn(t, q)
	r.quit["good"] <- 0
	if _, err := r.session.Wait(r.ctx, id); err != nil {
		t.Fatal(err)
	}
	r.Console.Await(r.ctx, fmt.Sprintf("execd: child exited pid=%d code=0 name=exec.good", pid))
	q = request("killed")
	q.Flags = exec.FlagConsole
	id, _ = r.spawn(t, q)
	r.session.Kill(r.ctx, id)
	if _, err := r.session.Wait(r.ctx, id); err != nil {
		t.Fatal(err)
	}
	for _, l := range r.Console.Lines() {
		if strings.Contains(l, "exec.killed") {
			t.Errorf("a child that was killed is reported: %q", l)
		}
	}
}

// The session ends with the process that opened it, or when that closes it, and its
// children with the session.
func TestSessionEnds(t *testing.T) {
	r := boot(t, grants)
	gone := make(chan string, 8)
	for _, name := range []string{"a", "b"} {
		r.Kernel.Program(exec.Prefix+name, func(p *ipctest.Process) int {
			go func() { <-p.Done(); gone <- name }()
			n, _ := p.Self().NewNotification()
			ipc.WaitBits(context.Background(), n)
			return 0
		})
	}
	wait := func(name string) {
		t.Helper()
		select {
		case got := <-gone:
			if got != name {
				t.Errorf("%s has ended, not %s", got, name)
			}
		case <-r.ctx.Done():
			t.Fatalf("%s lives on", name)
		}
	}
	r.spawnOnly(t, "a")
	if _, err := exec.Open(r.ctx, r.env.Process, r.client); err != ipc.StatusInvalidArgs {
		t.Errorf("second session of a process: %v", err)
	}
	if err := r.session.Close(r.ctx); err != nil {
		t.Fatal(err)
	}
	wait("a")
	if _, err := r.session.Wait(r.ctx, 0); err != ipc.StatusNotFound {
		t.Errorf("wait in a session that was closed: %v", err)
	}
	// The same process can open another one.
	var err error
	if r.session, err = exec.Open(r.ctx, r.env.Process, r.client); err != nil {
		t.Fatal(err)
	}
	r.spawnOnly(t, "b")
	// It dies. (Everything of a process that has ended ends here with it.)
	r.Kernel.Find("client").Exit(1)
	wait("b")
}

// When execd ends, so do all children; clients are told, and served again.
func TestExecdEnds(t *testing.T) {
	r := boot(t, grants)
	ended := make(chan struct{})
	r.Kernel.Program("exec.a", func(p *ipctest.Process) int {
		go func() { <-p.Done(); close(ended) }()
		n, _ := p.Self().NewNotification()
		ipc.WaitBits(context.Background(), n)
		return 0
	})
	id := r.spawnOnly(t, "a")
	waited := make(chan error, 1)
	go func() {
		_, err := r.session.Wait(r.ctx, id)
		waited <- err
	}()
	r.Kernel.Find("execd").Exit(1)
	select {
	case <-ended:
	case <-r.ctx.Done():
		t.Fatal("a child of execd lives on without it")
	}
	if err := <-waited; err != ipc.ErrClosed {
		t.Errorf("the wait of a client: %v", err)
	}
	remote := r.env.Dial("execd", exec.Protocol)
	c, err := remote.Client(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r.session, err = exec.Open(r.ctx, r.env.Process, c); err != nil {
		t.Fatal(err)
	}
	id, _ = r.spawn(t, request("again"))
	r.quit["again"] <- 5
	if e, err := r.session.Wait(r.ctx, id); err != nil || e.Status != 5 {
		t.Errorf("%+v, %v", e, err)
	}
}

// spawnOnly starts a child whose program is set already.
func (r *rig) spawnOnly(t *testing.T, name string) uint32 {
	t.Helper()
	id, _, err := r.session.Spawn(r.ctx, request(name), exec.Program{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}
