//go:build !linux || !(amd64 || arm64)

package listener

import (
	"errors"
	"net"
	"syscall"
)

// loop is the epoll transport; there is none on this system.
type loop struct{}

// wire is a connection's place in a loop.
type wire struct{}

var errNoEpoll = errors.New("listener: there is no epoll on this system")

func loopsByDefault() int { return 0 }

func newLoop(*Server, int) (*loop, error)          { return nil, errNoEpoll }
func newRawPort(ln *net.TCPListener) (port, error) { return nil, errNoEpoll }

func (l *loop) run()             {}
func (l *loop) stop()            {}
func (l *loop) release()         {}
func (l *loop) take(*Conn, int)  {}
func (l *loop) watch(*Conn)      {}
func setOptions(fd, sendBuf int) {}

func read(fd int, b []byte) (int, syscall.Errno)  { return result(syscall.Read(fd, b)) }
func write(fd int, b []byte) (int, syscall.Errno) { return result(syscall.Write(fd, b)) }

func result(n int, err error) (int, syscall.Errno) {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	return n, errno
}
