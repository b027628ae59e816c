//go:build tamago && riscv64 && nexusproc

// What a process has that no package of the standard library tests: faults as
// panics, preemption, collection within the budget, and waiting for the kernel.

package goos_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/goos"
	"strings"
	"testing"
	"time"
	"unsafe"
)

//go:linkname slotNew runtime.nexus_slotNew
func slotNew() uint64

//go:linkname slotFree runtime.nexus_slotFree
func slotFree(key uint64)

//go:linkname ipc runtime.nexus_ipc
func ipc(key, num uint64, r *goos.Regs)

//go:linkname wait runtime.nexus_wait
func wait(key uint64, r *goos.Regs)

//go:linkname cancelled runtime.nexus_cancelled
func cancelled(key uint64) bool

//go:linkname cancelWait runtime.nexus_cancelWait
func cancelWait(key uint64) bool

//go:linkname nanotime runtime.nanotime
func nanotime() int64

//go:linkname syscall runtime.nexus_syscall
func syscall(num uint64, r *goos.Regs)

// System calls of the tests alone, and what they return.
const (
	sysCancel             = 7
	sysNotify             = 8
	sysEndpointCreate     = 9
	sysNotificationCreate = 10
	sysTimerCreate        = 11
	sysTimerSet           = 12
	sysCapClose           = 14

	errClosed   = 12
	errCanceled = 13
)

// maxSlots is how many slots a process may have.
const maxSlots = 4096

func do(t *testing.T, num uint64, a ...uint64) uint64 {
	t.Helper()
	var r goos.Regs
	copy(r.A[:], a)
	syscall(num, &r)
	if int64(r.A[0]) < 0 {
		t.Fatalf("system call %d(%x): error %d", num, a, -int64(r.A[0]))
	}
	return r.A[0]
}

// fault runs f, which must panic with a runtime.Error, and returns its text.
func fault(t *testing.T, f func()) (text string) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		err, _ := recover().(error)
		var re runtime.Error
		if !errors.As(err, &re) {
			t.Fatalf("recovered %v, not a runtime.Error", err)
		}
		text = re.Error()
	}()
	f()
	t.Fatal("no fault")
	return ""
}

type big struct{ field [1000]int }

var (
	null    *big
	nofunc  func()
	sink    int
	counter int
)

func TestFaultsArePanics(t *testing.T) {
	for i := range 3 { // a handler that is not ready again would end the process
		tests := []struct {
			name string
			f    func()
			want string
		}{
			{"load", func() { sink = null.field[0] }, "nil pointer"},
			{"load behind the first page", func() { sink = null.field[600] }, "nil pointer"},
			{"store", func() { null.field[1] = 1 }, "nil pointer"},
			{"call", func() { nofunc() }, "nil pointer"},
			{"unmapped", func() { sink = *(*int)(unsafe.Pointer(uintptr(0x30_0000_0000 + i))) }, "invalid memory address"},
			{"kernel", func() { sink = *(*int)(unsafe.Pointer(uintptr(0x8020_0000))) }, "invalid memory address"},
			{"read-only", func() { *unsafe.StringData("constant") = 1 }, "invalid memory address"},
			{"breakpoint", runtime.Breakpoint, "breakpoint"},
		}
		for _, tt := range tests {
			if got := fault(t, tt.f); !strings.Contains(got, tt.want) {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
		}
	}
}

// TestPreemption: a loop that calls nothing lets others run.
func TestPreemption(t *testing.T) {
	stop := false
	done := make(chan float64)
	go func() {
		x := 1.0
		for !stop {
			x = x*1.0000001 + 1
			counter++
		}
		done <- x
	}()
	for range 3 {
		time.Sleep(time.Millisecond)
	}
	stop = true
	<-done
}

// TestGarbage makes far more garbage than the process may have memory.
func TestGarbage(t *testing.T) {
	limit := debug.SetMemoryLimit(-1)
	if limit <= 0 || limit > 1<<32 {
		t.Fatalf("memory limit %d does not come from a budget", limit)
	}
	for made := int64(0); made < 2*limit; made += 256 << 10 {
		b := make([]byte, 256<<10)
		b[0] = 1
		sink += len(b)
	}
}

func TestStart(t *testing.T) {
	if len(os.Args) == 0 || os.Args[0] == "" || os.Getpid() <= 0 {
		t.Errorf("args %q, pid %d", os.Args, os.Getpid())
	}
	var a, b, zero [64]byte
	rand.Read(a[:])
	rand.Read(b[:])
	if a == b || a == zero || bytes.Contains(a[:], goos.Page.Seed[:8]) {
		t.Error("crypto/rand repeats itself or the seed")
	}
	from := time.Now()
	time.Sleep(3 * time.Millisecond)
	if d := time.Since(from); d < 3*time.Millisecond {
		t.Errorf("slept %v", d)
	}
}

func TestRejectSlots(t *testing.T) {
	var keys []uint64
	for {
		key := slotNew()
		if key == 0 {
			break
		}
		keys = append(keys, key)
	}
	if len(keys) > maxSlots || len(keys) < maxSlots-64 {
		t.Errorf("%d slots, want nearly %d", len(keys), maxSlots)
	}
	for _, key := range keys {
		slotFree(key)
	}
	again := slotNew()
	defer slotFree(again)
	for _, key := range []uint64{0, keys[len(keys)-1], again + 1<<32, again | 1<<31, ^uint64(0)} {
		slotFree(key) // does nothing
		var r goos.Regs
		if ipc(key, goos.SysWait, &r); int64(r.A[0]) != -goos.EINVAL {
			t.Errorf("key %#x: a0 = %d, want EINVAL", key, int64(r.A[0]))
		}
	}
	if again == 0 || again == keys[len(keys)-1] {
		t.Errorf("slot %#x was given out with its old key", again)
	}
}

// TestNotification: bits collect while nobody waits, and wake who does.
func TestNotification(t *testing.T) {
	key := slotNew()
	defer slotFree(key)
	n := do(t, sysNotificationCreate, key)
	defer do(t, sysCapClose, n)
	do(t, sysNotify, n, 1)
	do(t, sysNotify, n, 4)
	var r goos.Regs
	for got := uint64(0); got != 5; got |= r.A[2] { // another M may have taken the first bit alone
		if wait(key, &r); r.A[0] != goos.EventNotify || r.A[1] != key || r.A[2]&^5 != 0 || r.A[2]&got != 0 {
			t.Fatalf("event %x", r.A)
		}
	}
	go func() {
		time.Sleep(time.Millisecond)
		do(t, sysNotify, n, 8)
	}()
	if wait(key, &r); r.A[0] != goos.EventNotify || r.A[2] != 8 {
		t.Errorf("event %x", r.A)
	}
}

// TestMain takes away the time limit of package testing, which is a timer: with one, a
// wait looks for others that can run, whether or not it sees that there are any. Who
// starts the machine has a limit of its own.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.timeout", "0"); err != nil {
		panic(err)
	}
	m.Run()
}

