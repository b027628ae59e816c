package core

import "nexus.internal/ipc/abi"

// Sizes of the tables. A table is as large as the sum of what all processes may
// use of it, so that no process can exhaust it for another.
const (
	maxProcesses = 128 // live processes and ended ones that a capability still names

	threadsPerProcess   = abi.MaxThreads // a Go runtime on 8 harts runs 8, and has as many that wait
	capsPerProcess      = 256            // handles of one process
	endpointsPerProcess = 80             // init has one for each service of a manifest
	notifsPerProcess    = 32
	timersPerProcess    = 80 // of all processes together more than 10,000
	vmosPerProcess      = 64
	regionsPerProcess   = 64 // mappings of one address space

	callsPerProcess = 32 // calls that a process may have outstanding
	queuePerServer  = 64 // one-way messages queued for one process
	notesPerServer  = 32 // cancellations that a server has not collected; more are dropped

	maxEndpointDepth = 256 // calls queued on one endpoint

	maxDevices = 64   // devices that processes may have; a board names at most 32 slots and a few more
	maxSource  = 1023 // highest interrupt source of a PLIC

	maxThreads   = maxProcesses * threadsPerProcess
	maxCaps      = maxProcesses * capsPerProcess
	maxEndpoints = maxProcesses * endpointsPerProcess
	maxNotifs    = maxProcesses * notifsPerProcess
	maxTimers    = maxProcesses * timersPerProcess
	// A VMO outlives its creator while another process holds it, so there can be
	// more than the quotas allow; each costs at least two frames of a budget.
	maxVMOs  = maxProcesses * vmosPerProcess
	maxCalls = firstSend + maxProcesses*queuePerServer
)

// sliceNS is the time after which a running thread makes way for another of its class
// that is ready, if its process has the default share; shareNS is that of the smallest.
const (
	sliceNS = 1_000_000
	shareNS = sliceNS / abi.DefaultShare
)

// starveNS is how long a class with ready threads is passed over for higher ones before
// it has a slice: 2 % of a hart for each class. With three lower classes, between whose
// slices the highest has a turn of at most ten slices, each class has its slice within
// starveNS and 33 slices more.
const starveNS = 50_000_000

// donationReach is how many processes a class is passed on to along outstanding calls
// when somebody calls one of them. Chains of services are much shorter.
const donationReach = 16

// stealScan is how many threads of a queue a hart looks at for one that it may run.
const stealScan = 8

// duePerTick is how many deadlines and timers a hart handles before it lets others have
// the kernel: many may be due at the same time, and each wakes somebody.
const duePerTick = 64

// maxThreadGen is the highest generation in the number of a thread, which begins again
// after it: by then a thread that is named by its number has ended long ago.
const maxThreadGen = 1<<31 - 1

// minFrames is the smallest budget of a process: its root table, the tables of
// image, heap, stack and start page, and a page for each.
const minFrames = 24
