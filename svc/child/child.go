// Package child is what the programs in cmd/child and those who start them agree on.
// They are the test image's programs beside the services binary: package svc/selftest
// has execd start them, and proves by what they do that it did as it was told.
package child

import "nexus.internal/ipc"

// Names of the programs as entries of the archive.
const (
	Hello  = "child-hello"  // says that it runs and, if it has a capability, calls it with OpHello
	Exit0  = "child-exit0"  // says that it runs, and ends well
	Exit42 = "child-exit42" // says that it runs, and ends with status 42
	Crash  = "child-crash"  // ends by a store to address 0
	Random = "child-random" // says what its generator gives it
)

// RandomService is the service that is of the program Random.
const RandomService = "random"

// Frames is a budget that is enough for each of them, in pages.
const Frames = 512

// Protocol is what Hello speaks to its first capability.
var Protocol = ipc.Protocol{Magic: [2]byte{'C', 'H'}, Version: 1}

// OpHello carries the arguments and the environment of the child, each list joined by
// spaces, with a bar between → the status u8 with which it ends.
const OpHello = 1

// Unanswered is the status with which Hello ends if its call is not answered like that.
const Unanswered = 99
