package virt

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a Goldfish clock that latches the high half of its time when the low half is
// read, and a time CSR: both go on by step with each access.
type clock struct {
	wall, now, step int64
	high            uint32
}

func (c *clock) tick() { c.wall, c.now = c.wall+c.step, c.now+c.step }

func (c *clock) load(offset uint32) uint32 {
	defer c.tick()
	switch offset {
	case rtcTimeLow:
		c.high = uint32(c.wall >> 32)
		return uint32(c.wall)
	case rtcTimeHigh:
		return c.high
	}
	return 0xbad
}

func (c *clock) time() int64 { defer c.tick(); return c.now }

func TestWallAtZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zero := rapid.Int64Range(1, lastWall-1e12).Draw(t, "wall at zero")
		up := rapid.Int64Range(0, 1e11).Draw(t, "since power-on")
		step := rapid.Int64Range(0, 1e6).Draw(t, "time of an access")
		c := clock{wall: zero + up, now: up, step: step}
		// The clock is read in the first half of what is measured.
		if got := wallAtZero(c.load, c.time); got > zero || got < zero-2*step {
			t.Fatalf("%d, want %d", got, zero)
		}
	})
	if got := time.Unix(0, lastWall).UTC(); got != time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("last wall-clock time is %v", got)
	}
	// A carry from the low to the high half between the two reads.
	c := clock{wall: 0x17ffffffffffffff, now: 5000, step: 100}
	if got := wallAtZero(c.load, c.time); got < 0x17ffffffffffffff-5300 || got > 0x17ffffffffffffff-5000 {
		t.Errorf("%#x with a carry", got)
	}
}

// What is no time that can be is none, and never one that overflows later.
func TestRejectClock(t *testing.T) {
	for _, c := range []clock{
		{wall: 0}, // not running
		{wall: 0, now: 5e9},
		{wall: 5e9, now: 5e9}, // set to 1970 at power-on
		{wall: lastWall + 1},
		{wall: math.MaxInt64},
		{wall: -1}, // all ones: no device
	} {
		if got := wallAtZero(c.load, c.time); got != 0 {
			t.Errorf("clock %d at %d ns: %v", c.wall, c.now, time.Unix(0, got))
		}
	}
}
