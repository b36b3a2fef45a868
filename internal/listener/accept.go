package listener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes connections until the port is closed. Nothing else ends it: when accepting fails (no file descriptor is free)
// it waits a little, up to a second, and goes on.
func (s *Server) accept(ctx context.Context) error {
	pause := time.Duration(0)
	for {
		conn, err := s.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			if err := s.pace.Wait(ctx); err != nil {
				_ = conn.Close()
				return nil
			}
			s.admit(conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listener: accept: %w", err)
		}
		s.m.acceptErrs.Inc()
		if pause == 0 {
			s.log.Warn("cannot accept connections for now", "err", err)
		}
		pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// admit judges a new socket and begins its connection.
func (s *Server) admit(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		s.log.Error("the listener gave a connection that is not TCP", "type", fmt.Sprintf("%T", conn))
		_ = conn.Close()
		return
	}
	remote := remoteOf(tcp)
	if s.Count() >= s.o.MaxConns {
		s.turnAway(tcp, remote, refuseFull)
		return
	}
	if why, ok := s.gate.enter(remote.Addr(), s.clock.now()); !ok {
		s.turnAway(tcp, remote, why)
		return
	}
	t, err := newSocket(tcp)
	if err != nil {
		s.gate.leave(remote.Addr())
		_ = tcp.Close()
		return
	}
	if s.o.SendBuffer > 0 {
		_ = tcp.SetWriteBuffer(s.o.SendBuffer)
	}
	s.begin(t, remote)
}

// begin starts a connection on a transport.
func (s *Server) begin(t transport, remote netip.AddrPort) *Conn {
	c := &Conn{id: ids.Add(1), srv: s, remote: remote, t: t}
	now := s.clock.now()
	c.heard.Store(now)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.gate.leave(remote.Addr())
		t.close()
		return nil
	}
	s.all.add(c)
	s.early.add(c)
	s.running.Add(1)
	var oldest *Conn
	if s.early.n > s.o.MaxEarly {
		oldest = s.early.head
		s.early.remove(oldest)
		s.m.early.Dec()
	}
	s.mu.Unlock()
	s.m.accepted.Inc()
	s.m.conns.Inc()
	s.m.early.Inc()
	if oldest != nil {
		oldest.finishWith(ending{reason: ReasonCrowded})
	}
	s.clock.put(c, now+int64(s.o.HelloTimeout))
	go c.serve()
	return c
}

// serve is the connection's goroutine.
func (c *Conn) serve() {
	defer c.srv.leave(c)
	err := c.t.pump(c.input)
	if c.upgrade && err == nil {
		err = c.secure()
	}
	if err == io.EOF || c.leaving {
		c.lastAnswers()
	}
	if c.leaving {
		c.srv.h.Bye(c)
		c.finishWith(ending{reason: ReasonBye})
	}
	c.finish(err)
}

// leaveEarly notes that c has said HELLO, or ends without.
func (s *Server) leaveEarly(c *Conn) {
	s.mu.Lock()
	if c.links[inEarly].in {
		s.early.remove(c)
		s.m.early.Dec()
	}
	s.mu.Unlock()
}

// leave forgets a connection that is closed.
func (s *Server) leave(c *Conn) {
	s.gate.leave(c.remote.Addr())
	s.m.conns.Dec()
	s.mu.Lock()
	s.all.remove(c)
	s.mu.Unlock()
	s.running.Done()
}

func (s *Server) turnAway(conn net.Conn, remote netip.AddrPort, why refusal) {
	s.m.refused[why].Inc()
	s.log.Debug("connection refused", "addr", remote.String(), "reason", why.String())
	_ = conn.Close()
}

func remoteOf(c *net.TCPConn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
