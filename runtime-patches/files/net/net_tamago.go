//go:build tamago && !fakenet

// Sockets of a process come from SocketFunc, which a network library sets: there
// are none in the kernel. With the build tag fakenet the loopback network of
// net_fake.go takes this file's place, for tests.

package net

import (
	"context"
	"os"
	"syscall"
	"time"
)

// SocketFunc makes the sockets of this process; nil means that it has no network,
// and then every dial and listen is refused. It is set once, before the package
// is used. Network is as for Dial; family and sotype are constants of package
// syscall; laddr and raddr are *TCPAddr, *UDPAddr, *IPAddr, *UnixAddr or nil, and
// a nil raddr asks for a listener or an unconnected socket. The result is a Conn,
// a PacketConn, a Listener, or several of these in one.
var SocketFunc func(ctx context.Context, network string, family, sotype int, laddr, raddr Addr) (any, error)

// SetDefaultNS sets the name servers, each "address:port", that are asked when
// there is no /etc/resolv.conf. It is called before the first lookup.
func SetDefaultNS(servers []string) { defaultNS = servers }

// socketCloser is what Conn, PacketConn and Listener have in common.
type socketCloser interface{ Close() error }

// fakeNetFD is the name under which fd_fake.go finds the real socket of a netFD.
type fakeNetFD struct {
	fd     *netFD
	socket socketCloser
}

func socket(ctx context.Context, net string, family, sotype, proto int, ipv6only bool, laddr, raddr sockaddr, ctrlCtxFn func(context.Context, string, string, syscall.RawConn) error) (*netFD, error) {
	if SocketFunc == nil || ctrlCtxFn != nil {
		return nil, os.NewSyscallError("socket", syscall.ENOTSUP)
	}
	local, remote := plainAddr(laddr), plainAddr(raddr)
	made, err := SocketFunc(ctx, net, family, sotype, local, remote)
	if err != nil {
		return nil, err
	}
	sock, ok := made.(socketCloser)
	if !ok {
		return nil, os.NewSyscallError("socket", syscall.EINVAL)
	}
	fd := &netFD{family: family, sotype: sotype, net: net, isConnected: remote != nil}
	switch s := made.(type) {
	case Conn:
		local, remote = s.LocalAddr(), s.RemoteAddr()
	case Listener:
		local = s.Addr()
	case PacketConn:
		local = s.LocalAddr()
	default:
		sock.Close()
		return nil, os.NewSyscallError("socket", syscall.EINVAL)
	}
	fd.fakeNetFD = &fakeNetFD{fd: fd, socket: sock}
	fd.setAddr(local, remote)
	return fd, nil
}

// sysSocket makes a bare descriptor, to probe for address families: there is none.
func sysSocket(family, sotype, proto int) (int, error) {
	return -1, notSupported("socket")
}

// plainAddr turns the typed nils of package net's callers into nil.
func plainAddr(sa sockaddr) Addr {
	if a, ok := sa.(interface{ opAddr() Addr }); ok {
		return a.opAddr()
	}
	return nil
}

func notSupported(call string) error { return os.NewSyscallError(call, syscall.ENOTSUP) }

func (s *fakeNetFD) accept(Addr) (*netFD, error) {
	l, ok := s.socket.(Listener)
	if !ok {
		return nil, notSupported("accept")
	}
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	fd := &netFD{family: s.fd.family, sotype: s.fd.sotype, net: s.fd.net, isConnected: true}
	fd.fakeNetFD = &fakeNetFD{fd: fd, socket: c}
	fd.setAddr(c.LocalAddr(), c.RemoteAddr())
	return fd, nil
}

func (s *fakeNetFD) Close() error { return s.socket.Close() }

func (s *fakeNetFD) Read(p []byte) (int, error) {
	if c, ok := s.socket.(Conn); ok {
		return c.Read(p)
	}
	n, _, err := s.receive(p)
	return n, err
}

func (s *fakeNetFD) Write(p []byte) (int, error) {
	if c, ok := s.socket.(Conn); ok {
		return c.Write(p)
	}
	return 0, notSupported("write")
}

func (s *fakeNetFD) closeRead() error {
	if c, ok := s.socket.(interface{ CloseRead() error }); ok {
		return c.CloseRead()
	}
	return notSupported("shutdown")
}

func (s *fakeNetFD) closeWrite() error {
	if c, ok := s.socket.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return notSupported("shutdown")
}

func (s *fakeNetFD) SetDeadline(t time.Time) error {
	if c, ok := s.socket.(interface{ SetDeadline(time.Time) error }); ok {
		return c.SetDeadline(t)
	}
	return os.ErrNoDeadline
}

func (s *fakeNetFD) SetReadDeadline(t time.Time) error {
	if c, ok := s.socket.(interface{ SetReadDeadline(time.Time) error }); ok {
		return c.SetReadDeadline(t)
	}
	return s.SetDeadline(t) // a listener has only the one
}

