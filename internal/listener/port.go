package listener

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// port is where connections arrive.
type port interface {
	// accept waits for one. After Close the error is net.ErrClosed.
	accept() (arrival, error)
	Close() error
	Addr() net.Addr
}

// arrival is a new socket: a connection of the standard library, or a bare non-blocking descriptor.
type arrival struct {
	conn   net.Conn
	fd     int // when conn is nil
	remote netip.AddrPort
}

func (a arrival) close() {
	if a.conn != nil {
		_ = a.conn.Close()
		return
	}
	_ = syscall.Close(a.fd)
}

// stdPort is a port of the standard library.
type stdPort struct{ net.Listener }

func (p stdPort) accept() (arrival, error) {
	conn, err := p.Accept()
	if err != nil {
		return arrival{}, err
	}
	a := arrival{conn: conn}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		a.remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return a, nil
}

// equip gives an accepted socket its options and a transport.
func (s *Server) equip(c *Conn, a arrival) (func(), error) {
	if a.conn == nil {
		setOptions(a.fd, s.o.SendBuffer)
		l := s.loops[c.id%uint64(len(s.loops))]
		l.take(c, a.fd)
		return func() { l.watch(c) }, nil
	}
	tcp, ok := a.conn.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("listener: a connection that is not TCP but %T", a.conn)
	}
	if s.o.SendBuffer > 0 {
		_ = tcp.SetWriteBuffer(s.o.SendBuffer)
	}
	sock, err := newSocket(c, tcp)
	if err != nil {
		return nil, fmt.Errorf("listener: open socket: %w", err)
	}
	c.t = sock
	return func() { go sock.serve(turnWait) }, nil
}

// bind opens the player port, or takes the one it is given.
func bind(o Options) (port, error) {
	ln := o.Listener
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", o.Addr); err != nil {
			return nil, fmt.Errorf("player port %s cannot be opened (choose another with --listen, or port 0): %w", o.Addr, err)
		}
	}
	if tcp, ok := ln.(*net.TCPListener); ok && o.Loops > 0 {
		return newRawPort(tcp)
	}
	return stdPort{ln}, nil
}

// startLoops makes the owners of bare descriptors.
func (s *Server) startLoops() error {
	if _, std := s.port.(stdPort); std {
		return nil
	}
	for no := range s.o.Loops {
		l, err := newLoop(s, no)
		if err != nil {
			for _, l := range s.loops {
				l.release()
			}
			return err
		}
		s.loops = append(s.loops, l)
	}
	for _, l := range s.loops {
		s.running.Go(l.run)
	}
	return nil
}
