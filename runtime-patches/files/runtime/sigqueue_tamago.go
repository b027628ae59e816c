//go:build tamago && riscv64

// There are no signals, but os/signal links against these. Its goroutine parks in
// signal_recv for ever unless a board relays interrupts: os/signal.Relay (in
// relay_tamago_riscv64.s) is the hook of the module's interrupt handlers. It only
// sets a bit; signal_recv picks it up at the next idle moment of the board.

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	_ "unsafe"
)

// relayed has a bit for each signal number below 256 that is pending.
var relayed [8]atomic.Uint32

// relayWaiter is the goroutine parked in signal_recv. The scheduler reads it where
// write barriers are not allowed.
var relayWaiter guintptr

// relayPending says that a bit of relayed may be set.
var relayPending atomic.Uint32

//go:linkname signal_recv os/signal.signal_recv
func signal_recv() uint32 {
	for {
		for i := range relayed {
			if bits := relayed[i].Load(); bits != 0 {
				n := uint32(sys.TrailingZeros32(bits))
				relayed[i].And(^(1 << n))
				return uint32(i)*32 + n
			}
		}
		relayPending.Store(0)
		relayWaiter.set(getg())
		gopark(nil, nil, waitReasonZero, traceBlockGeneric, 1)
	}
}

// relayReady returns the goroutine in signal_recv if there is a signal for it.
func relayReady() *g {
	gp := relayWaiter.ptr()
	if gp == nil || relayPending.Load() == 0 || readgstatus(gp)&^_Gscan != _Gwaiting {
		return nil
	}
	relayWaiter = 0
	return gp
}

//go:linkname signal_disable os/signal.signal_disable
func signal_disable(s uint32) {}

//go:linkname signal_enable os/signal.signal_enable
func signal_enable(s uint32) {}

//go:linkname signal_ignore os/signal.signal_ignore
func signal_ignore(s uint32) {}

//go:linkname signal_ignored os/signal.signal_ignored
func signal_ignored(s uint32) bool { return false }

//go:linkname signalWaitUntilIdle os/signal.signalWaitUntilIdle
func signalWaitUntilIdle() {}
