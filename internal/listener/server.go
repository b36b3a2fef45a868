package listener

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gamed/protocol"
)

// Handler is what connections' events are handed to. For one connection the calls come in order, from one goroutine at a time,
// and must not block: they run on the goroutine that reads, which may serve thousands of others as well. A connection that never said a proper HELLO is never heard of.
type Handler interface {
	// Hello begins a connection: version, name and token are good. h may be kept. The answer is c.Welcome or c.Goaway.
	Hello(c *Conn, h protocol.Hello)
	// Frames hands over one or more whole, checked CALL frames (length and body each) within the rate, also before WELCOME.
	// batch is only valid during the call.
	Frames(c *Conn, batch []byte)
	// Bye says that the client leaves for good. The handler calls Close when all answers are out; the connection ends after
	// WriteTimeout otherwise. Closed follows.
	Bye(c *Conn)
	// Closed is the last call, once for each Hello: nothing will be read or sent any more, but for what waits in the outbox.
	Closed(c *Conn, reason Reason)
}

// Server accepts players' connections.
type Server struct {
	o     Options
	h     Handler
	port  port
	loops []*loop // none: a goroutine per connection; set by Run
	m     *metrics
	log   *slog.Logger
	clock *clock
	rate  rateLimit
	pace  *rate.Limiter
	gate  gate
	tabs  tabs
	words map[string]*word

	turning atomic.Pointer[func() ending] // how HELLO is answered once Shutdown was called

	open    sync.WaitGroup // the connections
	running sync.WaitGroup // the goroutines of Run, and drainers

	mu      sync.Mutex // guards the fields below
	all     list
	early   list
	closing bool // no new connections
}

// ids number the connections of a process.
var ids atomic.Uint64

// New checks the options and binds the port. The server serves once Run is called.
func New(o Options, h Handler) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("listener: register metrics: %w", err)
	}
	p, err := bind(o)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, h: h, port: p, m: m, log: o.Logger, clock: newClock(), rate: newRate(o.Rate, o.Burst),
		pace: rate.NewLimiter(rate.Limit(o.AcceptRate), o.AcceptRate), words: wordTable(o.Words)}
	s.gate.init(o)
	s.tabs.init()
	s.all.kind, s.early.kind = inAll, inEarly
	if err := s.showLimits(); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("listener: register metrics: %w", err)
	}
	return s, nil
}

// Addr is the address the server listens on.
func (s *Server) Addr() net.Addr { return s.port.Addr() }

// Count is the number of open connections, those that are saying goodbye included.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.n
}

// Run serves until ctx is cancelled and returns nil, or the error that ended accepting. When it returns, the port and every
// connection is closed, without goodbyes: for those call Shutdown before. Run may be called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.startLoops(); err != nil {
		_ = s.port.Close()
		return err
	}
	stop := make(chan struct{})
	s.running.Go(func() { s.clock.run(stop, s.look) })
	release := context.AfterFunc(ctx, func() { _ = s.port.Close() })
	err := s.accept(ctx)
	release()
	_ = s.port.Close()
	s.stopAccepting()
	for _, c := range s.conns() {
		c.abandon(ReasonStopped)
	}
	s.open.Wait()
	for _, l := range s.loops {
		l.stop()
	}
	close(stop)
	s.running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Shutdown sends each connection GOAWAY with the code and what retry says (milliseconds; called once per connection, from any
// goroutine, so that it can spread the return), and waits until all that there were are closed or ctx ends; then it returns ctx's
// error. The port stays open until Run ends: who comes meanwhile gets the same GOAWAY as answer to HELLO, and learns where to go.
func (s *Server) Shutdown(ctx context.Context, code protocol.Code, reason string, retry func() int64) error {
	turn := func() ending { return ending{reason: reasonOf(code), code: code, text: reason, retryMS: retry()} }
	s.turning.Store(&turn)
	conns := s.conns()
	for _, c := range conns {
		c.Goaway(code, reason, retry())
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		conns = slices.DeleteFunc(conns, func(c *Conn) bool { return phase(c.phase.Load()) == phaseClosed })
		if len(conns) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("listener: %d connections still open: %w", len(conns), ctx.Err())
		case <-t.C:
		}
	}
}

// Close closes the port of a Server that was never run.
func (s *Server) Close() { _ = s.port.Close() }

func (s *Server) stopAccepting() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
}

func (s *Server) conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Conn, 0, s.all.n)
	for c := s.all.head; c != nil; c = c.links[inAll].next {
		out = append(out, c)
	}
	return out
}

// look is the clock's look at a connection: it enforces what is overdue and says when to look again.
func (s *Server) look(c *Conn, now int64) int64 {
	if by := c.endBy.Load(); by > 0 { // its owner waits for the client, no longer than this
		if now < by {
			return by
		}
		c.nudge()
		return 0
	}
	next := s.lookPhase(c, now)
	if by := c.writeBy(now); by > 0 && next > 0 {
		next = min(next, by)
	}
	return next
}

func (s *Server) lookPhase(c *Conn, now int64) int64 {
	heard := c.heard.Load()
	switch phase(c.phase.Load()) {
	case phaseHello:
		at := heard + int64(s.o.HelloTimeout)
		if now >= at {
			c.refuse(protocol.CodeHelloTimeout, "no whole HELLO came in time")
			return 0
		}
		return at
	case phaseLogin:
		at := heard + int64(s.o.WelcomeTimeout)
		if now >= at {
			c.refuse(protocol.CodeUnavailable, "the player's owner did not answer")
			return 0
		}
		return at
	case phaseLive:
		return s.lookLive(c, now, heard)
	}
	return 0
}

func (s *Server) lookLive(c *Conn, now, heard int64) int64 {
	next := heard + int64(s.o.IdleWord)
	if c.talk != dialectWords {
		next = heard + 2*int64(s.o.Heartbeat)
	}
	if now >= next {
		c.refuse(protocol.CodeIdle, "nothing was heard for too long")
		return 0
	}
	if ping := heard + int64(s.o.Heartbeat); c.talk != dialectWords && c.pingedAt <= heard {
		if now >= ping {
			c.pingedAt = now
			c.Send(protocol.AppendPing(nil, protocol.AppendInt(nil, now/int64(time.Millisecond))))
		} else {
			next = ping
		}
	}
	if since := c.partSince.Load(); since > 0 {
		at := since + int64(s.o.FrameTimeout)
		if now >= at {
			c.refuse(protocol.CodeIdle, "a frame was begun and not completed in time")
			return 0
		}
		next = min(next, at)
	}
	return next
}
