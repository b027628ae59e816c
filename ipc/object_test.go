//go:build !tamago

package ipc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

func TestNotificationWakesAndCollectsBits(t *testing.T) {
	p := ipctest.New(io.Discard).Boot("p").Self()
	n, err := p.NewNotification()
	if err != nil {
		t.Fatal(err)
	}
	go ipc.Set(ipc.NarrowSignal(n), 4)
	if bits, err := ipc.WaitBits(bg, n); bits != 4 || err != nil {
		t.Fatal(bits, err)
	}
	ipc.Set(n, 1)
	ipc.Set(n, 2)
	if bits, err := ipc.WaitBits(bg, n); bits != 3 || err != nil {
		t.Fatal(bits, err)
	}
	ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
	defer cancel()
	if bits, err := ipc.WaitBits(ctx, n); bits != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(bits, err)
	}
	if err := ipc.CloseListen(n); err != nil {
		t.Fatal(err)
	}
	if err := ipc.Set(n, 1); err != ipc.ErrBadHandle {
		t.Fatal(err)
	}
}

func TestTimerFiresOnce(t *testing.T) {
	p := ipctest.New(io.Discard).Boot("p").Self()
	n, _ := p.NewNotification()
	tm, err := ipc.NewTimer(n, 8)
	if err != nil {
		t.Fatal(err)
	}
	start := p.Now()
	tm.Set(start + 5e6)
	if bits, err := ipc.WaitBits(bg, n); bits != 8 || err != nil || p.Now() < start+5e6 {
		t.Fatal(bits, err)
	}
	tm.Set(p.Now() + 1e6)
	tm.Set(0)
	ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
	defer cancel()
	if bits, err := ipc.WaitBits(ctx, n); err == nil {
		t.Fatal("disarmed timer fired", bits)
	}
}

func TestVMO(t *testing.T) {
	p := ipctest.New(io.Discard).Boot("p").Self()
	v, err := p.NewVMO(100)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := v.Info(); err != nil || info.Kind != abi.KindVMO || info.Size != abi.PageSize {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := ipc.WriteVMO(v, 10, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	ro, err := ipc.DeriveRead(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ipc.Map(ro, 0, abi.PageSize)
	if err != nil || !bytes.Equal(b[10:15], []byte("hello")) {
		t.Fatal(err)
	}
	if err := p.Unmap(b); err != nil {
		t.Fatal(err)
	}
	if err := ipc.ReadVMO(ro, abi.PageSize-1, make([]byte, 2)); err != ipc.ErrInvalid {
		t.Fatalf("past the end: %v", err)
	}
	// The kernel checks what the compiler checks.
	wide, err := p.Adopt(ro.Handle()).Program()
	if err != ipc.ErrPermission || wide.Valid() {
		t.Fatalf("read-only memory as a program: %v", err)
	}
	if _, err := ro.Info(); err != ipc.ErrBadHandle {
		t.Fatalf("the refused capability was not closed: %v", err)
	}
}

func TestRevokeReachesEveryProcess(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, 1)
	if _, err := c.Call(bg, opEcho, nil, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ep.Revoke(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := c.Call(bg, opEcho, nil, nil); err != ipc.ErrBadHandle {
		t.Fatal(err)
	}
}

func TestSpawnWatchKill(t *testing.T) {
	k := ipctest.New(io.Discard)
	root := k.Boot("root", []byte("program"))
	quit := make(chan struct{})
	k.Program("child", func(p *ipctest.Process) int { <-quit; return 7 })
	spawner, err := root.Self().BootCap(0).Spawner()
	if err != nil {
		t.Fatal(err)
	}
	prog, err := root.Self().BootCap(2).Program()
	if err != nil {
		t.Fatal(err)
	}
	spec := &ipc.SpawnSpec{Name: "child", Program: prog, Length: 7, Frames: 10}
	child, err := spawner.Spawn(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spawner.Spawn(spec); !errors.Is(err, ipc.ErrExists) {
		t.Fatalf("second child of that name: %v", err)
	}
	n, _ := root.Self().NewNotification()
	if err := ipc.Watch(child, n, 2); err != nil {
		t.Fatal(err)
	}
	close(quit)
	if bits, err := ipc.WaitBits(bg, n); bits != 2 || err != nil {
		t.Fatal(bits, err)
	}
	if s, err := child.State(); err != nil || s.Alive || s.Status != 7 || s.Budget != 10 {
		t.Fatalf("%+v %v", s, err)
	}
	if err := child.Kill(); err != ipc.ErrNoEntry {
		t.Fatal(err)
	}
	quit = make(chan struct{})
	second, err := spawner.Spawn(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	if s, _ := second.State(); s.Alive || s.Status != abi.ExitKilled {
		t.Fatalf("%+v", s)
	}
}

func TestErrorsOfTheKernel(t *testing.T) {
	for e := abi.EPERM; e <= abi.ESEALED; e++ {
		err := ipc.FromErrno(e)
		var k *ipc.Error
		if !errors.As(fmt.Errorf("tried: %w", err), &k) || k.Errno != e || err != ipc.FromErrno(e) {
			t.Errorf("%d: %v", e, err)
		}
	}
	if ipc.FromErrno(abi.OK) != nil {
		t.Error("OK is an error")
	}
	if !errors.Is(ipc.ErrTimedOut, context.DeadlineExceeded) || !errors.Is(ipc.ErrCanceled, context.Canceled) {
		t.Error("context errors do not match")
	}
	if errors.Is(ipc.ErrClosed, context.Canceled) || errors.Is(ipc.ErrTimedOut, context.Canceled) {
		t.Error("errors match too much")
	}
}
