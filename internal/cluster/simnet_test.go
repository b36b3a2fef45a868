package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// simNet is a network in memory for synctest bubbles, of hosts that have an address each. Packets are delayed, lost, doubled and
// reordered as the weather says; connections are slow as TCP is when its segments are lost (simConn). Each direction between two
// hosts can be cut, for packets, for connections or for both.
type simNet struct {
	seed uint64

	mu      sync.Mutex // guards what follows, and all connections
	rand    *rand.Rand
	weather weather
	cuts    map[simPath]simCut
	dark    map[netip.Addr]bool // hosts without power
	ports   map[netip.AddrPort]*simPort
	listens map[netip.AddrPort]*simListener
	conns   map[*simConn]bool // those whose other end may still hear of them
	next    uint16            // ephemeral port
	lost    int               // packets and segments, by weather
}

// weather is how the network is everywhere.
type weather struct {
	delay, jitter time.Duration // of each packet, one way; jitter reorders packets
	loss          float64       // share of packets and of segments that are lost
	double        float64       // share of packets that come twice
	late          float64       // share of packets that come up to 200 ms later than others
}

// simPath is one direction between two hosts.
type simPath struct{ from, to netip.Addr }

// simCut is what does not pass on a path.
type simCut uint8

const (
	cutPackets simCut = 1 << iota
	cutStreams
	cutAll = cutPackets | cutStreams
)

const (
	packetsMax = 512 // that wait for a host to read them
	backlogMax = 128 // connections that wait to be accepted
	portsFrom  = 32768
)

func newSimNet(seed uint64) *simNet {
	return &simNet{seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), weather: weather{delay: time.Millisecond, jitter: time.Millisecond},
		cuts: map[simPath]simCut{}, dark: map[netip.Addr]bool{}, ports: map[netip.AddrPort]*simPort{}, listens: map[netip.AddrPort]*simListener{},
		conns: map[*simConn]bool{}, next: portsFrom}
}

// become changes the weather.
func (s *simNet) become(w weather) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.weather = w
}

// cut says what does not pass from one host to another any more; 0: everything passes.
func (s *simNet) cut(from, to netip.Addr, what simCut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts[simPath{from, to}] = what
}

// passes says whether something of a kind gets from one host to another now. simNet.mu must be held.
func (s *simNet) passes(from, to netip.Addr, what simCut) bool {
	return s.cuts[simPath{from, to}]&what == 0 && !s.dark[from] && !s.dark[to]
}

// lose says whether the weather takes a packet. simNet.mu must be held.
func (s *simNet) lose() bool {
	if s.weather.loss > 0 && s.rand.Float64() < s.weather.loss {
		s.lost++
		return true
	}
	return false
}

// losses is how many packets and segments the weather took.
func (s *simNet) losses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.lost)
}

// travel is how long a packet is under way. simNet.mu must be held.
func (s *simNet) travel() time.Duration {
	d := s.weather.delay
	if s.weather.jitter > 0 {
		d += time.Duration(s.rand.Int64N(int64(s.weather.jitter)))
	}
	return d
}

// crash is a power cut of a host: its connections and ports are gone, nobody is told, and nobody answers before boot. Close its
// sockets afterwards.
func (s *simNet) crash(host netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dark[host] = true
	for c := range s.conns {
		if c.local.Addr() == host {
			c.vanish()
		}
	}
	for a := range s.listens {
		if a.Addr() == host {
			delete(s.listens, a)
		}
	}
	for a := range s.ports {
		if a.Addr() == host {
			delete(s.ports, a)
		}
	}
}

// sever resets all connections between two hosts.
func (s *simNet) sever(a, b netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if x, y := c.local.Addr(), c.remote.Addr(); x == a && y == b || x == b && y == a {
			c.reset()
		}
	}
}

// boot gives a host power again.
func (s *simNet) boot(host netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dark, host)
}

// simHost is the network as one host has it. It implements network.
type simHost struct {
	net  *simNet
	addr netip.Addr
}

func (h *simHost) listen(addr string) (net.Listener, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.listens[a] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &simListener{net: h.net, addr: a, conns: make(chan net.Conn, backlogMax), closed: make(chan struct{})}
	h.net.listens[a] = l
	return l, nil
}

