package listener

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"gamed/protocol"
)

// dialect is how a connection speaks; its first byte says so.
type dialect uint8

const (
	dialectNone   dialect = iota // nothing came yet
	dialectBinary                // length and msgpack
	dialectJSON                  // JSON lines
	dialectWords                 // commands for people
)

// phase is how far a connection has come. It only grows.
type phase uint32

const (
	phaseHello  phase = iota // HELLO is not complete
	phaseLogin               // HELLO was handed over
	phaseLive                // WELCOME was sent
	phaseEnding              // ended or about to: no input is looked at, no output accepted
	phaseClosed              // the socket is closed
)

// Conn is one player's connection. Its methods may be called from any goroutine and never block. There may be very many, so
// what most do not have most of the time is behind a pointer.
type Conn struct {
	// What every message touches stands first, in two cache lines.

	srv     *Server
	mu      sync.Mutex // guards writing, and t, tls, words, out, end
	t       transport  // constant but for the beginning of TLS
	tls     *tlsLayer  // nil without TLS
	id      uint64     // constant
	phase   atomic.Uint32
	blocked atomic.Bool // bytes wait in the outbox; set with mu held

	// Only the owner's, down to begun: the goroutine that reads, of this connection or of many.
	stage   stage
	talk    dialect // constant after Handler.Hello
	handed  bool    // HELLO went to the handler
	upgrade bool    // reading stopped to begin TLS
	leaving bool    // reading stopped at bye, what came before it is not answered yet
	saidBye bool    // the handler knows, and closes
	proxy   proxied // how it came; constant once its first bytes were read
	wire
	attached any    // constant after Handler.Hello
	begun    []byte // the beginning of a frame whose rest has not come

	heard atomic.Int64 // when the last whole frame came

	bucket bucket
	debt   atomic.Int64 // what the player's earlier connections used up, to be added to bucket
	left   int32        // how much is read and thrown away before the socket closes

	remote compactAddr // constant once the first bytes were read
	tick   uint16      // the slot in the clock's wheel, guarded by clock.mu, as due
	due    int64

	// Set by the owner, read by the clock.
	partSince atomic.Int64 // when begun began, 0 while there is none
	endBy     atomic.Int64 // how long the owner waits for the client at the end, 0 while the end has not begun
	pingedAt  int64        // only the clock's: when the last PING went out

	links [memberships]links // each guarded by the owner of the list

	player, role string // written by the owner before Handler.Hello, constant after it

	words *wordState // nil in other dialects
	out   *outbox    // nil when nothing waits
	end   *ending    // nil until it ends
}

// compactAddr is a netip.AddrPort without a zone in 18 bytes.
type compactAddr struct {
	ip   [16]byte
	port [2]byte
}

func compact(a netip.AddrPort) compactAddr {
	return compactAddr{a.Addr().As16(), [2]byte{byte(a.Port() >> 8), byte(a.Port())}}
}

// ID is unique in the process and never 0.
func (c *Conn) ID() uint64 { return c.id }

// Player is the name of the player: the one in HELLO, or the token's subject.
func (c *Conn) Player() string { return c.player }

// Role is the token's role; game.AnyRole without authentication.
func (c *Conn) Role() string { return c.role }

// Text says that the client speaks JSON lines or words.
func (c *Conn) Text() bool { return c.talk == dialectJSON || c.talk == dialectWords }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() netip.AddrPort {
	p := c.remote.port
	return netip.AddrPortFrom(netip.AddrFrom16(c.remote.ip).Unmap(), uint16(p[0])<<8|uint16(p[1]))
}

// Attach keeps a value of the handler's with the connection. It may be called in Handler.Hello only.
func (c *Conn) Attach(v any) { c.attached = v }

// Attached is what Attach kept, nil without. It may be called by the handler, in Frames, Bye and Closed.
func (c *Conn) Attached() any { return c.attached }

// Send sends complete binary frames. It copies what it cannot write at once, so frames may be used again afterwards. Before
// WELCOME they are held and follow it. A client that lets more than OutboxBytes wait is closed (slow_consumer); on a connection
// that has ended frames are dropped.
func (c *Conn) Send(frames []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch phase(c.phase.Load()) {
	case phaseLive:
		c.put(frames)
	case phaseHello, phaseLogin:
		if c.out == nil {
			c.out = &outbox{}
		}
		if len(c.out.held)+len(frames) > c.srv.o.OutboxBytes {
			c.endLocked(ending{reason: ReasonSlowConsumer, code: protocol.CodeSlowConsumer, retryMS: retryFor(protocol.CodeSlowConsumer),
				text: "too much waited for WELCOME"})
			return
		}
		c.out.held = append(c.out.held, frames...)
	}
}

// Welcome sends the WELCOME frame and then all that was held. Only the first one counts, and none once the connection ended.
func (c *Conn) Welcome(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if phase(c.phase.Load()) != phaseLogin {
		return
	}
	c.phase.Store(uint32(phaseLive))
	b := frame
	if o := c.out; o != nil {
		b = append(append(make([]byte, 0, len(frame)+len(o.held)), frame...), o.held...)
		if o.held = nil; !c.blocked.Load() {
			c.out = nil
		}
	}
	c.put(b)
	c.srv.clock.put(c, c.heard.Load()+min(int64(c.srv.o.Heartbeat), int64(c.srv.o.FrameTimeout)))
}

// Goaway ends the connection: what waits in the outbox and then a GOAWAY are written, bounded by WriteTimeout, the client
// gets a moment to read them, and the socket closes. retryMS -1: do not come back. Only the first ending counts.
func (c *Conn) Goaway(code protocol.Code, reason string, retryMS int64) {
	c.finishWith(ending{reason: reasonOf(code), code: code, text: reason, retryMS: retryMS})
}

// Close ends the connection without a GOAWAY; what waits in the outbox is still written, bounded by WriteTimeout.
func (c *Conn) Close() { c.finishWith(ending{reason: ReasonClosed}) }
