package selftest

import (
	"context"
	"fmt"
	"time"
)

// clockProofs take a board whose clock said at power-on what the tester was told.
var clockProofs = []proof{{"wall clock", wallClock}}

// wallClock: package time has the date of the board's clock from the first instruction
// on, and goes on from there without ever going back.
func wallClock(_ context.Context, t *tester) error {
	const late = time.Second // from the clock's start to that of the time CSR, and back
	now, up := time.Now(), time.Duration(t.env.Process.Now())
	if d := now.Add(-up).Sub(t.date); d.Abs() > late {
		return fmt.Errorf("%v, %v after power-on: that was %v from %v", now, up, d, t.date)
	}
	last := now.UnixNano()
	for range 10_000 {
		now := time.Now().UnixNano()
		if now < last {
			return fmt.Errorf("%v after %v", time.Unix(0, now), time.Unix(0, last))
		}
		last = now
	}
	return nil
}
