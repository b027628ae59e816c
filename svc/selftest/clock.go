package selftest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// clockProofs take a board whose clock said at power-on what the tester was told.
var clockProofs = []proof{{"wall clock", wallClock}, {"time zones", timeZones}}

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

// timeZones: any service knows the time of day anywhere, summer or winter, and that there
// are no other places.
func timeZones(_ context.Context, t *tester) error {
	const format = "2006-01-02 15:04:05 MST"
	for _, w := range []struct{ zone, local, winter string }{
		{"UTC", "2031-05-06 07:08:09 UTC", "2031-12-06 07:08:09 UTC"},
		{"Europe/Berlin", "2031-05-06 09:08:09 CEST", "2031-12-06 08:08:09 CET"},
		{"America/New_York", "2031-05-06 03:08:09 EDT", "2031-12-06 02:08:09 EST"},
		{"Asia/Kolkata", "2031-05-06 12:38:09 IST", "2031-12-06 12:38:09 IST"},
		{"Pacific/Auckland", "2031-05-06 19:08:09 NZST", "2031-12-06 20:08:09 NZDT"},
	} {
		zone, err := time.LoadLocation(w.zone)
		if err != nil {
			return err
		}
		date := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
		if err := errors.Join(want(w.zone, date.In(zone).Format(format), w.local),
			want(w.zone, date.AddDate(0, 7, 0).In(zone).Format(format), w.winter)); err != nil {
			return err
		}
	}
	for _, none := range []string{"Europe/Nowhere", "../UTC", "europe/berlin/"} {
		if zone, err := time.LoadLocation(none); err == nil {
			return fmt.Errorf("%q is %v", none, zone)
		}
	}
	return want("local time", t.date.Local().Format(time.DateTime), t.date.Format(time.DateTime))
}