func (s *fakeNetFD) SetWriteDeadline(t time.Time) error {
	if c, ok := s.socket.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return c.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}

// receive reads one packet and where it came from.
func (s *fakeNetFD) receive(p []byte) (int, Addr, error) {
	if c, ok := s.socket.(PacketConn); ok {
		return c.ReadFrom(p)
	}
	if c, ok := s.socket.(Conn); ok {
		n, err := c.Read(p)
		return n, c.RemoteAddr(), err
	}
	return 0, nil, notSupported("recvfrom")
}

func (s *fakeNetFD) readFrom(p []byte) (int, syscall.Sockaddr, error) {
	n, from, err := s.receive(p)
	if err != nil {
		return n, nil, err
	}
	a, ok := from.(sockaddr)
	if !ok {
		return n, nil, notSupported("recvfrom")
	}
	sa, err := a.sockaddr(s.fd.family)
	return n, sa, err
}

func (s *fakeNetFD) readFromInet4(p []byte, sa *syscall.SockaddrInet4) (int, error) {
	n, from, err := s.readFrom(p)
	if a, ok := from.(*syscall.SockaddrInet4); ok {
		*sa = *a
	}
	return n, err
}

func (s *fakeNetFD) readFromInet6(p []byte, sa *syscall.SockaddrInet6) (int, error) {
	n, from, err := s.readFrom(p)
	if a, ok := from.(*syscall.SockaddrInet6); ok {
		*sa = *a
	}
	return n, err
}

func (s *fakeNetFD) readMsg(p, oob []byte, flags int) (n, oobn, retflags int, sa syscall.Sockaddr, err error) {
	if flags != 0 {
		return 0, 0, 0, nil, notSupported("recvmsg")
	}
	n, sa, err = s.readFrom(p)
	return n, 0, 0, sa, err
}

func (s *fakeNetFD) readMsgInet4(p, oob []byte, flags int, sa *syscall.SockaddrInet4) (n, oobn, retflags int, err error) {
	if flags != 0 {
		return 0, 0, 0, notSupported("recvmsg")
	}
	n, err = s.readFromInet4(p, sa)
	return n, 0, 0, err
}

func (s *fakeNetFD) readMsgInet6(p, oob []byte, flags int, sa *syscall.SockaddrInet6) (n, oobn, retflags int, err error) {
	if flags != 0 {
		return 0, 0, 0, notSupported("recvmsg")
	}
	n, err = s.readFromInet6(p, sa)
	return n, 0, 0, err
}

func (s *fakeNetFD) writeTo(p []byte, sa syscall.Sockaddr) (int, error) {
	if sa == nil {
		return s.Write(p)
	}
	if c, ok := s.socket.(PacketConn); ok {
		return c.WriteTo(p, s.fd.addrFunc()(sa))
	}
	return 0, notSupported("sendto")
}

func (s *fakeNetFD) writeToInet4(p []byte, sa *syscall.SockaddrInet4) (int, error) {
	return s.writeTo(p, sa)
}

func (s *fakeNetFD) writeToInet6(p []byte, sa *syscall.SockaddrInet6) (int, error) {
	return s.writeTo(p, sa)
}

func (s *fakeNetFD) writeMsg(p, oob []byte, sa syscall.Sockaddr) (n, oobn int, err error) {
	if len(oob) > 0 {
		return 0, 0, notSupported("sendmsg")
	}
	n, err = s.writeTo(p, sa)
	return n, 0, err
}

func (s *fakeNetFD) writeMsgInet4(p, oob []byte, sa *syscall.SockaddrInet4) (n, oobn int, err error) {
	if sa == nil {
		return s.writeMsg(p, oob, nil)
	}
	return s.writeMsg(p, oob, sa)
}

func (s *fakeNetFD) writeMsgInet6(p, oob []byte, sa *syscall.SockaddrInet6) (n, oobn int, err error) {
	if sa == nil {
		return s.writeMsg(p, oob, nil)
	}
	return s.writeMsg(p, oob, sa)
}

func (s *fakeNetFD) dup() (*os.File, error) { return nil, notSupported("dup") }

func (s *fakeNetFD) setReadBuffer(bytes int) error {
	if c, ok := s.socket.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(bytes)
	}
	return notSupported("setsockopt")
}

func (s *fakeNetFD) setWriteBuffer(bytes int) error {
	if c, ok := s.socket.(interface{ SetWriteBuffer(int) error }); ok {
		return c.SetWriteBuffer(bytes)
	}
	return notSupported("setsockopt")
}

func (s *fakeNetFD) setLinger(sec int) error {
	if c, ok := s.socket.(interface{ SetLinger(int) error }); ok {
		return c.SetLinger(sec)
	}
	return notSupported("setsockopt")
}