// TestWaitBesideOthers: a goroutine that waits for what another one of the process is
// to do lets that run, wherever the scheduler has it.
func TestWaitBesideOthers(t *testing.T) {
	key := slotNew()
	defer slotFree(key)
	n := do(t, sysNotificationCreate, key)
	defer do(t, sysCapClose, n)
	signal := func() { do(t, sysNotify, n, 1) }
	// A timer of the kernel ends a wait in vain; one of the process would prevent it.
	late := do(t, sysTimerCreate, n, 2)
	defer do(t, sysCapClose, late)
	for _, c := range []struct {
		where string
		start func()
	}{
		{"asleep", func() {
			go func() {
				time.Sleep(5 * time.Millisecond)
				signal()
			}()
			runtime.Gosched()
		}},
		{"in the queue of a processor", func() { go signal() }},
		{"in the queue of all", func() {
			here := make(chan bool)
			go func() {
				here <- true
				runtime.Gosched() // behind this one, which became ready before
				signal()
			}()
			<-here
		}},
	} {
		runtime.Gosched() // nobody is left of what was before
		do(t, sysTimerSet, late, uint64(nanotime()+int64(5*time.Second)))
		c.start()
		var r goos.Regs
		if wait(key, &r); r.A[0] != goos.EventNotify || r.A[1] != key || r.A[2] != 1 {
			t.Errorf("%s: event %x", c.where, r.A)
		}
	}
}

// TestEventBesidePreemption: an event that the scheduler collects while the goroutine
// that wants it is made to let others run, just before it waits, is not lost.
func TestEventBesidePreemption(t *testing.T) {
	// The scheduler collects only for goroutines that are parked.
	parked := slotNew()
	m := do(t, sysNotificationCreate, parked)
	defer slotFree(parked)
	defer do(t, sysCapClose, m)
	done := make(chan bool)
	go func() {
		var r goos.Regs
		wait(parked, &r)
		done <- true
	}()
	key := slotNew()
	n := do(t, sysNotificationCreate, key)
	defer slotFree(key)
	defer do(t, sysCapClose, n)
	const lasts, late = 2 * time.Second, 12 * time.Second
	// Who waits in the kernel for what is in its slot already goes on at the next timer.
	timer := time.AfterFunc(late, func() {})
	defer timer.Stop()
	from := time.Now()
	for time.Since(from) < lasts {
		var r goos.Regs
		do(t, sysNotify, n, 1)
		if wait(key, &r); r.A[2] != 1 {
			t.Fatalf("event %x: not the one that had come before", r.A)
		}
	}
	if time.Since(from) >= late {
		t.Error("an event that had come before the wait was not seen")
	}
	do(t, sysNotify, m, 1)
	<-done
}

