package crash

import "strings"

// What to do after a report.
const (
	PowerOff = iota // end the machine, with a status if the board can
	Halt            // stop, so that somebody may look at the machine
	Reset           // start over
)

// Options are the boot arguments of this package:
//
//	nexus.onfault=halt|reset   after a kernel fault; without it the machine ends
//	nexus.fault=load|index|panic
//	                           fail on purpose, to test all this
//
// Only who starts the machine can give them.
type Options struct {
	OnFault int    // PowerOff, Halt or Reset
	Fault   string // "", "load", "index" or "panic"
}

// ParseOptions reads the command line of the kernel. What it does not know is
// somebody else's; a value of its own that is wrong is returned as bad, the last
// one if there are several, and leaves the option as it was.
func ParseOptions(bootargs string) (o Options, bad string) {
	for arg := range strings.FieldsSeq(bootargs) {
		switch arg {
		case "nexus.onfault=halt":
			o.OnFault = Halt
		case "nexus.onfault=reset":
			o.OnFault = Reset
		case "nexus.fault=load", "nexus.fault=index", "nexus.fault=panic":
			_, o.Fault, _ = strings.Cut(arg, "=")
		default:
			if strings.HasPrefix(arg, "nexus.onfault") || strings.HasPrefix(arg, "nexus.fault") {
				bad = arg
			}
		}
	}
	return o, bad
}
