package listener

import (
	"io"
	"math/rand/v2"
	"time"

	"gamed/protocol"
)

const (
	retryNever = -1
	retrySoon  = 1000 // milliseconds; up to as much again is added, so that not all come back at once

	lingerTime  = time.Second // how long a client may take to read its GOAWAY
	lingerBytes = 64 << 10    // and what it may send meanwhile
)

// finish ends the connection: tells the handler, flushes, says GOAWAY, closes. Only the reader calls it, once. err is why
// reading ended when nobody asked for it.
func (c *Conn) finish(err error) {
	c.mu.Lock()
	if phase(c.phase.Load()) < phaseEnding {
		e := ending{reason: ReasonReset}
		if err == io.EOF {
			e.reason = ReasonPeer
		}
		c.endLocked(e)
	}
	e := c.end
	c.mu.Unlock()

	c.srv.clock.drop(c)
	c.srv.leaveEarly(c)
	if c.handed {
		c.srv.h.Closed(c, e.reason)
	}
	c.part = nil
	c.goodbye(e)

	c.mu.Lock()
	c.phase.Store(uint32(phaseClosed))
	c.out, c.words = nil, nil
	c.mu.Unlock()
	c.t.close()
	c.srv.m.closed[e.reason].Inc()
	c.srv.log.Debug("connection closed", "conn", c.id, "player", c.player, "reason", e.reason.String(), "text", e.text)
}

// goodbye writes what is left and the GOAWAY, and lets the client read them: closing a socket with unread input would reset
// it, and the client would lose what it has not read. Bounded by WriteTimeout and lingerTime.
func (c *Conn) goodbye(e ending) {
	var last []byte
	if e.code != "" && c.talk != dialectNone {
		last = c.farewell(e)
	}
	limit := c.srv.o.WriteTimeout
	if e.reason == ReasonSlowConsumer {
		limit = min(limit, lingerTime)
	}
	c.mu.Lock()
	if len(last) > 0 && !c.end.abandon {
		c.write(last, true)
	}
	if c.tls != nil && !c.end.abandon {
		if b := c.tls.bye(); len(b) > 0 {
			c.writeRaw(b)
		}
	}
	blocked := c.blocked
	if blocked != nil && !c.end.abandon {
		c.t.setWriteDeadline(time.Now().Add(limit))
	}
	c.mu.Unlock()
	if blocked != nil {
		<-blocked // ends at the write deadline
	}
	switch e.reason {
	case ReasonPeer, ReasonReset, ReasonStopped, ReasonCrowded:
		return
	}
	c.t.halfClose()
	until := time.Now().Add(lingerTime)
	c.mu.Lock()
	if c.end.abandon {
		until = longAgo
	}
	c.mu.Unlock()
	c.t.discard(lingerBytes, until)
}

// farewell is the GOAWAY in the client's dialect.
func (c *Conn) farewell(e ending) []byte {
	g := protocol.Goaway{Code: e.code, Reason: e.text, RetryMS: e.retryMS}
	if c.srv.o.Addrs != nil {
		g.Addrs = c.srv.o.Addrs()
	}
	frame := protocol.AppendGoaway(nil, g)
	if c.talk == dialectBinary {
		return frame
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.translate(nil, frame)
}

// refuse ends the connection from the reader with a code of this package's own judgement.
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
