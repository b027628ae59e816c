// Package nbd serves disks to QEMU from this process, over the protocol of network block
// devices (NBD: fixed newstyle handshake, simple replies), so that a test decides what a
// disk does: how long it takes, what it refuses, and what of it a power cut leaves.
package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Device is what is behind a server. Requests that are under way at the same time reach
// it at the same time. An error that is not a [syscall.Errno] is EIO for the machine.
type Device interface {
	Size() int64
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Flush() error
	Trim(off, n int64) error
}

// Of the protocol.
const (
	magicServer  = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption  = 0x49484156454f5054 // "IHAVEOPT"
	magicReply   = 0x0003e889045565a9
	magicRequest = 0x25609513
	magicAnswer  = 0x67446698

	flagFixed    = 1
	flagNoZeroes = 2

	optExportName = 1
	optAbort      = 2
	optGo         = 7

	repAck   = 1
	repInfo  = 3
	repUnsup = 1<<31 + 1

	infoExport = 0

	canFlush = 1 | 1<<2 // there are flags
	canTrim  = 1 << 5

	cmdRead  = 0
	cmdWrite = 1
	cmdDisc  = 2
	cmdFlush = 3
	cmdTrim  = 4

	maxRequest = 32 << 20 // bytes, as the protocol has it
	maxOption  = 4096
	eio        = 5
)

var errProtocol = errors.New("nbd: protocol")

// Server serves a device at a socket.
type Server struct {
	device   Device
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

// Listen serves a device at a Unix socket.
func Listen(socket string, device Device) (*Server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	s := &Server{device: device, listener: l, conns: map[net.Conn]bool{}}
	s.done.Go(s.accept)
	return s, nil
}

// Socket returns where the server is.
func (s *Server) Socket() string { return s.listener.Addr().String() }

// Close ends the server. When it returns, no request reaches the device any more.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.ended = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.ended {
			c.Close()
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.done.Go(func() {
			// A client that leaves, or is killed, is nothing to speak of.
			if err := s.serve(c); errors.Is(err, errProtocol) {
				fmt.Fprintln(os.Stderr, "nbd:", err)
			}
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// serve speaks with one client until it leaves.
func (s *Server) serve(c net.Conn) error {
	in := bufio.NewReader(c)
	if err := s.handshake(in, c); err != nil {
		return err
	}
	var replies sync.Mutex
	var running sync.WaitGroup
	defer running.Wait()
	for {
		var h [28]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return err
		}
		be := binary.BigEndian
		kind, offset, length := be.Uint16(h[6:]), int64(be.Uint64(h[16:])), int64(be.Uint32(h[24:]))
		if be.Uint32(h[:]) != magicRequest || (kind == cmdRead || kind == cmdWrite) && length > maxRequest {
			return fmt.Errorf("%w: request %x", errProtocol, h)
		}
		if kind == cmdDisc {
			return nil
		}
		var data []byte
		if kind == cmdWrite {
			data = make([]byte, length)
			if _, err := io.ReadFull(in, data); err != nil {
				return err
			}
		}
		running.Go(func() {
			answer, err := s.carryOut(kind, offset, length, data)
			if errors.Is(err, ErrOff) {
				return
			}
			out := make([]byte, 16, 16+len(answer))
			be.PutUint32(out, magicAnswer)
			if err != nil {
				be.PutUint32(out[4:], eio)
				answer = nil
			}
			copy(out[8:], h[8:16])
			replies.Lock()
			defer replies.Unlock()
			c.Write(append(out, answer...))
		})
	}
}

// carryOut does what a request asks for and returns what is read.
func (s *Server) carryOut(kind uint16, offset, length int64, data []byte) ([]byte, error) {
	if size := s.device.Size(); kind != cmdFlush && (offset < 0 || offset > size || length > size-offset) {
		return nil, errProtocol
	}
	switch kind {
	case cmdRead:
		b := make([]byte, length)
		_, err := s.device.ReadAt(b, offset)
		return b, err
	case cmdWrite:
		_, err := s.device.WriteAt(data, offset)
		return nil, err
	case cmdFlush:
		return nil, s.device.Flush()
	case cmdTrim:
		return nil, s.device.Trim(offset, length)
	}
	return nil, errProtocol
}

// handshake goes through the options of a client until it chooses the one export.
func (s *Server) handshake(in io.Reader, out io.Writer) error {
	be := binary.BigEndian
	hello := be.AppendUint64(be.AppendUint64(nil, magicServer), magicOption)
	if _, err := out.Write(be.AppendUint16(hello, flagFixed|flagNoZeroes)); err != nil {
		return err
	}
	var flags [4]byte
	if _, err := io.ReadFull(in, flags[:]); err != nil {
		return err
	}
	export := be.AppendUint16(be.AppendUint64(nil, uint64(s.device.Size())), canFlush|canTrim)
	for {
		var h [16]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return err
		}
		option, length := be.Uint32(h[8:]), be.Uint32(h[12:])
		if be.Uint64(h[:]) != magicOption || length > maxOption {
			return fmt.Errorf("%w: option %x", errProtocol, h)
		}
		if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
			return err
		}
		reply := func(kind uint32, data []byte) error {
			r := be.AppendUint32(be.AppendUint64(nil, magicReply), option)
			r = be.AppendUint32(be.AppendUint32(r, kind), uint32(len(data)))
			_, err := out.Write(append(r, data...))
			return err
		}
		switch option {
		case optExportName:
			if be.Uint32(flags[:])&flagNoZeroes == 0 {
				export = append(export, make([]byte, 124)...)
			}
			_, err := out.Write(export)
			return err
		case optGo:
			if err := reply(repInfo, append(be.AppendUint16(nil, infoExport), export...)); err != nil {
				return err
			}
			return reply(repAck, nil)
		case optAbort:
			return errors.Join(reply(repAck, nil), io.EOF)
		default:
			if err := reply(repUnsup, nil); err != nil {
				return err
			}
		}
	}
}
