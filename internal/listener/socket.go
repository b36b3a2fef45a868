package listener

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// file is what a socket is to the standard library: a *net.TCPConn, or an *os.File.
type file interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	SyscallConn() (syscall.RawConn, error)
}

// socket is the transport over Go's poller: a goroutine owns the connection.
type socket struct {
	c    *Conn
	file file
	raw  syscall.RawConn

	fresh bool // only the owner's: TLS has begun, and may have read ahead

	fd int // valid until the owner closes the file, which the callers of write know
}

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

func newSocket(c *Conn, f file) (*socket, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{c: c, file: f, raw: raw}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return nil, err
	}
	return s, nil
}

// serve owns the connection until it is closed. The poller's "readable" is edge-triggered, so each step reads until the kernel
// has no more. While it waits it holds no buffer.
func (s *socket) serve(t turn) {
	defer s.c.srv.leave(s.c)
	for t != turnOver {
		if t == turnUpgrade {
			s.secure()
		}
		err := s.raw.Read(func(uintptr) bool {
			buf := readBuffers.Get().(*[readBuffer]byte)
			defer readBuffers.Put(buf)
			t = s.c.step(buf[:], true)
			for t == turnAgain {
				t = s.c.step(buf[:], true)
			}
			return t != turnWait
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = s.file.SetReadDeadline(time.Time{}) // it was a poke; what it is about is seen by the next step
		}
	}
	_ = s.file.Close() // waits for awaitWritable's goroutine, which sees that it is over
}

func (s *socket) poke() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) }

func (s *socket) read(b []byte) (int, error) {
	if s.fresh {
		s.fresh = false
		return 0, nil
	}
	return readFD(s.fd, b)
}

func (s *socket) write(b []byte) (int, error) { return writeFD(s.fd, b) }

// awaitWritable starts the connection's drainer. It ends when all is written, with an error, or when the file is closed.
func (s *socket) awaitWritable() {
	s.c.srv.running.Go(func() {
		_ = s.raw.Write(func(uintptr) bool { return s.c.drain() }) // drain saw the error itself
	})
}

func (s *socket) halfClose() { _ = syscall.Shutdown(s.fd, syscall.SHUT_WR) }

func (s *socket) close() {} // serve closes the file: here the poller is still in use

// readFD reads from a non-blocking socket.
func readFD(fd int, b []byte) (int, error) {
	for {
		n, err := read(fd, b)
		switch {
		case n > 0:
			return n, nil
		case err == syscall.EAGAIN:
			return 0, errAgain
		case err == syscall.EINTR:
		case err != 0:
			return 0, os.NewSyscallError("read", err)
		default:
			return 0, io.EOF
		}
	}
}

// writeFD writes to a non-blocking socket until all is written or the kernel takes no more.
func writeFD(fd int, b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := write(fd, b[done:])
		if n > 0 {
			done += n
			continue
		}
		switch err {
		case 0, syscall.EINTR:
		case syscall.EAGAIN:
			return done, nil
		default:
			return done, os.NewSyscallError("write", err)
		}
	}
	return done, nil
}
