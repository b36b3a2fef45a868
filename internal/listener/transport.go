package listener

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"errors"
)

// transport moves the raw bytes of one connection. The reader of the connection calls pump, halfClose, discard and close;
// write and onWritable are called by one at a time; stop and setWriteDeadline by anybody before close.
type transport interface {
	// pump gives feed every read until feed returns false (nil), stop was called (errStopped), the peer closed (io.EOF) or
	// the socket failed. The bytes are valid during the call only; while it waits for input it holds no buffer.
	pump(feed func(b []byte) bool) error
	// stop makes pump return, now or when feed returns.
	stop()
	// write takes as much of b as the kernel takes now. Less than all is no error.
	write(b []byte) (int, error)
	// onWritable calls f now and each time that the kernel takes more, until f returns true. It ends with an error at the
	// write deadline or when the socket failed.
	onWritable(f func() bool) error
	setWriteDeadline(t time.Time)
	// halfClose says that nothing more will be written.
	halfClose()
	// discard reads and forgets until the peer closes, at most limit bytes and until t.
	discard(limit int, t time.Time)
	close()
}

var errStopped = errors.New("stopped")

// readBuffer is how much one read takes at most.
const readBuffer = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// socket is the transport over Go's poller.
type socket struct {
	conn *net.TCPConn
	raw  syscall.RawConn
	fd   int // valid until close, which the callers of write know
}

func newSocket(conn *net.TCPConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, raw: raw}
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return nil, err
	}
	return s, nil
}

// pump stays inside one RawConn.Read: the poller's "readable" is edge-triggered, so it reads until the kernel has no more,
// which also finds an end of stream that came together with the last bytes.
func (s *socket) pump(feed func(b []byte) bool) error {
	var end error
	err := s.raw.Read(func(uintptr) bool {
		buf := readBuffers.Get().(*[readBuffer]byte)
		defer readBuffers.Put(buf)
		for {
			n, err := syscall.Read(s.fd, buf[:])
			switch {
			case n > 0:
				if !feed(buf[:n]) {
					return true
				}
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
			case err != nil:
				end = os.NewSyscallError("read", err)
				return true
			default:
				end = io.EOF
				return true
			}
		}
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStopped
	case err != nil:
		return err
	}
	return end
}

func (s *socket) stop() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

func (s *socket) write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := syscall.Write(s.fd, b[done:])
		if n > 0 {
			done += n
		}
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			return done, nil
		default:
			return done, os.NewSyscallError("write", err)
		}
	}
	return done, nil
}

func (s *socket) onWritable(f func() bool) error {
	return s.raw.Write(func(uintptr) bool { return f() })
}

func (s *socket) setWriteDeadline(t time.Time) { _ = s.conn.SetWriteDeadline(t) }
func (s *socket) halfClose()                   { _ = s.conn.CloseWrite() }
func (s *socket) close()                       { _ = s.conn.Close() }

func (s *socket) discard(limit int, t time.Time) {
	_ = s.conn.SetReadDeadline(t)
	_ = s.pump(func(b []byte) bool {
		limit -= len(b)
		return limit > 0
	})
}
