//go:build !tamago

// The other half of consts_tamago.go: this tree also builds programs for the host.

package runtime

const isTamago = 0

func pollEvents(pp *p) {}
