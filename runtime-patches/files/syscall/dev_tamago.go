//go:build tamago

// What lies behind descriptors that are not files: console, /dev/null, pipes.

package syscall

import (
	"sync"
	"unsafe"
)

// device is the byte stream of a character device or pipe.
type device interface {
	read(b []byte) (int, error)
	write(b []byte) (int, error)
}

type nullDevice struct{}

func (nullDevice) read(b []byte) (int, error)  { return 0, nil }
func (nullDevice) write(b []byte) (int, error) { return len(b), nil }

// console is a standard descriptor: reading finds the end, writing goes to the
// runtime.
type console int

func (c console) read(b []byte) (int, error) { return 0, nil }

func (c console) write(b []byte) (int, error) {
	// consoleMax bounds one call of the runtime, whose length is an int32.
	const consoleMax = 1 << 30
	if len(b) == 0 {
		return 0, nil
	}
	n := runtime_write(uintptr(c), unsafe.Pointer(&b[0]), int32(min(len(b), consoleMax)))
	if n < 0 {
		return 0, EIO
	}
	return int(n), nil
}

// pipeMax is how many bytes a pipe holds before its writer waits.
const pipeMax = 64 << 10

// pipe is a bounded buffer between goroutines of one process.
type pipe struct {
	mu     sync.Mutex
	change sync.Cond // anything below changed
	buf    []byte
	closed [2]bool // by end
	stop   [2]bool // by end: calls that would wait fail with EAGAIN
}

// The ends of a pipe.
const (
	readEnd  = 0
	writeEnd = 1
)

// Pipe makes a pipe and sets p to the descriptors of its read and write end.
func Pipe(p []int) error {
	if len(p) != 2 {
		return EINVAL
	}
	fs.lock()
	defer fs.mu.Unlock()
	line := new(pipe)
	line.change.L = &line.mu
	n := fs.newNode(S_IFIFO | 0600)
	n.dev = line
	r, err := fs.install(&openFile{node: n, flags: O_RDONLY})
	if err != nil {
		return err
	}
	w, err := fs.install(&openFile{node: n, flags: O_WRONLY})
	if err != nil {
		fs.open[r] = nil
		return err
	}
	p[0], p[1] = r, w
	return nil
}

// wait parks the caller until something changes; EAGAIN if its end is stopped.
func (p *pipe) wait(end int) error {
	p.change.Wait()
	return p.ready(end)
}

func (p *pipe) ready(end int) error {
	if p.stop[end] {
		return EAGAIN
	}
	return nil
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(readEnd); err != nil {
		return 0, err
	}
	for len(p.buf) == 0 && len(b) > 0 {
		if p.closed[writeEnd] {
			return 0, nil
		}
		if err := p.wait(readEnd); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.buf)
	p.buf = append(p.buf[:0], p.buf[n:]...)
	p.change.Broadcast()
	return n, nil
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(writeEnd); err != nil {
		return 0, err
	}
	for n < len(b) {
		if p.closed[readEnd] {
			return n, EPIPE
		}
		if room := pipeMax - len(p.buf); room > 0 {
			part := b[n:min(len(b), n+room)]
			p.buf = append(p.buf, part...)
			n += len(part)
			p.change.Broadcast()
		} else if err := p.wait(writeEnd); err != nil {
			if n > 0 {
				return n, nil // what was written counts; the next call fails
			}
			return 0, err
		}
	}
	return n, nil
}

// closeEnd wakes the other side, which then finds the end or EPIPE.
func (p *pipe) closeEnd(writer bool) {
	p.mu.Lock()
	p.closed[endOf(writer)] = true
	p.change.Broadcast()
	p.mu.Unlock()
}

func endOf(writer bool) int {
	if writer {
		return writeEnd
	}
	return readEnd
}

// StopIO sets whether calls on a pipe's end, those that wait now and later ones,
// fail with EAGAIN: package poll does that when a deadline passes and before it
// closes. Mode says what is to stop: 'r', 'w', or their sum. A descriptor that
// is not a pipe never waits, and is refused with ENOTSUP.
func StopIO(fd int, mode int, stop bool) error {
	fs.lock()
	defer fs.mu.Unlock()
	file, err := fs.get(fd)
	if err != nil {
		return err
	}
	p, ok := file.node.dev.(*pipe)
	if !ok {
		return ENOTSUP
	}
	end := endOf(file.writable())
	if mode == 'w' && end == readEnd || mode == 'r' && end == writeEnd {
		return nil // this end never does that
	}
	p.mu.Lock()
	p.stop[end] = stop
	p.change.Broadcast()
	p.mu.Unlock()
	return nil
}
