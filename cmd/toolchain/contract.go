//go:build tools

package main

// The module that the kernel's GOOSPKG names. v1.26.6 is the newest release; its
// goos package asks nothing of a runtime that ours lacks, and its interrupt code
// links because our runtime has os/signal.Relay. No program imports goos by that
// path, so without this go mod tidy would drop the requirement.
import _ "github.com/usbarmory/tamago/goos"
