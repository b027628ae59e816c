//go:build tamago && riscv64 && nexusproc

// What changes with the number of harts that a process may use: GOMAXPROCS in its
// environment. Every test here also has to pass with one.

package goos_test

import (
	"hash/crc32"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/goos"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slice is how long a thread runs before another that is ready gets its hart.
const slice = time.Millisecond

// TestGOMAXPROCS: the environment asks, and the number of harts is the limit, also of
// what the program asks for later.
func TestGOMAXPROCS(t *testing.T) {
	asked, err := strconv.Atoi(os.Getenv("GOMAXPROCS"))
	if err != nil {
		asked = 1
	}
	want := min(asked, int(goos.Page.Harts))
	if n, cpus := runtime.GOMAXPROCS(0), runtime.NumCPU(); n != want || cpus != want {
		t.Errorf("GOMAXPROCS is %d and NumCPU %d with %d harts, want %d", n, cpus, goos.Page.Harts, want)
	}
	defer runtime.GOMAXPROCS(want)
	for _, n := range []int{1, want + 1, 1000} {
		runtime.GOMAXPROCS(n)
		if got := runtime.GOMAXPROCS(0); got != min(n, want) {
			t.Errorf("after GOMAXPROCS(%d) it is %d, want %d", n, got, min(n, want))
		}
	}
	runtime.LockOSThread() // has nothing to lock, but must not get in the way
	defer runtime.UnlockOSThread()
	time.Sleep(time.Millisecond)
}

// TestParallel: two goroutines run at the same time. They pass a turn to and fro in
// memory without ever making way, so on one hart each pass takes a time slice.
func TestParallel(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("one hart")
	}
	const passes = 100
	var turn atomic.Int64
	var fast atomic.Bool
	play := func(me int64) {
		from := time.Now()
		for n := int64(1); !fast.Load(); {
			if v := turn.Load(); v%2 == me {
				turn.Store(v + 1)
				if n++; n%passes == 0 {
					if time.Since(from) < passes*slice/2 {
						fast.Store(true)
					}
					from = time.Now()
				}
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { play(0) })
	wg.Go(func() { play(1) })
	wg.Wait()
}

// spin starts n goroutines that loop without a call until stop is called.
func spin(n int) (stop func()) {
	var halt bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			x := 1.0
			for !halt {
				x = x*1.0000001 + 1
				counter++
			}
		})
	}
	return func() {
		halt = true
		wg.Wait()
	}
}

// TestStopTheWorld: the world stops, and starts again, while goroutines loop without
// a call, one on each hart.
func TestStopTheWorld(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	stop := spin(procs)
	defer stop()
	var stats runtime.MemStats
	for range 10 {
		runtime.GC()
		runtime.ReadMemStats(&stats)
		runtime.GOMAXPROCS(1)
		runtime.GOMAXPROCS(procs)
	}
	if n := stats.NumGC; n < 10 {
		t.Errorf("%d collections", n)
	}
}

// TestTimers: timers fire while goroutines that loop without a call keep all harts
// but the one that the test needs now and then.
func TestTimers(t *testing.T) {
	stop := spin(2 * runtime.GOMAXPROCS(0))
	defer stop()
	const timers, patience = 50, 10 * time.Second
	fired := make(chan bool, timers)
	for i := range timers {
		time.AfterFunc(time.Duration(i%10)*time.Millisecond, func() { fired <- true })
	}
	limit := time.After(patience)
	for range timers {
		select {
		case <-fired:
		case <-limit:
			t.Fatal("timers did not fire")
		}
	}
}

// node is what TestParallelGarbage allocates: the checksum is of the rest, and of
// what hangs below.
type node struct {
	left, right *node
	data        []byte
	sum         uint32
}

func tree(r *rand.Rand, depth int) *node {
	n := &node{data: make([]byte, 1+r.IntN(200))}
	for i := range n.data {
		n.data[i] = byte(r.Uint32())
	}
	if depth > 0 {
		n.left, n.right = tree(r, depth-1), tree(r, depth-1)
	}
	n.sum = n.check()
	return n
}

func (n *node) check() uint32 {
	sum := crc32.ChecksumIEEE(n.data)
	if n.left != nil {
		sum = sum*31 ^ n.left.check()*17 ^ n.right.check()
	}
	return sum
}

// TestParallelGarbage: what goroutines allocate side by side stays what it is while
// all of them make garbage, and others force collections and pass trees around.
func TestParallelGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	const rounds, depth = 60, 7
	workers := 2 * runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	trees := make(chan *node, workers)
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			kept := tree(r, depth)
			for range rounds {
				trees <- tree(r, depth)
				if n := <-trees; n.check() != n.sum {
					t.Error("another's tree has changed")
				}
				if kept.check() != kept.sum {
					t.Error("a tree has changed")
				}
			}
		})
	}
	for range 20 {
		runtime.GC()
	}
	wg.Wait()
}