// TestCalls has goroutines of one process call another of it, so that every
// call parks, with others that run in between.
func TestCalls(t *testing.T) {
	const clients, calls = 5, 50
	ep := do(t, sysEndpointCreate, clients, 64)
	serverKey := slotNew()
	served := make(chan int)
	go func() {
		n := 0
		var r goos.Regs
		num := uint64(goos.SysWait)
		for {
			r.A[1] &= 1<<32 - 1
			r.A[2], r.A[3], r.A[4], r.A[5], r.A[6], r.S10 = ep, 0, 0, 0, 0, serverKey
			ipc(serverKey, num, &r)
			if r.A[0] != goos.EventRequest {
				t.Errorf("server: event %x", r.A)
				break
			}
			right, last := r.A[4], r.Data[0] == ^uint64(0)
			n++
			r.A[0], r.A[1] = right, 64
			r.Data[0]++
			num = goos.SysReply
			if last {
				do(t, num, right, goos.FlagNoWait|8)
				break
			}
		}
		do(t, sysCapClose, ep)
		slotFree(serverKey)
		served <- n
	}()
	done := make(chan bool)
	for c := range clients {
		go func() {
			key := slotNew()
			for i := range calls {
				var r goos.Regs
				r.A[0], r.A[1], r.A[2] = ep, 64, key
				r.Data[0] = uint64(c*1000 + i)
				if ipc(key, goos.SysCall, &r); r.A[0] != goos.EventReply || r.A[2] != 0 || r.Data[0] != uint64(c*1000+i+1) {
					t.Errorf("client %d: event %x, data %d", c, r.A, r.Data[0])
				}
			}
			slotFree(key)
			done <- true
		}()
	}
	for range clients {
		<-done
	}
	key := slotNew()
	defer slotFree(key)
	var r goos.Regs
	r.A[0], r.A[1], r.A[2], r.Data[0] = ep, 64, key, ^uint64(0)
	if ipc(key, goos.SysCall, &r); r.A[0] != goos.EventReply || r.A[2] != 0 {
		t.Errorf("last call: event %x", r.A)
	}
	if n := <-served; n != clients*calls+1 {
		t.Errorf("%d calls served, want %d", n, clients*calls+1)
	}
	r = goos.Regs{}
	r.A[0], r.A[2] = ep, key
	if ipc(key, goos.SysCall, &r); int64(r.A[0]) >= 0 {
		t.Errorf("call of a closed endpoint: event %x", r.A)
	}
}

// TestClose: a call that waits for its server ends when the endpoint is closed.
func TestClose(t *testing.T) {
	const longest = 10 * time.Second
	for pause := time.Millisecond; pause < longest; pause *= 2 {
		ep := do(t, sysEndpointCreate, 1, 64)
		key := slotNew()
		ended := make(chan goos.Regs)
		go func() {
			var r goos.Regs
			r.A[0], r.A[1], r.A[2] = ep, 8, key
			ipc(key, goos.SysCall, &r)
			ended <- r
		}()
		time.Sleep(pause)
		do(t, sysCapClose, ep)
		r := <-ended
		slotFree(key)
		if int64(r.A[0]) < 0 {
			continue // it was closed before the call, on a slow machine
		}
		if r.A[0] != goos.EventReply || r.A[2] != errClosed {
			t.Errorf("the call ended with %x", r.A)
		}
		return
	}
	t.Error("no call was made")
}

// TestCancel: a call that is given up ends for its caller, and its server hears of it.
func TestCancel(t *testing.T) {
	ep := do(t, sysEndpointCreate, 1, 64)
	defer do(t, sysCapClose, ep)
	server, client := slotNew(), slotNew()
	defer slotFree(server)
	defer slotFree(client)
	ended := make(chan uint64)
	go func() {
		var r goos.Regs
		r.A[0], r.A[1], r.A[2] = ep, 8, client
		ipc(client, goos.SysCall, &r)
		ended <- r.A[2]
	}()
	var r goos.Regs
	r.A[2], r.S10 = ep, server
	if ipc(server, goos.SysWait, &r); r.A[0] != goos.EventRequest {
		t.Fatalf("event %x", r.A)
	}
	if cancelled(server) {
		t.Error("cancelled before it was")
	}
	go func() {
		time.Sleep(time.Millisecond)
		do(t, sysCancel, 0, 0, client)
	}()
	if !cancelWait(server) || !cancelled(server) {
		t.Error("the server was not told")
	}
	if errno := <-ended; errno != errCanceled {
		t.Errorf("the call ended with %d", errno)
	}
}
