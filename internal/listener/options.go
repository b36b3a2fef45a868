package listener

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gamed/game"
	"gamed/protocol"
)

// Identity is who a token says its bearer is.
type Identity struct {
	Player string
	Role   string // "" without one
}

// Pressure is how short of something a process is.
type Pressure uint8

// The levels.
const (
	PressureNone Pressure = iota
	PressureHigh          // no new sessions
	PressureFull          // no logins
)

// Options are a Server's settings. Zero values of durations, sizes and caps stand for the defaults of DefaultOptions; Rate 0 is
// no limit.
type Options struct {
	Addr     string       // host:port to listen on; port 0 picks one
	Listener net.Listener // used instead of Addr when set; its connections must be TCP

	TLS *tls.Config // nil: a first byte of 0x16 is garbage. The minimum is raised to TLS 1.3

	// TLSOnly turns away whoever comes without TLS, but for those on this machine and behind ProxyNetworks.
	TLSOnly bool

	// ProxyNetworks are those of load balancers: a connection from there must begin with a PROXY protocol v2 header, whose client's
	// address then counts. Headers from elsewhere are garbage.
	ProxyNetworks []netip.Prefix

	// Pressure says how short of memory the process is; nil: never. It is asked at each HELLO.
	Pressure func() Pressure

	// Authenticate judges a token; nil: names are believed, and everybody has game.AnyRole. When it refuses, the code
	// (bad_token, expired_token, unavailable) and the error's text go to the client, so it must not tell secrets. It is
	// called on the goroutine that reads, of many connections perhaps, and must not wait for the network.
	Authenticate func(token string) (Identity, protocol.Code, error)

	HelloTimeout   time.Duration // from accept to the end of HELLO, TLS included
	WelcomeTimeout time.Duration // from HELLO to WELCOME; then GOAWAY unavailable
	Heartbeat      time.Duration // silence after which the server pings; after twice that it closes
	WriteTimeout   time.Duration // how long bytes may wait in the outbox
	IdleWord       time.Duration // silence allowed in word mode
	FrameTimeout   time.Duration // from the first byte of a frame to its last

	OutboxBytes int // bound of a connection's outbox, and of what is held for it before WELCOME
	SendBuffer  int // the kernel's buffer of each socket; below 0: as the kernel likes

	Rate, Burst int // frames a second and at once, per player, whose connections share it; 0: no limit

	MaxConns     int // open connections in all; default: what the limit of open files leaves
	MaxEarly     int // connections before HELLO, at most half of MaxConns; one more ends the oldest of them
	PerAddrConns int // open connections from one address (IPv6: one /64), loopback exempt
	PerAddrRate  int // new connections a second from one address, loopback exempt
	AcceptRate   int // new connections a second in all; more wait in the kernel's queue

	// Loops is how many epoll loops serve plain TCP on Linux (amd64, arm64); default: half of GOMAXPROCS. Below 0, on other systems, and
	// when Listener is no *net.TCPListener, each connection has a goroutine instead.
	Loops int

	Words []game.Word     // commands of word mode beside the built-in ones
	Addrs func() []string // other nodes' players' addresses for GOAWAY; nil: none

	Logger     *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// DefaultOptions are the defaults of the player port; the address is missing.
func DefaultOptions() Options {
	return Options{
		HelloTimeout: 5 * time.Second, WelcomeTimeout: 10 * time.Second, Heartbeat: 15 * time.Second, WriteTimeout: 5 * time.Second,
		IdleWord: 10 * time.Minute, FrameTimeout: 10 * time.Second, OutboxBytes: 256 << 10, SendBuffer: 256 << 10, Rate: 60, Burst: 120,
		MaxConns: fileLimit(), MaxEarly: 8192, PerAddrConns: 1000, PerAddrRate: 200, AcceptRate: 10_000, Loops: loopsByDefault(),
	}
}

// fileLimit is how many sockets the limit of open files leaves when some are kept for everything else.
func fileLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<30 {
		return 1 << 20
	}
	n := int(l.Cur)
	return max(n-max(n/10, 128), n/2, 1)
}

// complete fills in defaults and names the first field that is wrong.
func (o *Options) complete() error {
	d := DefaultOptions()
	for _, f := range []struct {
		name string
		v    *time.Duration
		d    time.Duration
	}{
		{"HelloTimeout", &o.HelloTimeout, d.HelloTimeout}, {"WelcomeTimeout", &o.WelcomeTimeout, d.WelcomeTimeout},
		{"Heartbeat", &o.Heartbeat, d.Heartbeat}, {"WriteTimeout", &o.WriteTimeout, d.WriteTimeout},
		{"IdleWord", &o.IdleWord, d.IdleWord}, {"FrameTimeout", &o.FrameTimeout, d.FrameTimeout},
	} {
		if *f.v < 0 {
			return fmt.Errorf("listener: %s %v is negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	for _, f := range []struct {
		name string
		v    *int
		d    int
	}{
		{"OutboxBytes", &o.OutboxBytes, d.OutboxBytes}, {"MaxConns", &o.MaxConns, d.MaxConns}, {"MaxEarly", &o.MaxEarly, d.MaxEarly},
		{"PerAddrConns", &o.PerAddrConns, d.PerAddrConns}, {"PerAddrRate", &o.PerAddrRate, d.PerAddrRate},
		{"AcceptRate", &o.AcceptRate, d.AcceptRate}, {"Rate", &o.Rate, 0}, {"Burst", &o.Burst, 2 * o.Rate},
	} {
		if *f.v < 0 {
			return fmt.Errorf("listener: %s %d is negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	o.MaxEarly = min(o.MaxEarly, max(o.MaxConns/2, 1)) // silent sockets never take more than half of all
	if o.Loops = min(o.Loops, 256); o.Loops == 0 {
		o.Loops = d.Loops
	}
	if o.SendBuffer == 0 {
		o.SendBuffer = d.SendBuffer
	}
	if o.Addr == "" && o.Listener == nil {
		return errors.New("listener: neither Addr nor Listener is set")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS13)
	}
	known := map[string]bool{}
	for _, w := range o.Words {
		if w.Name == "" || builtin(w.Name) || known[w.Name] {
			return fmt.Errorf("listener: Words: %q has no name, is built in, or comes twice", w.Name)
		}
		known[w.Name] = true
	}
	return nil
}
