//go:build !tamago

package hostile

// here has no attacks: they are on memory protection, which tests do not have.
var here [0]named
