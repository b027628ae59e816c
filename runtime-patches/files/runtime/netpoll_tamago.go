//go:build tamago && riscv64

// File descriptors are never pollable here, so package internal/poll falls back
// to its blocking mode. Goroutines that wait for kernel events park on slots (see
// ipc_tamago.go).

package runtime

// notPollable is EPERM, what epoll says of a regular file.
const notPollable = 1

func netpollIsPollDescriptor(fd uintptr) bool { return false }

func netpollopen(fd uintptr, pd *pollDesc) int32 { return notPollable }

func netpollclose(fd uintptr) int32 { return 0 }

func netpollarm(pd *pollDesc, mode int) {}
