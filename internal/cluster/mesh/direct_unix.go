//go:build unix

package mesh

import (
	"errors"
	"net"
	"syscall"
)

// direct writes to a plain TCP connection without ever waiting. One caller at a time.
type direct struct {
	raw  syscall.RawConn
	call func(fd uintptr) bool // made once, so that a write allocates nothing
	b    []byte
	n    int
	err  error
}

// newDirect is nil for other connections than plain TCP.
func newDirect(c net.Conn) *direct {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.call = func(fd uintptr) bool {
		for d.n < len(d.b) {
			n, err := syscall.Write(int(fd), d.b[d.n:])
			switch {
			case n > 0:
				d.n += n
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				return true
			default:
				d.err = err
				return true
			}
		}
		return true
	}
	return d
}

// write takes what the kernel takes at once. Fewer bytes than len(b) without an error: the rest must wait.
func (d *direct) write(b []byte) (int, error) {
	d.b, d.n, d.err = b, 0, nil
	if err := d.raw.Write(d.call); err != nil {
		return d.n, err
	}
	d.b = nil
	return d.n, d.err
}
