package cluster

import (
	"context"
	"errors"
	"log"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is memberlist's own transport, with two things added: traffic with some nodes can be cut off, and Shutdown closes
// the streams that are open, so that nothing waits for their timeouts.
type transport struct {
	gossipPort
	network network
	packets chan *memberlist.Packet
	ctx     context.Context // ends with Shutdown
	stop    context.CancelFunc
	once    sync.Once     // of Shutdown
	ended   chan struct{} // closed when the inner transport has ended
	done    sync.WaitGroup

	cut atomic.Pointer[cutSet]

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
}

// cutSet is who is cut off: the logical names, and the gossip addresses known for them.
type cutSet struct {
	names map[string]bool
	addrs map[string]bool
}

var errCut = errors.New("cut off by hand")

func newTransport(n network, ip string, port int, logger *log.Logger) (*transport, error) {
	var inner gossipPort
	var err error
	for range 10 { // a port that is picked is free for TCP, but maybe not for UDP
		inner, err = n.gossip(ip, port, logger)
		if err == nil || port != 0 {
			break
		}
	}
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "address already in use") {
			return nil, errors.New("address already in use")
		}
		return nil, err
	}
	t := &transport{gossipPort: inner, network: n, packets: make(chan *memberlist.Packet), ended: make(chan struct{}), conns: map[net.Conn]bool{}}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.cut.Store(&cutSet{})
	t.done.Go(t.filter)
	return t, nil
}

// filter hands on the packets of those who are not cut off. Once the transport goes down it throws away what the inner one
// has, which could not end otherwise.
func (t *transport) filter() {
	in := t.gossipPort.PacketCh()
	for t.ctx.Err() == nil {
		select {
		case p := <-in:
			if cut := t.cut.Load(); len(cut.addrs) > 0 && cut.addrs[p.From.String()] {
				continue
			}
			select {
			case t.packets <- p:
			case <-t.ctx.Done():
			}
		case <-t.ctx.Done():
		}
	}
	for {
		select {
		case <-in:
		case c := <-t.gossipPort.StreamCh():
			_ = c.Close()
		case <-t.ended:
			return
		}
	}
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport. To who is cut off it loses the packet, as a network would.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.isCut(a) {
		return time.Now(), nil
	}
	return t.gossipPort.WriteToAddress(b, a)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.isCut(a) {
		return nil, errCut
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.network.dial(ctx, a.Addr)
	if err != nil {
		return nil, err
	}
	return t.track(c)
}

func (t *transport) isCut(a memberlist.Address) bool {
	cut := t.cut.Load()
	name, _, _ := strings.Cut(a.Name, "#")
	return cut.names[name] || cut.addrs[a.Addr]
}

func (t *transport) track(c net.Conn) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	t.conns[c] = true
	return &tracked{Conn: c, t: t}, nil
}

type tracked struct {
	net.Conn
	t *transport
}

func (c *tracked) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c.Conn)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// Shutdown implements memberlist.Transport. It may be called again.
func (t *transport) Shutdown() error {
	var err error
	t.once.Do(func() {
		t.stop()
		t.mu.Lock()
		for c := range t.conns {
			_ = c.Close()
		}
		t.mu.Unlock()
		err = t.gossipPort.Shutdown()
		close(t.ended)
		t.done.Wait()
	})
	return err
}
