//go:build !tamago

package hostile

// here has no attacks: they are on memory protection, which tests do not have.
var here [0]named

// Nothing faults in tests.

func noRegisters(uint64) error       { return nil }
func (d *driver) touchBeyond() error { return nil }
