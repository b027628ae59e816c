package selftest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// parallelProofs are about a process with several kernel threads: the client has
// them where the machine has harts for them.
var parallelProofs = []proof{
	{"goroutines parallel", parallelGoroutines},
	{"gc beside spinners", collectBesideSpinners},
}

// turnNS is how long a thread runs before the kernel gives its hart to another one
// that is ready.
const turnNS = time.Millisecond

// parallelGoroutines has two goroutines pass a turn to and fro in memory without ever
// making way for each other: on one hart each pass would take a time slice. A hundred
// passes that take far less show them on two harts at the same time.
func parallelGoroutines(ctx context.Context, _ *tester) error {
	const passes = 100
	var turn atomic.Int64
	var seen atomic.Bool
	play := func(me int64) {
		for n, from := 0, time.Now(); !seen.Load() && ctx.Err() == nil; {
			if v := turn.Load(); v%2 == me {
				turn.Store(v + 1)
				n++
			}
			if n == passes {
				if time.Since(from) < passes*turnNS/2 {
					seen.Store(true)
				}
				n, from = 0, time.Now()
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { play(0) })
	wg.Go(func() { play(1) })
	wg.Wait()
	if !seen.Load() {
		return errors.New("no two goroutines ran at the same time")
	}
	return nil
}

// collectBesideSpinners collects garbage, for which all goroutines must stop, while
// one on each hart loops without a call.
func collectBesideSpinners(ctx context.Context, _ *tester) error {
	const collections = 5
	var stop atomic.Bool // loaded without a call, on the target
	var spun [64]uint64
	var wg sync.WaitGroup
	n := min(runtime.GOMAXPROCS(0), len(spun))
	for i := range n {
		wg.Go(func() {
			for !stop.Load() {
				spun[i]++
			}
		})
	}
	done := make(chan struct{})
	go func() {
		for range collections {
			runtime.GC()
		}
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.New("the world does not stop beside goroutines that loop")
	}
	stop.Store(true)
	wg.Wait()
	for i := range n {
		if spun[i] == 0 {
			err = errors.Join(err, errors.New("a goroutine did not run"))
		}
	}
	return err
}
