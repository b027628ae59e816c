//go:build !tamago

// The other half of consts_tamago.go: this tree also builds programs for the host.

package runtime

const isTamago = 0

const maxThreads = 1 << 30

func pollEvents(pp *p) {}

const memBudget = 0

func baseHeapMinimum() uint64 { return defaultHeapMinimum }

func budgetMemoryLimit() int64 { return 0 }
