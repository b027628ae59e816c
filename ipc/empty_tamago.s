//go:build tamago

// The functions without a body in seam_tamago_unsafe.go are in the runtime. A
// package may declare such functions only if it has an assembly file.
