//go:build !tamago

package ipc_test

import (
	"io"
	"testing"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/ipc/ipctest"
)

func TestProgram(t *testing.T) {
	k := ipctest.New(io.Discard)
	root := k.Boot("root")
	k.Program("child", func(p *ipctest.Process) int { return 3 })
	spawner, err := root.Self().BootCap(0).Spawner()
	if err != nil {
		t.Fatal(err)
	}
	v, err := root.Self().NewVMO(100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ipc.Program(spawner, v); err != ipc.ErrWritable {
		t.Fatalf("memory that can be written: %v", err)
	}
	if err := ipc.Seal(v); err != nil {
		t.Fatal(err)
	}
	prog, err := ipc.Program(spawner, v)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := prog.Info(); err != nil || info.Rights != abi.RightRead|abi.RightExec|abi.RightGrant || !info.Sealed {
		t.Fatalf("%+v, %v", info, err)
	}
	child, err := spawner.Spawn(&ipc.SpawnSpec{Name: "child", Program: prog, Length: 100, Frames: 10})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := root.Self().NewNotification()
	if err := ipc.Watch(child, n, 1); err != nil {
		t.Fatal(err)
	}
	ipc.WaitBits(bg, n)
	if s, err := child.State(); err != nil || s.Status != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	// What was derived ends with what it was derived from.
	if n, err := v.Revoke(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := prog.Info(); err != ipc.ErrBadHandle {
		t.Fatal(err)
	}
}

// A process ends with the last capability to it, and what it had with it.
func TestOrphan(t *testing.T) {
	k := ipctest.New(io.Discard)
	root := k.Boot("root", []byte("program"))
	started := make(chan *ipctest.Process)
	k.Program("child", func(p *ipctest.Process) int {
		started <- p
		n, _ := p.Self().NewNotification()
		ipc.WaitBits(bg, n)
		return 0
	})
	spawner, _ := root.Self().BootCap(0).Spawner()
	prog, _ := root.Self().BootCap(2).Program()
	child, err := spawner.Spawn(&ipc.SpawnSpec{Name: "child", Program: prog, Length: 7, Frames: 10})
	if err != nil {
		t.Fatal(err)
	}
	p := <-started
	child.Close()
	<-p.Done()
	if got := p.Status(); got != abi.ExitKilled {
		t.Errorf("it ended with %d", got)
	}
}
