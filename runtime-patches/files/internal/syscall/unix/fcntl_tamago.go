//go:build tamago

// Package os asks with F_GETFL how a descriptor that it is handed was opened.

package unix

import "syscall"

func Fcntl(fd int, cmd int, arg int) (int, error) { return syscall.Fcntl(fd, cmd, arg) }
