package kernel

import "errors"

const (
	// startTimeoutNS is how long the kernel waits for a hart that it started, and for
	// one that has to stop.
	startTimeoutNS = 1_000_000_000
	// maxStarts bounds how often one hart is started: the second time is for a start
	// that was lost, and there is no reason for a third to be lost too.
	maxStarts = 3
)

// Reasons for a hart not to run, beside those of the firmware.
var (
	errAbsent = errors.New("it does not come")
	errLost   = errors.New("it stops each time")
)

// bringUp starts a hart and returns when it is up, or why it does not come, which takes
// startTimeoutNS at most.
//
// A start can be lost: OpenSBI lets the hart go before it has noted where to, and then
// it comes to the entry of the image. The board stops whoever comes there second, and
// the hart is started again.
func bringUp(start func() error, up, stopped func() bool, now func() int64) error {
	until := now() + startTimeoutNS
	for range maxStarts {
		if err := start(); err != nil {
			return err
		}
		for !stopped() {
			if up() {
				return nil
			}
			if now() >= until {
				return errAbsent
			}
		}
	}
	return errLost
}
