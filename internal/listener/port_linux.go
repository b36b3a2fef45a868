//go:build amd64 || arm64

package listener

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
)

// rawPort accepts bare descriptors, so that a connection has nothing in Go's poller.
type rawPort struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
	over atomic.Bool
}

// newRawPort takes the listener's socket over.
func newRawPort(ln *net.TCPListener) (port, error) {
	f, err := ln.File()
	if err != nil {
		return nil, fmt.Errorf("listener: take the player port over: %w", err)
	}
	_ = ln.Close() // f has the socket
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("listener: take the player port over: %w", err)
	}
	return &rawPort{file: f, raw: raw, addr: ln.Addr()}, nil
}

func (p *rawPort) Addr() net.Addr { return p.addr }

func (p *rawPort) Close() error {
	p.over.Store(true)
	return p.file.Close()
}

func (p *rawPort) accept() (arrival, error) {
	var (
		fd   int
		from syscall.Sockaddr
		err  error
	)
	waited := p.raw.Read(func(ln uintptr) bool {
		for {
			fd, from, err = syscall.Accept4(int(ln), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err != syscall.EINTR && err != syscall.ECONNABORTED { // of the client: no trouble of ours
				return err != syscall.EAGAIN
			}
		}
	})
	switch {
	case waited != nil && p.over.Load():
		return arrival{}, net.ErrClosed
	case waited != nil:
		return arrival{}, waited
	case err != nil:
		return arrival{}, os.NewSyscallError("accept4", err)
	}
	return arrival{fd: fd, remote: addrPort(from)}, nil
}

func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// setOptions does for a bare descriptor what the standard library does for its connections. Errors cost speed only.
func setOptions(fd, sendBuffer int) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if sendBuffer > 0 {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, sendBuffer)
	}
}
