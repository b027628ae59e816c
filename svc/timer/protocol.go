// Package timer is what timed and those who have timers there have in common: the
// protocol, and a client.
//
// A client opens a session, for its process, and registers timers in it, each for a
// deadline and with a class. The class says how exactly the deadline is meant: it is
// rounded up to the next multiple of the class's window, so that what is due at about the
// same time, whoever wants it, is one wake-up of the machine. A timer never fires early.
//
// Timers that have fired are told by [Session.Next], those of one wake-up together. When
// the session ends, because its process ends or closes it, or because timed ends, its
// timers are gone.
//
// A class is not a privilege: whoever wants to be woken exactly can be, by a timer of its
// own. What it saves by asking timed is everybody's.
package timer

import (
	"math"

	"nexus.internal/ipc"
	"nexus.internal/ipc/abi"
	"nexus.internal/svc/wire"
)

// Protocol is the language of timed.
var Protocol = ipc.Protocol{Magic: [2]byte{'T', 'M'}, Version: 1}

// Operations. All times are ns since power-on, those of the wall clock since 1970.
const (
	OpRegister  = 1 // class u8, deadline u64 → id u32, due u64: the deadline rounded up
	OpCancel    = 2 // id u32: will not be told any more, whether it has fired or not
	OpSleep     = 3 // class u8, deadline u64 → woke u64, when it is due; takes no session
	OpOpen      = 4 // moves a capability to send, which closes when the session shall end
	OpNext      = 5 // → woke u64, ids u32…: timers that fired, when there are some
	OpMonotonic = 6 // → time u64
	OpWall      = 7 // → wall-clock time u64, time u64: the same moment
	OpClose     = 8 // ends the session and its timers
)

// OpTether is what timed calls the capability of OpOpen with, and nobody answers: that
// the call ends tells timed that the session has.
const OpTether = 1

// Limits.
const (
	MaxTimers   = 64            // of one service: sleeps, and timers that were not told yet
	MaxTotal    = 1024          // of all services
	MaxSleep    = 2_000_000_000 // ns: a sleeper may be gone without a word, and is forgotten when he is due
	MaxSessions = 24            // each is a call that timed has under way, of which a process has 32
	MaxFired    = 10            // ids in one answer of OpNext, which travels in registers; the others are in the next
)

// Window returns the window of a class in ns: its deadlines are multiples of that. It is 0
// for what is not rounded.
func Window(c abi.Class) int64 {
	switch c {
	case abi.Idle:
		return 8e6
	case abi.Normal:
		return 4e6
	case abi.Interactive:
		return 1e6
	}
	return 0
}

// Due returns when a timer is due that has a deadline: at the end of the window that the
// deadline is in. It is false for a class that is none, and for a time that is none.
func Due(c abi.Class, deadline uint64) (due int64, ok bool) {
	if c > abi.PerfBurst || deadline > math.MaxInt64 {
		return 0, false
	}
	due = int64(deadline)
	if w := Window(c); w != 0 && due%w != 0 {
		due += w - due%w
	}
	return due, due >= 0 // not beyond the end of time
}

// Request is a request as timed decodes it; which fields count says the operation.
type Request struct {
	Class    abi.Class
	Deadline uint64
	ID       uint32
}

// Append appends the payload of a request for op.
func (r *Request) Append(b []byte, op uint16) []byte {
	switch op {
	case OpRegister, OpSleep:
		return wire.AppendU64(append(b, byte(r.Class)), r.Deadline)
	case OpCancel:
		return wire.AppendU32(b, r.ID)
	}
	return b
}

// Decode reads the payload of a request for op, which nobody has checked yet. The status
// says what is wrong with it.
func (r *Request) Decode(op uint16, payload []byte) ipc.Status {
	*r = Request{}
	d := wire.Read(payload)
	switch op {
	case OpRegister, OpSleep:
		r.Class, r.Deadline = abi.Class(d.U8()), d.U64()
	case OpCancel:
		r.ID = d.U32()
	case OpOpen, OpNext, OpMonotonic, OpWall, OpClose:
	default:
		return ipc.StatusUnsupported
	}
	if !d.Done() {
		return ipc.StatusMalformed
	}
	if op == OpRegister || op == OpSleep {
		if _, ok := Due(r.Class, r.Deadline); !ok {
			return ipc.StatusInvalidArgs
		}
	}
	return ipc.StatusOK
}
