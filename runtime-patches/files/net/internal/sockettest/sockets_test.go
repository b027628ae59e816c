//go:build tamago && !fakenet

// Package sockettest tests Dial, Listen and ListenPacket of package net over a
// net.SocketFunc that knows one peer in memory. It is a package of its own because
// package net's tests want the fake network.
package sockettest

import (
	"context"
	"errors"
	"io"
	. "net"
	"syscall"
	"testing"
	"time"
)

// memConn is one end of a Pipe with addresses.
type memConn struct {
	Conn
	laddr, raddr Addr
}

func (c memConn) LocalAddr() Addr  { return c.laddr }
func (c memConn) RemoteAddr() Addr { return c.raddr }

type memListener struct {
	addr  Addr
	conns chan Conn
}

func (l memListener) Addr() Addr   { return l.addr }
func (l memListener) Close() error { close(l.conns); return nil }

func (l memListener) Accept() (Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, ErrClosed
	}
	return c, nil
}

// memPacket gives back what it is sent, from where it was sent to.
type memPacket struct {
	addr    Addr
	packets chan string
	from    chan Addr
}

func (p memPacket) LocalAddr() Addr                  { return p.addr }
func (p memPacket) Close() error                     { return nil }
func (p memPacket) SetDeadline(time.Time) error      { return nil }
func (p memPacket) SetReadDeadline(time.Time) error  { return nil }
func (p memPacket) SetWriteDeadline(time.Time) error { return nil }

func (p memPacket) ReadFrom(b []byte) (int, Addr, error) {
	return copy(b, <-p.packets), <-p.from, nil
}

func (p memPacket) WriteTo(b []byte, to Addr) (int, error) {
	p.packets <- string(b)
	p.from <- to
	return len(b), nil
}

func TestSocketFunc(t *testing.T) {
	defer func() { SocketFunc = nil }()
	if _, err := Dial("tcp", "192.0.2.1:80"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dial without a network: %v", err)
	}
	listener := memListener{&TCPAddr{IP: IPv4(192, 0, 2, 1), Port: 80}, make(chan Conn, 1)}
	SocketFunc = func(ctx context.Context, network string, family, sotype int, laddr, raddr Addr) (any, error) {
		switch {
		case family != syscall.AF_INET:
			return nil, syscall.EAFNOSUPPORT
		case sotype == syscall.SOCK_DGRAM:
			return memPacket{laddr, make(chan string, 1), make(chan Addr, 1)}, nil
		case raddr == nil:
			return listener, nil
		case raddr.String() != listener.addr.String():
			return nil, syscall.ECONNREFUSED
		}
		here, there := Pipe()
		local := &TCPAddr{IP: IPv4(192, 0, 2, 9), Port: 5000}
		listener.conns <- memConn{there, raddr, local}
		return memConn{here, local, raddr}, nil
	}

	l, err := Listen("tcp4", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if got := c.RemoteAddr().String(); got != "192.0.2.9:5000" {
			t.Errorf("accepted from %s", got)
		}
		io.Copy(c, c)
	}()
	c, err := Dial("tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(*TCPConn); !ok {
		t.Errorf("Dial gave a %T", c)
	}
	if got := c.RemoteAddr().String(); got != "192.0.2.1:80" {
		t.Errorf("connected to %s", got)
	}
	buf := make([]byte, 8)
	c.Write([]byte("echo"))
	if n, err := c.Read(buf); string(buf[:n]) != "echo" || err != nil {
		t.Errorf("Read = %q, %v", buf[:n], err)
	}
	c.SetReadDeadline(time.Now())
	if _, err := c.Read(buf); err == nil || !err.(Error).Timeout() {
		t.Errorf("Read past its deadline: %v", err)
	}
	c.Close()
	l.Close()
	if _, err := Dial("tcp", "192.0.2.2:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial elsewhere: %v", err)
	}

	u, err := ListenPacket("udp4", "192.0.2.1:53")
	if err != nil {
		t.Fatal(err)
	}
	to := &UDPAddr{IP: IPv4(192, 0, 2, 7), Port: 99}
	if _, err := u.WriteTo([]byte("ping"), to); err != nil {
		t.Fatal(err)
	}
	n, from, err := u.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "ping" || from.String() != to.String() {
		t.Errorf("ReadFrom = %q from %v, %v", buf[:n], from, err)
	}
}
