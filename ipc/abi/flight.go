package abi

// FlightSize is how many events the flight recorder keeps of each hart, in a ring. It
// is a power of two, and they fit in one message buffer.
const FlightSize = MaxMessage / 8

// FlightEvent is what a hart did, in a word: the kind in the top byte and below it two
// numbers of 28 bits, or a time. Threads and processes are named by their index in the
// kernel's tables, which begin at 1: each process has MaxThreads threads, in order, and
// [FlightStart] tells which process had an index.
type FlightEvent uint64

// FlightKind is the kind of an event.
type FlightKind uint8

// The kinds, with their two numbers.
const (
	FlightNone      FlightKind = iota // nothing has happened yet
	FlightCall                        // thread a called thread b, which waited for that
	FlightReply                       // thread a answered thread b, which waited for that
	FlightRun                         // the hart went on with thread a
	FlightReady                       // thread a can run, and was queued at hart b
	FlightIdle                        // the hart has nothing to run
	FlightTick                        // deadlines and slices were looked at, at a time; see [FlightEvent.Time]
	FlightFault                       // thread a raised exception b
	FlightInterrupt                   // another hart or a device interrupted this one, which ran thread a; b is the scause without its top bit
	FlightPoke                        // this hart interrupted hart a
	FlightStart                       // process a was created with pid b
	FlightEnd                         // process a ended
	flightKinds
)

var flightNames = [flightKinds]string{"none", "call", "reply", "run", "ready", "idle", "tick", "fault", "interrupt", "poke", "start", "end"}

// String returns the name of a kind.
func (k FlightKind) String() string {
	if k < flightKinds {
		return flightNames[k]
	}
	return "unknown"
}

// Places in an event.
const (
	flightKindShift = 56
	flightNumber    = 28 // bits of a number
)

// Flight makes an event. Of its numbers the low 28 bits are kept.
func Flight(kind FlightKind, a, b uint64) FlightEvent {
	const mask = 1<<flightNumber - 1
	return FlightEvent(uint64(kind)<<flightKindShift | a&mask<<flightNumber | b&mask)
}

// FlightAt makes an event with a time in nanoseconds since power-on.
func FlightAt(kind FlightKind, ns int64) FlightEvent {
	return FlightEvent(uint64(kind)<<flightKindShift | uint64(ns)&(1<<flightKindShift-1))
}

// Kind returns the kind of e.
func (e FlightEvent) Kind() FlightKind { return FlightKind(e >> flightKindShift) }

// A returns the first number of e, B the second.
func (e FlightEvent) A() uint64 { return uint64(e) >> flightNumber & (1<<flightNumber - 1) }

// B returns the second number of e.
func (e FlightEvent) B() uint64 { return uint64(e) & (1<<flightNumber - 1) }

// Time returns the time of an event that has one.
func (e FlightEvent) Time() int64 { return int64(e & (1<<flightKindShift - 1)) }
