package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// client speaks the protocol in the simplest way that it allows.
type client struct {
	t testing.TB
	net.Conn
}

func dial(t testing.TB, d Device) *client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	s, err := Listen(socket, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, conn}
}

func (c *client) send(parts ...any) {
	c.t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		binary.Write(&b, binary.BigEndian, p)
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// enter chooses the export and returns its size and flags.
func (c *client) enter() (size uint64, flags uint16) {
	c.t.Helper()
	c.read(18)
	c.send(uint32(3), uint64(magicOption), uint32(8), uint32(0)) // structured replies: no
	if r := c.read(20); binary.BigEndian.Uint32(r[12:]) != repUnsup {
		c.t.Fatalf("reply %x", r)
	}
	c.send(uint64(magicOption), uint32(optGo), uint32(6), uint32(0), uint16(0))
	info := c.read(20 + 12)
	c.read(20)
	return binary.BigEndian.Uint64(info[22:]), binary.BigEndian.Uint16(info[30:])
}

func (c *client) request(kind uint16, cookie, off uint64, n uint32, data []byte) {
	c.send(uint32(magicRequest), uint16(0), kind, cookie, off, n, data)
}

// answer reads a reply with n bytes.
func (c *client) answer(n int) (cookie uint64, errno uint32, data []byte) {
	c.t.Helper()
	h := c.read(16)
	if binary.BigEndian.Uint32(h) != magicAnswer {
		c.t.Fatalf("answer %x", h)
	}
	if errno = binary.BigEndian.Uint32(h[4:]); errno == 0 {
		data = c.read(n)
	}
	return binary.BigEndian.Uint64(h[8:]), errno, data
}

func TestServer(t *testing.T) {
	d := NewDisk(make([]byte, 64<<10))
	c := dial(t, d)
	if size, flags := c.enter(); size != 64<<10 || flags != canFlush|canTrim {
		t.Fatalf("size %d, flags %#x", size, flags)
	}
	want := bytes.Repeat([]byte{7}, 1024)
	c.request(cmdWrite, 1, 512, 1024, want)
	if cookie, errno, _ := c.answer(0); cookie != 1 || errno != 0 {
		t.Fatal(cookie, errno)
	}
	c.request(cmdRead, 2, 0, 2048, nil)
	if cookie, errno, b := c.answer(2048); cookie != 2 || errno != 0 || !bytes.Equal(b[512:1536], want) || b[511] != 0 || b[1536] != 0 {
		t.Fatal(cookie, errno)
	}
	for kind, off := range map[uint16]uint64{cmdRead: 64 << 10, cmdWrite: 1<<64 - 512, cmdTrim: 64<<10 - 511, 99: 0} {
		var data []byte
		if kind == cmdWrite {
			data = want[:512]
		}
		c.request(kind, 3, off, 512, data)
		if _, errno, _ := c.answer(0); errno != eio {
			t.Errorf("request %d at %d: error %d", kind, off, errno)
		}
	}
	d.mu.Lock()
	d.Fail = func(write bool, off, n int64) error {
		if write {
			return errors.New("worn out")
		}
		return nil
	}
	d.mu.Unlock()
	c.request(cmdFlush, 4, 0, 0, nil)
	if _, errno, _ := c.answer(0); errno != eio {
		t.Error("a flush that fails")
	}
	if got := d.Counts(); got != (Counts{Reads: 1, Writes: 1}) {
		t.Errorf("%+v", got)
	}
}

// A slow request holds up no other one.
func TestServerTogether(t *testing.T) {
	d := NewDisk(make([]byte, 64<<10))
	d.Delay = 50 * time.Millisecond
	c := dial(t, d)
	c.enter()
	start := time.Now()
	for i := range uint64(40) {
		c.request(cmdRead, i, 0, 512, nil)
	}
	for range 40 {
		c.answer(512)
	}
	if took := time.Since(start); took > 20*d.Delay {
		t.Errorf("40 requests took %v", took)
	}
}

// TestRejectProtocol: what is not the protocol ends the connection.
func TestRejectProtocol(t *testing.T) {
	for name, b := range map[string][]byte{
		"an option without magic": bytes.Repeat([]byte{1}, 20),
		"an endless option":       append(binary.BigEndian.AppendUint64([]byte{0, 0, 0, 1}, magicOption), bytes.Repeat([]byte{255}, 8)...),
	} {
		c := dial(t, NewDisk(make([]byte, 512)))
		c.read(18)
		c.send(b)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
	c := dial(t, NewDisk(make([]byte, 512)))
	c.enter()
	c.send(bytes.Repeat([]byte{9}, 28))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a request without magic: it goes on")
	}
}

// After a power cut all is there that was flushed before; of what was not, each sector
// is in one of its states, and the seed decides which.
func TestPowerCut(t *testing.T) {
	const sectors = 16
	lost, kept := 0, 0
	for seed := range uint64(200) {
		d := NewDisk(make([]byte, sectors*sectorSize))
		write := func(sector int, v byte) error {
			_, err := d.WriteAt(bytes.Repeat([]byte{v}, sectorSize), int64(sector)*sectorSize)
			return err
		}
		for i := range sectors {
			write(i, 1)
		}
		d.Flush()
		cut := d.CutAfter(2*sectors + 1)
		for i := range sectors {
			write(i, 2)
			write(i, 3)
		}
		select {
		case <-cut:
			t.Fatal("too early")
		default:
		}
		if err := d.Flush(); err != ErrOff {
			t.Fatalf("the flush in which the power goes: %v", err)
		}
		<-cut
		if err := write(0, 4); err != ErrOff {
			t.Fatal(err)
		}
		after, again := d.After(seed), d.After(seed)
		if !bytes.Equal(after, again) {
			t.Fatal("the seed does not decide")
		}
		for i := range sectors {
			s := after[i*sectorSize:][:sectorSize]
			if s[0] < 1 || s[0] > 3 || !bytes.Equal(s, bytes.Repeat(s[:1], sectorSize)) {
				t.Fatalf("sector %d is %d", i, s[0])
			}
			if s[0] == 3 {
				kept++
			} else {
				lost++
			}
		}
	}
	if lost < 200 || kept < 200 {
		t.Errorf("%d sectors were lost and %d kept", lost, kept)
	}
}

// A write that a flush has not waited for may be lost even though it was answered.
func TestFlushCounts(t *testing.T) {
	d := NewDisk(make([]byte, sectorSize))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { d.WriteAt(make([]byte, sectorSize), 0); d.Flush(); d.Trim(0, 512) })
	}
	all.Wait()
	if got := d.Counts(); got != (Counts{Writes: 4, Flushes: 4, Trims: 4}) {
		t.Errorf("%+v", got)
	}
}
