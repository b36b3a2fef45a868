package cluster

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// simConn is one end of a connection over a simNet. What is written is one segment; a lost one is sent again as Linux does (a probe
// soon, then with growing pauses), and holds up all that follow. While a path is cut its segments, ends and resets included,
// wait for the next attempt: the other end is half-open. A host that has lost the connection answers with a reset.
type simConn struct {
	net           *simNet
	peer          *simConn
	local, remote netip.AddrPort
	changed       sync.Cond // on net.mu, which guards what follows

	in         []byte
	ended      bool  // the peer will send no more
	failed     error // reset by the peer
	closed     bool
	gone       bool // the host knows nothing of it any more
	read       simDeadline
	write      simDeadline
	out        []segment
	bytes      int           // of out
	armed      bool          // a timer looks after out
	finishing  bool          // no more is to be written
	retransmit time.Duration // until the next attempt, while the path is cut
}

type segment struct {
	at  time.Time // when it arrives
	b   []byte
	end bool // the last one
	rst bool
}

const (
	connBuffer = 1 << 20 // bytes under way or not read
	tailProbe  = 10 * time.Millisecond
	rtoMin     = 200 * time.Millisecond
	rtoMax     = 2 * time.Minute
	orphanMax  = time.Minute // a pause after which a host gives up a closed connection
)

func newSimPair(s *simNet, from, to netip.AddrPort) (near, far *simConn) {
	near = &simConn{net: s, local: from, remote: to}
	far = &simConn{net: s, local: to, remote: from}
	near.peer, far.peer = far, near
	for _, c := range []*simConn{near, far} {
		c.changed.L = &s.mu
		s.conns[c] = true
	}
	return near, far
}

func (c *simConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *simConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *simConn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.read.over():
			return 0, os.ErrDeadlineExceeded
		case c.failed != nil:
			return 0, c.failed
		case len(c.in) > 0:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			c.peer.changed.Broadcast()
			return n, nil
		case c.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		c.changed.Wait()
	}
}

func (c *simConn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.write.over():
			return 0, os.ErrDeadlineExceeded
		case c.failed != nil:
			return 0, c.failed
		case c.finishing:
			return 0, syscall.EPIPE
		case c.bytes+len(c.peer.in) < connBuffer:
			c.send(segment{b: append([]byte(nil), b...)})
			return len(b), nil
		}
		c.changed.Wait()
	}
}

// send puts a segment under way. net.mu must be held.
func (c *simConn) send(s segment) {
	if c.gone {
		return
	}
	now := time.Now()
	s.at = now.Add(c.net.travel())
	pause := tailProbe
	for c.net.lose() && pause < rtoMax {
		s.at = s.at.Add(pause)
		pause = max(rtoMin, 2*pause)
	}
	if n := len(c.out); n > 0 && s.at.Before(c.out[n-1].at) {
		s.at = c.out[n-1].at
	}
	c.out = append(c.out, s)
	c.bytes += len(s.b)
	c.pump()
}

// pump delivers what has arrived. net.mu must be held.
func (c *simConn) pump() {
	for len(c.out) > 0 && !c.gone {
		if d := time.Until(c.out[0].at); d > 0 {
			if !c.armed {
				c.armed = true
				time.AfterFunc(d, func() {
					c.net.mu.Lock()
					defer c.net.mu.Unlock()
					c.armed = false
					c.pump()
				})
			}
			return
		}
		if !c.net.passes(c.local.Addr(), c.remote.Addr(), cutStreams) {
			if c.retransmit = min(max(rtoMin, 2*c.retransmit), rtoMax); c.closed && c.retransmit > orphanMax {
				c.vanish()
				return
			}
			for i := range c.out { // what follows waits behind it
				if at := time.Now().Add(c.retransmit); c.out[i].at.Before(at) {
					c.out[i].at = at
				}
			}
			continue
		}
		c.retransmit = 0
		s := c.out[0]
		c.out = c.out[1:]
		c.bytes -= len(s.b)
		c.peer.take(s)
		if c.closed && len(c.out) == 0 {
			delete(c.net.conns, c)
		}
	}
	if len(c.out) == 0 {
		c.out = nil
	}
}

// take gets a segment from the peer. net.mu must be held.
func (c *simConn) take(s segment) {
	switch {
	case s.rst:
		c.reset()
	case c.gone, c.closed && len(s.b) > 0:
		peer := c.peer
		time.AfterFunc(c.net.travel(), func() {
			c.net.mu.Lock()
			defer c.net.mu.Unlock()
			if c.net.passes(c.local.Addr(), c.remote.Addr(), cutStreams) {
				peer.reset()
			}
		})
	case s.end:
		c.ended = true
	default:
		c.in = append(c.in, s.b...)
	}
	c.changed.Broadcast()
	c.peer.changed.Broadcast()
}

// reset is the peer's word that it has no such connection. net.mu must be held.
func (c *simConn) reset() {
	c.failed, c.in, c.out, c.bytes = syscall.ECONNRESET, nil, nil, 0
	delete(c.net.conns, c)
	c.changed.Broadcast()
}

// Close ends the connection after what was written; with unread bytes it resets it, as TCP does.
func (c *simConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	switch {
	case c.failed != nil:
	case len(c.in) > 0:
		c.out, c.bytes, c.in = nil, 0, nil
		c.send(segment{rst: true})
	case !c.finishing:
		c.finishing = true
		c.send(segment{end: true})
	}
	if len(c.out) == 0 {
		delete(c.net.conns, c)
	}
	c.changed.Broadcast()
	return nil
}

// CloseWrite ends one direction.
func (c *simConn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed || c.finishing {
		return net.ErrClosed
	}
	c.finishing = true
	c.send(segment{end: true})
	return nil
}

// abort resets the connection.
func (c *simConn) abort() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.closed, c.out, c.bytes = true, nil, 0
	c.send(segment{rst: true})
	c.changed.Broadcast()
}

// vanish is the end of the host: nothing leaves any more. net.mu must be held.
func (c *simConn) vanish() {
	c.gone, c.out, c.bytes = true, nil, 0
	delete(c.net.conns, c)
}

func (c *simConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *simConn) SetReadDeadline(t time.Time) error { return c.set(&c.read, t) }

func (c *simConn) SetWriteDeadline(t time.Time) error { return c.set(&c.write, t) }

// simDeadline is one of a connection's two deadlines.
type simDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *simDeadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (c *simConn) set(d *simDeadline, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if left := time.Until(t); !t.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, func() {
			c.net.mu.Lock()
			defer c.net.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	c.changed.Broadcast()
	return nil
}
