// Package raw makes system calls as the hardware does, without the ipc library and the
// runtime: for the programs that test and measure the kernel. Nothing keeps a caller
// from taking away what the runtime of its process relies on.
package raw
