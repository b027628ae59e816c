//go:build tamago

// isTamago lets constants of stock files depend on the GOOS without touching the
// generated lists of package internal/goos.

package runtime

const isTamago = 1
