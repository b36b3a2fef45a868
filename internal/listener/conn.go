package listener

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

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

// Conn is one player's connection. Its methods may be called from any goroutine and never block.
type Conn struct {
	id     uint64
	srv    *Server
	remote netip.AddrPort

	// Written by the reader before Handler.Hello, constant after it.
	player, role string
	talk         dialect

	// Only the reader's.
	part    []byte // the beginning of a frame whose rest has not come
	bucket  bucket
	handed  bool // HELLO went to the handler
	upgrade bool // reading stopped to begin TLS
	leaving bool // reading stopped at bye, commands before it are not answered yet

	// Set by the reader, read by the clock.
	phase     atomic.Uint32
	heard     atomic.Int64 // when the last whole frame came
	partSince atomic.Int64 // when part began, 0 while there is none
	pingedAt  int64        // only the clock's: when the last PING went out

	// The clock's wheel, guarded by clock.mu.
	due  int64
	slot uint16

	links [memberships]links // each guarded by the owner of the list

	mu      sync.Mutex // guards the fields below and writing
	t       transport
	tls     *tlsLayer     // nil without TLS
	words   *wordState    // nil in other dialects
	held    []byte        // binary frames that wait for WELCOME
	out     []byte        // what the kernel did not take yet
	sent    int           // how much of out it has taken since
	mark    int           // how much of out must be gone at the write deadline
	blocked chan struct{} // closed when the drainer ends, nil without one
	end     ending
}

// ending is why and how a connection ends.
type ending struct {
	reason  Reason
	code    protocol.Code // "": no GOAWAY
	text    string
	retryMS int64
	abandon bool // do not wait for the client
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
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

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
		if len(c.held)+len(frames) > c.srv.o.OutboxBytes {
			c.endLocked(ending{reason: ReasonSlowConsumer, code: protocol.CodeSlowConsumer, retryMS: retryFor(protocol.CodeSlowConsumer),
				text: "too much waited for WELCOME"})
			return
		}
		c.held = append(c.held, frames...)
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
	if len(c.held) > 0 {
		b = append(append(make([]byte, 0, len(frame)+len(c.held)), frame...), c.held...)
		c.held = nil
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

func (c *Conn) finishWith(e ending) {
	c.mu.Lock()
	c.endLocked(e)
	c.mu.Unlock()
}

// endLocked makes the reader end the connection for the reason given, unless there is one already.
func (c *Conn) endLocked(e ending) {
	if phase(c.phase.Load()) >= phaseEnding {
		return
	}
	c.phase.Store(uint32(phaseEnding))
	c.end = e
	c.held = nil
	if c.words != nil {
		c.words.quieten()
	}
	c.t.stop()
}

// abandon ends the connection at once, also when it is saying goodbye already.
func (c *Conn) abandon(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(ending{reason: r})
	if phase(c.phase.Load()) == phaseEnding {
		c.end.abandon = true
		c.t.setWriteDeadline(longAgo)
		c.t.stop()
	}
}

var longAgo = time.Unix(1, 0)
