package abi

// Class is a class of service. Of the threads that are ready on a hart those of the
// highest class run; see docs/kernel.md for what the others get. The numbers are those
// on the wire.
type Class uint8

// The classes, lowest first.
const (
	Idle        Class = 0 // what can wait for everybody else
	Normal      Class = 1
	Interactive Class = 2 // somebody waits for it
	PerfBurst   Class = 3 // short bursts of work that must be over soon
	Classes           = 4 // number of classes
)

var classNames = [Classes]string{"idle", "normal", "interactive", "perfburst"}

// String returns the name of the class as audits and manifests spell it.
func (c Class) String() string {
	if c < Classes {
		return classNames[c]
	}
	return "?"
}

// ParseClass returns the class of that name, and whether it is one.
func ParseClass(name string) (Class, bool) {
	for i, n := range classNames {
		if n == name {
			return Class(i), true
		}
	}
	return 0, false
}

// Shares of a class.
const (
	MaxShare     = 1000
	DefaultShare = 100 // a turn of one time slice
)

// QoS says how a process shares the harts with others: its class in bits 0 to 7, its
// share inside of the class, 1 to [MaxShare], in bits 8 to 23, and the set of harts that
// its threads are queued on, by index, in bits 32 to 62. Other bits are 0: a QoS as a
// result of a system call is no error. Zero is no QoS: no share and no hart.
type QoS uint64

// AllHarts is the set of all harts that there can be.
const AllHarts = 1<<31 - 1

// DefaultQoS is that of a process about which nobody said anything.
const DefaultQoS = QoS(Normal) | DefaultShare<<8 | AllHarts<<32

// NewQoS returns the QoS with that class, share and set of harts.
func NewQoS(c Class, share uint16, harts uint32) QoS {
	return QoS(c) | QoS(share)<<8 | QoS(harts)<<32
}

// Class returns the class, which is one if q is valid.
func (q QoS) Class() Class { return Class(q) }

// Share returns the share.
func (q QoS) Share() uint16 { return uint16(q >> 8) }

// Harts returns the set of harts.
func (q QoS) Harts() uint32 { return uint32(q >> 32) }

// Valid reports whether q is a QoS. Nothing that is out of range is taken for the
// nearest that is not.
func (q QoS) Valid() bool {
	return q.Class() < Classes && q.Share() >= 1 && q.Share() <= MaxShare && q.Harts() != 0 && q.Harts()&^AllHarts == 0 && q>>24&0xff == 0
}

// Within reports whether nothing of q is more than in limit.
func (q QoS) Within(limit QoS) bool {
	return q.Class() <= limit.Class() && q.Share() <= limit.Share() && q.Harts()&^limit.Harts() == 0
}
