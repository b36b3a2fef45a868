package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// errClosing refuses a connection that came while the server ends.
var errClosing = errors.New("listener: closing")

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes connections until the port is closed. Nothing else ends it: when accepting fails (no file descriptor is free)
// it waits a little, up to a second, and goes on.
func (s *Server) accept(ctx context.Context) error {
	pause := time.Duration(0)
	for {
		a, err := s.port.accept()
		switch {
		case err == nil:
			pause = 0
			if err := s.pace.Wait(ctx); err != nil {
				a.close()
				return nil
			}
			s.admit(a)
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
func (s *Server) admit(a arrival) {
	if s.Count() >= s.o.MaxConns {
		s.turnAway(a, refuseFull)
		return
	}
	proxied := s.balancer(a.remote.Addr()) // then the gate waits for the client's address
	if !proxied {
		if why, ok := s.gate.enter(a.remote.Addr(), s.clock.now()); !ok {
			s.turnAway(a, why)
			return
		}
	}
	if err := s.begin(a, proxied); err != nil {
		s.log.Error("cannot serve a connection", "addr", a.remote.String(), "err", err)
		if !proxied {
			s.gate.leave(a.remote.Addr())
		}
		a.close()
	}
}

// begin starts a connection. An error leaves it to the caller to close the socket.
func (s *Server) begin(a arrival, behind bool) error {
	c := &Conn{id: ids.Add(1), srv: s, remote: compact(a.remote)}
	if behind {
		c.proxy = proxyAwaited
	}
	serve, err := s.equip(c, a)
	if err != nil {
		return err
	}
	now := s.clock.now()
	c.heard.Store(now)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return errClosing
	}
	s.all.add(c)
	s.early.add(c)
	s.open.Add(1)
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
	serve()
	return nil
}

// leaveEarly notes that c has said HELLO, or ends without.
func (s *Server) leaveEarly(c *Conn) {
	s.mu.Lock()
	if s.early.has(c) {
		s.early.remove(c)
		s.m.early.Dec()
	}
	s.mu.Unlock()
}

// leave forgets a connection that is closed.
func (s *Server) leave(c *Conn) {
	s.gate.leave(c.RemoteAddr().Addr())
	s.m.conns.Dec()
	s.mu.Lock()
	s.all.remove(c)
	s.mu.Unlock()
	s.open.Done()
}

func (s *Server) turnAway(a arrival, why refusal) {
	s.m.refused[why].Inc()
	s.log.Debug("connection refused", "addr", a.remote.String(), "reason", why.String())
	a.close()
}
