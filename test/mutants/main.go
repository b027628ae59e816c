// Mutants plants faults in copies of the source, one at a time, and sees whether
// the tests catch each:
//
//	mutants [-j 2] [-run regexp] [-host]
//
// A mutant is a file patches/NAME.patch: a sentence that says what it breaks, a
// line that says which check must see it, and a patch:
//
//	Check: host ./kernel/elf TestRejectWX
//	Check: ladder SELFTEST: rights narrow ok
//	Check: ladder 2 KSELFTEST: work stealing ok
//	Check: target 4 runtime/goos TestStopTheWorld
//	Check: soak fuzz
//
// A host check is caught if that test fails, a ladder check if that marker is not
// proven any more on a machine of so many harts, or of one, a target check if that test of the standard library fails in a process
// on so many harts, a soak check if a short soak fails, in that part or before it;
// anything else, a compile error included, is not a catch. All
// checks must pass on the unchanged source first. The exit status is 0 if every
// mutant was caught.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx))
}

func run(ctx context.Context) int {
	workers := flag.Int("j", 2, "mutants at a time")
	pattern := flag.String("run", "", "only mutants whose name matches")
	host := flag.Bool("host", false, "only mutants that a test on this machine must see")
	dir := flag.String("dir", "test/mutants/patches", "folder of the mutants")
	flag.Parse()
	match, err := regexp.Compile(*pattern)
	if err != nil {
		return usage(err)
	}
	all, err := readMutants(*dir)
	if err != nil {
		return usage(err)
	}
	var mutants []*mutant
	for _, m := range all {
		if match.MatchString(m.name) && (!*host || m.check.onHost()) {
			mutants = append(mutants, m)
		}
	}
	if len(mutants) == 0 || *workers < 1 {
		return usage(fmt.Errorf("no mutants in %s match %q", *dir, *pattern))
	}
	start := time.Now()
	trees, err := copyTrees(ctx, min(*workers, len(mutants)))
	defer removeTrees(trees)
	if err != nil {
		return usage(err)
	}
	if err := trees[0].control(ctx, mutants); err != nil {
		return usage(fmt.Errorf("the unchanged source does not pass: %w", err))
	}
	fmt.Printf("the unchanged source passes every check (%.0f s)\n", time.Since(start).Seconds())
	caught, failed := try(ctx, trees, mutants)
	fmt.Printf("%d mutants caught, %d not, in %.0f s\n", caught, failed, time.Since(start).Seconds())
	if failed > 0 {
		return 1
	}
	return 0
}

func usage(err error) int {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	return 2
}

// try runs the mutants, as many at a time as there are trees.
func try(ctx context.Context, trees []tree, mutants []*mutant) (caught, failed int) {
	work := make(chan *mutant)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, t := range trees {
		wg.Go(func() {
			for m := range work {
				start := time.Now()
				err := t.try(ctx, m)
				mu.Lock()
				if err == nil {
					caught++
					fmt.Printf("caught   %-28s %5.1fs  %s\n", m.name, time.Since(start).Seconds(), m.what)
				} else {
					failed++
					fmt.Printf("%v\n         %-28s %5.1fs  %s\n", err, m.name, time.Since(start).Seconds(), m.what)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range mutants {
		work <- m
	}
	close(work)
	wg.Wait()
	return caught, failed
}
