package listener

import (
	"math/rand/v2"

	"gamed/protocol"
)

const (
	retryNever = -1
	retrySoon  = 1000 // milliseconds; up to as much again is added, so that not all come back at once
)

// ending is why and how a connection ends.
type ending struct {
	reason  Reason
	abandon bool          // do not wait for the client
	code    protocol.Code // "": no GOAWAY
	text    string
	retryMS int64
}

func (c *Conn) finishWith(e ending) {
	c.mu.Lock()
	c.endLocked(e)
	c.mu.Unlock()
}

// endLocked makes the owner end the connection for the reason given, unless there is one already. c.mu is held.
func (c *Conn) endLocked(e ending) {
	if !c.ending() {
		c.noteEnd(e)
		c.t.poke()
	}
}

// noteEnd says for everybody that the connection ends. c.mu is held.
func (c *Conn) noteEnd(e ending) {
	c.phase.Store(uint32(phaseEnding))
	c.end = &e
	if c.out != nil {
		c.out.held = nil
	}
	if c.words != nil {
		c.words.quiet = nil
	}
}

// abandon ends the connection at once, also when it is saying goodbye already.
func (c *Conn) abandon(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandonLocked(r)
}

func (c *Conn) abandonLocked(r Reason) {
	c.endLocked(ending{reason: r})
	if phase(c.phase.Load()) == phaseEnding {
		c.end.abandon = true
		c.t.poke()
	}
}

// nudge pokes the owner for the clock.
func (c *Conn) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if phase(c.phase.Load()) != phaseClosed {
		c.t.poke()
	}
}

// goaway is the frame of an ending.
func (s *Server) goaway(e ending) protocol.Goaway {
	g := protocol.Goaway{Code: e.code, Reason: e.text, RetryMS: e.retryMS}
	if s.o.Addrs != nil {
		g.Addrs = s.o.Addrs()
	}
	return g
}

// farewell writes the last frame in the client's dialect, whatever waits. c.mu is held.
func (c *Conn) farewell(frame []byte) {
	if c.talk != dialectBinary {
		frame = c.translate(nil, frame)
	}
	if len(frame) > 0 {
		c.write(frame, true)
	}
}

// refuse ends the connection with a code of this package's own judgement.
func (c *Conn) refuse(code protocol.Code, text string) {
	c.finishWith(ending{reason: reasonOf(code), code: code, text: text, retryMS: retryFor(code)})
}

// retryFor is when a client that got code may come back.
func retryFor(code protocol.Code) int64 {
	if code.Class() != protocol.ClassRetry {
		return retryNever
	}
	return retrySoon + rand.Int64N(retrySoon)
}
