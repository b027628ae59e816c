//go:build tamago

// Sockets are not descriptors here: package net reaches a network through its
// own hook. The calls exist because package net's shared code mentions them.

package syscall

func Socket(proto, sotype, unused int) (fd int, err error)    { return 0, ENOSYS }
func Bind(fd int, sa Sockaddr) error                          { return ENOSYS }
func Listen(fd int, backlog int) error                        { return ENOSYS }
func Accept(fd int) (newfd int, sa Sockaddr, err error)       { return 0, nil, ENOSYS }
func Connect(fd int, sa Sockaddr) error                       { return ENOSYS }
func Shutdown(fd int, how int) error                          { return ENOSYS }
func GetsockoptInt(fd, level, opt int) (value int, err error) { return 0, ENOSYS }
func SetsockoptInt(fd, level, opt int, value int) error       { return ENOSYS }
func Sendto(fd int, p []byte, flags int, to Sockaddr) error   { return ENOSYS }

func Recvfrom(fd int, p []byte, flags int) (n int, from Sockaddr, err error) {
	return 0, nil, ENOSYS
}

func Recvmsg(fd int, p, oob []byte, flags int) (n, oobn, recvflags int, from Sockaddr, err error) {
	return 0, 0, 0, nil, ENOSYS
}

func SendmsgN(fd int, p, oob []byte, to Sockaddr, flags int) (n int, err error) {
	return 0, ENOSYS
}