// TestWakeups: goroutines on all harts pass tokens through channels and wait for each
// other in every way that parks: a wake-up that is lost ends the test by its time limit.
func TestWakeups(t *testing.T) {
	const rounds = 3000
	procs := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	ring := make([]chan int, 2*procs+1)
	for i := range ring {
		ring[i] = make(chan int)
	}
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	passed := 0
	for i := range ring {
		wg.Go(func() {
			for range rounds {
				n := <-ring[i]
				mu.Lock()
				passed++
				mu.Unlock()
				cond.Signal()
				if n++; n < rounds*len(ring) {
					ring[(i+1)%len(ring)] <- n
				}
			}
		})
	}
	wg.Go(func() {
		mu.Lock()
		for passed < rounds*len(ring) {
			cond.Wait()
		}
		mu.Unlock()
	})
	ring[0] <- 0
	wg.Wait()
}

// listen starts a goroutine that waits for bits of a new notification, as long as the
// test lasts. It returns the notification and what receives the bits.
func listen(t *testing.T) (notification uint64, bits chan uint64) {
	key := slotNew()
	notification = do(t, sysNotificationCreate, key)
	bits = make(chan uint64)
	go func() {
		defer slotFree(key)
		for {
			var r goos.Regs
			if wait(key, &r); r.A[2]&1 != 0 {
				return
			}
			bits <- r.A[2]
		}
	}()
	t.Cleanup(func() {
		do(t, sysNotify, notification, 1)
		do(t, sysCapClose, notification)
	})
	return notification, bits
}

// far is when a timer fires that a wait must not end with.
const far = 20 * time.Second

// compute takes time without making way.
func compute(d time.Duration) {
	for from := time.Now(); time.Since(from) < d; {
	}
}

// TestEarlierTimer: a thread that waits for events until a timer far away is made to
// wait for an earlier one that another thread sets.
func TestEarlierTimer(t *testing.T) {
	listen(t)
	timer := time.AfterFunc(far, func() {})
	defer timer.Stop()
	for range 20 {
		compute(3 * time.Millisecond)
		from := time.Now()
		time.Sleep(100 * time.Microsecond)
		if d := time.Since(from); d > far/2 {
			t.Fatalf("slept %v", d)
		}
	}
}

// TestCollectedBefore: a goroutine does not wait for what the scheduler, of this or of
// another thread, has collected for it before.
func TestCollectedBefore(t *testing.T) {
	mine, theirs := slotNew(), slotNew()
	n, m := do(t, sysNotificationCreate, mine), do(t, sysNotificationCreate, theirs)
	timer := time.AfterFunc(far, func() {})
	defer timer.Stop()
	next, woken := make(chan bool), atomic.Int64{}
	go func() {
		for range next {
			var r goos.Regs
			wait(theirs, &r)
			woken.Add(1)
		}
	}()
	for i := range int64(20) {
		next <- true
		compute(2 * time.Millisecond) // the other goroutine waits now
		do(t, sysNotify, n, 1)
		do(t, sysNotify, m, 1)
		for woken.Load() == i {
		}
		compute(time.Millisecond)
		from := time.Now()
		var r goos.Regs
		if wait(mine, &r); r.A[2] != 1 || time.Since(from) > far/2 {
			t.Fatalf("event %x after %v", r.A, time.Since(from))
		}
	}
	close(next)
	do(t, sysCapClose, n)
	do(t, sysCapClose, m)
	slotFree(mine)
	slotFree(theirs)
}

// TestBusyEvents: goroutines that loop without a call on all harts do not keep an
// event from the one that waits for it.
func TestBusyEvents(t *testing.T) {
	n, bits := listen(t)
	stop := spin(2 * runtime.GOMAXPROCS(0))
	defer stop()
	limit := time.After(20 * time.Second)
	for range 20 {
		do(t, sysNotify, n, 2)
		select {
		case <-bits:
		case <-limit:
			t.Fatal("the event did not arrive")
		}
	}
}

// TestIdle: a process that sleeps and is woken by its own timer alone, again and again,
// with other harts idle, wakes in time.
func TestIdle(t *testing.T) {
	for range 200 {
		from := time.Now()
		time.Sleep(200 * time.Microsecond)
		if d := time.Since(from); d > time.Second {
			t.Fatalf("slept %v", d)
		}
	}
}
