package mesh

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// simNet is a network in memory for synctest bubbles. Each connection runs through a relay that can lose what goes one way, its
// close included, or pass it on slowly.
type simNet struct {
	held      atomic.Bool // nothing is passed on for now, and nothing lost
	mu        sync.Mutex
	listeners map[string]*simListener
	lost      map[[2]string]bool // from, to
	rate      map[string]int     // bytes a second that large pieces from a node go at
	ends      []net.Conn
	relays    sync.WaitGroup
	dials     map[string]int
}

func newSimNet(t *testing.T) *simNet {
	s := &simNet{listeners: map[string]*simListener{}, lost: map[[2]string]bool{}, rate: map[string]int{}, dials: map[string]int{}}
	t.Cleanup(s.close)
	return s
}

// close ends what the relays still hold.
func (s *simNet) close() {
	s.mu.Lock()
	for _, c := range s.ends {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.relays.Wait()
}

func (s *simNet) lose(from, to string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[[2]string{from, to}] = on
}

func (s *simNet) loses(from, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost[[2]string{from, to}]
}

type simListener struct {
	net    *simNet
	name   string
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

type simAddr string

func (simAddr) Network() string  { return "sim" }
func (a simAddr) String() string { return string(a) }

func (l *simListener) Addr() net.Addr { return simAddr(l.name) }

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// use makes options use the network under the node's name.
func (s *simNet) use(o *Options) {
	name := o.Self.Name
	l := &simListener{net: s, name: name, conns: make(chan net.Conn), errs: make(chan error, 16), closed: make(chan struct{})}
	s.mu.Lock()
	s.listeners[name] = l
	s.mu.Unlock()
	o.Listen = l
	o.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return s.dial(ctx, name, addr) }
}

func (s *simNet) dial(ctx context.Context, from, to string) (net.Conn, error) {
	s.mu.Lock()
	l := s.listeners[to]
	s.dials[from]++
	s.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	if s.loses(from, to) || s.loses(to, from) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, nearRelay := net.Pipe()
	farRelay, far := net.Pipe()
	s.mu.Lock()
	s.ends = append(s.ends, nearRelay, farRelay)
	s.relays.Go(func() { s.relay(nearRelay, farRelay, from, to) })
	s.relays.Go(func() { s.relay(farRelay, nearRelay, to, from) })
	s.mu.Unlock()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
	case <-ctx.Done():
	}
	_ = near.Close()
	_ = far.Close()
	return nil, syscall.ECONNREFUSED
}

// relay passes on what comes from src, in the direction from → to.
func (s *simNet) relay(src, dst net.Conn, from, to string) {
	buf := make([]byte, 4096)
	for {
		n, err := src.Read(buf)
		for s.held.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if s.loses(from, to) {
			if err != nil {
				return
			}
			continue
		}
		if err != nil {
			_ = dst.Close()
			return
		}
		s.mu.Lock()
		rate := 0
		if n > 2048 { // heartbeats and small messages have the line to themselves
			rate = s.rate[from]
		}
		s.mu.Unlock()
		if rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			_ = src.Close()
			return
		}
	}
}
