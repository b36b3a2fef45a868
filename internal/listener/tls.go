package listener

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// tlsLayer turns the bytes of a socket into those inside TLS and back. During the handshake it reads and writes the socket;
// afterwards crypto/tls sees only memory: what pump read goes in, what is to be written comes out, and nothing ever blocks.
type tlsLayer struct {
	conn *tls.Conn
	sock file   // for the handshake; nil after it
	in   []byte // read and not yet decrypted; only the reader's

	mu  sync.Mutex // guards out: the reader may write too (key updates)
	out []byte
}

// secure does the TLS handshake. The clock ends one that takes longer than HELLO may.
func (s *socket) secure() {
	c := s.c
	l := &tlsLayer{sock: s.file, in: c.begun}
	c.begun, c.upgrade = nil, false
	l.conn = tls.Server(l, c.srv.o.TLS)
	_ = s.file.SetWriteDeadline(time.Now().Add(c.srv.o.HelloTimeout))
	if c.ending() {
		return // nobody would interrupt it
	}
	if err := l.conn.Handshake(); err != nil {
		c.srv.log.Debug("TLS handshake failed", "conn", c.id, "addr", c.RemoteAddr().String(), "err", err)
		c.finishWith(ending{reason: ReasonTLS})
		return
	}
	_ = s.file.SetWriteDeadline(time.Time{})
	l.sock, s.fresh = nil, true
	c.mu.Lock()
	c.tls = l
	c.mu.Unlock()
}

// open decrypts what one read gave and takes it as input. An error ends reading: errStopped when the input said so.
func (c *Conn) open(b []byte) error {
	l := c.tls
	if len(l.in) == 0 {
		l.in = b
	} else {
		l.in = append(l.in, b...)
	}
	buf := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := l.conn.Read(buf[:])
		if n > 0 && !c.input(buf[:n]) {
			return errStopped
		}
		switch {
		case err == nil:
		case errors.Is(err, errNoInput):
			return nil
		case errors.Is(err, io.EOF):
			return io.EOF
		default:
			c.finishWith(ending{reason: ReasonTLS})
			return fmt.Errorf("read TLS: %w", err)
		}
	}
}

// seal encrypts b. The result is valid until the next call. Conn.mu is held.
func (l *tlsLayer) seal(b []byte) ([]byte, error) {
	_, err := l.conn.Write(b)
	return l.take(), err
}

// bye is what ends the stream. Conn.mu is held.
func (l *tlsLayer) bye() []byte {
	_ = l.conn.CloseWrite()
	return l.take()
}

func (l *tlsLayer) take() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.out
	l.out = nil
	return b
}

// noInput tells crypto/tls that there is nothing to read now and that it may ask again.
type noInput struct{}

func (noInput) Error() string   { return "no input" }
func (noInput) Timeout() bool   { return true }
func (noInput) Temporary() bool { return true }

var errNoInput net.Error = noInput{}

// What crypto/tls sees as its connection.

func (l *tlsLayer) Read(b []byte) (int, error) {
	if len(l.in) > 0 {
		n := copy(b, l.in)
		if l.in = l.in[n:]; len(l.in) == 0 {
			l.in = nil
		}
		return n, nil
	}
	if l.sock != nil {
		return l.sock.Read(b)
	}
	return 0, errNoInput
}

func (l *tlsLayer) Write(b []byte) (int, error) {
	if l.sock != nil {
		return l.sock.Write(b)
	}
	l.mu.Lock()
	l.out = append(l.out, b...)
	l.mu.Unlock()
	return len(b), nil
}

func (l *tlsLayer) Close() error                     { return nil }
func (l *tlsLayer) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (l *tlsLayer) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (l *tlsLayer) SetDeadline(time.Time) error      { return nil }
func (l *tlsLayer) SetReadDeadline(time.Time) error  { return nil }
func (l *tlsLayer) SetWriteDeadline(time.Time) error { return nil }
