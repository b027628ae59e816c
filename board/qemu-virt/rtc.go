package virt

// Registers of the Goldfish clock. Reading the low half of the time takes the high half
// along.
const (
	rtcTimeLow  = 0x00
	rtcTimeHigh = 0x04
)

// lastWall is the latest time that a clock is believed, the year 2200 in ns since 1970:
// no machine runs from there until an int64 of ns is over.
const lastWall = 7_258_118_400_000_000_000

// wallAtZero reads the clock behind load, once, and returns the wall-clock time at which
// now, which counts ns since power-on, was zero: in ns since 1970, or 0 if the clock says
// nothing that can be true. What the read took is divided evenly between before and after.
func wallAtZero(load func(offset uint32) uint32, now func() int64) int64 {
	before := now()
	clock := uint64(load(rtcTimeLow))
	clock |= uint64(load(rtcTimeHigh)) << 32
	at := before + (now()-before)/2
	if clock > lastWall || int64(clock) <= at {
		return 0
	}
	return int64(clock) - at
}