// dial tries until an answer comes back, as TCP does.
func (h *simHost) dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	for wait := time.Second; ; wait *= 2 {
		trip, ok := h.net.roundTrip(h.addr, to.Addr())
		if ok {
			wait = trip
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
		if ok {
			return h.net.connect(h.addr, to)
		}
	}
}

// roundTrip is how long a packet and its answer take between two hosts; false: one of them is lost.
func (s *simNet) roundTrip(from, to netip.Addr) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.passes(from, to, cutStreams) || !s.passes(to, from, cutStreams) || s.lose() || s.lose() {
		return 0, false
	}
	return s.travel() + s.travel(), true
}

func (s *simNet) connect(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listens[to]
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	if s.next++; s.next < portsFrom {
		s.next = portsFrom
	}
	near, far := newSimPair(s, netip.AddrPortFrom(from, s.next), to)
	select {
	case l.conns <- far:
		return near, nil
	default:
		return nil, syscall.ECONNREFUSED
	}
}

func (h *simHost) gossip(ip string, port int, _ *log.Logger) (gossipPort, error) {
	a, err := netip.ParseAddrPort(net.JoinHostPort(ip, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	l, err := h.listen(a.String())
	if err != nil {
		return nil, err
	}
	p := &simPort{net: h.net, addr: a, listen: l, packets: make(chan *memberlist.Packet, packetsMax), streams: make(chan net.Conn),
		closed: make(chan struct{})}
	h.net.mu.Lock()
	h.net.ports[a] = p
	h.net.mu.Unlock()
	p.done.Go(p.accept)
	return p, nil
}

// simListener takes connections.
type simListener struct {
	net    *simNet
	addr   netip.AddrPort
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *simListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close resets the connections that nobody took.
func (l *simListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		if l.net.listens[l.addr] == l {
			delete(l.net.listens, l.addr)
		}
		l.net.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.conns:
				c.(*simConn).abort()
			default:
				return
			}
		}
	})
	return nil
}

// simPort is a port of gossip.
type simPort struct {
	net     *simNet
	addr    netip.AddrPort
	listen  net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	done    sync.WaitGroup
}

func (p *simPort) accept() {
	for {
		c, err := p.listen.Accept()
		if err != nil {
			return
		}
		select {
		case p.streams <- c:
		case <-p.closed:
			_ = c.Close()
		}
	}
}

func (p *simPort) GetAutoBindPort() int { return int(p.addr.Port()) }

func (p *simPort) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return p.addr.Addr().AsSlice(), int(p.addr.Port()), nil
}

func (p *simPort) PacketCh() <-chan *memberlist.Packet { return p.packets }

func (p *simPort) StreamCh() <-chan net.Conn { return p.streams }

func (p *simPort) WriteTo(b []byte, addr string) (time.Time, error) {
	return p.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (p *simPort) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.net.ports[p.addr] == p {
		p.net.packet(p.addr, to, append([]byte(nil), b...))
	}
	return time.Now(), nil
}

// packet sends a packet. simNet.mu must be held.
func (s *simNet) packet(from, to netip.AddrPort, b []byte) {
	copies := 1
	if s.rand.Float64() < s.weather.double {
		copies = 2
	}
	for range copies {
		if s.lose() {
			continue
		}
		d := s.travel()
		if s.rand.Float64() < s.weather.late {
			d += time.Duration(s.rand.Int64N(int64(200 * time.Millisecond)))
		}
		time.AfterFunc(d, func() { s.arrive(from, to, b) })
	}
}

func (s *simNet) arrive(from, to netip.AddrPort, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.ports[to]
	if p == nil || !s.passes(from.Addr(), to.Addr(), cutPackets) {
		return
	}
	select {
	case p.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now()}:
	default: // the host does not read
	}
}

func (p *simPort) DialTimeout(string, time.Duration) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func (p *simPort) DialAddressTimeout(memberlist.Address, time.Duration) (net.Conn, error) {
	return nil, errors.ErrUnsupported // gossip dials through the network
}

func (p *simPort) Shutdown() error {
	p.net.mu.Lock()
	if p.net.ports[p.addr] == p {
		delete(p.net.ports, p.addr)
	}
	p.net.mu.Unlock()
	close(p.closed)
	err := p.listen.Close()
	p.done.Wait()
	return err
}
